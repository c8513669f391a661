"""The origin as an author: several prompts at once through its own template, sampled as it is meant to be sampled."""

import codecs
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import chat
from pipelines.errors import GGUFError
from pipelines.gguf.sampling import sample
from pipelines.gguf.session import Row, Session
from pipelines.records import Record, ServedForm

SEQUENCES = 6
CONTEXT = 1024
_TEMPERATURE, _TOP_P = 0.7, 0.95
_PROMPT_TEMPERATURE, _PROMPT_TOP_P = 1.0, 0.95  # of user turns: variety is what they are for
_PROMPT_TOKENS = 160
_MARK = "PERENNIALUSERTURN"
_WARM, _TIMED = 2, 12


class Sampling(Record):
    """How answers are sampled, and where that comes from."""

    temperature: float = _TEMPERATURE
    top_p: float = _TOP_P
    source: str = "default"


class Written(Record):
    """One sampled text. `ended`: it came to its end by itself; `control`: a token stands in it that only templates write."""

    text: str
    ended: bool
    control: bool
    tokens: int


def sampling_of(base: Path) -> Sampling:
    """The base's own settings, from its generation_config.json; ours where it names none."""
    try:
        found: dict[str, Any] = json.loads((base / "generation_config.json").read_bytes())
        return Sampling(
            temperature=found["temperature"], top_p=found.get("top_p") or 1.0, source="generation_config.json"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Sampling()


class Author:
    """A loaded served form that writes `SEQUENCES` texts at a time.

    Raises:
        GGUFError: it cannot be loaded, or holds no chat template.
    """

    def __init__(self, form: ServedForm, sampling: Sampling) -> None:
        self.session = Session(form, context=1, sequences=SEQUENCES)
        self.session.grow(min(CONTEXT, self.session.trained_context))
        self._sampling = sampling
        if self.session.chat_template is None:
            raise GGUFError(f"{form.path} holds no chat template; export it again from a model that has one")
        self._template = self.session.chat_template

    def ask(self, seed: int, number: int) -> list[Written]:
        """User turns of the model's own, sampled where its template lets a person begin."""
        rendered = self._render(_MARK, generate=False)
        prefix = rendered[: rendered.index(_MARK)]
        settings = Sampling(temperature=_PROMPT_TEMPERATURE, top_p=_PROMPT_TOP_P)
        return self._write([prefix] * SEQUENCES, _PROMPT_TOKENS, settings, f"{seed}/ask/{number}")

    def answer(self, prompts: Sequence[str], max_tokens: int, seed: str) -> list[Written | None]:
        """An answer to each prompt, at most SEQUENCES of them; None for a prompt that the context has no room for."""
        rendered = [self._render(prompt, generate=True) for prompt in prompts]
        room = self.session.context - max_tokens
        fits = [len(self.session.tokenize(text)) <= room for text in rendered]
        kept = [text for text, fit in zip(rendered, fits, strict=True) if fit]
        answers = iter(self._write(kept, max_tokens, self._sampling, seed))
        return [next(answers) if fit else None for fit in fits]

    def tokens_per_second(self) -> float:
        """How many tokens it writes in a second, all sequences together, timed now."""
        rows = self._read([self._render("Hello", generate=True)] * SEQUENCES)
        for step in range(_WARM + _TIMED):
            if step == _WARM:
                started = time.perf_counter()
            rows = self.session.feed_each({place: int(row.argmax()) for place, row in rows.items()})
        return SEQUENCES * _TIMED / (time.perf_counter() - started)

    def is_plain(self, text: str) -> bool:
        """Whether no token that only templates write stands in a text, spelt out."""
        return self.session.escape(text) == text

    def _render(self, prompt: str, *, generate: bool) -> str:
        messages = [{"role": "user", "content": prompt}]
        return chat.render(self._template, messages, escape=self.session.escape, generate=generate)

    def _read(self, prompts: Sequence[str]) -> dict[int, Row]:
        read = {place: self.session.read(self.session.tokenize(text), place) for place, text in enumerate(prompts)}
        return read

    def _write(self, prompts: Sequence[str], max_tokens: int, settings: Sampling, seed: str) -> list[Written]:
        texts = [_Text(f"{seed}/{place}") for place in range(len(prompts))]
        rows = self._read(prompts)
        for _ in range(max_tokens):
            step: dict[int, int] = {}
            for place, row in rows.items():
                token = sample(row, settings.temperature, settings.top_p, texts[place].generator)
                if not texts[place].take(token, self.session):
                    step[place] = token
            if not step:
                break
            rows = self.session.feed_each(step)
            _require_finite(rows)
        return [text.written() for text in texts]


class _Text:
    """A text in the making, with a source of randomness of its own."""

    def __init__(self, seed: str) -> None:
        self.generator = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
        self._bytes, self._tokens, self._ended, self._control = bytearray(), 0, False, False

    def take(self, token: int, session: Session) -> bool:
        """Add a token; whether the text is at its end."""
        self._ended = session.ends(token)
        if self._ended or session.is_control(token):
            self._control = not self._ended
            return True
        self._bytes += session.piece(token)
        self._tokens += 1
        return False

    def written(self) -> Written:
        text = codecs.decode(bytes(self._bytes), "utf-8", "replace").replace("\0", "")
        return Written(text=text.strip(), ended=self._ended, control=self._control, tokens=self._tokens)


def _require_finite(rows: dict[int, Row]) -> None:
    if not all(bool(np.isfinite(row).all()) for row in rows.values()):
        raise GGUFError("the base computed logits that are not finite; its weights are bad")
