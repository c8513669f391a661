"""Regenerates everything under data/suites, data/general and data/samples: `python -m tiny.write_data`."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipelines.anchors.sets import CARD, CLAIMS, LANGUAGE, TINY, SetBase, SetCard
from pipelines.stages.baseline import base_digest
from tiny.anchors import ANCHORS_SEED, build_anchors
from tiny.claims import build_claims
from tiny.samples import build_samples
from tiny.suites import build_suites, language_prompts
from tiny.world import World, build_world


def write_data(root: Path) -> list[Path]:
    """Write every generated file under `root` (the data folder); the paths written, the same bytes every time."""
    world = build_world()
    written = []
    for suite in build_suites(world):
        folder = root / "suites" / suite.name
        written += [_lines(folder / "dev.jsonl", suite.dev), _lines(folder / "gate.jsonl", suite.gate)]
        written.append(_text(folder / f"{suite.name}.yaml", suite.task))
    written += _write_set(root / "general", world)
    samples = build_samples(world)
    for number, month in enumerate(samples.months, 1):
        written.append(_lines(root / "samples" / f"month-{number}.ndjson", month))
    for name in ("planted", "facts", "questions", "style"):
        value = getattr(samples, name)
        text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
        written.append(_text(root / "samples" / f"{name}.json", text))
    return written


def _write_set(folder: Path, world: World) -> list[Path]:
    """The set of anchors of models/tiny, its card last; after another training of that model the card changes."""
    pools = build_anchors(world)
    written = [_lines(folder / f"{name}.jsonl", anchors) for name, anchors in pools.items()]
    written.append(_lines(folder / CLAIMS, build_claims(world)))
    written.append(_lines(folder / LANGUAGE, language_prompts(world)))
    model = Path(__file__).resolve().parents[1] / TINY
    families = Counter(anchor["family"] for anchors in pools.values() for anchor in anchors)
    base = SetBase(name=model.name, digest=base_digest(model))
    card = SetCard(base=base, seed=ANCHORS_SEED, kept=dict(sorted(families.items())))
    return [*written, _text(folder / CARD, card.as_json())]


def _lines(path: Path, rows: Iterable[object]) -> Path:
    return _text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


if __name__ == "__main__":
    for path in write_data(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("data")):
        print(path)
