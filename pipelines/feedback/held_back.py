"""What reviewers hold back: a conversation that one dropped and, where a recipe asks for a review, all that nobody reviewed.

select: {review: required}
"""

from collections.abc import Iterable, Iterator

from pipelines.recipe import Select
from pipelines.records import RatedConversation
from pipelines.turns import Review


def is_unreviewed(review: Review, select: Select) -> bool:
    """Whether the recipe asks for a review that nobody has made."""
    return select.review == "required" and review != "kept"


def hold_back(candidates: Iterable[RatedConversation], select: Select) -> Iterator[RatedConversation]:
    """The same conversations, those held back without consent: whatever reads them, it learns and measures nothing.

    The rules `dropped_by_reviewer` and `not_reviewed` say why; they are asked before the one about consent.
    """
    for candidate in candidates:
        held = candidate.review == "dropped" or is_unreviewed(candidate.review, select)
        yield candidate.model_copy(update={"consent": False}) if held and candidate.consent else candidate
