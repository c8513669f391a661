"""Preference items: the pairs and labelled answers that feedback gives, best source first, each piece once.

    comparison, siblings   two answers to one prompt, one preferred; one up, one down
    correction             what a person wrote, over what it corrects
    near_prompt            an up and a down on prompts that ask for the same; never on prompts that do not
    lone                   what is left: an answer that is good, or bad

Then, newest first, what says the same again or was overtaken goes, and what a suite measures. Every vote, correction
and comparison ends in one FeedbackFate. The same candidates in any order give the same items.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.artifacts import digest_of
from pipelines.feedback.drafts import Draft, with_agreeing
from pipelines.feedback.pair_builder import FindContaminated, PairBuilder
from pipelines.feedback.pieces import Fate
from pipelines.feedback.rated_answers import Fits, RatedAnswers, fits_always
from pipelines.feedback.select import Renders, renders_always
from pipelines.feedback.shelf import Lazy
from pipelines.feedback.weigh import WeighedFeedback
from pipelines.recipe import Select
from pipelines.records import FeedbackFate, FeedbackOutcome, PreferenceItem, TurnKey


@dataclass(frozen=True)
class Preferences:
    """What a round may learn from feedback, ordered by id, and what became of every piece, influence's drops included.

    Each record is made when it is asked for.
    """

    items: Sequence[PreferenceItem]
    fates: Sequence[FeedbackFate]


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
    answers = RatedAnswers(weighed, rules, count_tokens, renders, fits)
    builder = PairBuilder(weighed, answers)
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
    identified = sorted(((_id(draft, answers), draft) for draft in drafts), key=lambda one: one[0])
    return Preferences(
        items=Lazy(identified, lambda one: _item(*one, answers)),
        fates=Lazy(sorted(fates, key=lambda fate: fate.order), Fate.record),
    )


# ---- what comes out -----------------------------------------------------------------------------------------


def _id(draft: Draft, answers: RatedAnswers) -> str:
    keys = [answer.key.model_dump() if answer else None for answer in (draft.chosen, draft.rejected)]
    before = [message.key.model_dump() for message in answers.before(draft.first)]
    return digest_of([draft.source, before, keys])[:32]


def _item(id: str, draft: Draft, answers: RatedAnswers) -> PreferenceItem:
    chosen, rejected = (answer.key if answer else None for answer in (draft.chosen, draft.rejected))
    prompt = tuple(TurnKey(key=turn.key, role=turn.role, trained=False) for turn in answers.before(draft.first))
    newest = max((answer.home for answer in draft.answers), key=lambda home: (home.occurred_at, home.conversation))
    return PreferenceItem(
        id=id,
        kind="pair" if chosen and rejected else "labelled",
        source=draft.source,
        part=draft.first.home.part,
        conversations=tuple(sorted({answer.home.conversation for answer in draft.answers})),
        raters=tuple(sorted({piece.rater for piece in draft.pieces})),
        topic=draft.first.home.topic,
        month=newest.occurred_at.strftime("%Y-%m"),
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        weight=draft.weight,
    )


def _fates(draft: Draft, weighed: WeighedFeedback) -> list[Fate]:
    outcome: FeedbackOutcome = "used" if draft.first.home.part == "train" else "held_out"
    return [Fate(piece, outcome, draft.source, weighed.weights[piece.key]) for piece in draft.pieces]
