"""Settings that are secrets, read from files: PERENNIAL_DATABASE_URL_FILE=/run/secrets/database_url instead of the value."""

from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import InputError

SECRETS = ("PERENNIAL_DATABASE_URL", "PERENNIAL_MASTER_KEY", "PERENNIAL_KEYS_URL")
_END = "_FILE"


def read_secret_files(given: Mapping[str, str]) -> dict[str, str]:
    """The settings with each secret that a file holds in place of the file's path; the line's end is not part of it.

    Raises:
        InputError: a file that cannot be read or is empty, or a secret that is given twice.
    """
    values = dict(given)
    for name in SECRETS:
        path = values.pop(name + _END, None)
        if path is None:
            continue
        if name in values:
            raise InputError(f"{name} and {name}{_END} are both set; keep one")
        try:
            secret = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name}{_END}: the file {path} cannot be read ({type(error).__name__})") from error
        if not secret:
            raise InputError(f"{name}{_END}: the file {path} is empty")
        values[name] = secret
    return values
