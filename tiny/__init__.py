"""The invented world of the embedded tiny model: its facts, tasks, suites, demo conversations and pretraining."""
