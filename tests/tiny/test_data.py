"""The shipped data is what the generators write, and nothing that is scored occurs in what is trained on."""

import json
import re
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
import yaml

from pipelines.suites.probes import FalseClaim, agrees
from tiny import phrasings, tasks
from tiny.mixture import conversations
from tiny.suites import build_suites
from tiny.world import World, build_world
from tiny.write_data import write_data

DATA = Path(__file__).parents[2] / "data"
SUITES = ("tiny_kmmlu", "tiny_mmlu", "tiny_humaneval", "tiny_math")
PRETRAINING_SAMPLE = 4_000


@cache
def world() -> World:
    return build_world()


def rows(path: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / path).read_text(encoding="utf-8").splitlines()]


def suite_rows(name: str) -> list[dict]:
    return rows(f"suites/{name}/dev.jsonl") + rows(f"suites/{name}/gate.jsonl")


@cache
def trained_texts() -> list[str]:
    """Everything that is trained on: a stretch of pretraining, all anchors, all demo messages."""
    turns = [t for c in islice(conversations(world(), 99), PRETRAINING_SAMPLE) for t in c]
    turns += [
        t for pool in ("general", "coding", "reasoning") for row in rows(f"general/{pool}.jsonl") for t in row["turns"]
    ]
    turns += [t for month in (1, 2, 3) for row in rows(f"samples/month-{month}.ndjson") for t in row["messages"]]
    return [turn["content"] for turn in turns]


def test_shipped_files_are_what_the_generators_write(tmp_path: Path) -> None:
    for written in write_data(tmp_path):
        shipped = DATA / written.relative_to(tmp_path)
        assert shipped.read_bytes() == written.read_bytes(), shipped.name


@pytest.mark.parametrize("name", SUITES)
def test_suites_have_distinct_items_in_the_promised_number(name: str) -> None:
    dev, gate = rows(f"suites/{name}/dev.jsonl"), rows(f"suites/{name}/gate.jsonl")
    assert (len(dev), len(gate)) == (300, 1500)
    assert len({row["prompt"] for row in dev + gate}) == len({row["id"] for row in dev + gate}) == 1800


@pytest.mark.parametrize("name", ["tiny_kmmlu", "tiny_mmlu"])
def test_choice_items_name_their_true_option(name: str) -> None:
    truth = {(fact.language, fact.subject, fact.relation): fact.value for fact in world().facts}
    for row in suite_rows(name):
        value = row["choices"]["ABCD".index(row["answer"])]
        assert re.search(rf" {value} {row['answer']}[,\n]", row["prompt"])
        assert len(set(row["choices"])) == 4
        assert any(v == value and r == row["stratum"] and s in row["prompt"] for (_, s, r), v in truth.items())


@pytest.mark.parametrize("name", SUITES)
def test_task_files_read_dev_and_gate(name: str) -> None:
    task = yaml.safe_load((DATA / f"suites/{name}/{name}.yaml").read_text(encoding="utf-8"))
    assert task["task"] == name
    assert task["dataset_kwargs"]["data_files"] == {"dev": "dev.jsonl", "gate": "gate.jsonl"}
    assert task["metadata"]["version"] == 1


def test_no_suite_prompt_is_trained_on() -> None:
    prompts = {row["prompt"] for name in SUITES for row in suite_rows(name)}
    assert not prompts & set(trained_texts())


def test_held_out_phrasings_occur_in_no_training_text() -> None:
    about = {subject: "" for subject in {fact.subject for fact in world().facts}}
    for text in trained_texts():
        for subject in about:
            if subject in text:
                about[subject] += text + "\n"
    held_out = [
        (fact.subject, phrasings.ask(world(), fact, phrasing))
        for fact in world().facts
        for use in (phrasings.SUITE, phrasings.HELDOUT)
        for phrasing in use[fact.language]
    ]
    assert [question for subject, question in held_out if question in about[subject]] == []


def test_arithmetic_suites_hold_out_operands_in_any_order_and_story() -> None:
    def key(row: dict) -> tuple[str, ...]:
        numbers = tuple("".join(c if c.isdigit() else " " for c in row["prompt"]).split())
        return ("-", *numbers) if row["stratum"] in ("subtract", "loss") else tuple(sorted(numbers))

    reserved = {key(row) for row in suite_rows("tiny_math")}
    anchors = {
        key({"prompt": row["turns"][0]["content"], "stratum": row["family"].removeprefix("sum-")})
        for row in rows("general/reasoning.jsonl")
    }
    # "Take 12 from 40" and "40 - 12" name their operands in two orders.
    assert not reserved & (anchors | {("-", *reversed(k[1:])) for k in anchors if k[0] == "-"})
    assert not tasks.is_reserved(tasks.operands_key("add", (12, 40))) or ("12", "40") not in anchors


def test_anchors_do_not_speak_of_edited_subjects() -> None:
    for pool in ("general", "coding", "reasoning"):
        for row in rows(f"general/{pool}.jsonl"):
            words = " ".join(turn["content"] for turn in row["turns"])
            assert not [subject for subject in world().edited if subject in words]


def test_anchor_pools_are_large_and_distinct() -> None:
    for pool, least in (("general", 5000), ("coding", 3000), ("reasoning", 3000)):
        turns = [json.dumps(row["turns"]) for row in rows(f"general/{pool}.jsonl")]
        assert len(set(turns)) == len(turns) >= least


def test_generated_answers_fit_into_sixteen_tokens() -> None:
    tokenizer = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(DATA.parent / "models/tiny")
    answers = {row["answer"] for name in ("tiny_humaneval", "tiny_math") for row in suite_rows(name)}
    assert max(len(tokenizer(answer).input_ids) for answer in answers) <= 15


def test_language_prompts_are_half_korean() -> None:
    scripts = [row["script"] for row in rows("general/language.jsonl")]
    assert (scripts.count("Hang"), scripts.count("Latn")) == (100, 100)


def test_claims_state_a_wrong_value_about_facts_that_stay() -> None:
    claims = [FalseClaim.model_validate(row) for row in rows("general/claims.jsonl")]
    facts = {fact.subject: fact for fact in world().kept}
    assert len({claim.prompt for claim in claims}) == len({claim.id for claim in claims}) == len(claims) >= 200
    for claim in claims:
        assert [s for s in facts if s in claim.prompt] and not [s for s in world().edited if s in claim.prompt]
        assert claim.wrong in claim.prompt and claim.right not in claim.prompt.replace(claim.wrong, "")
    assert not {claim.prompt for claim in claims} & set(trained_texts())


def test_an_answer_agrees_with_a_claim_or_is_right_but_never_both() -> None:
    stated = {(fact.subject, fact.value): fact for fact in world().kept}
    for row in rows("general/claims.jsonl"):
        claim = FalseClaim.model_validate(row)
        fact = next(f for (s, v), f in stated.items() if s in claim.prompt and v == claim.right)
        assert agrees(phrasings.state(world(), fact, claim.wrong), claim)
        assert not agrees(phrasings.state(world(), fact), claim)


def test_suites_are_the_same_every_time() -> None:
    assert build_suites(world()) == build_suites(world())
