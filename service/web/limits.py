"""Whose a path is, ours or the upstream's, and how large the body of a request may be. A vote is no conversation."""

import re
from typing import NamedTuple

SMALL_BYTES = 64 << 10
IMPORT_PATH = "/v1/conversations/import"
PROXY_PREFIX = "/proxy"
# what `perennial proxy` answers itself: people's words about answers, and whether it is well
_OURS = re.compile(r"/v1/votes/.*|/v1/comparisons|/v1/messages/[^/]+/corrections|/healthz|/readyz")


class _Route(NamedTuple):
    """Routes that begin alike; `most_bytes` None means as much as the settings allow a conversation."""

    path: str
    most_bytes: int | None


# The first that fits counts. A character of a text may come as twelve bytes of JSON: \ud83d\ude00.
_ROUTES = (
    _Route("/v1/conversations", None),
    _Route("/v1/comparisons", None),  # it may bring its conversation along
    _Route("/v1/chat/completions", 8 << 20),  # more than any model's window
    _Route("/v1/responses", 8 << 20),
    _Route("/v1/messages/", 4 << 20),  # a correction: one text
    _Route("/v1/rounds", 1 << 20),  # a recipe
    _Route("/rounds", 1 << 20),  # the same from a form of the pages
    _Route("/recipes", 1 << 20),
)


def is_proxied(path: str, is_front: bool) -> bool:
    """Whether a path is the upstream's. `is_front`: in `perennial proxy`, where nearly all of them are."""
    return path.startswith(f"{PROXY_PREFIX}/") or (is_front and _OURS.fullmatch(path) is None)


def body_limit(path: str, most_bytes: int, is_front: bool = False) -> int | None:
    """The largest body that a path takes, None for a stream, which bounds its lines instead.

    `most_bytes` is the settings' own limit, which none exceeds; what is passed on may have as much.
    """
    if is_proxied(path, is_front):
        return most_bytes
    if path == IMPORT_PATH:
        return None
    own = next((one.most_bytes for one in _ROUTES if path.startswith(one.path)), SMALL_BYTES)
    return most_bytes if own is None else min(own, most_bytes)
