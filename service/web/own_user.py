"""While no API key exists: is this request from this machine's own user? docs/decisions/open-mode.md says why each look.

curl http://127.0.0.1:8600/v1/rounds                                  yes
Host: 127.0.0.1:8600, X-Forwarded-For: 10.0.0.7                       no: a proxy forwards for somebody
GET / HTTP/1.0, Host: 127.0.0.1:8600                                  no: nginx's proxy_pass as it comes
POST without a JSON body, whatever its Origin                         no: any web page can send that unasked
"""

from urllib.parse import urlsplit

from starlette.requests import Request

from service.api_keys import Forbidden, is_loopback
from service.web.peers import our_user, user_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADER = "x-perennial"
_FORWARDING = (
    "cdn-loop", "client-ip", "fastly-client-ip", "forwarded", "proxy-connection", "remote-addr", "true-client-ip", "via",
    "x-client-ip", "x-cluster-client-ip", "x-host", "x-original-host", "x-original-url", "x-proxyuser-ip", "x-real-ip",
    "x-rewrite-url", "x-scheme", "x-url-scheme",
)  # fmt: skip
_FORWARDING_FAMILIES = ("cf-", "x-forwarded", "x-amzn-", "x-appengine-", "x-azure-", "x-envoy-", "tailscale-")
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
    for name in request.headers:
        if name in _FORWARDING or name.startswith(_FORWARDING_FAMILIES):
            return f"and the header {name[:80]!r} says that a proxy forwards for somebody else"
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
    headers, ours = request.headers, (request.url.scheme, request.headers.get("host", "").lower())
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if origin is not None and _origin(origin) != ours:
        return "and this was sent by another web page"
    if request.method not in SAFE:
        referer = headers.get("referer")
        if site not in ("same-origin", "none") or (referer is not None and _origin(referer) != ours):
            return "and this was sent by another web page"
    elif site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        return "and this was read by another web page"
    return None


def _was_meant(request: Request) -> bool:
    """Whether no page could have sent this without the browser asking us first, which we always refuse."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return HEADER in request.headers or kind not in _UNASKED_BODIES


def _origin(url: str) -> tuple[str, str] | None:
    """Scheme, and name with port, of a URL of this machine's own loopback; None for any other."""
    try:
        parts = urlsplit(url)
        own = is_loopback(parts.hostname or "") and "@" not in parts.netloc
    except ValueError:
        return None
    return (parts.scheme, parts.netloc.lower()) if own else None
