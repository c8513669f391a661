"""Forms in which texts are compared, and how what somebody typed is quoted in a sentence.

fold("Ｖｅｌｌ  is far", "NFC")               "Ｖｅｌｌ is far"    spacing alone may differ
fold("Ｖｅｌｌ  is far", "NFKC")              "Vell is far"      and the width of letters
fold("Ｖｅｌｌ  is far", "NFKC_casefold")     "vell is far"      and their case
"""

import difflib
import hashlib
import unicodedata
from collections.abc import Collection
from typing import Literal

Form = Literal["NFC", "NFKC", "NFKC_casefold"]
_DIGEST_BYTES = 16
_MAX_TYPO = 64  # difflib's time grows with the square of the length, and nobody mistypes a key by so much


def fold(text: str, form: Form) -> str:
    """The text in this form, white space as single spaces and none at the ends."""
    if form == "NFC":
        return " ".join(unicodedata.normalize("NFC", text).split())
    wide = unicodedata.normalize("NFKC", text)
    return " ".join((wide.casefold() if form == "NFKC_casefold" else wide).split())


def digest(text: str) -> bytes:
    """16 bytes that stand for a text where only equality matters; any text has some, half surrogates included."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def shorten(text: str, most: int = 80) -> str:
    """The text, cut with three dots where it is longer: what somebody sent never fills a sentence or a log."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def find_nearest(name: str, known: Collection[str], alike: float = 0.6) -> str | None:
    """The known name that was probably meant; None for one that is like none of them, or too long to be a typing error.

    `alike` is the share of letters that they must have in common (difflib's ratio).
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=alike) if len(name) <= _MAX_TYPO else []
    return near[0] if near else None
