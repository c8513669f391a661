"""Conversations with feedback, as tests of weighing and of preferences need them."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from pipelines.records import (
    Comparison,
    Correction,
    MessageKey,
    PreferenceItem,
    RatedConversation,
    RatedMessage,
    Rating,
)

START = datetime(2026, 9, 1, tzinfo=UTC)
NOW = START + timedelta(days=100)


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def rating(rater: str, value: int = 1, day: float = 0, since: float = -100) -> Rating:
    return Rating.model_validate({"rater": rater, "value": value, "at": at(day), "since": at(since)})


def up(*raters: str, day: float = 0) -> tuple[Rating, ...]:
    return tuple(rating(rater, 1, day) for rater in raters)


def down(*raters: str, day: float = 0) -> tuple[Rating, ...]:
    return tuple(rating(rater, -1, day) for rater in raters)


def message(
    name: str, role: str, text: str, parent: str | None, ratings: Sequence[Rating] = (), **more: Any
) -> RatedMessage:
    ups = sum(one.value > 0 for one in ratings)
    return RatedMessage.model_validate(
        {
            "key": MessageKey(message=name, revision=1),
            "role": role,
            "parent": parent,
            "text": text,
            "up": ups,
            "down": len(ratings) - ups,
            "ratings": tuple(ratings),
            **more,
        }
    )


def correction(
    name: str, of: str, text: str, parent: str, rater: str = "r", day: float = 1, **more: Any
) -> RatedMessage:
    made = Correction(of=of, rater=rater, at=at(day), since=at(-100))
    return message(name, "assistant", text, parent, corrects=made, **more)


def comparison(chosen: str, rejected: str, rater: str = "r", day: float = 1) -> Comparison:
    return Comparison(chosen=chosen, rejected=rejected, rater=rater, at=at(day), since=at(-100))


def conversation(name: str, *messages: RatedMessage, day: float = 0, **more: Any) -> RatedConversation:
    return RatedConversation.model_validate(
        {
            "conversation": name,
            "person": "p-" + name,
            "app": "app",
            "occurred_at": at(day),
            "consent": True,
            "satisfaction": None,
            "language": "en",
            "topic": "general",
            "prompt_cluster": "q-" + name,
            "pair_cluster": "qa-" + name,
            "part": "train",
            "seen": False,
            "messages": messages,
            **more,
        }
    )


def asked(
    name: str, question: str, *answers: tuple[str, Sequence[Rating]], day: float = 0, **more: Any
) -> RatedConversation:
    """A question with sibling answers named `name`.a, `name`.b and so on."""
    given = [
        message(f"{name}.{'abcdefgh'[place]}", "assistant", text, f"{name}.q", ratings)
        for place, (text, ratings) in enumerate(answers)
    ]
    return conversation(name, message(f"{name}.q", "user", question, None), *given, day=day, **more)


def preference_item(name: str, kind: str, **more: Any) -> PreferenceItem:
    key = MessageKey(message=name, revision=1)
    sides = {"pair": (key, key), "good": (key, None), "bad": (None, key)}[kind]
    return PreferenceItem.model_validate(
        {
            "id": name,
            "kind": "pair" if kind == "pair" else "labelled",
            "source": "siblings" if kind == "pair" else "lone",
            "part": "train",
            "conversations": ("c",),
            "raters": ("r",),
            "topic": "t",
            "month": "2026-09",
            "prompt": (),
            "chosen": sides[0],
            "rejected": sides[1],
            **more,
        }
    )


def preference_items(pairs: int = 0, good: int = 0, bad: int = 0, **more: Any) -> list[PreferenceItem]:
    counts = {"pair": pairs, "good": good, "bad": bad}
    return [preference_item(f"{kind}{n}", kind, **more) for kind, count in counts.items() for n in range(count)]


PROMPTS = ("Where is Vell?", "where is  vell", "Who rules Orm?", "Say something nice", "무엇을 먹을까요?")
TEXTS = ("It is Tarn.", "It is Osk.", "A fine day to you", "no", "그것은 타른이에요")


@st.composite
def pools(draw: st.DrawFn) -> list[RatedConversation]:
    """Conversations that collide in every way: prompts, answers, raters, votes, corrections, comparisons, consent."""
    raters = st.sampled_from([f"r{n}" for n in range(8)])
    pool = []
    for n in range(draw(st.integers(0, 14))):
        prompt = draw(st.integers(0, len(PROMPTS) - 1))
        day = draw(st.integers(0, 60))
        messages = [message(f"{n}.q", "user", PROMPTS[prompt], None)]
        names = []
        for place in range(draw(st.integers(1, 3))):
            votes = draw(st.dictionaries(raters, st.sampled_from([1, -1]), max_size=3))
            names.append(f"{n}.{place}")
            messages.append(
                message(
                    names[-1],
                    "assistant",
                    draw(st.sampled_from(TEXTS)),
                    f"{n}.q",
                    [rating(rater, value, day + draw(st.integers(0, 9))) for rater, value in votes.items()],
                    state=draw(st.sampled_from(["complete", "complete", "unfinished"])),
                )
            )
        for place in range(draw(st.integers(0, 2))):
            of, rater = draw(st.sampled_from(names)), draw(raters)
            text = draw(st.sampled_from(TEXTS))
            messages.append(correction(f"{n}.c{place}", of, text, f"{n}.q", rater, day + draw(st.integers(1, 30))))
        pairs = st.tuples(st.sampled_from(names), st.sampled_from([*names, "gone"]), raters)
        chosen = draw(st.lists(pairs, max_size=2, unique=True))
        pool.append(
            conversation(
                str(n),
                *messages,
                day=day,
                consent=draw(st.sampled_from([True, True, None])),
                app=draw(st.sampled_from(["a", "b"])),
                prompt_cluster=f"q{0 if prompt == 1 else prompt}",
                part=draw(st.sampled_from(["train", "train", "dev", "heldout"])),
                comparisons=tuple(comparison(one, other, rater, day + 1) for one, other, rater in chosen),
            )
        )
    return pool


_LONG = "Please tell our support team in two short sentences what to do about the {} with the number {} before {}"
_SAID = ("It is Tarn.", "It is Osk.", "A fine day to you", "no", "그것은 타른이에요", "It was </s> Reda.", "Reda")
_PARTS = ("train", "train", "train", "dev", "heldout")


def crowded_pool(seed: int, count: int) -> list[RatedConversation]:
    """Conversations that meet in every way, long ones among them: near-duplicates, systems' turns, corrected corrections."""
    rng = random.Random(seed)
    return [_crowded(rng, f"{seed}-{number:04}") for number in range(count)]


