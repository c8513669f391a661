"""While no API key exists: is this request from this machine's own user? docs/decisions/open-mode.md says why each look.

curl http://127.0.0.1:8600/v1/rounds                                  yes
Host: 127.0.0.1:8600, X-Forwarded-For: 10.0.0.7                       no: a proxy forwards for somebody
GET / HTTP/1.0, Host: 127.0.0.1:8600                                  no: nginx's proxy_pass as it comes
POST without a JSON body, whatever its Origin                         no: any web page can send that unasked
"""

from functools import lru_cache
from urllib.parse import urlsplit

from starlette.requests import Request

from service.api_keys import Forbidden, is_loopback
from service.web.peers import our_user, user_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADER = "x-perennial"
_FORWARDING = (
    b"cdn-loop", b"client-ip", b"fastly-client-ip", b"forwarded", b"proxy-connection", b"remote-addr", b"true-client-ip",
    b"via", b"x-client-ip", b"x-cluster-client-ip", b"x-host", b"x-original-host", b"x-original-url", b"x-proxyuser-ip",
    b"x-real-ip", b"x-rewrite-url", b"x-scheme", b"x-url-scheme",
)  # fmt: skip
_FORWARDING_FAMILIES = (
    b"cf-", b"x-forwarded", b"x-amzn-", b"x-appengine-", b"x-azure-", b"x-envoy-", b"tailscale-"
)  # fmt: skip
# what a page may send to another site without being asked first (Fetch standard: CORS-safelisted content types)
_UNASKED_BODIES = ("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
_KEY = "make a key with `perennial keys create`"


def check_own_user(request: Request, *, has_token: bool = False) -> None:
    """Passes for this machine's own user. `has_token`: a form of ours, whose token is checked where it is read.

    Raises:
        Forbidden: it may be anybody else; the sentence says by what that shows.
    """
    stranger = _remote(request) or _other_user(request) or _other_page(request)
    if stranger:
        raise Forbidden(f"without API keys this server answers its own user only, {stranger}; {_KEY}")
    if request.method == "POST" and not has_token and not _was_meant(request):
        raise Forbidden(
            "without API keys a POST needs the header `Content-Type: application/json`, or `X-Perennial: 1` where it has no "
            f"body, because any web page could send it otherwise; add that, or {_KEY}"
        )


def _remote(request: Request) -> str | None:
    """What shows that the request began on another machine."""
    if not is_loopback(request.client.host if request.client else ""):
        return "at http://127.0.0.1"
    host = request.headers.get("host", "")
    if _origin(f"//{host}") is None:
        return f"at http://127.0.0.1, and this was sent to {host[:80]!r}"
    for name, _ in request.scope["headers"]:  # as they came, in small letters: this is looked at in every request
        if name in _FORWARDING or name.startswith(_FORWARDING_FAMILIES):
            return f"and the header {name[:80].decode('latin-1')!r} says that a proxy forwards for somebody else"
    if request.scope.get("http_version") == "1.0":
        return "and HTTP/1.0 is what proxies speak"
    return None


def _other_user(request: Request) -> str | None:
    """Whether the process at the other end belongs to another user of this machine: a proxy as a rule."""
    user = user_of(request)
    if user is None or user == our_user():
        return None
    return f"and this came from a process of the user with the number {user}"


def _other_page(request: Request) -> str | None:
    """Whether a browser sends this for a page that is not ours: another site, or another port of this machine."""
    headers = request.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if not _is_ours(origin, request):
        return "and this was sent by another web page"
    if request.method not in SAFE:
        if site not in ("same-origin", "none") or not _is_ours(headers.get("referer"), request):
            return "and this was sent by another web page"
    elif site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        return "and this was read by another web page"
    return None


def _is_ours(url: str | None, request: Request) -> bool:
    """Whether a page's URL, if one is named, is one of this server's, by the name that the request asks for."""
    return url is None or _origin(url) == (request.url.scheme, request.headers.get("host", "").lower())


def _was_meant(request: Request) -> bool:
    """Whether no page could have sent this without the browser asking us first, which we always refuse."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind not in _UNASKED_BODIES or HEADER in request.headers


@lru_cache(maxsize=128)
def _origin(url: str) -> tuple[str, str] | None:
    """Scheme, and name with port, of a URL of this machine's own loopback; None for any other."""
    try:
        parts = urlsplit(url)
        own = is_loopback(parts.hostname or "") and "@" not in parts.netloc
    except ValueError:
        return None
    return (parts.scheme, parts.netloc.lower()) if own else None
