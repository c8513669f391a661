"""The steps of pair building: feedback taken up source by source, each piece once, the rule noted for what goes.

Steps share what is left: a vote that became part of a pair is no lone answer any more.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby

from pipelines.feedback.drafts import Draft, Label, Labels, NewerFeedback, alone, matched
from pipelines.feedback.pieces import Fate, Feedback, FeedbackKey
from pipelines.feedback.rated_answers import RatedAnswers
from pipelines.feedback.same_prompt import Prompt
from pipelines.feedback.shelf import Lazy
from pipelines.feedback.weigh import WeighedFeedback
from pipelines.records import Part

FindContaminated = Callable[[Sequence[str]], Sequence[str | None]]
_EVEN = 1e-9


class PairBuilder:
    """The feedback that is still to be placed, taken up by one step after another, and the rules by which the rest went."""

    def __init__(self, weighed: WeighedFeedback, answers: RatedAnswers) -> None:
        self._weights, self._answers = weighed.weights, answers
        self._dropped: dict[FeedbackKey, tuple[Feedback, str]] = {}
        self._pieces: list[Feedback] = []
        for piece in weighed.pieces:
            rule = answers.why_unusable(piece)
            if rule:
                self._drop([piece], rule)
            else:
                self._pieces.append(piece)

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
            flaw = "same_text" if newest.text == original.text else newest.flaw or self._answers.unreadable(newest)
            if flaw:
                self._drop([last], flaw)
            elif self._answers.unreadable(original):
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
            flaw = (good and answer.flaw) or self._answers.unreadable(answer)
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
            flaw = (
                "same_text"
                if chosen.text == rejected.text
                else chosen.flaw or self._answers.unreadable(chosen, rejected)
            )
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
            forks[label.answer.home.conversation, label.answer.parent].append(label)

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
            alike = self._answers.intents.alike(good.answer.prompt, bad.answer.prompt)
            return alike and self._answers.unreadable_behind(bad.answer, good.answer) is None

        return [
            draft
            for _, members in sorted(intents.items())
            for draft in matched("near_prompt", members, labels, may_pair, lambda label: (0.0, label.newest_first))
        ]

    def lone(self, labels: Labels) -> list[Draft]:
        """What is left, each answer alone; of the same answer to the same prompt the heavier verdict."""
        same: dict[tuple[tuple[Prompt, Part], bytes], list[Label]] = defaultdict(list)
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

    def without_overtaken(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Newest first, what is neither said again nor overtaken, prompt by prompt."""
        newer, standing = NewerFeedback(), []
        for draft in sorted(drafts, key=lambda draft: draft.newest_first):
            reason = newer.judge(draft)
            if reason:
                self._drop(draft.pieces, reason)
            else:
                standing.append(draft)
        return standing

    def without_contaminated(self, drafts: Sequence[Draft], find: FindContaminated) -> list[Draft]:
        """Prompts and answers are read together, as in SFT selection; the whole pool at once, after the duplicates."""
        items = find(Lazy(drafts, self._text_of))
        return self._keep(drafts, [item is None for item in items], "contaminated")

    def without_overlaps(self, drafts: Sequence[Draft]) -> list[Draft]:
        """What is kept apart measures only where its prompt is not trained on too."""
        trained = {draft.first.intent[0] for draft in drafts if draft.first.home.part == "train"}
        fine = [d.first.home.part == "train" or d.first.intent[0] not in trained for d in drafts]
        return self._keep(drafts, fine, "overlaps_train")

    def fates(self) -> list[Fate]:
        """Of all that was dropped here."""
        return [Fate(piece, "dropped", rule, self._weights[key]) for key, (piece, rule) in self._dropped.items()]

    def _text_of(self, draft: Draft) -> str:
        answers = self._answers
        turns = [*answers.before(draft.first), *map(answers.message, draft.answers)]
        return "\n".join(message.text for message in turns)

    def _of(self, kind: str) -> list[Feedback]:
        return [piece for piece in self._pieces if piece.kind == kind and piece.key not in self._dropped]

    def _votes(self) -> dict[str, list[Feedback]]:
        """The votes that are left, by the answer they are on."""
        votes: dict[str, list[Feedback]] = defaultdict(list)
        for piece in self._of("vote"):
            votes[piece.message].append(piece)
        return votes

    def _original(self, piece: Feedback) -> str:
        return self._answers.original(piece.other)

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
