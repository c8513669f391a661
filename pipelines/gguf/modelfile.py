"""The Modelfile of a served form, as Ollama reads it, and the same as the body of its `POST /api/create`.

FROM ./model.gguf
ADAPTER ./adapter.gguf
TEMPLATE \"\"\"{{ range ... }}\"\"\"
PARAMETER num_ctx 4096
PARAMETER stop "<|im_end|>"
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf

from pipelines.artifacts import new_file
from pipelines.errors import GGUFError, ModelError
from pipelines.gguf.go_template import derive_pieces

Value = str | int | float | bool
_QUOTES = '"""'
_ENDS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
_ALPHA = gguf.Keys.Adapter.LORA_ALPHA


@dataclass(frozen=True)
class Modelfile:
    """A model for Ollama: its template, where an answer stops, and the parameters it is asked with."""

    template: str
    stops: tuple[str, ...]
    parameters: Mapping[str, Value]
    system: str | None = None
    has_adapter: bool = False

    def text(self) -> str:
        """The file, beside which `model.gguf` and `adapter.gguf` lie."""
        lines = ["FROM ./model.gguf"]
        if self.has_adapter:
            lines.append("ADAPTER ./adapter.gguf")
        lines.append(f"TEMPLATE {_quoted(self.template)}")
        lines += [f"PARAMETER {name} {_plain(value)}" for name, value in sorted(self.parameters.items())]
        lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in self.stops]
        if self.system is not None:
            lines.append(f"SYSTEM {_quoted(self.system)}")
        return "\n".join(lines) + "\n"

    def request(self, model: str, sha256: str, adapter_sha256: str | None = None) -> dict[str, Any]:
        """The body of `POST /api/create` once the files are there as blobs."""
        body: dict[str, Any] = {
            "model": model,
            "files": {"model.gguf": f"sha256:{sha256}"},
            "template": self.template,
            "parameters": {**self.parameters, "stop": list(self.stops)},
            "stream": False,
        }
        if adapter_sha256 is not None:
            body["adapters"] = {"adapter.gguf": f"sha256:{adapter_sha256}"}
        if self.system is not None:
            body["system"] = self.system
        return body


def write_modelfile(
    path: Path, parameters: Mapping[str, Value], system: str | None = None, has_adapter: bool = False
) -> Modelfile:
    """The Modelfile of a GGUF, from the template and the tokens that the file itself carries.

    Raises:
        GGUFError: the file cannot be read. ModelError: it has no chat template, or one that Ollama cannot be told.
    """
    try:
        fields = gguf.GGUFReader(path).fields
        texts = {name: _token(fields, name) for name in (*_ENDS, "tokenizer.ggml.bos_token_id")}
        template = fields[gguf.Keys.Tokenizer.CHAT_TEMPLATE].contents() if _has_template(fields) else None
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise GGUFError(f"{path.name} is not a readable GGUF file: {error}") from error
    if template is None:
        raise ModelError(f"{path.name} carries no chat template, so nothing can say how a chat is written for it")
    eos, eot, bos = (texts[name] for name in (*_ENDS, "tokenizer.ggml.bos_token_id"))
    stops = tuple(dict.fromkeys(text for text in (eos, eot) if text))
    return Modelfile(derive_pieces(str(template), bos, eos).go(), stops, parameters, system, has_adapter)


def write_scaled_adapter(adapter: Path, scale: float, out: Path) -> None:
    """The adapter with the scale of its served form written into it, for servers that know no scale.

    Raises:
        GGUFError: the file is no GGUF adapter. ArtifactError: no room.
    """
    with new_file(out, adapter.stat().st_size) as temporary:
        shutil.copyfile(adapter, temporary)
        try:
            field = gguf.GGUFReader(temporary, "r+").fields[_ALPHA]
        except (OSError, ValueError, KeyError) as error:
            raise GGUFError(f"{adapter.name} is not a readable GGUF adapter: {error}") from error
        field.parts[field.data[0]][0] *= scale


def _has_template(fields: Mapping[str, Any]) -> bool:
    return gguf.Keys.Tokenizer.CHAT_TEMPLATE in fields


def _token(fields: Mapping[str, Any], name: str) -> str:
    """The text of a token that the file names; empty if it names none."""
    if name not in fields:
        return ""
    tokens = fields[gguf.Keys.Tokenizer.LIST]
    return bytes(tokens.parts[tokens.data[int(fields[name].contents())]]).decode("utf-8")


def _quoted(text: str) -> str:
    if _QUOTES in text:
        raise ModelError(f"a Modelfile cannot hold text with {_QUOTES} in it")
    return f"{_QUOTES}{text}{_QUOTES}"


def _plain(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False)
