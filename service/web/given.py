"""Feedback handed to the writer and its refusals told, alike for the API and the pages."""

import asyncio

from pipelines.errors import Conflict, DataError, NotFound
from service.ingest import NewComparison, NewCorrection, NewVote, Outcome, Writer


async def store_vote(writer: Writer, vote: NewVote) -> bool:
    """Whether a vote changed what stands, once it is committed. Raises Conflict or DataError if it is refused."""
    outcome = (await asyncio.wrap_future(writer.submit_votes([vote])))[0]
    if outcome.result == "conflict":
        raise Conflict(outcome.detail or "")
    if outcome.result == "invalid":
        raise DataError(f"message {vote.message[:80]!r}: {outcome.detail}")
    return outcome.result == "created"


async def store_correction(writer: Writer, correction: NewCorrection) -> Outcome:
    """What became of a correction, once it is committed. Raises NotFound, Conflict or DataError if it is refused."""
    return accepted((await asyncio.wrap_future(writer.submit_corrections([correction])))[0])


async def store_comparison(writer: Writer, comparison: NewComparison) -> Outcome:
    """As `store_correction`, for a comparison."""
    return accepted((await asyncio.wrap_future(writer.submit_comparisons([comparison])))[0])


def accepted(outcome: Outcome) -> Outcome:
    """The outcome if it is no refusal."""
    if outcome.result == "not_found":
        raise NotFound(outcome.detail or "")
    if outcome.result == "conflict":
        raise Conflict(outcome.detail or "")
    if outcome.result == "invalid":
        raise DataError(outcome.detail or "")
    return outcome
