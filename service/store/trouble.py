"""What a failure of the database means for whoever reads it, in one sentence without SQL or values."""

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

# by the beginning of SQLite's own name for it
_SQLITE = {
    "SQLITE_READONLY": "the database {file} may not be written: mend the rights of the file and its folder",
    "SQLITE_CANTOPEN": "the database {file} cannot be opened: mend the rights of the file and its folder",
    "SQLITE_FULL": "the disk under the database {file} is full: make room there",
    "SQLITE_NOTADB": "{file} is no SQLite database: bring it back from a backup (docs/operating.md)",
    "SQLITE_CORRUPT": "the database {file} is damaged: bring it back from a backup (docs/operating.md)",
    "SQLITE_BUSY": "the database {file} is locked by another program: end that, or try again in a moment",
    "SQLITE_IOERR": "the disk under the database {file} is full or failed: make room there, or mend it",
}


def explain(error: SQLAlchemyError, url: str) -> str:
    """The sentence for an error of the database that this URL names."""
    original = error.orig if isinstance(error, DBAPIError) else error
    name = getattr(original, "sqlite_errorname", "")
    file = url.partition(":///")[2]
    for start, sentence in _SQLITE.items():
        if name.startswith(start):
            return sentence.format(file=file)
    return f"the database does not answer: {' '.join(str(original).split())}"
