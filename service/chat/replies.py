"""The OpenAI wire format of what a chat is answered: whole, in chunks, or an error."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.gguf.protocol import Chance
from pipelines.records import ToolCall
from service.chat.tools import as_openai


@dataclass(frozen=True)
class Head:
    """What every part of a reply begins with. `with_logprobs`: whether it tells how likely its tokens were."""

    id: str
    created: int
    model: str
    with_logprobs: bool = False

    def completion(
        self,
        text: str,
        finish: str,
        usage: dict[str, int],
        *,
        calls: Sequence[ToolCall] = (),
        reasoning: str = "",
        tokens: Sequence[Chance] = (),
    ) -> dict[str, Any]:
        """A whole reply."""
        message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
        if reasoning:
            message["reasoning_content"] = reasoning
        if calls:
            message["tool_calls"] = as_openai(calls)
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": self._logprobs(tokens)}
        return {**self._open("chat.completion"), "choices": [choice], "usage": usage}

    def chunk(
        self,
        delta: dict[str, Any] | None,
        finish: str | None = None,
        usage: dict[str, int] | None = None,
        tokens: Sequence[Chance] = (),
    ) -> bytes:
        """One server-sent event of a streamed reply; `delta` None is the last chunk, which holds the usage only."""
        told = self._logprobs(tokens) if tokens else None
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": told}]
        return event({**self._open("chat.completion.chunk"), "choices": choices, **({"usage": usage} if usage else {})})

    def _open(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _logprobs(self, tokens: Sequence[Chance]) -> dict[str, Any] | None:
        return {"content": [token_of(one) for one in tokens], "refusal": None} if self.with_logprobs else None


def token_of(chance: Chance) -> dict[str, Any]:
    """A token as OpenAI tells its share: its bytes may be part of a character."""
    others = [_piece(piece, logprob) for piece, logprob in chance.others]
    return {**_piece(chance.piece, chance.logprob), "top_logprobs": others}


def _piece(piece: Sequence[int], logprob: float) -> dict[str, Any]:
    return {"token": bytes(piece).decode(errors="replace"), "logprob": logprob, "bytes": list(piece)}


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's count of tokens."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def error_body(message: str, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object: its clients read `message`, `type` and `code`."""
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}
