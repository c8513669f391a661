"""What a suite's scorer needs of this machine, looked for before anything is trained."""

from pipelines.suites.load import Suite
from pipelines.suites.sandbox import find_sandbox
from pipelines.suites.scorers.maths import load_library


def check_tools(suite: Suite) -> None:
    """Raise MissingDependency if this machine lacks what the suite's scorer needs: a sandbox, a library."""
    if suite.scorer == "python":
        find_sandbox()
    if suite.scorer == "maths":
        load_library()
