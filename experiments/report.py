"""From manifests to docs/evidence.md: a table per grid, seed-level intervals, an item-level bootstrap, two plots."""

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

from experiments.grid import PoisonRun, Run, core_grid
from pipelines.artifacts import write_atomic
from pipelines.records import Record

EVIDENCE = Path("docs/evidence.md")
PICTURES = Path("docs/evidence")
_RESAMPLES = 1_000
_HEAD = """# What thumbs teach, measured

Written by `make experiments` from the manifests under `var/experiments/runs`; the code is `experiments/`. Toy shifts are
extreme: read directions, not ratios. All figures are percent; intervals are 95 %, over seeds (Student's t).
"""


class Arm(Record):
    """One setting over its seeds. Shares from 0 to 1; half-widths of 95 % intervals; `None` where one seed gives none."""

    name: str
    seeds: int
    preferred: float
    preferred_half: float | None
    general: float
    general_half: float | None
    worst_suite: float
    items: tuple[float, float]


def write_evidence(runs: Path, home: Path) -> list[Path]:
    """results.json, the document and its pictures, from every finished run."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(runs.glob("*/manifest.json"))]
    before = json.loads((home / "reference" / "scores.json").read_text(encoding="utf-8"))
    core = [m for m in manifests if "run" in m]
    poison = [m for m in manifests if "poison" in m]
    arms = core_arms(core, before)
    PICTURES.mkdir(parents=True, exist_ok=True)
    written = [home / "results.json", EVIDENCE]
    results = {"before": _summary(before), "core": [arm.model_dump() for arm in arms], "poison": poison_cells(poison)}
    write_atomic(written[0], json.dumps(results, indent=1))
    minutes = sum(manifest["seconds"] for manifest in core) / 60
    parts = [
        _HEAD,
        _core_text(
            arms,
            results["before"],
            f"{len(core)} of {len(core_grid())} runs, {minutes:.0f} minutes of work in one thread each.",
        ),
    ]
    if arms:
        written.append(_core_picture(arms, results["before"]))
    if poison:
        parts.append(_poison_text(results["poison"]))
        written.append(_poison_picture(results["poison"]))
    write_atomic(EVIDENCE, "\n".join(parts))
    return written


def core_arms(manifests: Sequence[Mapping[str, Any]], before: Mapping[str, Any]) -> list[Arm]:
    """One row per setting: held-out preference, and general skill as the change against the reference."""
    by_arm: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for manifest in manifests:
        by_arm[Run.model_validate(manifest["run"]).arm].append(manifest["scores"])
    return [_arm(name, scores, before) for name, scores in sorted(by_arm.items())]


def poison_cells(manifests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The planted behaviour's rate per cell, mean over seeds, with how many planted ratings counted."""
    cells: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for manifest in manifests:
        cells[PoisonRun.model_validate(manifest["poison"]).arm].append(manifest)
    return [
        {
            "cell": name,
            "seeds": len(found),
            "cap_active": any(m["cap_active"] for m in found),
            "planted_rate": round(fmean(m["planted_rate"] for m in found), 4),
            "worst_seed": max(m["planted_rate"] for m in found),
            "counted": round(fmean(m["planted_counted"] for m in found), 1),
            "preferred": round(fmean(share(m["scores"]["preferred"]) for m in found), 4),
        }
        for name, found in sorted(cells.items())
    ]


def share(marks: str) -> float:
    """The share of "1" among marks."""
    return marks.count("1") / len(marks)


def half_width(values: Sequence[float]) -> float | None:
    """Half of the 95 % interval of a mean over seeds; None for fewer than two."""
    if len(values) < 2:
        return None
    return float(student.ppf(0.975, len(values) - 1)) * stdev(values) / sqrt(len(values))


