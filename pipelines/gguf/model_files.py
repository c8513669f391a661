"""The JSON files of a model folder, and what they say of how its weights are stored."""

import json
from pathlib import Path
from typing import Any

from pipelines.errors import ModelError


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ModelError if the file is missing or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} does not hold a JSON object")
    return value


def refuse_quantized(model: Path) -> None:
    """Raise ModelError if a model folder's weights are stored in a quantized form (gptq, awq, fp8, mxfp4, ...)."""
    if not (model / "config.json").is_file():
        return
    config = read_json(model / "config.json")
    settings = config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config")
    if settings:
        method = (
            settings.get("quant_method", "an unnamed method") if isinstance(settings, dict) else "an unnamed method"
        )
        raise ModelError(
            f"{model.name} is stored quantized ({method}), and an adapter cannot be merged onto that: use the original in "
            "bfloat16 or float16, which its publisher offers beside it, usually under the name without that suffix"
        )
