"""One chat that passed: the bytes of request and answer, and who it was, as the way to the database keeps it."""

from typing import Literal

import msgspec

Kind = Literal["chat", "responses"]
End = Literal["whole", "left", "broken"]
RECORDED: dict[str, Kind] = {"/v1/chat/completions": "chat", "/v1/responses": "responses"}


class Who(msgspec.Struct, frozen=True):
    """Whose chat it is by the request's headers, and what its conversation and answer are called; None where those do not say."""

    app: str
    user: str | None = None
    consent: bool | None = None
    conversation: str | None = None
    answer: str | None = None


class Exchange(msgspec.Struct, frozen=True):
    """`end` says whether the answer came whole, its reader left before that, or the upstream broke it off.

    `at` are seconds since 1970 at the request's arrival. Of the headers only the encodings are kept: no key gets here.
    """

    id: str
    kind: Kind
    who: Who
    at: float
    request: bytes
    request_encoding: str
    answer: bytes
    answer_encoding: str
    is_stream: bool
    end: End
