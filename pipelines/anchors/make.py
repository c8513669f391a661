"""Writes a set of anchors in a process of its own: the origin answers, what is good is kept, the card comes last."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.anchors.author import SEQUENCES, Author, Sampling
from pipelines.anchors.claims import build_claims
from pipelines.anchors.frames import FAMILIES, OWN, Draw, draw
from pipelines.anchors.screen import can_run_code, screen, screen_prompt, tongue_of
from pipelines.anchors.sets import CARD, CLAIMS, LANGUAGE, SetBase, SetCard
from pipelines.anchors.wording import Tongue
from pipelines.anchors.work import Candidate, Terms, Work
from pipelines.artifacts import write_atomic
from pipelines.curate.thinking import split_thinking
from pipelines.mixture.anchors import ANCHOR_NAMES
from pipelines.progress import report_progress
from pipelines.records import Record, ServedForm
from pipelines.suites.language import LanguagePrompt

STAGE = "anchors"
_USUAL_YIELD = 0.6  # of what is written; a family that a base is bad at gives less
_PROMPTS = 100  # of each language, for the language guard
_SPOKEN = 5  # anchors of a language's chat below which the base does not speak it
_SCRIPTS: dict[Tongue, str] = {"en": "Latn", "ko": "Hang"}


class MakeRequest(Record):
    """What is to be made: `count` anchors of these families for `base`, written by `form` into `folder`."""

    base: SetBase
    form: ServedForm
    sampling: Sampling
    folder: Path
    count: int
    seed: int
    families: tuple[str, ...]


def open_here(arguments: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """For pipelines.isolated: loads the base; asked for `forecast` it says how long the rest takes, else it writes it."""
    request = MakeRequest.model_validate(arguments)
    terms = Terms(base=request.base.digest, seed=request.seed, families=request.families, run_code=can_run_code())
    work = Work(request.folder, terms, request.count)
    author = Author(request.form, request.sampling)

    def serve(asked: dict[str, Any]) -> dict[str, Any]:
        return forecast(author, work) if asked.get("forecast") else make(author, work, request)

    return serve


def forecast(author: Author, work: Work) -> dict[str, Any]:
    """How many anchors are left to write, how many tokens that takes, and how many of them a second."""
    left = {family: max(0, wanted - len(work.kept[family])) for family, wanted in work.wanted.items()}
    tokens = sum(
        count * FAMILIES[family].usual_tokens * FAMILIES[family].samples / _USUAL_YIELD
        for family, count in left.items()
    )
    speed = author.tokens_per_second()
    return {"left": sum(left.values()), "tokens": round(tokens), "speed": speed, "run_code": work.terms.run_code}


def make(author: Author, work: Work, request: MakeRequest) -> dict[str, Any]:
    """Write until every family has what is wanted or gives no more, then the set; the card as JSON."""
    while (family := work.next_family()) is not None:
        report_progress(request.folder, STAGE, work.done, request.count, message=family)
        work.add(family, _group(author, work, family))
    report_progress(request.folder, STAGE, work.done, request.count)
    card = write_set(work, request)
    return {
        "card": card.as_json(),
        "given_up": [family for family in work.wanted if len(work.kept[family]) < work.wanted[family]],
    }


def write_set(work: Work, request: MakeRequest) -> SetCard:
    """The set's files in its folder; its card last."""
    anchors = work.anchors()
    for kind in ANCHOR_NAMES:
        of_kind = [one for one in anchors if FAMILIES[one.family].kind == kind]
        _write(request.folder / f"{kind}.jsonl", of_kind)
    spoken = _spoken(work)
    _write(request.folder / CLAIMS, build_claims(request.seed, spoken or ("en",)))
    used = {one.turns[0].content for one in anchors}
    _write(request.folder / LANGUAGE, [prompt for tongue in spoken for prompt in _guard(tongue, request.seed, used)])
    settings: dict[str, float | int | str] = {
        **request.sampling.model_dump(),
        "sequences": SEQUENCES,
        "count": request.count,
    }
    settings["code"] = "run in the sandbox" if work.terms.run_code else "compiled only, no sandbox here"
    card = SetCard(
        base=request.base,
        seed=request.seed,
        settings=settings,
        kept=dict(sorted(Counter(one.family for one in anchors).items())),
        rejected=dict(sorted((work.rejected + Counter(spare=work.spare)).items())),
        made=datetime.now(UTC).replace(microsecond=0),
    )
    write_atomic(request.folder / CARD, card.as_json())
    return card


