"""Regenerates everything under data/suites, data/general and data/samples: `python -m tiny.write_data`."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from tiny.anchors import build_anchors
from tiny.claims import build_claims
from tiny.samples import build_samples
from tiny.suites import build_suites, language_prompts
from tiny.world import build_world


def write_data(root: Path) -> list[Path]:
    """Write every generated file under `root` (the data folder); the paths written, the same bytes every time."""
    world = build_world()
    written = []
    for suite in build_suites(world):
        folder = root / "suites" / suite.name
        written += [_lines(folder / "dev.jsonl", suite.dev), _lines(folder / "gate.jsonl", suite.gate)]
        written.append(_text(folder / f"{suite.name}.yaml", suite.task))
    written.append(_lines(root / "suites" / "language" / "prompts.jsonl", language_prompts(world)))
    written.append(_lines(root / "suites" / "sycophancy" / "claims.jsonl", build_claims(world)))
    for name, anchors in build_anchors(world).items():
        written.append(_lines(root / "general" / f"{name}.jsonl", anchors))
    samples = build_samples(world)
    for number, month in enumerate(samples.months, 1):
        written.append(_lines(root / "samples" / f"month-{number}.ndjson", month))
    for name in ("planted", "facts", "questions", "style"):
        value = getattr(samples, name)
        text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
        written.append(_text(root / "samples" / f"{name}.json", text))
    return written


def _lines(path: Path, rows: Iterable[object]) -> Path:
    return _text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


if __name__ == "__main__":
    for path in write_data(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("data")):
        print(path)
