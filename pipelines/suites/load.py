"""Suites as data: one folder per suite with a versioned lm-evaluation-harness task and its items.

data/suites/tiny_math/
├── tiny_math.yaml   task: tiny_math, output_type: generate_until, metric_list: [...], metadata: {version: 1}
├── dev.jsonl        where adapter scales are to be chosen on it: {"id": "math-dev-0001", "prompt": "What is 41 + 17?", "answer": "58", "stratum": "add"}
├── gate.jsonl       the same shape; multiple choice items also have "choices": ["A", "B", "C", "D"]
└── prefixes.jsonl   where there are examples to show first: {"stratum": "anatomy", "text": "Q...\nAnswer: B\n\n"}

A suite whose metadata names a `scorer` is scored by that one (pipelines/suites/scorers), any other by the harness.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pipelines.artifacts import digest_of
from pipelines.errors import DataError, SuiteError
from pipelines.plain_yaml import parse_plain_yaml, read_plain_yaml
from pipelines.recipe import Metric

Scorer = Literal["letter", "likelihood", "exact", "maths", "instructions", "python", "golden", "perplexity"]
HARNESS_METRICS: tuple[Metric, ...] = ("acc", "acc_norm", "exact_match")
SCORER_METRICS: Mapping[str, tuple[Metric, ...]] = {
    "letter": ("acc",),
    "likelihood": ("acc_norm",),
    "exact": ("exact_match",),
    "maths": ("math_verify",),
    "instructions": ("prompt_level_strict_acc",),
    "python": ("pass_at_1",),
    "golden": ("agreement", "length", "refusals"),
    "perplexity": ("perplexity",),
}
_KNOWN_METRICS = ", ".join(
    dict.fromkeys([*HARNESS_METRICS, *(metric for known in SCORER_METRICS.values() for metric in known)])
)

Split = Literal["dev", "gate"]
SPLITS: tuple[Split, ...] = ("dev", "gate")
OUTPUT_TYPES = ("multiple_choice", "generate_until")
PREFIXES = "prefixes.jsonl"


@dataclass(frozen=True)
class Item:
    """One item; `fields` is the whole line, as the task's templates see it, and the `prefix` of its stratum.

    Items of one cluster are not independent; empty where the item stands alone.
    """

    id: str
    prompt: str
    answer: str
    stratum: str
    fields: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The digest of the item's fields."""
        return digest_of(dict(self.fields))

    @property
    def cluster(self) -> str:
        """What the item shares with items that are not independent of it: a subject, a source."""
        return str(self.fields.get("cluster") or "")

    @property
    def question(self) -> str:
        """What the model is asked: the examples that are shown first, and the prompt."""
        return f"{self.fields.get('prefix') or ''}{self.prompt}"