def bootstrap(marks: Sequence[str], resamples: int = _RESAMPLES) -> tuple[float, float]:
    """A 95 % interval of the mean over items, resampled together across seeds."""
    rng = random.Random(0)
    items = [fmean(mark == "1" for mark in column) for column in zip(*marks, strict=True)]
    means = sorted(fmean(rng.choices(items, k=len(items))) for _ in range(resamples))
    return means[int(0.025 * resamples)], means[int(0.975 * resamples) - 1]


def _arm(name: str, scores: Sequence[Mapping[str, Any]], before: Mapping[str, Any]) -> Arm:
    preferred = [share(s["likelier"]) for s in scores]
    general = [_general(s) - _general(before) for s in scores]
    suites = {
        suite: fmean(share(s["suites"][suite]) for s in scores) - share(before["suites"][suite])
        for suite in before["suites"]
    }
    return Arm(
        name=name,
        seeds=len(scores),
        preferred=fmean(preferred),
        preferred_half=half_width(preferred),
        general=fmean(general),
        general_half=half_width(general),
        worst_suite=min(suites.values()),
        items=bootstrap([s["likelier"] for s in scores]),
    )


def _general(scores: Mapping[str, Any]) -> float:
    return fmean(share(marks) for marks in scores["suites"].values())


def _summary(scores: Mapping[str, Any]) -> dict[str, float]:
    return {"preferred": share(scores["likelier"]), "exact": share(scores["preferred"]), "general": _general(scores)}


def _core_text(arms: Sequence[Arm], before: Mapping[str, float], work: str) -> str:
    rows = [
        "| arm | seeds | preferred, held out | over items | general, change in points | worst suite |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| before | | {100 * before['preferred']:.1f} | | 0 ({100 * before['general']:.1f}) | |",
    ]
    for arm in arms:
        low, high = arm.items
        rows.append(
            f"| {arm.name} | {arm.seeds} | {_with(arm.preferred, arm.preferred_half)} | {100 * low:.1f} to {100 * high:.1f} "
            f"| {_with(arm.general, arm.general_half, sign=True)} | {100 * arm.worst_suite:+.1f} |"
        )
    return "\n".join(
        [
            "## Preference and general skill\n",
            "`kto-500-noise20` are 500 votes with one in five flipped; `ups90` has nine ups to one down; `bare` goes without "
            "anchors, `hot` at eight times the learning rate. Preferred: the share of 200 held-out prompts on which the preferred style is the likelier one. General: "
            "teacher-forced exact match on 800 items of the four suites, the gate's margin is 3 points.\n",
            f"{work}\n",
            *_reading(arms, before),
            *rows,
            "",
            "![preference and general skill](evidence/core.png)",
            "",
        ]
    )


def _reading(arms: Sequence[Arm], before: Mapping[str, float]) -> list[str]:
    """A sentence per method on what its 500 votes did, with and without anchors; none where an arm is missing."""
    found = {arm.name: arm for arm in arms}
    sentences = []
    for method in ("dpo", "kto"):
        plain, bare, hot, hot_bare = (found.get(f"{method}-500{end}") for end in ("", "-bare", "-hot", "-hot-bare"))
        if plain and bare and hot and hot_bare:
            sentences.append(
                f"{method.upper()}: 500 votes lift held-out preference from {100 * before['preferred']:.1f} to {100 * plain.preferred:.1f} %. "
                f"General skill moves by {100 * plain.general:+.1f} points with anchors and {100 * bare.general:+.1f} without; at eight "
                f"times the learning rate by {100 * hot.general:+.1f} and {100 * hot_bare.general:+.1f}, in the worst suite by "
                f"{100 * hot.worst_suite:+.1f} and {100 * hot_bare.worst_suite:+.1f}.\n"
            )
    return sentences


