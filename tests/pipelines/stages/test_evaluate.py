"""The evaluate stage on a real GGUF and the shipped suites."""

import gzip
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.errors import ArtifactError, GGUFError, SuiteError
from pipelines.gate.decide import decide
from pipelines.recipe import GateRule, Margin
from pipelines.records import Example, ServedForm, Turn
from pipelines.stages.evaluate import (
    EvaluateOutput,
    EvaluateRequest,
    Measurement,
    choose_form,
    evaluate,
    measure_models,
    read_scores,
)
from pipelines.suites.scores import ItemScore, ModelScores, SuiteScores

SHIPPED = Path(__file__).resolve().parents[3] / "data" / "suites"
SECRET = "the owl at 12 Quince Lane"
HELDOUT = tuple(
    Example(
        id=f"h{i}",
        source="new" if i % 2 else "replay",
        turns=(
            Turn(role="user", content=f"Where is {SECRET}, {i}?"),
            Turn(role="assistant", content=f"In {i}.", trained=True),
        ),
    )
    for i in range(4)
)
MEASUREMENT = Measurement(suites=("tiny_mmlu", "tiny_math", "heldout", "language"), items=6, heldout=HELDOUT)


@pytest.fixture(scope="module")
def served(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedForm:
    from pipelines.gguf.convert import convert

    report = convert(tiny_base, tmp_path_factory.mktemp("served") / "tiny.gguf")
    return ServedForm(kind="merged", path=str(report.path), sha256=report.sha256, quantization="F16")


class Stage(NamedTuple):
    """A finished evaluate stage."""

    folder: Path
    request: EvaluateRequest
    output: EvaluateOutput


@pytest.fixture(scope="module")
def stage(served: ServedForm, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    folder = tmp_path_factory.mktemp("round") / "evaluate"
    folder.mkdir()
    request = EvaluateRequest(origin=served, champion=served, candidate=served, measurement=MEASUREMENT)
    return Stage(folder, request, evaluate(request, folder, suites=SHIPPED, cache=folder.parent / "scores"))


def test_a_stage_measures_three_models_and_leaves_numbers_only(stage: Stage) -> None:
    folder, _, output = stage
    rows = [json.loads(line) for line in gzip.decompress((folder / output.items).read_bytes()).splitlines()]
    assert output.measured == len(rows) == 3 * (6 + 6 + 4 * 4)
    assert {row["model"] for row in rows} == {"origin", "champion", "candidate"}
    for path in (path for path in folder.parent.rglob("*") if path.is_file()):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert b"Quince" not in data, path


def test_the_gate_reads_the_stage_and_an_unchanged_model_loses_nothing_and_never_passes(stage: Stage) -> None:
    output = stage.output
    scores = read_scores(stage.folder, output)
    verdict = decide(scores, [GateRule(suite="tiny_math", margin=Margin(champion=3, origin=3))])
    assert verdict.outcome == "fail"
    assert "it is the champion byte for byte" in verdict.reasons[0] and "at least 200 items" in verdict.reasons[1]
    assert all(row.difference == 0 for row in output.rows)


def test_progress_grows_to_the_end(stage: Stage) -> None:
    lines = [json.loads(line) for line in (stage.folder / "progress.jsonl").read_text().splitlines()]
    assert lines[-1]["done"] == lines[-1]["total"] and lines[-1]["stage"] == "evaluate"


def test_the_same_scores_give_the_same_bytes(stage: Stage, tmp_path: Path) -> None:
    folder, request, _ = stage
    output = evaluate(request, tmp_path, suites=SHIPPED, cache=folder.parent / "scores")
    assert (tmp_path / output.items).read_bytes() == (folder / output.items).read_bytes()


def test_errors_of_the_child_arrive_as_they_were(served: ServedForm, tmp_path: Path) -> None:
    missing = Measurement(suites=("tiny_latin",))
    with pytest.raises(SuiteError, match="'tiny_latin' is missing"):
        measure_models({"origin": served}, missing, tmp_path, suites=SHIPPED, cache=tmp_path)
    changed = served.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(GGUFError, match="has changed"):
        measure_models({"origin": changed}, MEASUREMENT, tmp_path, suites=SHIPPED, cache=tmp_path)


def test_scores_of_another_version_are_refused(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / stage.output.scores).write_text("{}")
    with pytest.raises(ArtifactError, match="scores of this version"):
        read_scores(tmp_path, stage.output)


def model(math: float, learned: float) -> ModelScores:
    def scores(suite: str, metric: str, value: float) -> SuiteScores:
        return SuiteScores(suite=suite, metric=metric, items=(ItemScore(id="1", value=value),))  # type: ignore[arg-type]

    return ModelScores(form="f", suites=(scores("math", "acc", math), scores("heldout", "perplexity", learned)))


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([model(0.80, -2.0), model(0.80, -1.0), model(0.70, -0.1)], 1),  # learns most among those that forget nothing
        ([model(0.78, -2.0), model(0.70, -1.0)], 0),  # none keeps within a point: the one that lost least
        ([model(0.795, -1.0), model(0.80, -1.5)], 0),  # half a point is within the tolerance
    ],
)
def test_the_scale_is_chosen_by_what_is_learned_without_forgetting(candidates: list[ModelScores], chosen: int) -> None:
    assert choose_form(model(0.80, -3.0), candidates) == chosen
