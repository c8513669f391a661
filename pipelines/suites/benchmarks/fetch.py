"""A benchmark's published files from the hub, at a commit that the suite keeps: `perennial suites add NAME --hub`."""

from pathlib import Path
from typing import Any

from pipelines.errors import DataError, MissingDependency
from pipelines.isolated import run_in_child
from pipelines.records import Record
from pipelines.suites.benchmarks.benchmark import Benchmark

# For the fetching child alone: every other process stays offline, and so does this one.
_ONLINE = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
_MAIN = "main"


class FetchedData(Record):
    """The folder of a data set's files, and the commit that they are of."""

    folder: Path
    commit: str


def fetch_data(benchmark: Benchmark, revision: str | None = None) -> FetchedData:
    """The files of a benchmark's data set at a branch, tag or commit; of a commit that is here already nothing is fetched.

    Raises:
        DataError: the hub is silent, has no such data set or revision, or gives it only to those who accepted its terms.
        MissingDependency: huggingface_hub is not installed.
    """
    arguments = {"hub": benchmark.hub, "revision": revision or _MAIN, "takes": list(benchmark.takes)}
    folder = Path(
        run_in_child("pipelines.suites.benchmarks.fetch:fetch_here", arguments, environment=_ONLINE)["folder"]
    )
    return FetchedData(folder=folder, commit=folder.name)


def fetch_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """The body of `fetch_data`, for its child process."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise MissingDependency("--hub needs huggingface_hub: pip install 'perennial-service[train]'") from error
    hub, revision = arguments["hub"], arguments["revision"]
    way_out = f"download it elsewhere from https://huggingface.co/datasets/{hub} and name the folder with --data"
    try:
        folder = snapshot_download(hub, repo_type="dataset", revision=revision, allow_patterns=arguments["takes"])
    except RevisionNotFoundError as error:
        raise DataError(
            f"the hub's data set '{hub}' has no revision '{revision}'; leave --revision out for {_MAIN}"
        ) from error
    except GatedRepoError as error:
        raise DataError(
            f"the hub gives the data set '{hub}' only to those who accepted its terms: accept them on its page and put a "
            f"token of your account into HF_TOKEN, or {way_out}"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"the hub did not give the data set '{hub}': {first}; {way_out}") from error
    return {"folder": folder}
