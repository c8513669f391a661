"""What the spine and the gate's stage hand on: whose fresh answers, which lineage, what a round changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipelines import round as spine
from pipelines.artifacts import Attempt
from pipelines.context import Adapter, Baseline, RoundContext
from pipelines.gate.change import Change
from pipelines.recipe import GateRule, Margin
from pipelines.recipe_file import parse_recipe
from pipelines.records import ServedForm
from pipelines.stages import evaluate, gate
from pipelines.stages.contract import Finished
from pipelines.stages.export.form import Exported
from pipelines.stages.snapshot import FeedbackSummary
from pipelines.suites.scores import GateInput, ItemScore, ModelScores, SuiteScores
from tests.anchor_sets import adopt_shipped_set
from tests.pipelines.stages.report_inputs import exported
from tests.stand_in_stage import NO_TEXT

PROJECT = Path(__file__).resolve().parents[3]
RECIPE = """
name: small
base: {{model: {base}}}
anchors: own
lineage: {lineage}
mixture: {{user: 0.6, general: 0.3, coding: 0.1}}
preference: {{method: kto}}
evaluate: {{suites: [tiny_math, heldout]}}
gates: [{{suite: tiny_math, margin: {{champion: 3.0, origin: 3.0}}}}]
"""


class Reached(Exception):
    """The spine came to the stage before which a test stops it."""


class Spied:
    """A runner that runs nothing: it keeps what each stage is given, up to evaluate, and makes outputs up."""

    def __init__(self, origin: Baseline) -> None:
        self.given: dict[str, Any] = {}
        self._outputs: dict[str, BaseModel] = {"origin": origin}

    def __call__(self, stage: Any, given: BaseModel) -> Finished[Any]:
        name = stage.__name__.rpartition(".")[2]
        if name == "evaluate":
            raise Reached
        self.given[name] = given
        made = self._outputs.get(name) or stage.Output.model_construct(
            new=9, examples=9, heldout=9, feedback=FeedbackSummary.model_construct(), trained=None
        )
        finished = Finished[stage.Output]
        return finished.model_construct(digest=name, output=made, folder=Path(name))


def baseline(name: str) -> Baseline:
    return Baseline(id=name, form=ServedForm(kind="merged", path=f"{name}.gguf", sha256=name))


def inputs_of(
    monkeypatch: pytest.MonkeyPatch, base: Path, tmp_path: Path, rule: str = "from_origin", **around: Any
) -> dict[str, Any]:
    """The Input of each stage, by name, of a round in these surroundings."""
    spied = Spied(baseline("origin"))
    monkeypatch.setattr(spine, "StageRunner", lambda *_: spied)
    context = RoundContext(project=PROJECT, models=tmp_path, scores=tmp_path, anchors=tmp_path, **around)
    adopt_shipped_set(tmp_path / "own", base)
    recipe = parse_recipe(RECIPE.format(base=base, lineage=rule), "small")
    with pytest.raises(Reached):
        spine.run_round(recipe, Attempt(tmp_path, 1, lambda: None), NO_TEXT, context, journal=None)  # type: ignore[arg-type]
    return spied.given


@pytest.mark.parametrize(("sampler", "asked"), [(baseline("earlier"), "earlier"), (None, "origin")])
def test_fresh_answers_are_the_samplers_else_the_origins_and_not_the_champions(
    monkeypatch: pytest.MonkeyPatch, tiny_base: Path, tmp_path: Path, sampler: Baseline | None, asked: str
) -> None:
    given = inputs_of(monkeypatch, tiny_base, tmp_path, champion=baseline("tainted"), sampler=sampler)

    assert given["prefer"].sampled.value.id == asked


@pytest.mark.parametrize(("rule", "adapters"), [("sequential", 1), ("from_origin", 0)])
def test_every_stage_that_reads_the_weights_reads_those_of_the_recipes_lineage(
    monkeypatch: pytest.MonkeyPatch, tiny_base: Path, tmp_path: Path, rule: str, adapters: int
) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    adapter = Adapter(folder=str(tmp_path), scale=0.5, merged_onto="nf4")

    given = inputs_of(monkeypatch, tiny_base, tmp_path, rule, champion=baseline("champion"), lineage=(adapter,))

    for stage in ("train", "prefer", "export"):
        assert [one.value for one in given[stage].base.adapters] == [adapter] * adapters, stage


def scored(values: Sequence[float], form: str) -> ModelScores:
    items = tuple(ItemScore(id=str(number), value=value, fresh=True) for number, value in enumerate(values))
    return ModelScores(form=form, suites=(SuiteScores(suite="math", metric="acc", items=items),))


@pytest.mark.parametrize(("moved", "outcome"), [(28, "pass"), (0, "fail")])
def test_the_gate_reads_from_the_export_what_the_round_changed(tmp_path: Path, moved: int, outcome: str) -> None:
    origin, candidate = scored([0] * 40 + [1] * 560, "origin"), scored([1] * 600, "candidate")
    scores = GateInput(origin=origin, champion=origin, candidate=candidate)
    (tmp_path / "scores.json").write_text(scores.model_dump_json(), encoding="utf-8")
    output = evaluate.Output(items="items.jsonl.gz", scores="scores.json", measured=1200, rows=(), seconds=1)
    change = Change(
        tensors=50,
        changed_tensors=28,
        blocks=1000,
        changed_blocks=900,
        modules=28,
        targeted_modules=28,
        moved_modules=moved,
    )
    given = gate.Input(
        measured=Finished[evaluate.Output](digest="m", output=output, folder=tmp_path),
        exported=Finished[Exported](digest="e", output=exported(change=change), folder=tmp_path),
        gates=(GateRule(suite="math", margin=Margin(champion=3.0, origin=3.0)),),
        stops=None,
    )

    verdict = gate.run(given, tmp_path, context=None)  # type: ignore[arg-type]

    assert verdict.outcome == outcome and any(change.sentence in reason for reason in verdict.reasons)
