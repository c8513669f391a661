"""The word lists that ship beside this file: `wordlists/<name>.txt`, lines of words with a comment at the top."""

from functools import cache
from pathlib import Path


@cache
def words(name: str) -> frozenset[str]:
    """The words of a list; lines that begin with # are comments."""
    return frozenset(word for line in lines(name) for word in line.split())


@cache
def lines(name: str) -> tuple[str, ...]:
    """The lines of a list, each without blanks around it; empty ones and comments are left out."""
    text = (Path(__file__).parent / "wordlists" / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
