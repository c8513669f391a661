"""What llama.cpp's converter does in its child process; nothing imports this module, it is called by name.

The adapter is added while the converter reads: its tensors are lazy, so one weight at a time is in memory.
"""

import contextlib
import json
import runpy
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pipelines.errors import GGUFError, MissingDependency, ModelError, PerennialError
from pipelines.gguf.conversion import TrainedOn
from pipelines.gguf.lora import WEIGHTS, Lora, plain_name
from pipelines.gguf.rounding import is_rounded, round_trip
from pipelines.gguf.tensors import Checkpoint, require_finite
from pipelines.tokenizer import read_chat_format

_FILE_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16"}


def convert_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """`maintainers.convert`: how many tensors were written, and in words what was not."""
    model = Path(arguments["model"])
    with _maintainers_words(arguments["tools"]), torch.inference_mode():
        import gguf

        kind = getattr(gguf.LlamaFileType, _FILE_TYPES[arguments["ftype"]])
        converter = _converter_of(model)(model, kind, Path(arguments["out"]))
        _adapt(converter, arguments)
        _serve_our_template(converter, model)
        dropped = _dropped(model, converter)
        converter.write()
    return {"tensors": _tensors(arguments["out"]), "dropped": dropped}


def convert_adapter_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """`maintainers.convert_adapter`: how many tensors were written."""
    lora = Lora(Path(arguments["adapter"]))
    with _maintainers_words(arguments["tools"]), tempfile.TemporaryDirectory() as scratch:
        _converter_of(Path(arguments["model"]))  # refuse what it does not know in our words; no MTP head
        folder = Path(scratch) / "adapter"  # the file carries its name: the same adapter gives the same bytes
        _rewrite_alpha(lora, folder)
        script = Path(arguments["tools"]) / "convert_lora_to_gguf.py"
        sys.argv = [str(script), "--base", arguments["model"], "--outfile", arguments["out"], str(folder)]
        runpy.run_path(str(script), run_name="__main__")
    return {"tensors": _tensors(arguments["out"])}


def _converter_of(model: Path) -> Any:
    """The converter's class for a model's architecture, set to leave the head for multi-token prediction out."""
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    architecture = get_model_architecture(ModelBase.load_hparams(model, False), ModelType.TEXT)
    try:
        found = get_model_class(architecture)
    except NotImplementedError:
        raise ModelError(
            f"the architecture {architecture} of {model.name} is not one that llama.cpp's converter of this version knows; "
            "use a model of a family that llama.cpp runs"
        ) from None
    ModelBase.no_mtp = True
    return found


def _adapt(converter: Any, arguments: dict[str, Any]) -> None:
    """Let every weight go through our checks, 4 bits and the adapter on its way into the file."""
    lora = Lora(Path(arguments["adapter"]), arguments["scale"], dora=True) if arguments["adapter"] else None
    adapted = {plain_name(name): name for name in lora.names} if lora else {}
    lost = sorted(set(adapted) - set(converter.model_tensors))
    if lost:
        raise ModelError(
            f"the adapter changes '{adapted[lost[0]]}', which llama.cpp's converter does not read of this model "
            f"({len(lost)} such weights): train other modules (train.lora.target)"
        )
    for name, generate in converter.model_tensors.items():
        change = _Change(name, lora, adapted.get(name), arguments["ftype"], arguments["trained_on"])
        converter.model_tensors[name] = _lazily(generate, change)


class _Change:
    """What happens to one weight between checkpoint and file."""

    def __init__(self, name: str, lora: Lora | None, adapted: str | None, ftype: str, trained_on: TrainedOn) -> None:
        self._name, self._lora, self._adapted, self._ftype, self._trained_on = name, lora, adapted, ftype, trained_on

    def dtype(self, weight: torch.Tensor) -> torch.dtype:
        """Float32 where something is added, so that it is rounded once."""
        return torch.float32 if self._adapted or self._is_rounded(weight) else weight.dtype

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight as it goes into the file.

        Raises:
            ModelError: it is not finite. GGUFError: a matrix has values beyond the range of float16.
        """
        if self._is_rounded(weight):
            weight = round_trip(weight, self._trained_on).float()
        if self._lora is not None and self._adapted:
            weight = self._lora.changed(self._adapted, weight.float(), 0)
        if weight.is_floating_point():
            require_finite(weight, self._name)
        if self._ftype == "f16" and weight.ndim > 1 and weight.float().abs().max() > torch.finfo(torch.float16).max:
            raise GGUFError(f"tensor '{self._name}' has values beyond the range of float16; convert with ftype bf16")
        return weight

    def _is_rounded(self, weight: torch.Tensor) -> bool:
        return is_rounded(self._name, weight.shape, self._trained_on)


def _lazily(generate: Any, change: _Change) -> Any:
    from conversion.base import LazyTorchTensor

    def tensor() -> Any:
        weight = generate()
        meta = LazyTorchTensor.meta_with_dtype_and_shape(change.dtype(weight), tuple(weight.shape))
        return LazyTorchTensor(meta=meta, args=(weight,), func=change)

    return tensor


def _serve_our_template(converter: Any, model: Path) -> None:
    """Put the template into the file that training renders with, whatever the converter reads."""
    template = read_chat_format(model).served()
    if template is not None:
        add = converter.gguf_writer.add_chat_template
        converter.gguf_writer.add_chat_template = lambda _: add(template)


def _dropped(model: Path, converter: Any) -> list[str]:
    """The tensors of the checkpoint that the converter leaves out, counted by the part they belong to."""
    written = {plain_name(name) for name in converter.model_tensors}
    names = Checkpoint(model).tensors
    parts = Counter(_part(name) for name in names if plain_name(name) not in written)
    return [f"{count} tensors of {part}" for part, count in sorted(parts.items())]


def _part(name: str) -> str:
    words = name.removeprefix("model.").split(".")
    return words[0]


def _tensors(path: str) -> int:
    """From the file's first bytes (magic, version, tensors): the library's reader takes 7 s for a vocabulary of 152k."""
    with open(path, "rb") as file:
        return int.from_bytes(file.read(16)[8:], "little")


def _rewrite_alpha(lora: Lora, folder: Path) -> None:
    """The adapter with the alpha that llama.cpp divides by the rank: rank-stabilised LoRA divides by its root."""
    folder.mkdir()
    (folder / WEIGHTS).symlink_to((lora.folder / WEIGHTS).resolve())
    config = {**lora.config, "lora_alpha": lora.scaling * lora.rank}
    (folder / "adapter_config.json").write_text(json.dumps(config))


@contextlib.contextmanager
def _maintainers_words(tools: str) -> Iterator[None]:
    """Import the converter and its own gguf first, and make one sentence of whatever it raises.

    Raises:
        ModelError: it refuses the model. MissingDependency: a package that it needs is not installed.
    """
    sys.path[:0] = [tools, str(Path(tools) / "gguf-py")]
    try:
        yield
    except PerennialError:
        raise
    except ImportError as error:
        raise MissingDependency(
            f"llama.cpp's converter needs the package '{error.name}', which is not installed: pip install {error.name}"
        ) from error
    except SystemExit as error:
        if error.code not in (0, None):
            raise ModelError("llama.cpp's converter refused the adapter; its log says why") from None
    except Exception as error:
        raise ModelError(f"llama.cpp's converter cannot read this model: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    words = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "pre-tokenizer was not recognized" in str(error):
        return "its tokenizer is none of those that llama.cpp knows by their tokens (a vocabulary of its own)"
    return words[0][:300] if words else type(error).__name__
