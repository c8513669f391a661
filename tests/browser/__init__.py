"""A package, so that what is package-scoped in conftest.py ends with these tests: Playwright keeps an event loop running."""
