"""The evaluate stage on a real GGUF and the shipped suites."""

import gzip
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.anchors.sets import LANGUAGE
from pipelines.artifacts import write_records
from pipelines.context import Baseline, StageContext
from pipelines.errors import ArtifactError, GGUFError, SuiteError
from pipelines.gate.decide import decide
from pipelines.recipe import Evaluate, GateRule, Margin
from pipelines.records import Example, MessageKey, ServedForm, SnapshotItem, Turn, TurnKey
from pipelines.stages.contract import Finished, key_of
from pipelines.stages.evaluate import Input, Output, measure_models, run, scores_of
from pipelines.stages.export.form import Exported
from pipelines.stages.questions import Measurement, Questions
from pipelines.stages.snapshot import SnapshotOutput
from pipelines.stages.sources import keyed_model, open_suites
from pipelines.suites.heldout import heldout_items
from tests.pipelines.stages.test_mix import ListedCorpus

SHIPPED = Path(__file__).resolve().parents[3] / "data" / "suites"
PROMPTS = SHIPPED.parent / "general" / LANGUAGE
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
MEASURED = ("tiny_mmlu", "tiny_math", "heldout", "language")
MEASUREMENT = Measurement(suites=MEASURED, language=PROMPTS, items=6, heldout=heldout_items(HELDOUT))


@pytest.fixture(scope="module")
def served(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedForm:
    from pipelines.gguf.convert import convert

    report = convert(tiny_base, tmp_path_factory.mktemp("served") / "tiny.gguf")
    return ServedForm(kind="merged", path=str(report.path), sha256=report.sha256, quantization="F16")


class Stage(NamedTuple):
    """A finished evaluate stage, and what it was given."""

    finished: Finished[Output]
    given: Input
    context: StageContext


def questions(folder: Path, suites: Path = SHIPPED, prompts: Path = PROMPTS) -> Questions:
    """The questions of a snapshot that kept the held-out answers apart."""
    items = [held_out(example) for example in HELDOUT]
    write_records(folder / "items.jsonl", items)
    taken = SnapshotOutput.model_construct(items="items.jsonl")
    return Questions(
        evaluate=Evaluate(suites=MEASURED, items=6, heldout=10),
        suites=open_suites([suites], MEASURED, prompts),
        snapshot=Finished[SnapshotOutput](digest="", output=taken, folder=folder),
    )


def held_out(example: Example) -> SnapshotItem:
    keys = [
        TurnKey(key=MessageKey(message=f"{example.id}.{n}", revision=1), role=turn.role, trained=turn.trained)
        for n, turn in enumerate(example.turns)
    ]
    return SnapshotItem(
        conversation=example.id,
        person="p",
        outcome="held_out",
        reason="heldout",
        part="heldout",
        source=example.source,
        turns=tuple(keys),
    )


class Texts(ListedCorpus):
    def __init__(self) -> None:
        super().__init__({f"{one.id}.{n}": turn.content for one in HELDOUT for n, turn in enumerate(one.turns)})


def given_of(folder: Path, served: ServedForm, suites: Path = SHIPPED, prompts: Path = PROMPTS) -> Input:
    model = keyed_model(Baseline(id="tiny", form=served))
    exported = Exported.model_construct(form=served)
    candidate = Finished[Exported](digest="c", output=exported, folder=Path("/"))
    return Input(origin=model, champion=model, candidate=candidate, questions=questions(folder, suites, prompts))


def context_of(folder: Path) -> StageContext:
    return StageContext(folder, folder / "scores", Texts(), folder, lambda: None)


@pytest.fixture(scope="module")
def stage(served: ServedForm, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    root = tmp_path_factory.mktemp("round")
    folder = root / "evaluate"
    folder.mkdir()
    given, context = given_of(tmp_path_factory.mktemp("snapshot"), served), context_of(root)
    return Stage(Finished[Output](digest="", output=run(given, folder, context), folder=folder), given, context)


def test_a_stage_measures_three_models_and_leaves_numbers_only(stage: Stage) -> None:
    folder, output = stage.finished.folder, stage.finished.output
    rows = [json.loads(line) for line in gzip.decompress((folder / output.items).read_bytes()).splitlines()]
    assert output.measured == len(rows) == 3 * (6 + 6 + 4 * 4)
    assert {row["model"] for row in rows} == {"origin", "champion", "candidate"}
    for path in (path for path in folder.parent.rglob("*") if path.is_file()):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert b"Quince" not in data, path


def test_the_gate_reads_the_stage_and_an_unchanged_model_loses_nothing_and_never_passes(stage: Stage) -> None:
    output = stage.finished.output
    scores = scores_of(stage.finished)
    verdict = decide(scores, [GateRule(suite="tiny_math", margin=Margin(champion=3, origin=3))])
    assert verdict.outcome == "fail"
    assert "it is the champion byte for byte" in verdict.reasons[0] and "at least 200 items" in verdict.reasons[1]
    assert all(row.difference == 0 for row in output.rows)


def test_progress_grows_to_the_end(stage: Stage) -> None:
    lines = [json.loads(line) for line in (stage.finished.folder / "progress.jsonl").read_text().splitlines()]
    assert lines[-1]["done"] == lines[-1]["total"] and lines[-1]["stage"] == "evaluate"


def test_the_same_scores_give_the_same_bytes(stage: Stage, tmp_path: Path) -> None:
    output = run(stage.given, tmp_path, stage.context)
    assert (tmp_path / output.items).read_bytes() == (stage.finished.folder / output.items).read_bytes()


def test_a_suite_that_was_edited_is_measured_again_and_never_under_the_old_key(
    served: ServedForm, tmp_path: Path
) -> None:
    suites, prompts = tmp_path / "suites", tmp_path / LANGUAGE
    shutil.copytree(SHIPPED, suites)
    shutil.copy(PROMPTS, prompts)
    for name, edited in (("tiny_math", suites / "tiny_math" / "gate.jsonl"), ("language", prompts)):
        before = given_of(tmp_path, served, suites, prompts)
        lines = edited.read_text(encoding="utf-8").splitlines(keepends=True)
        edited.write_text("".join(lines[:-1]), encoding="utf-8")

        assert key_of(given_of(tmp_path, served, suites, prompts)) != key_of(before)
        with pytest.raises(SuiteError, match=f"suite '{name}' was edited while the round ran"):
            run(before, tmp_path, context_of(tmp_path))


def test_errors_of_the_child_arrive_as_they_were(served: ServedForm, tmp_path: Path) -> None:
    missing = Measurement(suites=("tiny_latin",))
    with pytest.raises(SuiteError, match="'tiny_latin' is missing"):
        measure_models({"origin": served}, missing, tmp_path, suites=[SHIPPED], cache=tmp_path)
    changed = served.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(GGUFError, match="has changed"):
        measure_models({"origin": changed}, MEASUREMENT, tmp_path, suites=[SHIPPED], cache=tmp_path)


def test_scores_of_another_version_are_refused(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / stage.finished.output.scores).write_text("{}")
    with pytest.raises(ArtifactError, match="scores of this version"):
        scores_of(stage.finished.model_copy(update={"folder": tmp_path}))
