"""A base that writes its own anchors: a random one, whose answers are all left out, each with its reason."""

import json
from pathlib import Path

import pytest

from pipelines.anchors.author import SEQUENCES, Author, Sampling, sampling_of
from pipelines.anchors.make import MakeRequest, forecast, make, write_set
from pipelines.anchors.sets import CARD, CLAIMS, LANGUAGE, SetBase, open_set
from pipelines.anchors.work import Candidate, Terms, Work
from pipelines.records import ServedForm
from pipelines.stages.baseline import base_digest
from pipelines.suites.language import load_prompts

FAMILIES = ("chat-own", "chat-en", "math-en")


@pytest.fixture(scope="module")
def served(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedForm:
    from pipelines.gguf.convert import convert

    report = convert(tiny_base, tmp_path_factory.mktemp("served") / "tiny.gguf")
    return ServedForm(kind="merged", path=str(report.path), sha256=report.sha256, quantization="F16")


@pytest.fixture(scope="module")
def author(served: ServedForm) -> Author:
    return Author(served, Sampling())


def request(base: Path, form: ServedForm, folder: Path, count: int = 3) -> MakeRequest:
    own = SetBase(name="random", digest=base_digest(base))
    families = FAMILIES
    return MakeRequest(base=own, form=form, sampling=Sampling(), folder=folder, count=count, seed=0, families=families)


def work_of(asked: MakeRequest) -> Work:
    terms = Terms(base=asked.base.digest, seed=0, families=asked.families, run_code=True)
    return Work(asked.folder, terms, asked.count)


def test_the_same_company_and_seed_write_the_same_and_another_seed_something_else(author: Author) -> None:
    prompts = [f"Say {number}" for number in range(SEQUENCES)]
    first = author.answer(prompts, 8, "a")

    assert author.answer(prompts[:2], 8, "b") != first[:2]
    assert author.answer(prompts, 8, "a") == first and author.answer(prompts, 8, "b") != first
    assert author.ask(0, 0) == author.ask(0, 0) != author.ask(0, 1)


def test_a_prompt_without_room_for_its_answer_is_none_of_the_others_business(author: Author) -> None:
    long = "word " * author.session.context
    first, second, third = author.answer(["Say 1", long, "Say 2"], 8, "a")

    assert second is None and first is not None and third is not None


@pytest.mark.parametrize(
    ("config", "sampling"),
    [
        (None, (0.7, 0.95, "default")),
        ({"temperature": 0.6, "top_p": 0.8}, (0.6, 0.8, "generation_config.json")),
        ({"temperature": 1.0}, (1.0, 1.0, "generation_config.json")),
        ({"eos_token_id": 2}, (0.7, 0.95, "default")),
        ([1], (0.7, 0.95, "default")),
    ],
    ids=["no file", "both", "no top_p", "neither", "no object"],
)
def test_answers_are_sampled_as_the_base_says(config: object, sampling: tuple[object, ...], tmp_path: Path) -> None:
    if config is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(config), encoding="utf-8")
    found = sampling_of(tmp_path)

    assert (found.temperature, found.top_p, found.source) == sampling


def test_a_base_that_babbles_gets_a_set_of_nothing_and_every_candidate_is_counted(
    tiny_base: Path, served: ServedForm, author: Author, tmp_path: Path
) -> None:
    asked = request(tiny_base, served, tmp_path)
    work = work_of(asked)
    told = forecast(author, work)
    made = make(author, work, asked)
    opened = open_set(tmp_path, "random")

    assert told["left"] == 3 and told["tokens"] > 0 and told["speed"] > 0
    assert made["given_up"] == list(FAMILIES) and opened.card.kept == {}
    assert sum(opened.card.rejected.values()) == sum(work.tries.values()) == 72
    assert opened.claims is not None and opened.language is None and opened.pools() == {}
    opened.check_fits(asked.base, "mine")


def test_a_set_has_the_prompts_of_the_languages_that_its_base_speaks_and_none_of_its_anchors(
    tiny_base: Path, served: ServedForm, tmp_path: Path
) -> None:
    asked = request(tiny_base, served, tmp_path, count=30)
    work = work_of(asked)
    rows = [
        Candidate(
            id=f"chat-en-{n:05}", prompt=f"What is thing {n}?", answer=f"The thing of number {n} is round and red."
        )
        for n in range(12)
    ]
    work.add("chat-en", rows)
    card = write_set(work, asked)
    opened = open_set(tmp_path, "random")
    guard = load_prompts(tmp_path / LANGUAGE)

    assert (
        card.kept == {"chat-en": work.wanted["chat-en"]}
        and len(opened.pools()["general"].anchors) == card.kept["chat-en"]
    )
    assert {prompt.script for prompt in guard} == {"Latn"} and len({prompt.prompt for prompt in guard}) == 100
    assert not {prompt.prompt for prompt in guard} & {row.prompt for row in rows}
    assert (tmp_path / CLAIMS).is_file() and card.seed == 0
    assert json.loads((tmp_path / CARD).read_text(encoding="utf-8"))["for"]["name"] == "random"
