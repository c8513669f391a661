"""The way in: checks what apps send, and stores it before anybody is told so."""

from service.ingest.arrivals import Arrivals
from service.ingest.meta import Meta, describe, read_meta
from service.ingest.parse import (
    Malformed,
    checked_id,
    parse_comparison,
    parse_conversation,
    parse_correction,
    parse_noted,
    parse_retraction,
    parse_vote,
    split_list,
)
from service.ingest.prepare import (
    DEFAULT_APP,
    Incoming,
    NewComparison,
    NewCorrection,
    NewMessage,
    NewVote,
    Outcome,
    in_utc,
    prepare,
)
from service.ingest.prepare_feedback import prepare_comparison, prepare_correction, prepare_vote
from service.ingest.wire import MAX_BATCH, ComparisonChangeIn, Role, State, WholeComparisonIn
from service.ingest.writer import Writer

__all__ = [
    "DEFAULT_APP",
    "MAX_BATCH",
    "Arrivals",
    "ComparisonChangeIn",
    "Incoming",
    "Malformed",
    "Meta",
    "NewComparison",
    "NewCorrection",
    "NewMessage",
    "NewVote",
    "Outcome",
    "Role",
    "State",
    "WholeComparisonIn",
    "Writer",
    "checked_id",
    "describe",
    "in_utc",
    "parse_comparison",
    "parse_conversation",
    "parse_correction",
    "parse_noted",
    "parse_retraction",
    "parse_vote",
    "prepare",
    "prepare_comparison",
    "prepare_correction",
    "prepare_vote",
    "read_meta",
    "split_list",
]
