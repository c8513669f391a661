"""Whether a file system's locks exclude anybody is found out before SQLite rests on them."""

import errno
from pathlib import Path

import pytest

from pipelines.errors import InputError
from service.store import locks
from tests.disks import fill, small_disk, unwritable


def test_a_disk_whose_locks_work_passes_and_keeps_nothing(tmp_path: Path) -> None:
    locks.check_locks(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_passes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 16) as disk:
        fill(disk)
        locks.check_locks(disk)


def test_locks_that_everybody_gets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_lock", lambda _: None)
    with pytest.raises(InputError, match=r"do not work \(one lock is given to two at the same time\)"):
        locks.check_locks(tmp_path)


@pytest.mark.parametrize("call", [1, 2])
def test_locks_that_fail_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    calls: list[int] = []

    def lock(file: int) -> None:
        calls.append(file)
        if len(calls) == call:
            raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock", lock)
    with pytest.raises(InputError, match=r"do not work \(No locks available\)"):
        locks.check_locks(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with unwritable(tmp_path), pytest.raises(InputError, match=f"the database's folder {tmp_path} cannot be written"):
        locks.check_locks(tmp_path)
