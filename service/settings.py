"""Settings of the machine: the environment first, then the file in the home folder; the only reader of os.environ here.

var/settings.env    # what `perennial up --names` keeps; any PERENNIAL_ variable but PERENNIAL_HOME may stand here
                    PERENNIAL_ALLOW_DEGRADED_NAMES=1
"""

import errno
import getpass
import ipaddress
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from pipelines.artifacts import write_atomic
from pipelines.curate.labels import parse_mapping
from pipelines.errors import InputError
from pipelines.gguf.runtime import SETTINGS as LLAMA_SETTINGS
from service.secret_files import read_secret_files

SETTINGS_FILE = "settings.env"
TARGETS_FILE = "targets.yaml"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
KEY_SETTINGS = ("PERENNIAL_MASTER_KEY", "PERENNIAL_KEYS_URL")  # what no backup of the data may hold
FULL = (errno.ENOSPC, errno.EDQUOT)
MAX_PORT = 65_535
_URL = "PERENNIAL_DATABASE_URL"
_OF_SETUP = ("PERENNIAL_LLAMA", "PERENNIAL_LLAMA_CPP")  # what is compiled, and where its tools lie
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


@dataclass(frozen=True)
class Settings:
    """Where things are and how much is allowed. Times are in the unit that the name says."""

    home: Path
    database_url: str
    host: str = "127.0.0.1"
    port: int = 8600
    keys_url: str | None = None
    erasure_list: str | None = None
    master_key: str | None = None
    ner_model: str | None = None
    ner_labels: Mapping[str, str] = field(default_factory=dict)
    allow_degraded_names: bool = False
    public_names: Path | None = None
    public_names_people: int = 20
    recognizers: Path | None = None
    retention_days: int = 30
    rejected_days: int = 180
    log_days: int = 30
    erasure_keep_days: int = 7
    max_body_bytes: int = 32 << 20
    max_queue: int = 20_000
    max_connections: int = 500
    trusted_proxies: tuple[Network, ...] = ()
    lease_seconds: int = 60
    curation_timeout_seconds: float = 20.0
    curation_budget_seconds: float = 2.0
    min_free_bytes: int = 1 << 30
    recipe: str = "data/recipes/tiny.yaml"
    engine_context: int = 4096
    engine_chats: int = 4
    upstream: str | None = None
    upstream_silence_seconds: float = 600.0
    proxy_user: str | None = None
    proxy_consent: bool | None = None
    spool_bytes: int = 1 << 30
    targets: str | None = None
    watch: str = "warn"
    gates_max_margin: float = 5.0  # and below: what a recipe over the API may ask for (service/rounds/permission.py)
    gates_max_stops: float = 4.0
    recipes_max_learning_rate: float = 0.01
    recipes_max_epochs: float = 10.0
    recipes_max_rank: int = 256
    recipes_max_scale: float = 4.0
    recipes_max_tokens: int = 32_768
    recipes_max_batch: int = 1024
    recipes_max_items: int = 5000
    recipes_max_share: float = 0.2
    project: Path = Path()

    @property
    def says_how_to_find_names(self) -> bool:
        """Whether curation may start: a model for names is set, or rules alone are allowed."""
        return self.ner_model is not None or self.allow_degraded_names

    @property
    def recipe_path(self) -> Path:
        """The recipe whose base is the first champion; relative to the project, as the paths in a recipe are."""
        return self.project / self.recipe

    @property
    def url(self) -> str:
        """Where this machine reaches the web process."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.port}"

    def without_paths(self, sentence: str) -> str:
        """The sentence with paths as seen from the home or the project: where a machine keeps them is for its log only."""
        for folder in (self.home, self.project):
            if folder.is_absolute():
                sentence = sentence.replace(f"{folder}/", "")
        return sentence

    @property
    def keys(self) -> Path:
        """Where the master key lies."""
        return self.home / "keys"

    @property
    def key_file(self) -> Path:
        """The master key, unless it is in the environment."""
        return self.keys / "master.key"

    @property
    def key_store_url(self) -> str:
        """Where every person's wrapped key is: a database that no backup of the data contains."""
        return self.keys_url or f"sqlite:///{self.keys / 'people.db'}"

    @property
    def erasures(self) -> Path:
        """The list of who was erased."""
        return Path(self.erasure_list) if self.erasure_list else self.keys / "erasures.ndjson"

    @property
    def rounds(self) -> Path:
        """Where rounds keep their stages."""
        return self.home / "rounds"

    @property
    def models(self) -> Path:
        """Where served forms lie."""
        return self.home / "models"

    @property
    def suites(self) -> Path:
        """Where suites are that were added here."""
        return self.home / "suites"

    @property
    def suite_folders(self) -> tuple[Path, Path]:
        """Where suites are looked for: those that ship, then those that were added."""
        return self.project / "data" / "suites", self.suites

    @property
    def anchors(self) -> Path:
        """Where sets of anchors lie, each under its name."""
        return self.home / "anchors"

    @property
    def scores(self) -> Path:
        """Where scores are kept between rounds."""
        return self.home / "scores"

    @property
    def targets_path(self) -> Path:
        """The file that names the deploy targets (service/models/targets/configuration.py)."""
        return Path(self.targets) if self.targets else self.home / TARGETS_FILE

    @property
    def spool(self) -> Path:
        """Where chats that passed the proxy wait, sealed, until the database has them."""
        return self.home / "spool"

    @property
    def logs(self) -> Path:
        """Where processes write their logs."""
        return self.home / "logs"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from PERENNIAL_* variables and, where those say nothing, from the home's settings file.

    Raises:
        InputError: a variable or a line of the file that is unknown or malformed; the sentence names it.
    """
    env = os.environ if environment is None else environment
    given = {key: value for key, value in env.items() if key.startswith("PERENNIAL_") and key not in _OF_SETUP}
    home = Path(given.pop("PERENNIAL_HOME", "") or "var").absolute()
    given = read_settings_file(home) | read_secret_files(given)
    known = {**_READERS, **LLAMA_SETTINGS}
    unknown = sorted(set(given) - set(known) - {_URL})
    if unknown:
        raise InputError(f"unknown setting {unknown[0]}; known are {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for name, (attribute, read) in known.items():
        if name in given:
            try:
                values[attribute] = read(given[name])
            except ValueError as error:
                raise InputError(f"{name}={given[name][:80]!r} cannot be used: {error}") from error
    for name, (attribute, _) in LLAMA_SETTINGS.items():
        if values.pop(attribute, None) is not None and environment is None:
            os.environ.setdefault(name, given[name])  # read where a model is loaded: in child processes
    url = given.get(_URL, f"sqlite:///{home / 'perennial.db'}")
    return Settings(home=home, database_url=url, project=Path(__file__).resolve().parent.parent, **values)


def read_settings_file(home: Path) -> dict[str, str]:
    """The settings kept in this home, as they are written; empty without a file.

    Raises:
        InputError: a line that is no `NAME=value`, or names a setting that cannot stand there.
    """
    path = home / SETTINGS_FILE
    if not path.is_file():
        return {}
    kept: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error.reason}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or (name not in {*_READERS, *LLAMA_SETTINGS, _URL}):
            raise InputError(f"{path}, line {number}: {line.strip()[:80]!r} is no setting; write PERENNIAL_NAME=value")
        kept[name] = value
    return kept


def make_home(home: Path) -> None:
    """Make sure that the home folder is there and can be written.

    A full disk passes: what is there can still be shown, and what is written then says so itself.

    Raises:
        InputError: it is a file, cannot be made, or may not be written; the sentence says which and why.
    """
    probe = home / f".write-test.{os.getpid()}.{threading.get_native_id()}"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise InputError(f"the home {home} is not a folder; name another with PERENNIAL_HOME") from error
    except OSError as error:
        if error.errno in FULL:
            return
        raise InputError(
            f"the home folder {home} cannot be written ({error.strerror}): let {getpass.getuser()} write there, or name "
            "another with PERENNIAL_HOME"
        ) from error


def keep_settings(home: Path, changes: Mapping[str, str | None]) -> None:
    """Write these settings into the home's file, None to take one out; other lines stay as they are."""
    path = home / SETTINGS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    others = [line for line in lines if line.partition("=")[0].strip() not in changes]
    added = [f"{name}={value}" for name, value in changes.items() if value is not None]
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(path, "\n".join([*others, *added]) + "\n")
    path.chmod(0o600)  # it may hold the database's password


