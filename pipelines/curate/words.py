"""The word lists that ship beside this file: `wordlists/<name>.txt`, lines of words with a comment at the top."""

from functools import cache
from pathlib import Path


@cache
def words(name: str) -> frozenset[str]:
    """The words of a list; lines that begin with # are comments."""
    lines = (Path(__file__).parent / "wordlists" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
