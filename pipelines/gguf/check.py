"""Is this the file it should be, and does it talk: what must hold before a form is scored, promoted or served."""

import ctypes
import math
from pathlib import Path
from typing import Any

import gguf

from pipelines.artifacts import sha256_of
from pipelines.errors import ChildCrashed, GGUFError
from pipelines.isolated import run_in_child
from pipelines.records import ServedForm

_SMOKE_SECONDS = 600.0
_LOAD_SECONDS = 600.0


def verify(path: Path, sha256: str) -> None:
    """Raises GGUFError unless the file is there and its bytes are the ones that were recorded."""
    if not path.is_file():
        raise GGUFError(f"{path} is missing")
    digest = sha256_of(path)
    if digest != sha256:
        raise GGUFError(f"{path} has changed: its sha256 is {digest[:12]}, recorded was {sha256[:12]}; export it again")


def verify_form(form: ServedForm) -> None:
    """Raises GGUFError unless all files of a served form are the recorded ones."""
    verify(Path(form.path), form.sha256)
    if form.kind == "adapter":
        if form.adapter_path is None or form.adapter_sha256 is None:
            raise GGUFError(f"the adapter form over {form.path} does not name its adapter file and sha256")
        verify(Path(form.adapter_path), form.adapter_sha256)


def smoke_test(form: ServedForm, *, timeout_seconds: float = _SMOKE_SECONDS) -> None:
    """Load the form in a child process and have it answer a short chat.

    Raises:
        GGUFError: changed files, a form that does not load, logits that are not finite, or an end-of-sequence token that
            its own chat template never writes.
        ChildCrashed: llama.cpp crashed or hung on it.
    """
    verify_form(form)
    run_in_child("pipelines.gguf.check:smoke_in_this_process", form.model_dump(), timeout_seconds=timeout_seconds)


def smoke_in_this_process(arguments: dict[str, object]) -> dict[str, object]:
    """The body of `smoke_test`, for its child process."""
    import numpy as np

    from pipelines.chat import render
    from pipelines.gguf.session import Session

    form = ServedForm.model_validate(arguments)
    with Session(form, context=256) as session:
        if not session.is_control(session.end_token):
            raise GGUFError(f"the end-of-sequence token {session.end_token} of {form.path} is an ordinary word")
        template = session.chat_template
        chat = [{"role": "user", "content": "Hello!"}]
        prompt = "Hello!" if template is None else render(template, chat, escape=session.escape, generate=True)
        if template is not None:
            _check_end(session, template, chat)
        row = session.read(session.tokenize(prompt)[-200:])
        tokens: list[int] = []
        while len(tokens) < 8:
            if not bool(np.isfinite(row).all()) or math.isclose(float(row.max()), float(row.min())):
                raise GGUFError(
                    f"{form.path} computes logits that are not finite numbers or all equal; its weights are bad"
                )
            tokens.append(int(row.argmax()))
            if session.ends(tokens[-1]):
                break
            row = session.feed(tokens[-1:])[0]
        return {"tokens": len(tokens)}


def check_adapter(base: Path, adapter: Path) -> None:
    """Load a GGUF adapter onto its base in a child process, where llama.cpp may crash on a bad one.

    Raises:
        GGUFError: the adapter is missing, damaged, or made for another base.
    """
    for path in (base, adapter):
        if not path.is_file():
            raise GGUFError(f"{path} is missing")
    try:
        run_in_child(
            "pipelines.gguf.check:load_adapter_in_this_process",
            {"base": str(base), "adapter": str(adapter)},
            timeout_seconds=_LOAD_SECONDS,
        )
    except (GGUFError, ChildCrashed) as error:
        raise GGUFError(f"the adapter {adapter.name} cannot be used with {base.name}: {error}") from error


def load_adapter_in_this_process(arguments: dict[str, Any]) -> dict[str, Any]:
    """The body of `check_adapter`, for its child process."""
    from pipelines.gguf.runtime import last_words, llama

    library = llama()
    model = library.llama_model_load_from_file(str(arguments["base"]).encode(), library.llama_model_default_params())
    if not model:
        raise GGUFError(f"llama.cpp cannot load the base: {last_words()}")
    adapter = library.llama_adapter_lora_init(model, str(arguments["adapter"]).encode())
    if not adapter:
        raise GGUFError(last_words() or "llama.cpp cannot load it")
    parameters = library.llama_context_default_params()
    parameters.n_ctx = 64
    context = library.llama_init_from_model(model, parameters)
    adapters = (library.llama_adapter_lora_p_ctypes * 1)(adapter)
    code = library.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0))
    if code != 0:
        raise GGUFError(f"llama.cpp refused it with code {code}")
    return {}


def tensor_types(path: Path) -> dict[str, str]:
    """The storage type of every tensor in a GGUF, by name. Raises GGUFError if the file cannot be read."""
    try:
        return {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise GGUFError(f"{path} is not a readable GGUF file: {error}") from error


def _check_end(session: "object", template: str, chat: list[dict[str, str]]) -> None:
    from pipelines.chat import render
    from pipelines.gguf.session import Session

    assert isinstance(session, Session)
    answered = render(template, [*chat, {"role": "assistant", "content": "Hello."}], escape=session.escape)
    tail = session.tokenize(answered.rstrip())[-1]
    if not session.ends(tail):
        raise GGUFError(
            "the chat template ends an answer with a token that does not end generation: answers would never stop; "
            "the tokenizer's eos_token must be the template's end-of-turn marker"
        )
