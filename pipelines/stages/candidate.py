"""The candidate's served form: the adapter at the scale that dev items choose, exported in a process of its own.

scales [1.0]         one export
scales [0.5, 1.0]    each exported and measured on dev items; the best is exported again, with its agreement
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipelines.isolated import run_in_child
from pipelines.recipe import Export
from pipelines.records import Record, ServedForm

_SECONDS = 24 * 3600.0


class ExportJob(Record):
    """One export of `base` with `adapter` (None: the base alone) into the folder `out`; see stages.export."""

    base: Path
    adapter: Path | None
    out: Path
    form: str
    quantize: str
    max_kld: float
    scale: float = 1.0
    trained_on: str = "full"
    prompts: tuple[str, ...] = ()


class Exported(Record):
    """A served form with paths relative to the stage's folder, and how it was made.

    `agreement` compares it with the trained weights, `tried` are the scales that were measured on dev items.
    """

    form: ServedForm
    scale: float
    merged_onto: str
    size_bytes: int
    tensor_types: Mapping[str, int]
    agreement: Mapping[str, float] | None
    tried: tuple[float, ...]
    seconds: float

    def form_in(self, folder: Path) -> ServedForm:
        """The form with its paths inside the stage's folder as it is called now."""
        return form_in(self.form, folder)


ChooseOnDev = Callable[[Sequence[ServedForm]], int]


def export_candidate(
    base: Path,
    adapter: Path | None,
    out: Path,
    rule: Export,
    *,
    trained_on: str,
    prompts: Sequence[str],
    choose: ChooseOnDev,
) -> Exported:
    """Export the adapter at the recipe's scale, or at the one of its scales that `choose` picks by dev scores.

    Raises:
        ModelError, GGUFError, ArtifactError: it cannot be exported, or strays too far from what was trained.
    """
    started = time.monotonic()
    job = ExportJob(
        base=base,
        adapter=adapter,
        out=out,
        form=rule.form,
        quantize=rule.quantize,
        max_kld=rule.max_kld,
        trained_on=trained_on,
        prompts=tuple(prompts),
    )
    scales = rule.scales if adapter is not None else (1.0,)
    scale = scales[0] if len(scales) == 1 else scales[_best(job, scales, choose)]
    made = run_export(job.model_copy(update={"scale": scale}))
    return made.model_copy(update={"tried": scales, "seconds": time.monotonic() - started})


def run_export(job: ExportJob) -> Exported:
    """Export in a child process: merging needs torch, which this process does without."""
    made = run_in_child(
        "pipelines.stages.export_job:export_here", job.model_dump(mode="json"), timeout_seconds=_SECONDS
    )
    return Exported(
        form=ServedForm.model_validate(made["form"]),
        scale=job.scale,
        merged_onto=made["merged_onto"],
        size_bytes=made["size_bytes"],
        tensor_types=made["tensor_types"],
        agreement=made["agreement"],
        tried=(job.scale,),
        seconds=made["seconds"],
    )


def form_in(form: ServedForm, folder: Path) -> ServedForm:
    """A served form whose paths are relative to `folder`, with whole paths."""
    beside = str(folder / form.adapter_path) if form.adapter_path else None
    return form.model_copy(update={"path": str(folder / form.path), "adapter_path": beside})


def _best(job: ExportJob, scales: Sequence[float], choose: ChooseOnDev) -> int:
    """The position of the scale to take. The trial exports are deleted."""
    trials = job.out / "trials"
    shutil.rmtree(trials, ignore_errors=True)
    forms = []
    for scale in scales:
        folder = trials / str(scale)
        trial = run_export(job.model_copy(update={"out": folder, "scale": scale, "prompts": ()}))
        forms.append(trial.form_in(folder))
    best = choose(forms)
    shutil.rmtree(trials)
    return best