def _crowded(rng: random.Random, name: str) -> RatedConversation:
    day = rng.uniform(0, 60)
    turns: list[RatedMessage] = []
    if rng.random() < 0.2:
        turns.append(message(f"{name}.s", "system", rng.choice(("Be brief.", "Be kind.")), None))
    asks = []
    for step in range(rng.choice((1, 1, 1, 2, 3))):
        asks.append(_question(rng))
        parent = turns[-1].key.message if turns else None
        turns.append(message(f"{name}.q{step}", "user", asks[-1], parent))
        question = turns[-1].key.message
        for place in range(rng.choice((1, 1, 2, 3))):
            more = {"replaced": rng.random() < 0.05, "state": rng.choice(("complete",) * 9 + ("unfinished",))}
            more["surrogates"] = ("Tarn",) if rng.random() < 0.1 else ()
            turns.append(
                message(f"{name}.a{step}{place}", "assistant", rng.choice(_SAID), question, _votes(rng, day), **more)
            )
        if rng.random() < 0.25:
            of = turns[-1].key.message
            for place in range(rng.choice((1, 2))):
                turns.append(
                    correction(
                        f"{name}.c{step}{place}", of, rng.choice(_SAID), question, _rater(rng), day + rng.uniform(1, 9)
                    )
                )
                of = turns[-1].key.message
    names = [turn.key.message for turn in turns if turn.role == "assistant"]
    pairs = {tuple(rng.sample([*names, "gone"], 2)) for _ in range(rng.choice((0, 0, 0, 1, 2)))}
    cluster = "/".join(asks).casefold()
    return conversation(
        name,
        *turns,
        day=day,
        person=_rater(rng),
        app=rng.choice(("a", "a", "b")),
        consent=rng.choice((True,) * 9 + (None,)),
        satisfaction=rng.choice((None, 1, 4, 5)),
        topic=rng.choice(("general", "code")),
        prompt_cluster=cluster,
        pair_cluster=f"{cluster}/{rng.choice(_SAID)}",
        part=_PARTS[sum(map(ord, cluster)) % len(_PARTS)],
        seen=rng.random() < 0.3,
        comparisons=tuple(comparison(one, other, _rater(rng), day + 1) for one, other in sorted(pairs)),
    )


def _question(rng: random.Random) -> str:
    if rng.random() < 0.6:
        return rng.choice((*PROMPTS, "Where is Vell?", 'Say "Reda"'))
    thing, when = rng.choice(("ticket", "order", "Ticket")), rng.choice(("Monday", "noon", "Monday, thanks"))
    return _LONG.format(thing, rng.randrange(4), when)


def _votes(rng: random.Random, day: float) -> list[Rating]:
    raters = {_rater(rng) for _ in range(rng.choice((0, 0, 1, 1, 2, 4)))}
    return [
        rating(one, rng.choice((1, 1, -1)), day + rng.uniform(0, 9), since=rng.choice((-100.0, 90.0)))
        for one in sorted(raters)
    ]


def _rater(rng: random.Random) -> str:
    return f"r{min(int(rng.expovariate(0.1)), 60)}"
