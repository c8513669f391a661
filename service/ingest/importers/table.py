"""Every format that can be imported, in the order in which a file is held against them."""

from collections.abc import Sequence

from pipelines.errors import InputError
from pipelines.text import find_nearest
from service.ingest.importers import (
    alpaca,
    anthropic,
    chatgpt,
    claude,
    langfuse,
    librechat,
    llamacpp,
    lmstudio,
    mlflow,
    ollama,
    open_webui,
    open_webui_database,
    open_webui_feedback,
    openai,
    opik,
    own,
    phoenix,
    sharegpt,
    trl,
)
from service.ingest.importers.items import Format, Look, TableFormat

AnyFormat = Format | TableFormat
FORMATS: tuple[AnyFormat, ...] = (
    open_webui.FORMAT,
    open_webui_feedback.FORMAT,
    open_webui_feedback.CSV_FORMAT,
    open_webui_database.FORMAT,
    librechat.FORMAT,
    chatgpt.FORMAT,
    claude.FORMAT,
    lmstudio.FORMAT,
    llamacpp.FORMAT,
    ollama.FORMAT,
    langfuse.FORMAT,
    phoenix.FORMAT,
    opik.FORMAT,
    mlflow.FORMAT,
    sharegpt.FORMAT,
    alpaca.FORMAT,
    trl.FORMAT,
    # a list of messages is many things: the more it says of itself, the earlier it is asked
    anthropic.FORMAT,
    openai.FORMAT,
    own.FORMAT,
)


def find_format(name: str) -> AnyFormat:
    """The format of this name.

    Raises:
        InputError: there is none.
    """
    found = next((one for one in FORMATS if one.name == name), None)
    if found is None:
        names = [one.name for one in FORMATS]
        near = find_nearest(name, names)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(names)}"
        raise InputError(f"no format is called {name[:40]!r}; {hint}")
    return found


def recognise(look: Look, formats: Sequence[AnyFormat] = FORMATS) -> AnyFormat | None:
    """The first format that a file looks like."""
    return next((one for one in formats if _fits(one, look)), None)


def _fits(one: AnyFormat, look: Look) -> bool:
    if isinstance(one, TableFormat) != (look.kind == "sqlite"):
        return False
    try:
        return one.recognises(look)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):  # a key of its own with something else in it
        return False
