"""The way in: checks what apps send, and stores it before anybody is told so."""

from service.ingest.parse import (
    Malformed,
    checked_id,
    parse_comparison,
    parse_conversation,
    parse_correction,
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
    describe,
    prepare,
    prepare_comparison,
    read_meta,
)
from service.ingest.wire import MAX_BATCH, ComparisonChangeIn, WholeComparisonIn
from service.ingest.writer import Writer

__all__ = [
    "DEFAULT_APP",
    "MAX_BATCH",
    "ComparisonChangeIn",
    "Incoming",
    "Malformed",
    "NewComparison",
    "NewCorrection",
    "NewMessage",
    "NewVote",
    "Outcome",
    "WholeComparisonIn",
    "Writer",
    "checked_id",
    "describe",
    "parse_comparison",
    "parse_conversation",
    "parse_correction",
    "parse_retraction",
    "parse_vote",
    "prepare",
    "prepare_comparison",
    "read_meta",
    "split_list",
]
