"""Adding what models are measured on: a published benchmark, or a file of one's own checks."""

from pathlib import Path
from typing import NamedTuple

from pipelines.errors import InputError
from pipelines.suites.benchmarks.fetch import fetch_data
from pipelines.suites.benchmarks.make import BENCHMARKS, find_benchmark, make_benchmark
from pipelines.suites.load import Suite
from pipelines.suites.own import read_own
from pipelines.suites.write import SuiteText, check_name, write_suite
from service.settings import Settings


def add_suite(
    settings: Settings,
    what: str,
    *,
    data: Path | None = None,
    hub: bool = False,
    revision: str | None = None,
    name: str | None = None,
    shots: int | None = None,
    scorer: str | None = None,
) -> Suite:
    """Add the benchmark of this name, from a folder or from the hub, or the checks of a .jsonl file.

    Raises:
        InputError: `what` is neither, or it is asked for in a way that does not fit it. DataError, SuiteError: the data
            cannot be used. MissingDependency: it takes a package that is not installed.
    """
    if what in BENCHMARKS:
        text = _benchmark(_Source(what, data, hub, revision), name, shots, scorer, settings)
    elif data is not None or shots is not None or hub or revision:
        raise InputError(
            "--data, --hub, --revision and --shots are for benchmarks; a file of your own checks is all there is"
        )
    else:
        text = _checks(what, name, scorer, settings)
    return write_suite(settings.suites, text)


class _Source(NamedTuple):
    """Where a benchmark's data is, as it was asked for."""

    benchmark: str
    data: Path | None
    hub: bool
    revision: str | None


def _benchmark(
    source: _Source, name: str | None, shots: int | None, scorer: str | None, settings: Settings
) -> SuiteText:
    """The benchmark's suite, not written yet. Raises as its readers do, before anything is fetched where it can."""
    if scorer is not None:
        raise InputError(f"--scorer is for checks of your own; {source.benchmark} has its own way of scoring")
    benchmark = find_benchmark(source.benchmark)
    check_name(name or source.benchmark, settings.suite_folders)
    if source.revision is not None and not source.hub:
        raise InputError("--revision is for --hub; a folder is what it is")
    if (source.data is None) is not source.hub:
        raise InputError(
            f"name the folder with the data of {source.benchmark}: --data FOLDER, or let it be fetched: --hub; its authors "
            f"publish it at https://huggingface.co/datasets/{benchmark.hub} ({benchmark.licence})"
        )
    if source.data is not None:
        return make_benchmark(benchmark, source.data, shots, name)
    fetched = fetch_data(benchmark, source.revision)
    return make_benchmark(benchmark, fetched.folder, shots, name, fetched.commit)


def _checks(what: str, name: str | None, scorer: str | None, settings: Settings) -> SuiteText:
    """The suite of a file of one's own checks, not written yet. Raises as its reader does."""
    if Path(what).suffix != ".jsonl":
        raise InputError(
            f"{what[:80]!r} is neither a benchmark ({', '.join(BENCHMARKS)}) nor a file of checks (.jsonl)"
        )
    chosen = name or Path(what).stem.lower()
    check_name(chosen, settings.suite_folders)
    return read_own(chosen, Path(what), scorer)
