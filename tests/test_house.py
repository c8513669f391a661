"""The house itself: what the documents say of the tree is the tree, and no file absorbs everything."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SIDES = ("pipelines", "service", "client/perennial")
MAX_LINES = 350


def modules_of(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}


def rooms_of(folder: Path) -> dict[str, set[str]]:
    """Every package below a folder with its modules; names are relative to the folder, `.` is the folder itself."""
    packages = [folder, *(path.parent for path in sorted(folder.rglob("*.py")) if path.parent != folder)]
    return {path.relative_to(folder).as_posix(): modules_of(path) for path in packages if modules_of(path)}


def drawn(side: str) -> dict[str, set[str]]:
    """The rooms of a side as docs/architecture.md draws them: `  feedback/  weigh caps echo | what it is`."""
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    [block] = re.findall(rf"^{side}/\n((?:  .*\n)+)", text, flags=re.MULTILINE)
    rooms: dict[str, set[str]] = {".": set()}
    for line in block.splitlines():
        names = line.split(" | ")[0].split()
        if names[0].endswith("/"):
            rooms[names[0].rstrip("/")] = set(names[1:])
        else:
            rooms["."] |= set(names)
    return {name: modules for name, modules in rooms.items() if modules}


@pytest.mark.parametrize("side", SIDES)
def test_the_tree_in_the_architecture_document_is_the_tree(side: str) -> None:
    assert drawn(side) == rooms_of(PROJECT / side)


def test_no_file_absorbs_everything() -> None:
    files = [path for side in SIDES for path in (PROJECT / side).rglob("*.py")]
    lines = {str(path.relative_to(PROJECT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert files and {name: count for name, count in lines.items() if count > MAX_LINES} == {}
