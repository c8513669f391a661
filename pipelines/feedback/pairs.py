"""From feedback to what preference training reads: pairs and labelled answers, best source first, each piece once.

    comparison, siblings   two answers to one prompt, one preferred; one up, one down
    correction             what a person wrote, over what it corrects
    near_prompt            an up and a down on prompts that ask for the same; never on prompts that do not
    lone                   what is left: an answer that is good, or bad

Then, newest first, what says the same again or was overtaken goes, and what a suite measures. Every vote, correction
and comparison ends in one FeedbackFate. The same candidates in any order give the same items.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from pipelines.artifacts import digest_of
from pipelines.feedback.drafts import Answer, Draft, Label, Labels, Settled, alone, matched, with_agreeing
from pipelines.feedback.reasons import REASONS as LOST_REASONS
from pipelines.feedback.same_prompt import Intents, Prompt, folded, prompt_of
from pipelines.feedback.tree import originals_of, path_before
from pipelines.feedback.weigh import REASONS as INFLUENCE_REASONS
from pipelines.feedback.weigh import Feedback, FeedbackKey, Weighed, fate_order, pieces_of
from pipelines.recipe import Select
from pipelines.records import FeedbackFate, Part, PreferenceItem, RatedConversation, RatedMessage, Turn, TurnKey

REASONS: Mapping[str, str] = {
    "siblings": "used as a pair: two answers to one prompt, one voted up and one down",
    "comparison": "used as a pair: a rater compared the two answers",
    "correction": "used as a pair: the correction over what it corrects",
    "near_prompt": "used as a pair: an up and a down on prompts that ask for the same",
    "lone": "used alone: a good or a bad answer without a counterpart",
    "resample": "used as a pair: a checked new answer over one voted down",
    "rating": "used as a rating: it helped to decide which answers SFT learns",
    "pairs_only": "only pairs are read by the method that this round chose",
    "no_preference_stage": "this round learns no preferences, and SFT does not learn the answer that it speaks for",
    "other_language": "its conversation is not in the recipe's primary language",
    "not_an_answer": "what was rated is not an answer of the assistant",
    "answer_gone": "an answer that it names is not in its conversation, or was not fit to keep",
    "other_prompt": "the two answers do not answer the same prompt",
    "incomplete": "the answer it speaks for was cut off",
    "language_mixed": "the answer it speaks for mixes languages",
    "response_too_short": "the answer it speaks for is shorter than allowed",
    "response_too_long": "the answer it speaks for is longer than allowed",
    "too_long": "the answer it speaks for and its prompt are longer than training reads (train.max_tokens)",
    "same_text": "both answers say the same",
    "tied": "as much speaks for the answer as against it",
    "outvoted": "more speaks for the contrary",
    "duplicate": "newer feedback on the same prompt and answers says the same",
    "superseded": "a newer correction or answer to the same prompt says otherwise",
    "contaminated": "repeats an item of the recipe's suites",
    "overlaps_train": "kept apart, but its prompt also stands in training",
}
# Of every rule that a piece of feedback can end by, wherever that is.
FEEDBACK_REASONS: Mapping[str, str] = {**LOST_REASONS, **INFLUENCE_REASONS, **REASONS}
FindContaminated = Callable[[Sequence[str]], Sequence[str | None]]
# Whether training can read an answer to these turns whole.
Fits = Callable[[Sequence[Turn], str], bool]
_EVEN = 1e-9


@dataclass(frozen=True)
class Preferences:
    """What a round may learn from feedback, ordered by id, and what became of every piece, influence's drops included."""

    items: tuple[PreferenceItem, ...]
    fates: tuple[FeedbackFate, ...]


def fits_always(prompt: Sequence[Turn], answer: str) -> bool:
    """For where nothing is trained on."""
    return True


def build_preferences(
    weighed: Weighed,
    rules: Select,
    *,
    count_tokens: Callable[[str], int],
    find_contaminated: FindContaminated,
    fits: Fits = fits_always,
) -> Preferences:
    """The preference items of what counts. `rules` bound what may be chosen: language, mixing, length.

    What does not fit is no training item, chosen or rejected; what is kept apart is not trained on.
    """
    desk = _PairBuilder(weighed, rules, count_tokens, fits)
    corrections = desk.corrections()
    labels = desk.labels()
    comparisons = desk.comparisons(labels)
    drafts = desk.siblings(labels, comparisons)
    drafts += [with_agreeing(draft, labels) for draft in comparisons + corrections]
    drafts += desk.near_prompts(labels)
    drafts += desk.lone(labels)
    kept = desk.settle(drafts)
    kept = desk.without_contaminated(kept, find_contaminated)
    kept = desk.without_overlaps(kept)
    fates = [*weighed.dropped, *desk.fates(), *(fate for draft in kept for fate in _used(draft, weighed))]
    return Preferences(
        items=tuple(sorted((_item(draft) for draft in kept), key=lambda item: item.id)),
        fates=tuple(sorted(fates, key=fate_order)),
    )