def _group(author: Author, work: Work, family: str) -> list[Candidate]:
    """One go of a family: as many prompts as the author has room for, their answers, and what is wrong with them."""
    number, first = work.groups[family], work.tries[family]
    names = [f"{family}-{first + place:05}" for place in range(SEQUENCES // FAMILIES[family].samples)]
    if family != OWN:
        drawn = [draw(family, first + place, work.terms.seed) for place in range(len(names))]
        return _answered(author, work, family, dict(zip(names, drawn, strict=True)))
    written = author.ask(work.terms.seed, number)
    judged = [_prompt_reason(author, one.text, one.ended, one.control) for one in written]
    good = {name: Draw(prompt=one.text) for name, one, why in zip(names, written, judged, strict=True) if why is None}
    bad = [
        Candidate(id=name, prompt=one.text, reason=why)
        for name, one, why in zip(names, written, judged, strict=True)
        if why
    ]
    return [*bad, *(_answered(author, work, family, good) if good else [])]


def _answered(author: Author, work: Work, family: str, drawn: dict[str, Draw]) -> list[Candidate]:
    form = FAMILIES[family]
    prompts = [one.prompt for one in drawn.values() for _ in range(form.samples)]
    limit = min(form.max_tokens, author.session.context // 2)
    written = author.answer(prompts, limit, f"{work.terms.seed}/{family}/{work.groups[family]}")
    rows = []
    for place, (name, one) in enumerate(drawn.items()):
        samples = written[place * form.samples : (place + 1) * form.samples]
        texts = [split_thinking(sample.text)[1].strip() if sample else "" for sample in samples]
        reason = next(filter(None, (_written_reason(author, sample) for sample in samples)), None)
        reason = reason or screen(family, one, texts, run_code=work.terms.run_code)
        rows.append(Candidate(id=name, prompt=one.prompt, answer=texts[0], reason=reason))
    return rows


def _written_reason(author: Author, sample: Any) -> str | None:
    if sample is None:
        return "too_long"
    if sample.control or not author.is_plain(split_thinking(sample.text)[1]):
        return "control"
    return None if sample.ended else "unfinished"


def _prompt_reason(author: Author, text: str, ended: bool, control: bool) -> str | None:
    if not author.is_plain(text):
        return "control"
    return screen_prompt(text) if ended or control else "unfinished"


def _spoken(work: Work) -> tuple[Tongue, ...]:
    """The languages in which the base answers, by the anchors that it wrote in them."""
    kept = Counter(
        tongue_of(one.answer) for family, rows in work.kept.items() if family.startswith("chat") for one in rows
    )
    return tuple(tongue for tongue, script in _SCRIPTS.items() if kept[script] >= _SPOKEN)


def _guard(tongue: Tongue, seed: int, used: set[str]) -> list[LanguagePrompt]:
    """Prompts of the chat frames that no anchor was made of."""
    prompts: dict[str, None] = {}
    number = 0
    while len(prompts) < _PROMPTS:
        prompt = draw(f"chat-{tongue}", number, seed + 1).prompt
        number += 1
        if prompt not in used:
            prompts[prompt] = None
    return [
        LanguagePrompt(id=f"{tongue}-{place:03}", prompt=prompt, script=_SCRIPTS[tongue])
        for place, prompt in enumerate(prompts, 1)
    ]


def _write(path: Path, records: Sequence[Record]) -> None:
    """The records as JSONL, whole or not at all; a file without any is taken away."""
    if records:
        write_atomic(path, "".join(one.model_dump_json() + "\n" for one in records))
    else:
        path.unlink(missing_ok=True)
