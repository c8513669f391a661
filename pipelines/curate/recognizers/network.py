"""IP and MAC addresses, without version numbers and C++ scopes."""

import ipaddress

from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import IpRecognizer, MacAddressRecognizer

from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE

_EVERYBODYS = frozenset(
    {"127.0.0.1", "0.0.0.0", "255.255.255.255", "255.255.255.0", "255.255.0.0", "255.0.0.0", "::1", "::"}
)


class PersonalIp(IpRecognizer):  # type: ignore[misc]
    """IPv4 and IPv6 addresses that can belong to somebody: not loopback, not masks, not `a::b`."""

    def __init__(self) -> None:
        unversioned = r"(?<!\bv|\bver\.?\s?|version\s?|버전\s?|\bchapter\s|\bsection\s|§\s?|\bEC\s)"
        super().__init__(
            supported_language=PSEUDO_LANGUAGE,
            patterns=[Pattern(p.name, unversioned + p.regex, p.score) for p in IpRecognizer.PATTERNS],
        )

    def invalidate_result(self, pattern_text: str) -> bool:
        """Whether this is no address, or nobody's own."""
        try:
            address = ipaddress.ip_interface(pattern_text)
        except ValueError:
            return True
        if str(address.ip) in _EVERYBODYS:
            return True
        return address.version == 6 and (len(pattern_text) < 6 or not any(c.isdigit() for c in pattern_text))


def mac() -> MacAddressRecognizer:
    """Hardware addresses in colon, hyphen and Cisco form."""
    return MacAddressRecognizer(supported_language=PSEUDO_LANGUAGE)
