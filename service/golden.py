"""Keeps a hosted model's answers: asked once over the OpenAI API, a golden suite ever after.

prompts    {"prompt": "How do I return a parcel?"}
           {"messages": [{"role": "system", ...}, {"role": "user", ...}, {"role": "assistant", ...}]}   training files
meanwhile  suites/.NAME.answers.jsonl   {"key": "<digest of model and messages>", "answer": "..."}
           what is there is not asked again, so an interrupted recording goes on where it stopped
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipelines.artifacts import digest_of
from pipelines.errors import Busy, DataError, InputError, Refused
from pipelines.suites.load import Item
from pipelines.suites.own import own_suite, read_rows
from pipelines.suites.probes import is_refusal
from pipelines.suites.write import SuiteText

TIMEOUT_SECONDS = 120.0
TRIES = 6
LONGEST_WAIT_SECONDS = 60.0
_AGAIN = (408, 409, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Host:
    """A hosted model: the base of its API, as in an OpenAI client's settings, its name there, and the key to it."""

    url: str
    model: str
    key: str | None
    max_tokens: int = 512

    def client(self) -> httpx.Client:
        """A client of it. Raises InputError if the address is none."""
        url = httpx.URL(self.url) if self.url.startswith(("http://", "https://")) else None
        if url is None or not url.host or url.userinfo:
            raise InputError(
                f"{self.url[:80]!r} is no address of an API; write e.g. https://api.example.com/v1, without a key"
            )
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx.Client(base_url=f"{self.url.rstrip('/')}/", headers=headers, timeout=TIMEOUT_SECONDS)


def read_prompts(path: Path) -> list[list[dict[str, str]]]:
    """The chats that a file asks for, each up to its last user turn; the same one once.

    Raises:
        DataError: a line holds neither `prompt` nor `messages` that end in a question; the sentence names it.
    """
    chats = {digest_of(chat): chat for place, row in read_rows(path) for chat in [_asked(row, place)]}
    if len(chats) < 2:
        raise DataError(
            f"{path} holds {len(chats)} prompts; a suite needs at least one to choose by and one to gate on"
        )
    return list(chats.values())


def record_answers(
    host: Host,
    chats: Sequence[list[dict[str, str]]],
    kept: Path,
    told: Callable[[int, int], None],
    wait: Callable[[float], None] = time.sleep,
) -> list[str]:
    """The host's answers to these chats, in their order; each is on disk before the next is asked for.

    Raises:
        Refused: the host does not take the request; the sentence holds what it said.
        Busy: it did not answer after several tries; asked again later, the recording goes on.
    """
    keys = [digest_of({"model": host.model, "messages": chat, "max_tokens": host.max_tokens}) for chat in chats]
    answers = _kept(kept)
    with host.client() as client, kept.open("a", encoding="utf-8") as file:
        for number, (key, chat) in enumerate(zip(keys, chats, strict=True)):
            told(number, len(chats))
            if key not in answers:
                answers[key] = _ask(client, host, chat, wait)
                file.write(json.dumps({"key": key, "answer": answers[key]}, ensure_ascii=False) + "\n")
                file.flush()
    return [answers[key] for key in keys]


def golden_suite(
    name: str, host: Host, chats: Sequence[list[dict[str, str]]], answers: Sequence[str], recorded: str
) -> SuiteText:
    """The suite of these answers; a chat that was answered with nothing is no item. `recorded` is a date."""
    items = []
    for chat, answer in zip(chats, answers, strict=True):
        if answer.strip():
            key = f"{name}-{digest_of(chat)[:12]}"
            fields: dict[str, Any] = {"id": key, "prompt": chat[-1]["content"], "answer": answer}
            items.append(Item(key, fields["prompt"], answer, "", fields | ({"before": chat[:-1]} if chat[1:] else {})))
    about = {"source": f"answers of {host.model} at {httpx.URL(host.url).host}", "recorded": recorded}
    return own_suite(name, "golden", items, about | {"licence": "its provider's terms"}, max_tokens=host.max_tokens)


def summary(answers: Sequence[str]) -> str:
    """How many answers there are, how long they are, and how many refuse."""
    written = [answer for answer in answers if answer.strip()]
    mean = sum(map(len, written)) / max(1, len(written))
    refused = sum(map(is_refusal, written))
    empty = f", {len(answers) - len(written)} empty and left out" if len(written) < len(answers) else ""
    return f"{len(written)} answers of {mean:.0f} characters on average, {refused} refuse{empty}"


def _asked(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
    messages = row.get("messages", [{"role": "user", "content": row.get("prompt")}])
    chat = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    while chat and chat[-1].get("role") == "assistant":
        chat.pop()
    texts = [message.get("content") for message in chat]
    if not chat or chat[-1].get("role") != "user" or not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError(
            f'{place} is no prompt: write {{"prompt": "..."}}, or "messages" of text that end with the user\'s'
        )
    return [{"role": str(message["role"]), "content": str(message["content"])} for message in chat]


def _kept(path: Path) -> dict[str, str]:
    """What an earlier, interrupted recording got; a last line that was cut off is asked for again."""
    answers: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").split("\n") if path.is_file() else ():
        try:
            row = json.loads(line)
            answers[row["key"]] = row["answer"]
        except (ValueError, TypeError, KeyError):
            continue
    if answers:  # what was cut off would make nonsense of the next line
        path.write_text(
            "".join(json.dumps({"key": k, "answer": a}, ensure_ascii=False) + "\n" for k, a in answers.items())
        )
    return answers


def _ask(client: httpx.Client, host: Host, chat: Sequence[Mapping[str, str]], wait: Callable[[float], None]) -> str:
    body = {"model": host.model, "messages": list(chat), "temperature": 0, "max_tokens": host.max_tokens}
    said = ""
    for attempt in range(TRIES):
        try:
            response = client.post("chat/completions", json=body)
        except httpx.TransportError as error:
            said = str(error) or type(error).__name__
        else:
            if response.status_code == 200:
                return _content(response, host)
            said = f"status {response.status_code}: {response.text[:200]}"
            if response.status_code not in _AGAIN:
                raise Refused(f"{host.url} does not answer for the model {host.model!r}: {said}")
            asked = response.headers.get("Retry-After", "")
            if asked.isdigit():
                wait(min(float(asked), LONGEST_WAIT_SECONDS))
                continue
        wait(min(2.0**attempt, LONGEST_WAIT_SECONDS))
    raise Busy(f"{host.url} did not answer in {TRIES} tries ({said}); run the same command later, and it goes on")


def _content(response: httpx.Response, host: Host) -> str:
    try:
        return str(response.json()["choices"][0]["message"]["content"] or "")
    except (ValueError, LookupError, TypeError) as error:
        raise Refused(
            f"{host.url} answered with something else than a chat completion: {response.text[:200]}"
        ) from error
