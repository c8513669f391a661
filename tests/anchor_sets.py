"""The shipped set of anchors as that of another base, for tests whose rounds train a random one."""

import shutil
from pathlib import Path

from pipelines.anchors.sets import CARD, SetBase, SetCard
from pipelines.stages.baseline import base_digest

SHIPPED = Path(__file__).resolve().parents[1] / "data" / "general"


def adopt_shipped_set(folder: Path, base: Path) -> Path:
    """A copy of the shipped set in `folder` that says it was made for this base."""
    shutil.copytree(SHIPPED, folder)
    card = SetCard(base=SetBase(name=base.name, digest=base_digest(base)))
    (folder / CARD).write_text(card.as_json(), encoding="utf-8")
    return folder