@dataclass(frozen=True)
class Suite:
    """A suite read and checked; `task` is the YAML as a mapping, `digest` covers the YAML and every item.

    `scorer` is one of pipelines/suites/scorers, None for a task that the harness scores.
    """

    name: str
    version: str
    metric: Metric
    output_type: str
    path: Path
    task: Mapping[str, Any]
    items: Mapping[Split, tuple[Item, ...]]
    digest: str
    scorer: Scorer | None = None

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the YAML says of the suite itself: version, scorer, source, licence."""
        return self.task.get("metadata") or {}


def load_suite(folder: Path) -> Suite:
    """The suite in a folder that holds `<folder name>.yaml`.

    Raises:
        SuiteError: the suite is missing, empty or malformed, repeats an id, or has a metric that gates do not know.
    """
    path = folder / f"{folder.name}.yaml"
    name = folder.name
    task = _task(path, name)
    metric, output_type = _metric(task, name), task.get("output_type")
    if output_type not in OUTPUT_TYPES:
        raise SuiteError(f"suite '{name}' has output_type {output_type!r}; known are {' and '.join(OUTPUT_TYPES)}")
    version, scorer = _metadata(task, path, metric)
    files = _data_files(task, path)
    texts = {split: _read(files[split], name) for split in SPLITS if split == "gate" or files[split].is_file()}
    shown = _read(folder / PREFIXES, name) if (folder / PREFIXES).is_file() else ""
    prefixes = _prefixes(shown, name, folder / PREFIXES)
    items = {
        split: _items(texts[split], name, version, files[split], prefixes) if split in texts else () for split in SPLITS
    }
    _refuse_repeats(items, name)
    sha = hashlib.sha256(path.read_bytes())
    for text in (*texts.values(), *([shown] if shown else [])):
        sha.update(b"\0" + text.encode())
    return Suite(name, version, metric, output_type, path, task, items, sha.hexdigest(), scorer)


def choose_items(suite: Suite, split: Split, count: int | None, seed: int = 0, quarter: str = "") -> tuple[Item, ...]:
    """A fixed choice of `count` items, each stratum by its share of the suite, in the order of the file.

    The same seed and quarter always give the same items, whatever the order of the file; all items if there are not
    more. Half of them stay in every quarter.
    """
    return choose_of(suite.items[split], count, seed, f"{suite.name}/{quarter}" if quarter else "")


def choose_of(items: tuple[Item, ...], count: int | None, seed: int = 0, quarter: str = "") -> tuple[Item, ...]:
    """`choose_items` of these items."""
    if count is None or count >= len(items):
        return items
    strata: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        strata[item.stratum].append(item)
    quotas = _quotas({name: len(members) for name, members in strata.items()}, count)
    chosen: set[str] = set()
    for name, members in strata.items():
        chosen.update(rotated([item.id for item in members], quotas[name], str(seed), quarter))
    return tuple(item for item in items if item.id in chosen)


def rotated(ids: Sequence[str], count: int, seed: str, quarter: str = "") -> list[str]:
    """`count` of these ids by their hashes: under a quarter the first half for good, the others for that quarter."""
    fixed = sorted(ids, key=lambda id: _rank(id, seed))
    if not quarter:
        return fixed[:count]
    kept = min(count, len(fixed)) - count // 2
    return fixed[:kept] + sorted(fixed[kept:], key=lambda id: _rank(id, f"{seed}/{quarter}"))[: count - kept]


def _quotas(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Proportional numbers that add up to `count` by largest remainder; ties go by name."""
    total = sum(sizes.values())
    exact = {name: count * size / total for name, size in sizes.items()}
    quotas = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (quotas[name] - exact[name], name))
    for name in by_remainder[: count - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _rank(id: str, seed: str) -> str:
    return hashlib.sha256(f"{seed}\0{id}".encode()).hexdigest()


def _task(path: Path, name: str) -> Mapping[str, Any]:
    if not path.is_file():
        raise SuiteError(
            f"suite '{name}' is missing: there is no {path}; add it with `perennial suites add`, or take it out of the recipe"
        )
    try:
        task = parse_plain_yaml(read_plain_yaml(path, str(path)), str(path))
    except DataError as error:
        raise SuiteError(f"suite '{name}': {error}") from error
    if not isinstance(task, dict) or task.get("task") != name:
        raise SuiteError(f"suite '{name}': {path} must be a task named {name}")
    if "include" in task:
        raise SuiteError(
            f"suite '{name}': {path} includes another file; write the whole task, so that its digest covers it"
        )
    return task


def _metadata(task: Mapping[str, Any], path: Path, metric: Metric) -> tuple[str, Scorer | None]:
    """The version and the scorer that the YAML names."""
    metadata, name = task.get("metadata") or {}, path.stem
    if metadata.get("version") is None:
        raise SuiteError(f"suite '{name}' has no version: give metadata.version in {path}")
    scorer = metadata.get("scorer")
    if scorer is None:
        if metric not in HARNESS_METRICS:
            raise SuiteError(f"suite '{name}' has the metric '{metric}' but no metadata.scorer that gives it in {path}")
        return str(metadata["version"]), None
    if scorer not in SCORER_METRICS:
        raise SuiteError(f"suite '{name}' has the unknown scorer {scorer!r}; known are {', '.join(SCORER_METRICS)}")
    if metric not in SCORER_METRICS[scorer]:
        given = ", ".join(SCORER_METRICS[scorer])
        raise SuiteError(f"suite '{name}' has the metric '{metric}', and the scorer '{scorer}' gives {given}")
    return str(metadata["version"]), cast(Scorer, scorer)


def _metric(task: Mapping[str, Any], name: str) -> Metric:
    metrics = [entry.get("metric") for entry in task.get("metric_list") or []]
    if not metrics:
        raise SuiteError(f"suite '{name}' has no metric: give metric_list")
    if metrics[0] not in get_args(Metric):
        raise SuiteError(f"suite '{name}' has the unknown metric '{metrics[0]}'; known are {_KNOWN_METRICS}")
    return cast(Metric, metrics[0])


def _data_files(task: Mapping[str, Any], path: Path) -> dict[Split, Path]:
    """The files of both splits, relative to the suite's folder whatever the working directory is."""
    named = (task.get("dataset_kwargs") or {}).get("data_files") or {}
    return {split: path.parent / Path(str(named.get(split, f"{split}.jsonl"))).name for split in SPLITS}


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"suite '{name}' cannot be read: {path}: {error.strerror}") from error


def _items(text: str, name: str, version: str, path: Path, prefixes: Mapping[str, str]) -> tuple[Item, ...]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise SuiteError(f"suite '{name}' v{version} has no items: {path} is empty")
    return tuple(_item(line, f"suite '{name}': line {number} of {path}", prefixes) for number, line in lines)


def _prefixes(text: str, name: str, path: Path) -> Mapping[str, str]:
    """By stratum what is shown before its items; the entry of the stratum "" holds for all that have none."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            row = _parsed(line, f"suite '{name}': line {number} of {path}")
            if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("stratum", "text")):
                raise SuiteError(f"suite '{name}': line {number} of {path} needs the texts `stratum` and `text`")
            found[row["stratum"]] = row["text"]
    return found


def _parsed(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise SuiteError(f"{place} is not JSON: {error}") from error


def _item(line: str, place: str, prefixes: Mapping[str, str]) -> Item:
    fields = _parsed(line, place)
    missing = [key for key in ("id", "prompt", "answer") if not isinstance(fields, dict) or not fields.get(key)]
    if missing:
        raise SuiteError(f"{place} lacks {', '.join(missing)}")
    if not all(isinstance(fields[key], str) for key in ("id", "prompt", "answer")):
        raise SuiteError(f"{place}: id, prompt and answer must be text")
    stratum = str(fields.get("stratum", ""))
    if prefixes:
        fields["prefix"] = prefixes.get(stratum, prefixes.get("", ""))
    return Item(fields["id"], fields["prompt"], fields["answer"], stratum, fields)


def _refuse_repeats(items: Mapping[Split, Sequence[Item]], name: str) -> None:
    counts = Counter(item.id for split in SPLITS for item in items[split])
    repeated = sorted(key for key, count in counts.items() if count > 1)
    if repeated:
        raise SuiteError(f"suite '{name}' repeats the id '{repeated[0]}' ({len(repeated)} ids stand more than once)")
