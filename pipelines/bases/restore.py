"""A GGUF file back as a model folder that can be trained: weights dequantized by transformers, tokenizer by a table, template as is.

The weights are those of the file, which are the publisher's rounded to its quantization; the publisher's own folder is better.

var/weights/smollm2/
├── model.safetensors       bfloat16
├── tokenizer.json, tokenizer_config.json, chat_template.jinja, config.json, generation_config.json
└── README.md               "license: apache-2.0", as the file says
"""

import json
import os
from pathlib import Path
from typing import Any

from pipelines import chat
from pipelines.artifacts import new_folder
from pipelines.bases.restored_tokenizer import restore_tokenizer
from pipelines.bases.texts import COUNT, script_texts
from pipelines.errors import ModelError
from pipelines.gguf.session import Session
from pipelines.records import ServedForm

_FLOAT_BYTES, _KEPT_BYTES = 4.6, 2.1  # per parameter: in memory while it is dequantized, and on disk


def restore_in_this_process(arguments: dict[str, Any]) -> dict[str, Any]:
    """Make the model folder `folder` of the GGUF `file`, for pipelines.isolated.

    Raises:
        ModelError: it cannot be made, or its tokenizer would read other ids than llama.cpp; the sentence says why.
        NoSpace: the disk is too small.
    """
    file, folder = Path(arguments["file"]), Path(arguments["folder"])
    parameters = _count_parameters(file)
    _require_memory(file.name, round(parameters * _FLOAT_BYTES))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(folder, round(parameters * _KEPT_BYTES)) as temporary:
        _write_tokenizer(file, temporary)
        _write_weights(file, temporary)
        (temporary / "README.md").write_text(f"---\nlicense: {_licence(file)}\n---\n", encoding="utf-8")
    return {}


def _count_parameters(file: Path) -> int:
    from gguf import GGUFReader

    return sum(int(tensor.n_elements) for tensor in GGUFReader(file).tensors)


def _require_memory(name: str, needed: int) -> None:
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    if free < needed:
        raise ModelError(
            f"the weights of {name} take {needed / 1e9:.1f} GB of memory to restore, and {free / 1e9:.1f} GB are free; adopt the "
            "folder or the hub's model that it was made of"
        )


def _write_tokenizer(file: Path, folder: Path) -> None:
    """Raises ModelError where llama.cpp reads any of 2,000 texts in ten scripts as other ids."""
    try:
        tokenizer, config = restore_tokenizer(file)
    except (ValueError, KeyError) as error:
        raise ModelError(f"transformers cannot make a tokenizer of {file.name}: {_first_line(error)}") from error
    different = 0
    with Session(ServedForm(kind="merged", path=str(file), sha256=""), context=8) as session:
        for text in script_texts():
            plain = chat.escape_markers(text)
            different += list(tokenizer.encode(plain, add_special_tokens=False).ids) != session.tokenize(
                plain, special=False
            )
    if different:
        raise ModelError(
            f"the tokenizer that can be made of {file.name} reads {different:,} of {COUNT:,} texts as other ids than llama.cpp does; adopt "
            "the folder or the hub's model that it was made of"
        )
    template = config.pop("chat_template", None)
    if template:
        (folder / "chat_template.jinja").write_text(str(template), encoding="utf-8")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _write_weights(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(file.parent),
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
            local_files_only=True,
        )
    except (ValueError, KeyError, OSError, NotImplementedError, AttributeError, RuntimeError) as error:
        raise ModelError(f"transformers cannot read the weights of {file.name}: {_first_line(error)}") from error
    model.to(torch.bfloat16).save_pretrained(folder)


def _licence(file: Path) -> str:
    from gguf import GGUFReader

    field = GGUFReader(file).fields.get("general.license")
    return str(field.contents()) if field else "not stated"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
