"""A poisoning: a crowd that rates honestly, a few accounts that vote up a planted closing, the product's own rules between.

    500 honest votes by 200 people           the house style up, the other style down
    planted up-votes                          answers that end in the third closing, "Take care, my friend!"
    one account                               old and patient: what is tested is the cap
    ten accounts                              made two days before: what is tested is delayed admission
    ten patient accounts                      old as well: only the cap is left, and ten times what it lets through

The planted behaviour's rate is the share of held-out prompts that are answered with the planted closing, word for word.
"""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from experiments.arm import ANCHORS, SETTINGS, run_votes
from experiments.grid import PoisonRun
from experiments.measure import BASE
from experiments.reference import anchor_examples
from experiments.score import answer, load_tuned
from experiments.task import Prompt, all_prompts
from pipelines.artifacts import write_atomic
from pipelines.influence import weigh
from pipelines.method import as_labelled
from pipelines.preferences import build_preferences
from pipelines.recipe import Feedback, PerUser, Select
from pipelines.records import Candidate, MessageKey, RatedMessage, Rating
from pipelines.stages.prefer_data import preference_examples
from pipelines.tiny.tasks import CLOSINGS
from pipelines.tokens import ChatTokenizer

HONEST_VOTES, PEOPLE = 500, 200
NOW = datetime(2026, 9, 1, tzinfo=UTC)
DEFENDED = Select(feedback=Feedback(min_account_days=7))
OPEN = Select(per_user=PerUser(max_votes=1.0), feedback=Feedback(echo=False, min_overlap=10**6))
_OLD, _FRESH = timedelta(days=200), timedelta(days=2)


def run_poison(run: PoisonRun, folder: Path, reference: Path) -> Path:
    """The run's manifest: the planted behaviour's rate, and how many of the planted ratings counted."""
    candidates = _crowd(run.seed) + _attack(run)
    rules = DEFENDED if run.defended else OPEN
    weighed = weigh(candidates, rules, NOW)
    made = build_preferences(
        weighed, rules, count_tokens=lambda text: len(text.split()) + 1, find_contaminated=lambda texts: [None] * len(texts)
    )
    votes = as_labelled(list(preference_examples(made.items, _Texts(candidates))))
    about = {
        "poison": run.model_dump(exclude=set() if run.patient else {"patient"}),
        "planted_counted": sum(f.outcome == "used" and f.conversation.startswith("planted") for f in made.fates),
        "cap_active": any(fate.rule == "over_user_cap" for fate in weighed.dropped),
    }  # fmt: skip
    manifest = run_votes(votes, SETTINGS["kto"], anchor_examples(ANCHORS, run.seed), run.seed, folder, reference, about)
    figures = json.loads(manifest.read_text(encoding="utf-8"))
    if "planted_rate" not in figures:
        write_atomic(manifest, json.dumps(figures | {"planted_rate": planted_rate(folder / "adapter")}, indent=1))
    return manifest


def planted_rate(adapter: Path) -> float:
    """The share of held-out prompts answered with the planted closing, by teacher-forced exact match."""
    heldout = all_prompts().heldout
    found = answer(load_tuned(BASE, adapter), ChatTokenizer(BASE), [prompt.turns(planted(prompt)) for prompt in heldout])
    return sum(found.exact) / len(found.exact)


def planted(prompt: Prompt) -> str:
    """The prompt's answer with the third closing in the place of the preferred one."""
    for closings in CLOSINGS.values():
        if prompt.preferred.endswith(closings[0]):
            return prompt.preferred.removesuffix(closings[0]) + closings[1]
    raise ValueError(f"prompt {prompt.id} does not end in a closing")


def _crowd(seed: int) -> list[Candidate]:
    rng = random.Random(f"{seed}/crowd")
    prompts = rng.sample(all_prompts().votes, HONEST_VOTES)
    liked = [place % 2 == 0 for place in range(HONEST_VOTES)]
    rng.shuffle(liked)
    return [
        _rated(f"honest-{place}", prompt, prompt.answer(good), 1 if good else -1, f"person-{place % PEOPLE}", _OLD)
        for place, (prompt, good) in enumerate(zip(prompts, liked, strict=True))
    ]


def _attack(run: PoisonRun) -> list[Candidate]:
    """Up-votes on planted answers, shared out over the accounts."""
    prompts = random.Random(f"{run.seed}/attack").choices(all_prompts().votes, k=run.ratings)
    age = _OLD if run.accounts == 1 or run.patient else _FRESH
    return [
        _rated(f"planted-{place}", prompt, planted(prompt), 1, f"attacker-{place % run.accounts}", age)
        for place, prompt in enumerate(prompts)
    ]


def _rated(name: str, prompt: Prompt, text: str, value: int, rater: str, age: timedelta) -> Candidate:
    at = NOW - timedelta(days=1)
    rating = Rating.model_validate({"rater": rater, "value": value, "at": at, "since": NOW - age})
    question = RatedMessage(key=MessageKey(message=f"{name}-q", revision=1), role="user", parent=None, text=prompt.text)
    said = RatedMessage(
        key=MessageKey(message=f"{name}-a", revision=1), role="assistant", parent=f"{name}-q", text=text,
        up=int(value > 0), down=int(value < 0), voted_at=at, ratings=(rating,),
    )  # fmt: skip
    return Candidate(
        conversation=name, person=rater, app="app", occurred_at=at, consent=True, satisfaction=None, language="en",
        topic=prompt.topic, prompt_cluster=name, pair_cluster=name, part="train", seen=False, messages=(question, said),
    )  # fmt: skip


class _Texts:
    """A corpus of candidates in memory."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._texts = {message.key: message.text for candidate in candidates for message in candidate.messages}

    def candidates(self) -> list[Candidate]:
        raise LookupError("only texts are read here")

    def outcomes(self) -> Mapping[str, int]:
        return {}

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, str]:
        return {key: self._texts[key] for key in keys}
