"""The way in: checks what apps send, and stores it before anybody is told so."""

from service.ingest.incoming import (
    DEFAULT_APP,
    Incoming,
    NewMessage,
    NewVote,
    Outcome,
    describe,
    prepare,
    read_meta,
)
from service.ingest.shapes import (
    MAX_BATCH,
    Malformed,
    parse_conversation,
    parse_retraction,
    parse_vote,
    split_list,
)
from service.ingest.writer import Writer

__all__ = [
    "DEFAULT_APP",
    "MAX_BATCH",
    "Incoming",
    "Malformed",
    "NewMessage",
    "NewVote",
    "Outcome",
    "Writer",
    "describe",
    "parse_conversation",
    "parse_retraction",
    "parse_vote",
    "prepare",
    "read_meta",
    "split_list",
]