# ---- what is on the desk ------------------------------------------------------------------------------------


class _PairBuilder:
    """The pieces that are still to be placed, and the reasons of those that never will be."""

    def __init__(self, weighed: Weighed, rules: Select, count_tokens: Callable[[str], int], fits: Fits) -> None:
        self._weights, self._rules, self._count_tokens, self._fits = weighed.weights, rules, count_tokens, fits
        self._dropped: dict[FeedbackKey, tuple[Feedback, str]] = {}
        self._originals: dict[str, str] = {}
        given = [(candidate, piece) for candidate in weighed.candidates for piece in pieces_of(candidate)]
        found = {candidate.conversation: candidate for candidate, _ in given}
        paths = {name: _answers_in(candidate, self._named(candidate)) for name, candidate in found.items()}
        self._intents = Intents(
            prompt_of(before, home) for home, answers in paths.items() for before in answers.values()
        )
        self._answers = {
            name: self._answer(found[home], name, before)
            for home, answers in paths.items()
            for name, before in answers.items()
        }
        self._pieces = [piece for candidate, piece in given if self._is_usable(candidate, piece)]

    def corrections(self) -> list[Draft]:
        """The newest correction of each answer over its original; votes for what it replaces are superseded.

        Where the original is too long to be trained on, the correction is a good answer of its own.
        """
        pieces = sorted(self._of("correction"), key=lambda piece: (self._original(piece), piece.at, piece.other))
        votes = self._votes()
        drafts = []
        for name, group in groupby(pieces, key=self._original):
            *older, last = group
            newest, original = self._answers[last.other], self._answers[name]
            for piece in older:
                self._drop([piece], "duplicate" if self._answers[piece.other].text == newest.text else "superseded")
            flaw = "same_text" if newest.text == original.text else newest.flaw or self._too_long(newest)
            if flaw:
                self._drop([last], flaw)
            elif self._too_long(original):
                drafts.append(Draft("lone", newest, None, self._weights[last.key], (last,)))
            else:
                drafts.append(Draft("correction", newest, original, self._weights[last.key], (last,)))
            if newest.text != original.text:
                replaced = {name, *(piece.other for piece in older)}
                stale = [other for other in replaced if self._answers[other].text != newest.text]
                self._drop([piece for other in stale for piece in votes[other] if piece.value > 0], "superseded")
        return drafts

    def labels(self) -> Labels:
        """The verdict on each answer with votes, by weight; a good answer without a flaw only."""
        labels: Labels = {}
        for name, pieces in sorted(self._votes().items()):
            decided = self._decide(pieces, lambda piece: piece.value > 0)
            if decided is None:
                continue
            won, good, weight = decided
            answer = self._answers[name]
            flaw = (good and answer.flaw) or self._too_long(answer)
            if flaw:
                self._drop(won, flaw)
            else:
                labels[name] = Label(answer, good, weight, tuple(won))
        return labels

    def comparisons(self, labels: Labels) -> list[Draft]:
        """A pair for each two answers that were compared; where votes say the contrary, the heavier side stays."""
        compared: dict[tuple[str, str], list[Feedback]] = defaultdict(list)
        for piece in self._of("comparison"):
            first, second = sorted((piece.message, piece.other))
            compared[first, second].append(piece)
        drafts = []
        for (first, second), pieces in sorted(compared.items()):
            decided = self._decide(pieces, partial(_prefers, first))
            if decided is None:
                continue
            won, is_first, weight = decided
            chosen, rejected = (self._answers[name] for name in ((first, second) if is_first else (second, first)))
            flaw = "same_text" if chosen.text == rejected.text else chosen.flaw or self._too_long(chosen, rejected)
            if flaw:
                self._drop(won, flaw)
                continue
            draft = Draft("comparison", chosen, rejected, weight, tuple(won))
            if self._survives(draft, labels):
                drafts.append(draft)
        return drafts

    def siblings(self, labels: Labels, comparisons: Sequence[Draft]) -> list[Draft]:
        """Pairs of one good and one bad answer to the same message, heaviest first; compared ones are pairs already."""
        done = {frozenset(answer.name for answer in draft.answers) for draft in comparisons}
        forks: dict[tuple[str, str | None], list[Label]] = defaultdict(list)
        for label in labels.values():
            forks[label.answer.candidate.conversation, label.answer.message.parent].append(label)

        def may_pair(good: Label, bad: Label) -> bool:
            return frozenset((good.answer.name, bad.answer.name)) not in done

        return [
            draft
            for _, members in sorted(forks.items(), key=lambda fork: (fork[0][0], fork[0][1] or ""))
            for draft in matched(
                "siblings", members, labels, may_pair, lambda label: (-label.weight, label.newest_first)
            )
        ]

    def near_prompts(self, labels: Labels) -> list[Draft]:
        """Pairs of a good and a bad answer to prompts that ask for the same, newest first."""
        intents: dict[tuple[Prompt, Part], list[Label]] = defaultdict(list)
        for label in labels.values():
            intents[label.answer.intent].append(label)

        def may_pair(good: Label, bad: Label) -> bool:
            alike = self._intents.alike(good.answer.prompt, bad.answer.prompt)
            return alike and self._too_long(replace(bad.answer, before=good.answer.before)) is None

        return [
            draft
            for _, members in sorted(intents.items())
            for draft in matched("near_prompt", members, labels, may_pair, lambda label: (0.0, label.newest_first))
        ]

    def lone(self, labels: Labels) -> list[Draft]:
        """What is left, each answer alone; of the same answer to the same prompt the heavier verdict."""
        same: dict[tuple[tuple[Prompt, Part], str], list[Label]] = defaultdict(list)
        for label in labels.values():
            same[label.answer.intent, label.answer.text].append(label)
        drafts = []
        for _, members in sorted(same.items()):
            good, bad = (sum(one.weight for one in members if one.good is side) for side in (True, False))
            tied = abs(good - bad) < _EVEN
            for label in members:
                if tied or label.good is (good < bad):
                    self._drop(label.pieces, "tied" if tied else "outvoted")
                else:
                    drafts.append(alone(label))
        labels.clear()
        return drafts

    def settle(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Newest first, what is neither said again nor overtaken, prompt by prompt."""
        intents: dict[tuple[Prompt, Part], Settled] = defaultdict(Settled)
        kept = []
        for draft in sorted(drafts, key=lambda draft: draft.newest_first):
            reason = intents[draft.home.intent].judge(draft)
            if reason:
                self._drop(draft.pieces, reason)
            else:
                kept.append(draft)
        return kept

    def without_contaminated(self, drafts: Sequence[Draft], find: FindContaminated) -> list[Draft]:
        """Prompts and answers are read together, as in SFT selection; the whole pool at once, after the duplicates."""
        texts = ["\n".join([*(m.text for m in d.home.before), *(a.message.text for a in d.answers)]) for d in drafts]
        return self._keep(drafts, [item is None for item in find(texts)], "contaminated")

    def without_overlaps(self, drafts: Sequence[Draft]) -> list[Draft]:
        """What is kept apart measures only where its prompt is not trained on too."""
        trained = {draft.home.intent[0] for draft in drafts if draft.home.candidate.part == "train"}
        fine = [d.home.candidate.part == "train" or d.home.intent[0] not in trained for d in drafts]
        return self._keep(drafts, fine, "overlaps_train")

    def fates(self) -> list[FeedbackFate]:
        """Of all that was dropped here."""
        return [piece.dropped(rule, self._weights[key]) for key, (piece, rule) in self._dropped.items()]

    # ---- small steps of it ----

    def _named(self, candidate: RatedConversation) -> set[str]:
        """The messages of a conversation that its feedback names, and the answers that corrections go back to."""
        self._originals |= originals_of(candidate.messages)
        names = {name for piece in pieces_of(candidate) for name in (piece.message, piece.other)}
        return names | {self._originals[name] for name in names if name in self._originals}

    def _answer(self, candidate: RatedConversation, name: str, before: tuple[RatedMessage, ...]) -> Answer:
        message = next(message for message in candidate.messages if message.key.message == name)
        prompt = prompt_of(before, candidate.conversation)
        return Answer(
            candidate=candidate,
            message=message,
            before=before,
            prompt=prompt,
            intent=(self._intents.of(prompt), candidate.part),
            text=folded(message.text),
            flaw=self._flaw(message),
        )

    def _flaw(self, message: RatedMessage) -> str | None:
        shortest, longest = self._rules.response_tokens
        tokens = self._count_tokens(message.text)
        checks = (
            ("incomplete", not message.complete),
            ("language_mixed", message.mixing > self._rules.language.max_mixing),
            ("response_too_short", tokens < shortest),
            ("response_too_long", tokens > longest),
        )
        return next((name for name, holds in checks if holds), None)

    def _too_long(self, *answers: Answer) -> str | None:
        """The rule, if one of them is for training and does not fit with its prompt."""
        for answer in answers:
            prompt = [Turn(role=message.role, content=message.text) for message in answer.before]
            if answer.candidate.part == "train" and not self._fits(prompt, answer.message.text):
                return "too_long"
        return None

    def _is_usable(self, candidate: RatedConversation, piece: Feedback) -> bool:
        """Whether it speaks of answers that are there; notes the reason if not."""
        primary = self._rules.language.primary
        answers = [self._answers.get(name) for name in (piece.message, piece.other) if name]
        there = [answer for answer in answers if answer is not None]
        checks = (
            ("other_language", primary is not None and candidate.language != primary),
            ("answer_gone", len(there) < len(answers)),
            ("not_an_answer", any(answer.message.role != "assistant" for answer in there)),
            ("other_prompt", len({answer.message.parent for answer in there}) > 1),
        )
        reason = next((name for name, holds in checks if holds), None)
        if reason:
            self._drop([piece], reason)
        return reason is None

    def _of(self, kind: str) -> list[Feedback]:
        return [piece for piece in self._pieces if piece.kind == kind and piece.key not in self._dropped]

    def _votes(self) -> dict[str, list[Feedback]]:
        """Those on the desk, by the answer they are on."""
        votes: dict[str, list[Feedback]] = defaultdict(list)
        for piece in self._of("vote"):
            votes[piece.message].append(piece)
        return votes

    def _original(self, piece: Feedback) -> str:
        return self._originals[piece.other]

    def _decide(
        self, pieces: Sequence[Feedback], speaks_for: Callable[[Feedback], bool]
    ) -> tuple[list[Feedback], bool, float] | None:
        """The heavier side, whether it speaks for, and by how much (at most 1); None for a tie. Drops the rest."""
        sides = {side: [piece for piece in pieces if speaks_for(piece) is side] for side in (True, False)}
        lead = sum(self._weights[p.key] for p in sides[True]) - sum(self._weights[p.key] for p in sides[False])
        if abs(lead) < _EVEN:
            self._drop(pieces, "tied")
            return None
        self._drop(sides[lead < 0], "outvoted")
        return sides[lead > 0], lead > 0, min(1.0, abs(lead))

    def _survives(self, draft: Draft, labels: Labels) -> bool:
        """Votes that say the contrary of a comparison on both of its answers weigh as much as the lighter of them."""
        against = [labels.get(answer.name) for answer in draft.answers]
        chosen, rejected = against
        if chosen is None or rejected is None or chosen.good or not rejected.good:
            return True
        weight = min(chosen.weight, rejected.weight)
        tied = abs(weight - draft.weight) < _EVEN
        if tied or weight < draft.weight:
            for label in (labels.pop(chosen.answer.name), labels.pop(rejected.answer.name)):
                self._drop(label.pieces, "tied" if tied else "outvoted")
        if tied or weight > draft.weight:
            self._drop(draft.pieces, "tied" if tied else "outvoted")
            return False
        return True

    def _keep(self, drafts: Sequence[Draft], fine: Sequence[bool], reason: str) -> list[Draft]:
        for draft, good in zip(drafts, fine, strict=True):
            if not good:
                self._drop(draft.pieces, reason)
        return [draft for draft, good in zip(drafts, fine, strict=True) if good]

    def _drop(self, pieces: Iterable[Feedback], reason: str) -> None:
        self._dropped |= {piece.key: (piece, reason) for piece in pieces}


def _prefers(name: str, piece: Feedback) -> bool:
    return piece.message == name


def _answers_in(candidate: RatedConversation, names: set[str]) -> dict[str, tuple[RatedMessage, ...]]:
    """The turns before each of these messages, as far as they are in the conversation."""
    messages = {message.key.message: message for message in candidate.messages}
    return {name: path_before(messages, messages[name]) for name in sorted(names & messages.keys())}


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


def _used(draft: Draft, weighed: Weighed) -> list[FeedbackFate]:
    outcome = "used" if draft.home.candidate.part == "train" else "held_out"
    return [
        piece.dropped(draft.source, weighed.weights[piece.key]).model_copy(update={"outcome": outcome})
        for piece in draft.pieces
    ]
