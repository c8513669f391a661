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
        unversioned = r"(?<!\d\.)(?<!\bv|\bver\.?\s?|version\s?|버전\s?|\bchapter\s|\bsection\s|§\s?|\bEC\s)"
        super().__init__(
            supported_language=PSEUDO_LANGUAGE,
            patterns=[Pattern(p.name, f"{unversioned}{p.regex}(?!\\.\\d)", p.score) for p in IpRecognizer.PATTERNS],
        )

    def invalidate_result(self, pattern_text: str) -> bool:
        """Whether this is no address, or nobody's own."""
        try:
            address = ipaddress.ip_interface(pattern_text)
        except ValueError:
            return True
        if str(address.ip) in _EVERYBODYS or str(address.ip).endswith(".0"):
            return True
        return address.version == 6 and (len(pattern_text) < 6 or not any(c.isdigit() for c in pattern_text))


def mac() -> MacAddressRecognizer:
    """Hardware addresses in colon, hyphen and Cisco form, and bare behind their word."""
    recognizer = MacAddressRecognizer(supported_language=PSEUDO_LANGUAGE)
    bare = Pattern(
        "behind its word",
        r"\bmac(?: ?address(?:e)?| ?주소| ?id)?(?: is|:|=|#|\s|-adresse|는|은){1,3}\K[0-9a-f]{12}\b",
        0.6,
    )
    recognizer.patterns = [*recognizer.patterns, bare]
    return recognizer
