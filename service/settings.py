"""Settings of the machine, read from the environment once; the only reader of os.environ in service/."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import InputError

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


@dataclass(frozen=True)
class Settings:
    """Where things are and how much is allowed. Times are in the unit that the name says."""

    home: Path
    database_url: str
    host: str = "127.0.0.1"
    port: int = 8600
    master_key: str | None = None
    ner_model: str | None = None
    allow_degraded_names: bool = False
    retention_days: int = 30
    erasure_keep_days: int = 7
    max_body_bytes: int = 32 << 20
    max_queue: int = 20_000
    lease_seconds: int = 60
    curation_timeout_seconds: float = 20.0
    project: Path = Path()

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def rounds(self) -> Path:
        return self.home / "rounds"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def scores(self) -> Path:
        return self.home / "scores"

    @property
    def logs(self) -> Path:
        return self.home / "logs"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from PERENNIAL_* variables; an unknown or malformed one is an InputError that names it."""
    env = os.environ if environment is None else environment
    given = {key: value for key, value in env.items() if key.startswith("PERENNIAL_")}
    unknown = sorted(set(given) - set(_READERS) - {"PERENNIAL_HOME", "PERENNIAL_DATABASE_URL"})
    if unknown:
        raise InputError(f"unknown setting {unknown[0]}; known are {', '.join(sorted(_READERS))}")
    home = Path(given.get("PERENNIAL_HOME", "var")).absolute()
    url = given.get("PERENNIAL_DATABASE_URL", f"sqlite:///{home / 'perennial.db'}")
    values: dict[str, Any] = {}
    for name, (field, read) in _READERS.items():
        if name in given:
            try:
                values[field] = read(given[name])
            except ValueError as error:
                raise InputError(f"{name}={given[name]!r} cannot be used: {error}") from error
    return Settings(home=home, database_url=url, project=Path(__file__).resolve().parent.parent, **values)


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError("write 1 or 0")


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError("it must be above 0")
    return number


_READERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "PERENNIAL_HOST": ("host", str),
    "PERENNIAL_PORT": ("port", int),
    "PERENNIAL_MASTER_KEY": ("master_key", str),
    "PERENNIAL_NER_MODEL": ("ner_model", str),
    "PERENNIAL_ALLOW_DEGRADED_NAMES": ("allow_degraded_names", _boolean),
    "PERENNIAL_RETENTION_DAYS": ("retention_days", _positive),
    "PERENNIAL_ERASURE_KEEP_DAYS": ("erasure_keep_days", _positive),
    "PERENNIAL_MAX_BODY_BYTES": ("max_body_bytes", _positive),
    "PERENNIAL_MAX_QUEUE": ("max_queue", _positive),
    "PERENNIAL_LEASE_SECONDS": ("lease_seconds", _positive),
    "PERENNIAL_CURATION_TIMEOUT_SECONDS": ("curation_timeout_seconds", float),
}
