"""The deploy targets of this home, from one file: `targets.yaml` in the home, or the one that PERENNIAL_TARGETS names.

eden: {kind: copy, path: /srv/eden/models/qwen2.5-32b-instruct-q4_k_m.gguf}
laptop: {kind: ollama, url: "http://127.0.0.1:11434", model: eden}
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from pipelines.errors import InputError
from pipelines.plain_yaml import parse_plain_yaml, read_plain_yaml
from pipelines.text import find_nearest
from service.models.targets.copy import CopyTarget
from service.models.targets.llama_server import LlamaServerTarget
from service.models.targets.lm_studio import LMStudioTarget
from service.models.targets.ollama import OllamaTarget
from service.models.targets.target import Target
from service.models.targets.webhook import WebhookTarget
from service.settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_OLLAMA = re.compile(r"([a-z0-9._-]+/){0,2}[A-Za-z0-9][A-Za-z0-9._-]{0,79}(:[A-Za-z0-9][A-Za-z0-9._-]{0,60})?")


def read_targets(settings: Settings) -> list[Target]:
    """Every target, in the order of the file; none without the file.

    Raises:
        InputError: the file cannot be read, or says what no target understands; the sentence names target and key.
    """
    path = settings.targets_path
    if not path.is_file():
        return []
    subject = f"the targets file {path.name}"
    given = parse_plain_yaml(read_plain_yaml(path, subject), subject)
    if given is None:
        return []
    if not isinstance(given, dict):
        raise InputError(f"{subject} must name targets, such as `eden: {{kind: copy, path: /...}}`")
    return [_target(str(name), value) for name, value in given.items()]


def _target(name: str, given: Any) -> Target:
    if not _NAME.fullmatch(name):
        raise InputError(f"the target {name[:40]!r} needs another name: small letters, digits, - and _")
    if not isinstance(given, dict):
        raise InputError(f"the target '{name}' must be a mapping with `kind:`")
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(f"the target '{name}' is of the kind {kind!r}; known are {', '.join(_KINDS)}")
    make, keys = _KINDS[kind]
    values = {str(key): value for key, value in given.items() if key != "kind"}
    for key in values:
        if key not in keys:
            near = find_nearest(key, keys)
            meant = f"; did you mean '{near}'?" if near else ""
            raise InputError(f"the target '{name}' has no setting '{key[:40]}'{meant} It has {', '.join(keys)}")
    for key, (_, needed) in keys.items():
        if needed and key not in values:
            raise InputError(f"the target '{name}' ({kind}) needs `{key}:`")
    try:
        return make(name=name, **{key: keys[key][0](value) for key, value in values.items()})
    except ValueError as error:
        raise InputError(f"the target '{name}': {error}") from error


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not Path(value).expanduser().is_absolute() or "\0" in value:
        raise ValueError(f"{str(value)[:80]!r} is no whole path; write it from / on")
    return Path(value).expanduser()


def _url(value: Any) -> str:
    try:
        address = httpx.URL(value)
    except (TypeError, httpx.InvalidURL):
        address = httpx.URL("")
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError(f"{str(value)[:80]!r} is no address; write http://HOST:PORT or https://HOST")
    return str(address).rstrip("/")


def _matching(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{str(value)[:80]!r} is no name of a model; use letters, digits, '.', '-' and '_'")
        return value

    return read


def _parameters(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(one, str | int | float) for one in value.values()):
        raise ValueError("`parameters` must be a mapping of names to numbers or texts, as in a Modelfile")
    if "stop" in value:
        raise ValueError("`stop` is taken from the model; leave it out of `parameters`")
    return {str(name): one for name, one in value.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("`system` must be a text")
    return value


_Key = tuple[Callable[[Any], Any], bool]  # how it is read, and whether it is needed
_model = _matching(_MODEL)
_KINDS: Mapping[str, tuple[Callable[..., Target], Mapping[str, _Key]]] = {
    "copy": (CopyTarget, {"path": (_path, True), "adapter_path": (_path, False)}),
    "ollama": (
        OllamaTarget,
        {
            "url": (_url, True),
            "model": (_matching(_OLLAMA), True),
            "parameters": (_parameters, False),
            "system": (_text, False),
        },
    ),
    "llama_server": (
        LlamaServerTarget,
        {"folder": (_path, True), "model": (_model, False), "preset": (_path, False), "url": (_url, False)},
    ),
    "lm_studio": (LMStudioTarget, {"folder": (_path, True), "publisher": (_model, False), "model": (_model, False)}),
    "webhook": (WebhookTarget, {"url": (_url, True), "secret_file": (_path, True)}),
}
