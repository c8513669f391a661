"""The one server that requests are passed on to, fixed by the settings, and what of a request or an answer reaches the other side.

--upstream http://127.0.0.1:11434/v1      /v1/chat/completions  ->  http://127.0.0.1:11434/v1/chat/completions
                                          /api/tags             ->  http://127.0.0.1:11434/api/tags
--upstream https://host/openai            /v1/chat/completions  ->  https://host/openai/chat/completions
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from yarl import URL

from pipelines.errors import DataError, InputError, PerennialError
from service.api_keys import is_loopback
from service.settings import Settings

Header = tuple[bytes, bytes]
# of one connection, not of the message (RFC 9110, 7.6.1)
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer trailers transfer-encoding "
    b"upgrade http2-settings".split()
)
# Ours, or the pages' (a cookie of the pages is none of the upstream's business, nor may it set one here); Host and length
# are written anew, and our server writes a date of its own.
_NOT_SENT = _HOP_BY_HOP | {b"host", b"content-length", b"expect", b"cookie"}
_NOT_RETURNED = _HOP_BY_HOP | {b"set-cookie", b"date"}
_OURS = b"x-perennial"
_OUR_KEY = re.compile(rb"pk_[A-Za-z0-9_-]{43}")
_CODINGS = frozenset({b"gzip", b"deflate", b"identity"})  # what the recorder can read
_ANY = ("0.0.0.0", "::")


class UpstreamGone(PerennialError):
    """The upstream cannot be reached, or ended before it answered."""


class UpstreamSilent(PerennialError):
    """The upstream was reached and said nothing for too long."""


@dataclass(frozen=True)
class Upstream:
    """Where requests go: `origin` is scheme and authority, `base` the path of its API without a slash at the end."""

    origin: str
    base: str

    def url(self, raw_path: bytes, query: bytes) -> URL:
        """The address of a request here, its path and query not touched.

        Raises:
            DataError: a path that climbs out of the API.
        """
        path = raw_path.decode("ascii", "replace")
        if any(part in (".", "..") for part in re.split(r"[/\\]", unquote(path))):
            raise DataError(f"the path {path[:80]!r} has a step '.' or '..'; name the upstream's path without them")
        is_api = path == "/v1" or path.startswith("/v1/")
        path = (self.base or "/v1") + path[3:] if is_api else self.base.removesuffix("/v1") + path
        return URL(f"{self.origin}{path}{'?' + query.decode('ascii', 'replace') if query else ''}", encoded=True)


def parse_upstream(text: str) -> Upstream:
    """The upstream at this address.

    Raises:
        InputError: it is no plain http or https address; the sentence shows one.
    """
    example = "write e.g. http://127.0.0.1:11434/v1"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise InputError(f"the upstream {text[:80]!r} is no address ({error}); {example}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"the upstream {text[:80]!r} is no http:// or https:// address; {example}")
    if parts.username is not None or parts.password is not None:
        raise InputError("the upstream's address holds a user or a key; clients send their own, so leave it out")
    if parts.query or parts.fragment:
        raise InputError(f"the upstream {text[:80]!r} has a query or a fragment; {example}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Upstream(f"{parts.scheme}://{host}{'' if port is None else f':{port}'}", parts.path.rstrip("/"))


def our_key(headers: Iterable[Header]) -> str | None:
    """The API key of ours among the headers. It is told by its form, as any other belongs to the upstream."""
    for name, value in headers:
        if found := _our_key_in(name, value):
            return found.decode()
    return None


def for_upstream(headers: Iterable[Header], is_recorded: bool) -> list[tuple[str, str]]:
    """The headers that the upstream gets: all but this connection's, ours, our key and cookies.

    Of what is recorded the answer may come compressed only in ways that can be read here.
    """
    headers = list(headers)
    dropped = _NOT_SENT | _named_by_connection(headers)
    sent = []
    for name, value in headers:
        if name in dropped or name.startswith(_OURS) or _our_key_in(name, value):
            continue
        if is_recorded and name == b"accept-encoding":
            value = _readable(value)
        sent.append((name.decode("latin-1"), _text(value)))
    return sent


def for_client(headers: Iterable[Header]) -> list[Header]:
    """The headers that the client gets: all but the upstream connection's and its cookies."""
    lowered = [(name.lower(), value) for name, value in headers]
    dropped = _NOT_RETURNED | _named_by_connection(lowered)
    return [(name, value) for name, value in lowered if name not in dropped]


def _our_key_in(name: bytes, value: bytes) -> bytes | None:
    kind, _, rest = value.partition(b" ")
    if name == b"authorization" and kind.lower() == b"bearer":
        value = rest
    elif name != b"x-api-key":
        return None
    return value.strip() if _OUR_KEY.fullmatch(value.strip()) else None


def _named_by_connection(headers: Iterable[Header]) -> set[bytes]:
    named = (value.split(b",") for name, value in headers if name == b"connection")
    return {token.strip().lower() for tokens in named for token in tokens}


def _readable(accepted: bytes) -> bytes:
    kept = [one for one in accepted.split(b",") if one.partition(b";")[0].strip().lower() in _CODINGS]
    return b",".join(kept).strip() or b"identity"


def _text(value: bytes) -> str:
    """A header's bytes as the client library writes them again: in UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def check_upstream(settings: Settings, host: str, port: int) -> None:
    """Pass if the settings name no upstream, or one that is not the address that this process listens on.

    Raises:
        InputError: requests would come back for ever, or the upstream is no address.
    """
    if settings.upstream is None:
        return
    upstream = urlsplit(parse_upstream(settings.upstream).origin)
    ours = upstream.hostname == host or (is_loopback(upstream.hostname or "") and (is_loopback(host) or host in _ANY))
    if ours and upstream.port == port:
        raise InputError(
            f"the upstream {settings.upstream[:80]!r} is the address that this listens on, so requests would come back for ever; "
            "name the model's server, or another --port"
        )
