"""Forms in which texts are compared: what counts as the same although it was typed otherwise.

fold("Ｖｅｌｌ  is far", "NFC")               "Ｖｅｌｌ is far"    spacing alone may differ
fold("Ｖｅｌｌ  is far", "NFKC")              "Vell is far"      and the width of letters
fold("Ｖｅｌｌ  is far", "NFKC_casefold")     "vell is far"      and their case
"""

import unicodedata
from typing import Literal

Form = Literal["NFC", "NFKC", "NFKC_casefold"]


def fold(text: str, form: Form) -> str:
    """The text in this form, white space as single spaces and none at the ends."""
    if form == "NFC":
        return " ".join(unicodedata.normalize("NFC", text).split())
    wide = unicodedata.normalize("NFKC", text)
    return " ".join((wide.casefold() if form == "NFKC_casefold" else wide).split())