def _absolute(text: str) -> str:
    if not Path(text).is_absolute():
        raise ValueError("write the whole path, from / on: commands run in different folders")
    return text


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError("write 1 or 0")


def _watch(text: str) -> str:
    if text not in ("off", "warn", "on"):
        raise ValueError("write off, warn or on")
    return text


def _between(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], Any]:
    """A reader of numbers from `low` to `high`: beyond them the value has no meaning, or overflows where it is used."""

    def read(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = nan
        if not low <= number <= high:  # what is not a number is not between them either
            raise ValueError(f"it must be a {'whole ' if kind is int else ''}number from {low:g} to {high:g}")
        return number

    return read


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part) for part in text.replace(",", " ").split())


_days = _between(int, 1, 36_500)
_count = _between(int, 1, 1e15)
_bound = _between(float, 1e-9, 1e15)


_READERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "PERENNIAL_HOST": ("host", str),
    "PERENNIAL_PORT": ("port", _between(int, 1, MAX_PORT)),
    "PERENNIAL_MASTER_KEY": ("master_key", str),
    "PERENNIAL_KEYS_URL": ("keys_url", str),
    "PERENNIAL_ERASURE_LIST": ("erasure_list", _absolute),
    "PERENNIAL_NER_MODEL": ("ner_model", str),
    "PERENNIAL_NER_LABELS": ("ner_labels", parse_mapping),
    "PERENNIAL_ALLOW_DEGRADED_NAMES": ("allow_degraded_names", _boolean),
    "PERENNIAL_PUBLIC_NAMES": ("public_names", lambda text: Path(_absolute(text))),
    "PERENNIAL_PUBLIC_NAMES_PEOPLE": ("public_names_people", _between(int, 2, 1e9)),
    "PERENNIAL_RECOGNIZERS": ("recognizers", lambda text: Path(_absolute(text))),
    "PERENNIAL_RETENTION_DAYS": ("retention_days", _days),
    "PERENNIAL_REJECTED_DAYS": ("rejected_days", _days),
    "PERENNIAL_LOG_DAYS": ("log_days", _days),
    "PERENNIAL_ERASURE_KEEP_DAYS": ("erasure_keep_days", _days),
    "PERENNIAL_MAX_BODY_BYTES": ("max_body_bytes", _count),
    "PERENNIAL_MAX_QUEUE": ("max_queue", _count),
    "PERENNIAL_MAX_CONNECTIONS": ("max_connections", _count),
    "PERENNIAL_TRUSTED_PROXIES": ("trusted_proxies", _networks),
    "PERENNIAL_LEASE_SECONDS": ("lease_seconds", _between(int, 1, 86_400)),
    "PERENNIAL_CURATION_TIMEOUT_SECONDS": ("curation_timeout_seconds", _between(float, 0.1, 3_600)),
    "PERENNIAL_CURATION_BUDGET_SECONDS": ("curation_budget_seconds", _between(float, 0.1, 3_600)),
    "PERENNIAL_MIN_FREE_BYTES": ("min_free_bytes", _count),
    "PERENNIAL_RECIPE": ("recipe", str),
    "PERENNIAL_ENGINE_CONTEXT": ("engine_context", _between(int, 256, 1 << 20)),
    "PERENNIAL_ENGINE_CHATS": ("engine_chats", _between(int, 1, 64)),
    "PERENNIAL_UPSTREAM": ("upstream", str),
    "PERENNIAL_UPSTREAM_SILENCE_SECONDS": ("upstream_silence_seconds", _between(float, 1, 86_400)),
    "PERENNIAL_PROXY_USER": ("proxy_user", str),
    "PERENNIAL_PROXY_CONSENT": ("proxy_consent", _boolean),
    "PERENNIAL_SPOOL_BYTES": ("spool_bytes", _count),
    "PERENNIAL_TARGETS": ("targets", _absolute),
    "PERENNIAL_WATCH": ("watch", _watch),
    "PERENNIAL_GATES_MAX_MARGIN": ("gates_max_margin", _bound),
    "PERENNIAL_GATES_MAX_STOPS": ("gates_max_stops", _bound),
    "PERENNIAL_RECIPES_MAX_LEARNING_RATE": ("recipes_max_learning_rate", _bound),
    "PERENNIAL_RECIPES_MAX_EPOCHS": ("recipes_max_epochs", _bound),
    "PERENNIAL_RECIPES_MAX_RANK": ("recipes_max_rank", _count),
    "PERENNIAL_RECIPES_MAX_SCALE": ("recipes_max_scale", _bound),
    "PERENNIAL_RECIPES_MAX_TOKENS": ("recipes_max_tokens", _count),
    "PERENNIAL_RECIPES_MAX_BATCH": ("recipes_max_batch", _count),
    "PERENNIAL_RECIPES_MAX_ITEMS": ("recipes_max_items", _count),
    "PERENNIAL_RECIPES_MAX_SHARE": ("recipes_max_share", _bound),
}
