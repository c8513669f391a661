"""What models of this home say to the same questions: greedy answers, from a child process."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlmodel import Session

from pipelines.errors import Busy
from pipelines.isolated import run_in_child
from service.store import models
from service.store.models import StoredModel
from service.store.tables import ServedForm

_SECONDS = 3600.0


# A model is loaded whole beside the one that serves: on one machine one at a time.
_asking = threading.Lock()


@contextmanager
def one_comparison() -> Iterator[None]:
    """Holds this process's one place to ask other models. Raises Busy where somebody has it."""
    if not _asking.acquire(blocking=False):
        raise Busy("models are being asked already, on this machine one comparison at a time; try again in a moment")
    try:
        yield
    finally:
        _asking.release()


class Asked(NamedTuple):
    """A model that is asked, and what it is here: origin, champion, newest candidate, or nothing of these."""

    model: StoredModel
    role: str


def ask(home: Path, form: ServedForm, prompts: Sequence[str], max_tokens: int) -> list[str]:
    """Greedy answers of a served form of this home.

    Raises:
        GGUFError: its file is missing or cannot be loaded. ChildCrashed: it crashes llama.cpp.
    """
    return ask_on(home, form, [[{"role": "user", "content": prompt}] for prompt in prompts], max_tokens)


def ask_on(home: Path, form: ServedForm, chats: Sequence[Sequence[Mapping[str, str]]], max_tokens: int) -> list[str]:
    """The same for chats of several turns, each a role and what was said. Raises as `ask`, and InputError for one too long."""
    request = {"form": form_record(home, form), "prompts": [list(chat) for chat in chats], "max_tokens": max_tokens}
    return list(run_in_child("pipelines.gguf.ask:answer_here", request, timeout_seconds=_SECONDS)["answers"])


def whom_to_ask(session: Session, ids: Sequence[str]) -> list[Asked]:
    """These models; without any the newest origin, the champion and the newest candidate.

    Those without a file are left out. Raises NotFound if one does not exist.
    """
    if ids:
        return [Asked(models.get_model(session, id), "") for id in ids]
    champion, stored = models.champion_id(session), models.list_models(session)
    by_role = {
        "origin": [one for one in stored if one.model.kind == "origin"],
        "champion": [one for one in stored if one.model.id == champion],
        "newest candidate": [one for one in stored if one.model.kind == "candidate"],
    }
    roles: dict[str, Asked] = {}
    for role, there in by_role.items():
        served = [one for one in there if one.form is not None and one.form.collected_at is None]
        if served:
            known = roles.get(served[0].model.id)
            roles[served[0].model.id] = Asked(served[0], f"{known.role}, {role}" if known else role)
    return list(roles.values())


def form_record(home: Path, form: ServedForm) -> dict[str, Any]:
    """The form with whole paths, as the pipelines read it."""
    keys = ("kind", "sha256", "adapter_sha256", "scale", "quantization")
    paths = {key: str(home / path) if (path := getattr(form, key)) else None for key in ("path", "adapter_path")}
    return {key: getattr(form, key) for key in keys} | paths
