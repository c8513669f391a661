"""Item scores kept by everything that moves them, so that origin and champion are measured once.

    <folder>/ab/ab3f....json    {"<item digest>": 1.0, ...}

The file's name is the digest of served form, scorer, versions, processor, settings, task and chat template; an item's
digest covers its whole line. Only shipped suites are kept here, never anything derived from people's text.
"""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.artifacts import digest_of, write_atomic
from pipelines.errors import ArtifactError


class ScoreCache:
    """A folder of scores, which several rounds may keep at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: Mapping[str, Any]) -> dict[str, float]:
        """What is known under this key, by item digest.

        Raises:
            ArtifactError: the file is there but is not a table of numbers.
        """
        path = self._path(key)
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            return {str(item): float(value) for item, value in entry.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError) as error:
            raise ArtifactError(f"{path} is not a table of scores; delete it to measure again") from error

    def add(self, key: Mapping[str, Any], scores: Mapping[str, float]) -> None:
        """Keep these scores beside those that are there."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
            write_atomic(path, json.dumps(self.read(key) | dict(scores), sort_keys=True))

    def _path(self, key: Mapping[str, Any]) -> Path:
        digest = digest_of(dict(key))
        return self._folder / digest[:2] / f"{digest}.json"
