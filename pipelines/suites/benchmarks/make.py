"""A benchmark's published files as a suite of ours: dev and gate parts by subject, examples first, source and licence."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.artifacts import digest_of
from pipelines.errors import DataError, InputError
from pipelines.suites.benchmarks import endings, letters, written
from pipelines.suites.benchmarks.benchmark import Benchmark, Fields
from pipelines.suites.benchmarks.files import Row, read_folder
from pipelines.suites.load import Item, choose_of
from pipelines.suites.write import SuiteText

BENCHMARKS = (
    *("kmmlu", "mmlu", "humaneval", "mbpp", "math", "gsm8k", "ifeval", "hellaswag", "arc", "haerae", "kobest"),
)
MAX_DEV = 300  # settings are chosen on 100 of them by default
DEV_SHARE = 0.1
_MAKER = 1  # raise it when the same files would make other items

Rows = dict[str, list[tuple[Row, Fields]]]


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of this name.

    Raises:
        InputError: there is none; the sentence lists those that there are.
        MissingDependency: lm-evaluation-harness is not installed.
    """
    if name not in BENCHMARKS:
        raise InputError(f"no benchmark is called '{name}'; known are {', '.join(BENCHMARKS)}")
    every = (*letters.BENCHMARKS, *endings.BENCHMARKS, *written.benchmarks())
    return next(one for one in every if one.name == name)


def make_benchmark(
    benchmark: Benchmark, folder: Path, shots: int | None = None, name: str | None = None, revision: str = ""
) -> SuiteText:
    """The suite that these published files make; the same files always make the same one.

    Args:
        shots: how many examples are shown before a question; None takes what is usual for the benchmark.
        name: what to call the suite, if not as the benchmark.
        revision: the hub's commit that the files are of; empty for files from elsewhere.

    Raises:
        DataError: the files are not this benchmark's, or none of them holds items to be gated on.
        MissingDependency: the harness is not installed.
    """
    parts = _parts(benchmark, folder)
    gate = _first(parts, benchmark.gate)
    if not parts.get(gate or "", []):
        known = ", ".join(sorted(part or "a file that names no part" for part in parts)) or "nothing"
        raise DataError(f"{folder} has no items of {benchmark.name} to gate on; it holds {known}")
    dev = _first(parts, [part for part in benchmark.dev if part != gate])
    shown = _first(parts, [part for part in benchmark.shown if part != gate])
    examples, prefixes = _examples(benchmark, parts.get(shown or "-", []), benchmark.shots if shots is None else shots)
    items = _items(benchmark, parts[gate or ""])
    if dev is not None:
        chosen = choose_of(_items(benchmark, _without(parts[dev], examples)), MAX_DEV)
    else:
        chosen = choose_of(items, min(MAX_DEV, max(1, round(DEV_SHARE * len(items)))))
    taken = {item.id for item in chosen}
    gated = tuple(item for item in items if item.id not in taken)
    if not chosen or not gated:
        raise DataError(
            f"{folder} has {len(items)} items of {benchmark.name}; a suite needs some to choose by and some to gate on"
        )
    task = _task(benchmark, gated, chosen, prefixes, len(examples))
    task["metadata"] |= {"revision": revision} if revision else {}
    return SuiteText(name or benchmark.name, task, chosen, gated, prefixes)


def _parts(benchmark: Benchmark, folder: Path) -> Rows:
    """Rows and their items' fields by part, each question once."""
    parts: Rows = {}
    seen: set[str] = set()
    for row in map(benchmark.adjust, read_folder(folder, benchmark.headless)):
        missing = [column for column in benchmark.columns if row.fields.get(column) is None]
        if missing:
            raise DataError(f"{row.place} is no row of {benchmark.name}: it lacks {', '.join(missing)}")
        try:
            fields = benchmark.fields(row)
        except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
            raise DataError(f"{row.place} is no row of {benchmark.name}: {type(error).__name__}: {error}") from error
        if fields is None or (key := f"{row.part}/{digest_of(fields)}") in seen:
            continue
        seen.add(key)
        parts.setdefault(row.part, []).append((row, fields))
    return parts


def _first(parts: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next((name for name in names if parts.get(name)), None)


def _examples(
    benchmark: Benchmark, rows: Sequence[tuple[Row, Fields]], shots: int
) -> tuple[set[str], Mapping[str, str]]:
    """The digests of the rows that are shown, and by stratum what stands before its questions."""
    strata: dict[str, list[tuple[Row, Fields]]] = {}
    for row, fields in rows:
        strata.setdefault(fields["stratum"], []).append((row, fields))
    used: set[str] = set()
    prefixes = {"": benchmark.introduces("")} if benchmark.name == "math" else {}
    for stratum, members in sorted(strata.items()):
        chosen = members[:shots]
        used |= {digest_of(fields) for _, fields in chosen}
        shown = "".join(benchmark.shows(row, fields) for row, fields in chosen)
        prefixes[stratum] = benchmark.introduces(stratum) + shown
    return used, {stratum: text for stratum, text in prefixes.items() if text}


def _without(rows: Sequence[tuple[Row, Fields]], used: set[str]) -> list[tuple[Row, Fields]]:
    return [(row, fields) for row, fields in rows if digest_of(fields) not in used]


def _items(benchmark: Benchmark, rows: Sequence[tuple[Row, Fields]]) -> tuple[Item, ...]:
    return tuple(
        Item(key, fields["prompt"], fields["answer"], fields["stratum"], {"id": key, **fields})
        for _, fields in rows
        for key in [f"{benchmark.name}-{digest_of(fields)[:12]}"]
    )


def _task(
    benchmark: Benchmark, gated: Sequence[Item], chosen: Sequence[Item], prefixes: Mapping[str, str], shots: int
) -> dict[str, Any]:
    digest = digest_of([*(dict(item.fields) for item in (*chosen, *gated)), dict(prefixes)])
    strata = {item.stratum for item in gated if item.stratum}
    return {
        **benchmark.task,
        "scorer": benchmark.scorer,
        "metric": benchmark.metric,
        "metadata": {
            "version": f"{_MAKER}.{digest[:8]}",
            "scorer": benchmark.scorer,
            "source": f"https://huggingface.co/datasets/{benchmark.hub}",
            "licence": benchmark.licence,
            "subjects": len(strata),
            "examples": shots,
        },
    }
