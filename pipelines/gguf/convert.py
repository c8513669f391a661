"""A Hugging Face model folder, with an adapter folded in on the way, as one GGUF file.

Two converters do it (docs/decisions/two-converters.md):
    own_converter   Qwen2 with any byte-level BPE of the kind that llama.cpp reads, ours of models/tiny included
    maintainers     llama.cpp's own one of the pinned version, in a child process: every other architecture it knows
"""

from pathlib import Path

from pipelines.errors import ModelError
from pipelines.gguf import maintainers, own_converter
from pipelines.gguf.conversion import ConvertReport, FileType, TrainedOn
from pipelines.gguf.model_files import refuse_quantized

__all__ = ["ConvertReport", "FileType", "TrainedOn", "convert"]


def convert(
    model: Path,
    out: Path,
    *,
    adapter: Path | None = None,
    scale: float = 1.0,
    ftype: FileType = "f16",
    trained_on: TrainedOn = "full",
) -> ConvertReport:
    """A GGUF of `model` with `adapter` times `scale` folded in; matrices as `ftype`, vectors as float32.

    Sums are made in float32 and rounded once, to the GGUF's type. With `trained_on="nf4"` or "mlx4" the layers' matrices first
    go through them and back, because a QLoRA adapter belongs to those weights.

    Raises:
        ModelError: the model or adapter is unreadable, or of a kind that is not handled (named in the sentence).
        GGUFError: a weight does not fit the file type.
        ArtifactError: the disk is too small. MissingDependency: a package or llama.cpp's converter is not installed.
    """
    refuse_quantized(model)
    refusal = own_converter.refusal_of(model)
    if refusal is None:
        return own_converter.convert(model, out, adapter=adapter, scale=scale, ftype=ftype, trained_on=trained_on)
    try:
        return maintainers.convert(model, out, adapter=adapter, scale=scale, ftype=ftype, trained_on=trained_on)
    except ModelError as error:
        if own_converter.is_family(model):
            raise ModelError(f"{error}; Perennial's own converter: {refusal}") from error
        raise
