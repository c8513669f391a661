"""The candidate's served form: the adapter at the scale that dev items choose, exported in a process of its own.

scales [1.0]         one export
scales [0.5, 1.0]    each tried on dev items, beside the origin's file (scale.py); one export, at the scale that was chosen

In the stage's folder: `model.gguf`, or `base.gguf` and `adapter.gguf` for a form that keeps the adapter apart.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pipelines.gate.change import Change
from pipelines.isolated import run_in_child
from pipelines.recipe import Export, Target
from pipelines.recipe.chat import Thinking
from pipelines.records import Record, ServedForm
from pipelines.stages.export.scale import ScaleChoice

_SECONDS = 24 * 3600.0


class ExportRequest(Record):
    """One export of `base` with `adapter` (None: the base alone) at `scale`, into the folder `out`.

    Attributes:
        thinking: where the template's switch is fixed in the served file.
        trained_on: the weights the adapter was trained on; from 4 bits it may have to be merged onto them.
        target: the modules that the recipe has trained; an adapter without all of them is refused.
        origin: the origin's served file, to tell what changed; None where that is not asked.
        prompts: rendered chats to measure agreement on; without any it is not measured.
        progress: the folder whose progress.jsonl tells how far that is; None for none.
    """

    base: Path
    adapter: Path | None
    out: Path
    settings: Export
    thinking: Thinking | None = None
    scale: float = 1.0
    trained_on: Literal["full", "nf4", "mlx4"] = "full"
    target: Target = "all-linear"
    origin: Path | None = None
    prompts: tuple[str, ...] = ()
    progress: Path | None = None


class Agreement(Record):
    """How well the export says what was trained, on the next token after each of some prompts.

    `top1` and `kld` (nats per token) compare merged float weights with adapter-on, at the last positions of each prompt;
    `served_top1` compares the quantized GGUF in llama.cpp with adapter-on at the last position.
    """

    prompts: int
    positions: int
    top1: float
    kld: float
    served_top1: float


class Exported(Record):
    """A served form with paths relative to the stage's folder, and how it was made.

    `tried` are the scales that were measured on dev items, `scale_why` says what chose among them; `note` says why there is no agreement. `change` is None for
    the origin itself.
    """

    form: ServedForm
    scale: float
    merged_onto: Literal["full", "nf4", "mlx4"]
    size_bytes: int
    tensor_types: Mapping[str, int]
    agreement: Agreement | None
    tried: tuple[float, ...]
    scale_why: str = ""
    seconds: float
    note: str = ""
    change: Change | None = None

    def form_in(self, folder: Path) -> ServedForm:
        """The form with its paths inside the stage's folder as it is called now."""
        beside = str(folder / self.form.adapter_path) if self.form.adapter_path else None
        return self.form.model_copy(update={"path": str(folder / self.form.path), "adapter_path": beside})


Output = Exported
ChooseScale = Callable[[Path], ScaleChoice]


def export_candidate(request: ExportRequest, choose: ChooseScale) -> Exported:
    """Export the adapter at the recipe's scale, or at the one of its scales that `choose` takes for an adapter.

    Raises:
        ModelError, GGUFError, ArtifactError: it cannot be exported, or strays too far from what was trained.
    """
    started = time.monotonic()
    scales = request.settings.scales if request.adapter is not None else (1.0,)
    choice = choose(request.adapter) if request.adapter and len(scales) > 1 else ScaleChoice(scale=scales[0], why="")
    exported = run_export(request.model_copy(update={"scale": choice.scale}))
    facts = {"tried": scales, "scale_why": choice.why, "seconds": time.monotonic() - started}
    return exported.model_copy(update=facts)


def run_export(request: ExportRequest) -> Exported:
    """Export in a child process: merging needs torch, which this process does without."""
    answer = run_in_child(
        "pipelines.stages.export.child:export_here", request.model_dump(mode="json"), timeout_seconds=_SECONDS
    )
    return Exported.model_validate(answer)
