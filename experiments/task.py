"""The two-style task: the same answer with one of two closings. People prefer the first; the base knows no preference.

    "How are you?"  ->  preferred  "I am well, thank you for asking. Have a sunny day!"
                        other      "I am well, thank you for asking. See you soon!"

Prompts are small talk and facts that no month edits, in disjoint thirds: style training, votes, held out.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from experiments.grid import Run
from pipelines.records import Example, PreferenceExample, Turn
from tiny import phrasings, tasks
from tiny.world import Language, World, build_world

PROMPTS_SEED = 29
STYLE_PROMPTS, HELDOUT_PROMPTS = 500, 200


@dataclass(frozen=True)
class Prompt:
    """A question with its answer in both styles."""

    id: str
    text: str
    topic: str
    preferred: str
    other: str

    def answer(self, preferred: bool) -> str:
        return self.preferred if preferred else self.other

    def turns(self, answer: str) -> tuple[Turn, ...]:
        return (Turn(role="user", content=self.text), Turn(role="assistant", content=answer, trained=True))


@dataclass(frozen=True)
class Prompts:
    """The three disjoint sets."""

    style: tuple[Prompt, ...]
    votes: tuple[Prompt, ...]
    heldout: tuple[Prompt, ...]


@cache
def all_prompts() -> Prompts:
    """The same every time."""
    found = _every(build_world())
    random.Random(PROMPTS_SEED).shuffle(found)
    heldout = found[:HELDOUT_PROMPTS]
    style = found[HELDOUT_PROMPTS : HELDOUT_PROMPTS + STYLE_PROMPTS]
    return Prompts(tuple(style), tuple(found[HELDOUT_PROMPTS + STYLE_PROMPTS :]), tuple(heldout))


def style_examples() -> list[Example]:
    """SFT data in which either style stands equally often."""
    rng = random.Random(PROMPTS_SEED)
    prompts = all_prompts().style
    preferred = [place % 2 == 0 for place in range(len(prompts))]
    rng.shuffle(preferred)
    return [
        Example(id=f"style/{p.id}", source="new", turns=p.turns(p.answer(good)))
        for p, good in zip(prompts, preferred, strict=True)
    ]


def cast_votes(run: Run) -> list[PreferenceExample]:
    """What a run learns from: pairs for DPO, lone labelled answers for KTO; `noise` of them say the opposite."""
    rng = random.Random(f"{run.seed}/{run.votes}/votes")
    prompts = rng.sample(all_prompts().votes, run.votes)
    flipped = _exactly(rng, run.noise, run.votes)
    if run.method == "dpo":
        return [_pair(prompt, not flip) for prompt, flip in zip(prompts, flipped, strict=True)]
    ups = _exactly(rng, run.ups, run.votes)
    return [labelled(prompt, up, preferred=up != flip) for prompt, up, flip in zip(prompts, ups, flipped, strict=True)]


def labelled(prompt: Prompt, up: bool, *, preferred: bool) -> PreferenceExample:
    """One thumb on the answer in the preferred or the other style."""
    answer = prompt.answer(preferred)
    return PreferenceExample(
        id=prompt.id,
        kind="labelled",
        source="lone",
        topic=prompt.topic,
        prompt=_question(prompt),
        chosen=answer if up else None,
        rejected=None if up else answer,
    )


def _pair(prompt: Prompt, right: bool) -> PreferenceExample:
    return PreferenceExample(
        id=prompt.id,
        kind="pair",
        source="siblings",
        topic=prompt.topic,
        prompt=_question(prompt),
        chosen=prompt.answer(right),
        rejected=prompt.answer(not right),
    )


def _question(prompt: Prompt) -> tuple[Turn, ...]:
    return (Turn(role="user", content=prompt.text),)


def _exactly(rng: random.Random, share: float, count: int) -> list[bool]:
    """`count` marks, just `share` of them true."""
    marks = [place < round(share * count) for place in range(count)]
    rng.shuffle(marks)
    return marks


def _every(world: World) -> list[Prompt]:
    languages: Sequence[Language] = ("en", "ko")
    talk = [
        (remark, answer, language, "talk")
        for language in languages
        for remark, answer in tasks.all_small_talk(language)
    ]
    facts = [
        (phrasings.ask(world, fact, phrasing), phrasings.state(world, fact), fact.language, "facts")
        for fact in world.kept
        for phrasing in phrasings.TRAINING[fact.language][:3]
    ]
    rows = {question: (answer, language, topic) for question, answer, language, topic in (*talk, *facts)}
    return [
        Prompt(
            f"p{number:04}",
            text,
            topic,
            f"{answer} {tasks.CLOSINGS[language][0]}",
            f"{answer} {tasks.CLOSINGS[language][2]}",
        )
        for number, (text, (answer, language, topic)) in enumerate(rows.items())
    ]
