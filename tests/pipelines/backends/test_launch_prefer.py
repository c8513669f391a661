"""The preference stage: the same watched child as SFT's, which goes on after a kill and reports in its own words."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from pipelines.backends.base import Job, PreferJob, PreferRequest
from pipelines.backends.launch import prefer
from pipelines.backends.torch.prefer import prefer as prefer_here
from pipelines.errors import Cancelled, ChildCrashed, RecipeError
from pipelines.isolated import run_in_child
from pipelines.recipe import Preference, Train
from tests.pipelines.backends.preferring import history, pair, write_adapter, write_lines


@pytest.fixture(scope="module")
def sft(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tiny_base, tmp_path_factory.mktemp("sft") / "adapter", moved=0.02)


@pytest.fixture
def request_for(tmp_path: Path, tiny_base: Path, sft: Path) -> Any:
    """Builds a request over 16 pairs."""
    pairs = [pair(f"p{i}", f"What is {i}?", f"It is {i}.", "hello kim") for i in range(16)]
    train_file, dev_file = (
        write_lines(tmp_path / "train.jsonl", pairs[:12]),
        write_lines(tmp_path / "dev.jsonl", pairs[12:]),
    )

    def build(**settings: Any) -> PreferRequest:
        preference = Preference.model_validate(
            {
                "batch": {"per_device": 4, "accumulate": 1},
                "epochs": 2,
                "save_every": 5,
                "evaluate_every": 4,
                "probes": 2,
            }
        )
        return PreferRequest(
            base=tiny_base,
            base_name="models/random",
            train=Train.model_validate({"max_tokens": 64, "precision": "float32", **settings}),
            preference=preference,
            method="kto",
            adapter=sft,
            train_file=train_file,
            dev_file=dev_file,
            threads=1,
        )

    return build


def die_at_step_8(arguments: dict[str, Any]) -> dict[str, Any]:
    """The body of a training job, killed while it works."""
    import pipelines.backends.torch.preference_trainer as trainer
    from pipelines.backends.child import run_here

    step = trainer.PreferenceTrainer.training_step

    def step_or_die(self: Any, *rest: Any) -> Any:
        if self.state.global_step == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *rest)

    trainer.PreferenceTrainer.training_step = step_or_die
    return run_here(arguments)


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::UserWarning:peft")
def test_a_run_killed_with_9_ends_with_the_very_history_and_weights_of_one_that_was_not(
    tmp_path: Path, request_for: Any
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    expected = prefer_here(request_for(), whole)
    job = PreferJob(request=request_for()).model_dump(mode="json")
    with pytest.raises(ChildCrashed, match="SIGKILL"):
        run_in_child(f"{__name__}:die_at_step_8", {"job": job, "out": str(cut)}, log=cut / "prefer.log")
    assert (cut / "checkpoints" / "checkpoint-5" / "complete.json").is_file()
    resumed = prefer(request_for(), cut)
    assert (cut / "preference_history.csv").read_bytes() == (whole / "preference_history.csv").read_bytes()
    ours, theirs = (folder / "adapter" / "adapter_model.safetensors" for folder in (cut, whole))
    assert ours.read_bytes() == theirs.read_bytes()
    assert (resumed.steps, resumed.kept_step, resumed.tokens) == (expected.steps, expected.kept_step, expected.tokens)
    names = {
        "adapter",
        "preference_dev.csv",
        "preference_history.csv",
        "preference_metrics.json",
        "progress.jsonl",
        "prefer.log",
    }
    assert {path.name for path in cut.iterdir()} == names and len(history(cut)) == 12 + 1 + 3


def test_the_child_is_gone_when_the_claim_is_lost(tmp_path: Path, request_for: Any) -> None:
    def lost() -> None:
        raise Cancelled("the lease was lost")

    with pytest.raises(Cancelled):
        prefer(request_for(), tmp_path, lost)
    assert not (tmp_path / "adapter").exists()


def test_what_goes_wrong_in_the_child_is_raised_here_in_its_own_words(tmp_path: Path, request_for: Any) -> None:
    with pytest.raises(RecipeError, match="`train.method: full` leaves none"):
        prefer(request_for(method="full"), tmp_path)


def test_a_request_without_its_kind_is_refused(tmp_path: Path, request_for: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Job).validate_python(request_for().model_dump())
