"""Web addresses with a scheme. Stock Presidio also flags `foo.py` and takes 0.9 s per kB on `a.a.a.a`."""

from presidio_analyzer import PatternRecognizer

from pipelines.curate.recognizers.bounded import patterns


def url() -> PatternRecognizer:
    """Finds http(s), ftp and websocket addresses up to 2,048 characters, and `www.` ones with a path; closing punctuation
    stays outside."""
    inside = r"[^\s<>\"'`)\]}\u3000-\u303f\u3131-\uffff]"
    rest = rf"{inside}{{0,2047}}(?:(?![.,;:!?]){inside})"
    bare = rf"(?<![\w.@/-])www\.[a-z0-9-]{{1,63}}(?:\.[a-z0-9-]{{1,63}}){{1,5}}/{rest}"
    return patterns("URL", [(rf"\b(?:https?|ftp|wss?)://{rest}", 0.8), (bare, 0.6)])
