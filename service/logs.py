"""Logging: one JSON line per event on standard error, ids and counts only."""

import logging
import sys

import structlog


def set_up_logging(level: int = logging.INFO) -> None:
    """Makes structlog and the standard library's loggers write one JSON line per event; call once per process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    # messages of other libraries may quote what they work on, so only their names are kept
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format='{"level": "%(levelname)s", "event": "%(name)s"}'
    )
