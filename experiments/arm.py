"""One run: votes in, preference training by the product's own trainer, scores out, manifest last."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.grid import HOT, Run
from experiments.measure import BASE, score
from experiments.reference import SFT, anchor_examples, write_examples
from experiments.task import cast_votes
from pipelines.artifacts import digest_of, write_atomic
from pipelines.backends.base import PreferRequest
from pipelines.backends.torch.prefer import prefer
from pipelines.recipe import Batch, Preference, Stops
from pipelines.records import PreferenceExample

ANCHORS = 600
# The grid is to show what happens beyond the limits, too: no stop rule ends a run.
_NEVER = Stops(displacement=1e9, length=1e9, kl=1e9, refusal=100, sycophancy=100)
SETTINGS = {
    "dpo": Preference(
        method="dpo", learning_rate=2e-4, epochs=1, batch=Batch(per_device=16, accumulate=1), stops=_NEVER
    ),
    "kto": Preference(
        method="kto", learning_rate=2e-4, epochs=3, batch=Batch(per_device=16, accumulate=1), stops=_NEVER
    ),
}


def run_arm(run: Run, folder: Path, reference: Path) -> Path:
    """The run's manifest; an earlier one of the same setting is kept."""
    settings = SETTINGS[run.method]
    if run.hot:
        settings = settings.model_copy(update={"learning_rate": HOT * settings.learning_rate})
    anchors = anchor_examples(ANCHORS, run.seed) if run.anchors else []
    about = {"run": run.model_dump(exclude=set() if run.hot else {"hot"})}
    return run_votes(cast_votes(run), settings, anchors, run.seed, folder, reference, about)


def run_votes(
    votes: Sequence[PreferenceExample],
    settings: Preference,
    anchors: Sequence[Any],
    seed: int,
    folder: Path,
    reference: Path,
    about: dict[str, Any],
) -> Path:
    """Trains on these votes and scores the result; the manifest holds `about`, scores and figures."""
    settings = settings if anchors else settings.model_copy(update={"anchors": 0.0})
    read = {"settings": settings.model_dump(mode="json"), "votes": [vote.model_dump(mode="json") for vote in votes]}
    asked = digest_of(about | read | {"anchors": [anchor.id for anchor in anchors]})
    manifest = folder / "manifest.json"
    if manifest.is_file() and json.loads(manifest.read_text(encoding="utf-8"))["asked"] == asked:
        return manifest
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "votes.jsonl"
    file.write_text("".join(vote.model_dump_json() + "\n" for vote in votes), encoding="utf-8")
    request = PreferRequest(
        base=BASE,
        base_name="models/tiny",
        train=SFT.model_copy(update={"seed": seed}),
        preference=settings,
        method=settings.method,
        adapter=reference,
        train_file=file,
        anchors_file=write_examples(folder / "anchors.jsonl", anchors) if anchors else None,
        threads=1,
    )
    trained = prefer(request, folder)
    scores = score(folder / trained.weights)
    figures = {
        **about,
        "asked": asked,
        "scores": scores.model_dump(),
        "steps": trained.steps,
        "tokens": trained.tokens,
        "train_seconds": trained.seconds,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_atomic(manifest, json.dumps(figures, indent=1))
    return manifest
