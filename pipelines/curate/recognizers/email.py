"""E-mail addresses. Stock Presidio may fetch a public-suffix list to validate them and drops `kim@mail.corp`."""

from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import EmailRecognizer

from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE

_LOCAL = r"[a-z0-9\u00c0-\u024f!#$%&'*+/=?^_`{|}~.\-]{1,64}"
_DOMAIN = r"(?:[a-z0-9\u00c0-\u024f](?:[a-z0-9\u00c0-\u024f\-]{0,61}[a-z0-9\u00c0-\u024f])?\.){1,8}(?:xn--[a-z0-9]{2,24}|[a-z]{2,24}|한국|닷컴)"


class OfflineEmail(EmailRecognizer):  # type: ignore[misc]
    """Any address of plausible shape, internal domains included; no network, bounded work."""

    def __init__(self) -> None:
        super().__init__(
            supported_language=PSEUDO_LANGUAGE,
            patterns=[
                Pattern("plain", rf"{_LOCAL}@{_DOMAIN}", 0.9),
                Pattern("quoted local part", rf'"[^"@\n]{{1,64}}"@{_DOMAIN}', 0.9),
                Pattern("Hangul local part", rf"[가-힣]{{1,20}}@{_DOMAIN}", 0.9),
                Pattern(
                    "international domain", rf"{_LOCAL}@[\u00c0-\uffdc][^\s@<>()\[\],;]{{0,62}}\.[a-z]{{2,24}}", 0.9
                ),
            ],
        )

    def validate_result(self, pattern_text: str) -> bool | None:
        """Always None: the pattern's own score stands, and no list of top-level domains is fetched."""
        return None

    def invalidate_result(self, pattern_text: str) -> bool:
        """Whether this is the host of a repository."""
        return pattern_text.lower().startswith("git@")  # the host of a repository, nobody's address
