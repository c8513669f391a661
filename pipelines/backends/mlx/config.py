"""What mlx_lm must be told of a transformers 5 config.json, which it would otherwise read with defaults of its own.

{"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}  ->  {"rope_theta": 10000.0}
{"rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", ...}}  ->  {"rope_theta": 5e5, "rope_scaling": {...}}
{"rope_parameters": {"full_attention": {...}, "sliding_attention": {...}}, "layer_types": [...]}
    ->  {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window_pattern": 6}
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import ModelError

_FULL, _SLIDING = "full_attention", "sliding_attention"
_MOVED = ("rope_theta", "partial_rotary_factor")  # from the top of a config into rope_parameters, with transformers 5


def read_config(base: Path) -> Mapping[str, Any]:
    """config.json of a local folder. Raises ModelError if there is none, so that no name is ever looked up on the hub."""
    path = base / "config.json"
    if not path.is_file():
        raise ModelError(f"{base} is not a local model folder: it has no config.json")
    try:
        config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{base} cannot be loaded as a language model: config.json is no JSON ({error})") from error
    return config


def rope_changes(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that have to stand at the top of the config for mlx_lm; those of a text part within `text_config`.

    Raises:
        ModelError: layers of two kinds in an order that mlx_lm cannot be told.
    """
    text = config.get("text_config")
    changes = _changes(config)
    if isinstance(text, Mapping) and (inner := _changes(text)):
        changes["text_config"] = {**text, **inner}
    return changes


def _changes(config: Mapping[str, Any]) -> dict[str, Any]:
    rope = config.get("rope_parameters")
    if not isinstance(rope, Mapping) or not rope:
        return {}
    if not any(isinstance(value, Mapping) for value in rope.values()):
        return _flat(rope)
    changes = _flat(rope.get(_FULL) or {})
    if local := (rope.get(_SLIDING) or {}).get("rope_theta"):
        changes["rope_local_base_freq"] = local
    return changes | _pattern(config.get("layer_types") or ())


def _flat(rope: Mapping[str, Any]) -> dict[str, Any]:
    changes = {name: rope[name] for name in _MOVED if rope.get(name) is not None}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        changes["rope_scaling"] = {name: value for name, value in rope.items() if name not in _MOVED}
    return changes


def _pattern(layer_types: Sequence[str]) -> dict[str, Any]:
    """mlx_lm knows one number: every n-th layer attends to everything."""
    if not layer_types:
        return {}
    every = layer_types.index(_FULL) + 1 if _FULL in layer_types else len(layer_types) + 1
    regular = [_FULL if place % every == 0 else _SLIDING for place in range(1, len(layer_types) + 1)]
    if list(layer_types) != regular:
        raise ModelError(
            "MLX cannot load this model: its layers of full and of sliding attention do not take turns evenly; use another "
            "`train.backend`"
        )
    return {"sliding_window_pattern": every}
