"""Preference items: the pairs and labelled answers that feedback gives, best source first, each piece once.

    comparison, siblings   two answers to one prompt, one preferred; one up, one down
    correction             what a person wrote, over what it corrects
    near_prompt            an up and a down on prompts that ask for the same; never on prompts that do not
    lone                   what is left: an answer that is good, or bad

Then, newest first, what says the same again or was overtaken goes, and what a suite measures. Every vote, correction
and comparison ends in one FeedbackFate. The same candidates in any order give the same items.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.artifacts import digest_of
from pipelines.feedback.drafts import Draft, with_agreeing
from pipelines.feedback.pair_builder import FindContaminated, PairBuilder
from pipelines.feedback.pieces import fate_order
from pipelines.feedback.rated_answers import Fits, RatedAnswers, fits_always
from pipelines.feedback.select import Renders, renders_always
from pipelines.feedback.weigh import WeighedFeedback
from pipelines.recipe import Select
from pipelines.records import FeedbackFate, PreferenceItem, TurnKey


@dataclass(frozen=True)
class Preferences:
    """What a round may learn from feedback, ordered by id, and what became of every piece, influence's drops included."""

    items: tuple[PreferenceItem, ...]
    fates: tuple[FeedbackFate, ...]


def build_preferences(
    weighed: WeighedFeedback,
    rules: Select,
    *,
    count_tokens: Callable[[str], int],
    find_contaminated: FindContaminated,
    renders: Renders = renders_always,
    fits: Fits = fits_always,
) -> Preferences:
    """The preference items of what counts. `rules` bound what may be chosen: language, mixing, length.

    What cannot be rendered is no item at all; what does not fit is no training item, chosen or rejected, while what is
    kept apart is not trained on.
    """
    builder = PairBuilder(weighed, RatedAnswers(weighed.candidates, rules, count_tokens, renders, fits))
    corrections = builder.corrections()
    labels = builder.labels()
    comparisons = builder.comparisons(labels)
    drafts = builder.siblings(labels, comparisons)
    drafts += [with_agreeing(draft, labels) for draft in comparisons + corrections]
    drafts += builder.near_prompts(labels)
    drafts += builder.lone(labels)
    drafts = builder.without_overtaken(drafts)
    drafts = builder.without_contaminated(drafts, find_contaminated)
    drafts = builder.without_overlaps(drafts)
    fates = [*weighed.dropped, *builder.fates(), *(fate for draft in drafts for fate in _fates(draft, weighed))]
    return Preferences(
        items=tuple(sorted((_item(draft) for draft in drafts), key=lambda item: item.id)),
        fates=tuple(sorted(fates, key=fate_order)),
    )


# ---- what comes out -----------------------------------------------------------------------------------------


def _item(draft: Draft) -> PreferenceItem:
    chosen, rejected = (answer.message.key if answer else None for answer in (draft.chosen, draft.rejected))
    prompt = tuple(TurnKey(key=message.key, role=message.role, trained=False) for message in draft.home.before)
    newest = max((answer.candidate for answer in draft.answers), key=lambda c: (c.occurred_at, c.conversation))
    keys = [key.model_dump() if key else None for key in (chosen, rejected)]
    return PreferenceItem(
        id=digest_of([draft.source, [turn.key.model_dump() for turn in prompt], keys])[:32],
        kind="pair" if chosen and rejected else "labelled",
        source=draft.source,
        part=draft.home.candidate.part,
        conversations=tuple(sorted({answer.candidate.conversation for answer in draft.answers})),
        raters=tuple(sorted({piece.rater for piece in draft.pieces})),
        topic=draft.home.candidate.topic,
        month=newest.occurred_at.strftime("%Y-%m"),
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        weight=draft.weight,
    )


def _fates(draft: Draft, weighed: WeighedFeedback) -> list[FeedbackFate]:
    outcome = "used" if draft.home.candidate.part == "train" else "held_out"
    return [
        piece.dropped(draft.source, weighed.weights[piece.key]).model_copy(update={"outcome": outcome})
        for piece in draft.pieces
    ]