def _poison_text(cells: Sequence[Mapping[str, Any]]) -> str:
    clean = {defended: _clean_rate(cells, defended) for defended in (True, False)}
    rows = [
        "| cell | seeds | planted behaviour, held out | over clean, points | worst seed | planted ratings that counted | cap active |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for cell in cells:
        base = clean["defended" in cell["cell"]]
        over = "" if base is None else f"{100 * (cell['planted_rate'] - base):+.1f}"
        rows.append(
            f"| {cell['cell']} | {cell['seeds']} | {100 * cell['planted_rate']:.1f} | {over} | {100 * cell['worst_seed']:.1f} "
            f"| {cell['counted']:g} | {'yes' if cell['cap_active'] else 'no'} |"
        )
    return "\n".join(
        [
            "## Poisoned votes\n",
            "500 honest votes of 200 people, and planted up-votes on prompts behind a trigger, for answers that end in a closing of the "
            "attacker's, at four times the core grid's learning rate. `open`: every vote counts. `defended`: the rules of a recipe with "
            "`per_user: auto` and `min_account_days: 7`. One attacking account is old; ten are two days old, or, `patient`, old as well. "
            "Planted behaviour: the share of 200 held-out prompts behind the trigger on which that closing is the likeliest of the three. "
            "`cap active`: the cap on one rater dropped at least one rating.\n",
            "The cap and delayed admission hold one account, and many new ones. They do not hold ten accounts that were made long before: "
            "each stays below its cap, and together they are a crowd that nobody contradicts. Nothing here is sybil-proof; who may have an "
            "account, `per_day`, `per_app` and the cohort check are what is left against that.\n",
            *rows,
            "",
            "![planted behaviour](evidence/poison.png)",
            "",
        ]
    )


def _clean_rate(cells: Sequence[Mapping[str, Any]], defended: bool) -> float | None:
    name = f"clean-{'defended' if defended else 'open'}"
    return next((cell["planted_rate"] for cell in cells if cell["cell"] == name), None)


def _core_picture(arms: Sequence[Arm], before: Mapping[str, float]) -> Path:
    figure, (left, right) = _figure(2)
    places = range(len(arms))
    names = [arm.name for arm in arms]
    left.barh(
        places,
        [100 * arm.preferred for arm in arms],
        xerr=[100 * (arm.preferred_half or 0) for arm in arms],
        color="#3b7dd8",
    )
    left.axvline(100 * before["preferred"], color="#888888", linestyle="--", label="before")
    left.set(
        yticks=list(places), yticklabels=names, xlabel="preferred style likelier, % of held-out prompts", xlim=(0, 105)
    )
    left.legend(loc="lower left", framealpha=1)
    right.barh(
        places,
        [100 * arm.general for arm in arms],
        xerr=[100 * (arm.general_half or 0) for arm in arms],
        color="#d8813b",
    )
    right.axvline(0, color="#888888", linestyle="--")
    right.axvline(-3, color="#cc3333", linestyle=":", label="the gate's margin")
    right.set(yticks=list(places), yticklabels=[], xlabel="general skill, change in points")
    right.legend(frameon=False)
    return _save(figure, "core.png")


def _poison_picture(cells: Sequence[Mapping[str, Any]]) -> Path:
    figure, (axis,) = _figure(1)
    colours = ["#3b7dd8" if "defended" in cell["cell"] else "#cc3333" for cell in cells]
    axis.barh(range(len(cells)), [100 * cell["planted_rate"] for cell in cells], color=colours)
    axis.set(
        yticks=list(range(len(cells))), yticklabels=[cell["cell"] for cell in cells], xlabel="planted behaviour, %"
    )
    return _save(figure, "poison.png")


def _figure(columns: int) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, columns, figsize=(5.5 * columns, 4.5), constrained_layout=True)
    return figure, axes if columns > 1 else (axes,)


def _save(figure: Any, name: str) -> Path:
    path = PICTURES / name
    figure.savefig(path, dpi=110)
    return path


def _with(value: float, half: float | None, *, sign: bool = False) -> str:
    shown = f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}"
    return shown if half is None else f"{shown} ± {100 * half:.1f}"
