"""The library that reads and writes Parquet files, which is an extra: everything else goes without it."""

from typing import Any

from pipelines.errors import MissingDependency


def open_pyarrow() -> Any:
    """pyarrow, with `pyarrow.parquet` loaded.

    Raises:
        MissingDependency: it is not installed; the sentence holds the command that mends it.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependency(
            "Parquet needs pyarrow, which is not installed: pip install 'perennial-service[parquet]', or use JSON lines"
        ) from error
    return pyarrow
