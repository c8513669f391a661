"""The report: what it tells people and programs of a round, and that it tells what it always told."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.context import StageContext
from pipelines.curate.reasons import Altered
from pipelines.feedback.regression import Regression
from pipelines.gate.change import Change
from pipelines.stages.report import report
from pipelines.stages.report.facts import ReportFacts, read_preference_section
from pipelines.stages.report.text import as_markdown
from pipelines.suites.scores import Cost, GateInput
from tests.pipelines.stages import report_inputs as made

REPORTS = Path(__file__).parent / "reports"  # of three made-up rounds, by the code before there was a template
LEFT_OUT = "only 31 answers were voted down, and 200 are needed."
ROUNDS: dict[str, dict[str, Any]] = {
    "thumbs": {},
    "answers": {
        "recipe": made.recipe(preference=None, lineage="sequential"),
        "snapshot": made.snapshot(cap=None, feedback=made.feedback(cohort=None)),
        "preferred": made.preferred(trained=None),
    },
    "left_out": {"preferred": made.preferred(trained=None, resampled=0, choice=made.choice("none", LEFT_OUT))},
}
CONTEXT: Any = None  # where the stage works decides nothing, and the report works nowhere else


@pytest.mark.parametrize("name", ROUNDS)
def test_people_read_what_they_always_read(name: str, tmp_path: Path) -> None:
    context: StageContext = CONTEXT
    output = report.run(made.report_input(tmp_path, **ROUNDS[name]), tmp_path, context)
    assert (tmp_path / output.markdown).read_text() == (REPORTS / f"{name}.md").read_text()


@pytest.mark.parametrize("name", ROUNDS)
def test_programs_read_what_they_always_read_and_more(name: str, tmp_path: Path) -> None:
    facts = report.gather(made.report_input(tmp_path, **ROUNDS[name]))
    found, before = facts.model_dump(mode="json"), json.loads((REPORTS / f"{name}.json").read_text())
    assert {key: found[key] for key in found.keys() - before.keys()}.keys() == {
        "people",
        "examples",
        "unrendered_anchors",
        "regression",
        "cost",
    }
    assert found["funnel"].pop("altered") == {"answers": 0, "changed": 0, "replaced": 0}
    assert found["funnel"]["feedback"].pop("heldout_pairs") == 0 and not any(
        one.pop("slices") for one in found["checks"]
    )
    assert {one.pop("metric") for one in found["checks"]} == {None}  # of checks before they named it
    assert found["export"].pop("change") is None and found["export"].pop("note") == ""
    assert found["export"].pop("scale_why") == ""
    assert (
        found["training"].pop("rounding") == {}
        and found["training"].pop("trained_on") == "full"
        and found["lineage"].pop("passed_over") == []
    )
    assert before.pop("recipe_digest") != found["recipe_digest"]  # of all keys that a recipe has: there are more now
    assert {key: found[key] for key in before} == before


def test_anchors_that_the_template_refused_are_named(tmp_path: Path) -> None:
    mixture = made.mixture(contaminated_anchors={}, unrendered_anchors={"coding": 7})
    output = report.run(made.report_input(tmp_path, mixture=mixture), tmp_path, CONTEXT)
    said = "Anchors that the chat template cannot render and that were not used: coding 7."
    assert said in (tmp_path / output.markdown).read_text()


def test_the_permanent_suite_of_corrections_is_told_with_its_version(tmp_path: Path) -> None:
    given = made.report_input(tmp_path)
    suite = Regression(version="ab12cd34", items=14, people=9, by_app={"help": 4, "shop": 10}, in_training=2)
    taken = given.snapshot.output.model_copy(update={"regression": suite})
    told = given.model_copy(update={"snapshot": given.snapshot.model_copy(update={"output": taken})})
    said = (tmp_path / report.run(told, tmp_path, CONTEXT).markdown).read_text()
    assert "has 14 items of 9 people (version ab12cd34; help: 4, shop: 10; 2 more are not asked" in said


def test_what_serving_costs_is_told_for_the_three_models(tmp_path: Path) -> None:
    given = made.report_input(tmp_path)
    path = tmp_path / given.measured.output.scores
    scores = GateInput.model_validate_json(path.read_text())
    cost = Cost(size_bytes=18_300_000, answers=8, answer_tokens=10.25, tokens_per_second=211.0, probes=(-1.0,))
    path.write_text(
        scores.model_copy(update={"candidate": scores.candidate.model_copy(update={"cost": cost})}).model_dump_json()
    )
    output = report.run(given, tmp_path, CONTEXT)
    assert "| candidate | 18.3 | 10.2 | 211 | 8 |" in (tmp_path / output.markdown).read_text()
    assert report.gather(given).cost["candidate"].probes == ()


def test_models_that_a_sequential_round_passed_over_are_named(tmp_path: Path) -> None:
    sequential = made.report_input(tmp_path, **ROUNDS["answers"], passed_over=("tiny-r0002-a1", "tiny-r0003-a1"))
    said = (tmp_path / report.run(sequential, tmp_path, CONTEXT).markdown).read_text()
    assert (
        "learned from nobody who was erased, else on the origin; passed over: `tiny-r0002-a1`, `tiny-r0003-a1`." in said
    )


def test_the_report_of_a_round_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    given = made.report_input(tmp_path)
    report.run(given, tmp_path, CONTEXT)
    text = (tmp_path / "report.json").read_text()
    assert ReportFacts.model_validate_json(text) == report.gather(given)
    assert read_preference_section(tmp_path) == report.gather(given).preference


@pytest.mark.parametrize("name", ROUNDS)
def test_the_section_on_thumbs_of_an_earlier_report_is_still_read(name: str, tmp_path: Path) -> None:
    before = json.loads((REPORTS / f"{name}.json").read_text())
    section = before["preference"]
    for part in (section, section["training"] if section else None):
        if part:
            part["a field that a later version dropped"] = 1
    (tmp_path / "report.json").write_text(json.dumps(before))
    found = read_preference_section(tmp_path)
    if section is None:
        assert found is None
        return
    assert found is not None and (found.method, found.n) == (section["method"], section["n"])
    assert (found.heldout_after, dict(found.used)) == (section["heldout_after"], section["used"])


def test_the_pictures_are_drawn_and_named(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    output = report.run(made.report_input(tmp_path), tmp_path, CONTEXT)
    assert output.pictures == ("loss.png", "preference.png", "scores.png")
    assert all((tmp_path / name).stat().st_size > 1000 for name in output.pictures)


def test_every_conversation_of_the_funnel_is_accounted_for(tmp_path: Path) -> None:
    funnel = report.gather(made.report_input(tmp_path)).funnel
    left = sum(funnel.left_out.values()) + sum(funnel.rejected.values())
    assert funnel.received == funnel.examples + funnel.dev + funnel.heldout + left


def test_the_report_says_what_changed_and_why_nothing_was_compared(tmp_path: Path) -> None:
    change = Change(
        tensors=50, changed_tensors=28, blocks=1000, changed_blocks=0, modules=28, targeted_modules=28, moved_modules=0
    )
    exported = made.exported(agreement=None, note="agreement was not measured: no prompts were given", change=change)
    text = as_markdown(report.gather(made.report_input(tmp_path, exported=exported)), ())
    assert (
        f"adapter scale 0.5. Note: agreement was not measured: no prompts were given. Changed: {change.sentence}."
        in text
    )
    assert "0 of 1,000 blocks (0 %)" in text and "moves 0 of the 28 modules" in text


def test_the_report_says_how_many_answers_anonymization_changed(tmp_path: Path) -> None:
    snapshot = made.snapshot(altered=Altered(answers=10, changed=4, replaced=2))
    output = report.run(made.report_input(tmp_path, snapshot=snapshot), tmp_path, CONTEXT)
    said = (tmp_path / output.markdown).read_text()
    assert "4 of 10 answers were changed by anonymization" in said and "2 of them get none at all" in said
