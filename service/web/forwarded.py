"""What a proxy in front says of a request, believed only of those that the settings trust.

PERENNIAL_TRUSTED_PROXIES=10.0.0.0/8
peer 10.0.0.2, X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.7   ->  203.0.113.9 asks; 6.6.6.6 it wrote itself
"""

import ipaddress

from starlette.requests import Request

from service.settings import Network, Settings

_IPV6_HOME = 64  # bits that one household or server has to itself


def is_https(request: Request) -> bool:
    """Whether the browser's own connection is encrypted."""
    if _is_trusted(_peer(request), _trusted(request)):
        said = request.headers.get("x-forwarded-proto", request.url.scheme)
        return "https" in said.lower().replace(",", " ").split()
    return request.url.scheme == "https"


def client_address(request: Request) -> str:
    """The address that a request comes from; of an IPv6 one its network, for whoever has one has all of its addresses."""
    trusted, address = _trusted(request), _peer(request)
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    while hops and _is_trusted(address, trusted):
        said = hops.pop().strip()
        if _parse(said) is None:
            break
        address = said
    found = _parse(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((found, _IPV6_HOME), strict=False))
    return address if found is None else str(found)


def _trusted(request: Request) -> tuple[Network, ...]:
    settings: Settings = request.app.state.settings
    return settings.trusted_proxies


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    found = _parse(address)
    return found is not None and any(found in network for network in trusted)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
