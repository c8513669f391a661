"""How people's names are to be found: asked once at a terminal, answered elsewhere by `perennial up --names`.

The answer is kept in the home's settings file; a variable of the environment goes before it.
"""

import os
import sys

from rich.console import Console

from pipelines.errors import InputError
from service.choices import keep_names
from service.settings import Settings

_QUESTION = """
People's names are replaced before anything is learned from a conversation.
How are they to be found?
  rules   by rules and lists of names: works at once, and misses a quarter
          of English and two fifths of Korean names in chat
  MODEL   by a model as well: an installed spaCy package, or the folder of a
          spaCy, Hugging Face or GLiNER model (several with commas)
  later   not yet: conversations are kept, sealed, and nothing is learned"""


def settle_names(settings: Settings, answer: str | None, console: Console) -> Settings:
    """The settings once it is known how names are found: from `answer`, else from whoever sits at the terminal.

    Raises:
        InputError: the answer is no model, or the environment says something else.
    """
    if answer is not None:
        return keep_names(settings, answer)
    if settings.says_how_to_find_names or not can_ask():
        return settings
    return _ask(settings, console)


def can_ask() -> bool:
    """Whether somebody sits at a terminal and sees us: a job in the background would be stopped if it read from it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()


def _ask(settings: Settings, console: Console) -> Settings:
    console.print(_QUESTION, markup=False)
    while True:
        answer = console.input("rules, a model, or later? ", markup=False).strip()
        if not answer:
            continue
        try:
            return keep_names(settings, answer)
        except InputError as error:
            console.print(str(error), markup=False)
