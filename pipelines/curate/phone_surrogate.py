"""Telephone numbers that nobody can own, in the country and the shape of the one that they stand for.

    07700 900481       -> 07700 900317        kept for fiction by Ofcom; so are 555-01xx, 06 39 98 xx xx, 030 23125 xxx
    010-1234-5678      -> 010-0719-3328       no Korean exchange begins with 0
    +34 612 345 678    -> +34 775 118 204     no number by libphonenumber's tables

A number that begins with 0 is Korean only if it is one. What has no number of its length that nobody can own gets a tag.
"""

import random
import re
from collections.abc import Sequence

import phonenumbers

REGIONS = ("KR", "US", "GB", "JP", "DE", "FR", "ES", "CN")
_STRICT = ("KR", "US", "GB", "JP", "FR", "ES")  # almost any digits are a number in Germany, China and Italy
TAG = "[PHONE]"
_TRUNK_CODES = frozenset((44, 49, 33, 81, 82, 61, 91))
_FIVE_PAIRS = re.compile(r"0\d(?:[ .\-]\d\d){4}")
_KOREAN = re.compile(
    r"\(?(?:01[016789]|02|0(?:3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50[2-8]))(?:\D{0,3}\d{3,4}\D{1,3}\d{4}|\d{7,8})|1[568]\d\d\D?\d{4}"
)
# By the digits alone, the first that fits.
_WRITTEN_FOR = (
    (r"0[1-378]\d{9}(?<!^0[789]0\d{8})", "GB"), (r"0[789]0\d{8}", "JP"), (r"0[1-9]\d{8}", "JP"), (r"0\d+", "DE"),
    (r"[2-9]\d{9}", "US"), (r"1[3-9]\d{9}", "CN"), (r"[6-9]\d{8}", "ES"),
)  # fmt: skip
# N9X area codes are held back for a longer numbering plan: with 555-01xx behind them they are doubly unassigned.
_AREA_CODES = tuple(f"{first}9{last}" for first in "2345678" for last in "012345678")
# Numbers for drama and fiction by the national form that they may stand for: Ofcom, Arcep, Bundesnetzagentur.
_RESERVED: dict[str, tuple[tuple[str, str], ...]] = {
    "GB": ((r"07\d{9}", "07700900###"), (r"02\d{9}", "02079460###"), (r"01\d{9}", "01632960###")),
    "FR": (
        *((rf"0{first}\d{{8}}", "063998####") for first in "67"),
        *((rf"0{zone}\d{{8}}", f"{block}####") for zone, block in zip("12345", ("019900", "026191", "035301", "046571", "053649"), strict=True)),
        (r"0[89]\d{8}", "019900####"),
    ),
    "DE": (
        (r"01\d{9}", "017139200##"), (r"030\d{8}", "03023125###"), (r"069\d{8}", "06990009###"), (r"040\d{8}", "04066969###"), (r"089\d{8}", "08999998###"),
        (r"0221\d{7}", "02214710###"), (r"0[2-9]\d{9}", "03023125###"),
    ),
}  # fmt: skip
_RESERVED_E164 = re.compile(
    r"\+44(?:7700900|2079460|1632960)\d{3}|\+33(?:63998|19900|26191|35301|46571|53649)\d{4}|\+49(?:17139200\d\d|(?:3023125|6990009|4066969|8999998|2214710)\d{3})|\+1[2-8]9[0-8]55501\d\d|\+82(?:1[016789]|50[2-8])0\d{6,7}"
)
_TRIES = 12


def is_nobodys(number: phonenumbers.PhoneNumber) -> bool:
    """Whether a number is kept for fiction, or no number at all by libphonenumber's tables."""
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return _RESERVED_E164.fullmatch(written) is not None or not phonenumbers.is_valid_number(number)


def national(value: str) -> str:
    """The digits as they are dialled within the country: +82 10 1234 5678 and 010-1234-5678 are one number."""
    digits = re.sub(r"\D", "", value)
    parsed = _international(value, digits)
    if parsed is not None:
        return ("0" if parsed.country_code in _TRUNK_CODES else "") + phonenumbers.national_significant_number(parsed)
    return digits[1:] if _is_american(digits) else digits


def surrogate(value: str, rng: random.Random) -> str:
    """National digits of a number that nobody can own, as many as the value has; empty if there are none."""
    old, region = national(value), region_of(value)
    if len(old) == 10 and old[0] != "0" and region in ("US", "CA", None):
        return rng.choice(_AREA_CODES) + "55501" + _filled("##", rng)
    for shape, reserved in _RESERVED.get(region or "", ()):
        if re.fullmatch(shape, old) and len(reserved) == len(old):
            return _filled(reserved, rng)
    for regions in (_STRICT, ()):
        for _ in range(_TRIES):
            for kept in _kept(old, region):
                candidate = kept + _filled("#" * (len(old) - len(kept)), rng)
                if _is_free(candidate, value, region, regions):
                    return candidate
    return ""


def in_shape_of(value: str, digits: str) -> str:
    """National digits in the old number's spacing and international prefix; a tag where there are none."""
    old, was = re.sub(r"\D", "", value), national(value)
    if re.search("[A-Z]{3}", value):  # 1-800-FLOWERS: its letters are digits
        return TAG
    if not digits or len(digits) != len(was):
        return TAG
    new = (
        digits
        if was == old
        else old[: len(old) - len(was.removeprefix("0"))] + digits[len(was) - len(was.removeprefix("0")) :]
    )
    if len(new) != len(old):
        return TAG
    rest = iter(new)
    return "".join(next(rest) if character.isdigit() else character for character in value)


def region_of(value: str) -> str | None:
    """The country that a number is written for, by its code, its groups, or its digits."""
    parsed = _international(value, re.sub(r"\D", "", value))
    if parsed is not None:
        return str(phonenumbers.region_code_for_country_code(parsed.country_code or 0))
    if _FIVE_PAIRS.fullmatch(value):
        return "FR"
    if _KOREAN.fullmatch(value):
        return "KR"
    if re.match(r"\(?01[5-7]\d\)?[ /\-]\s?\d{6,8}$", value):
        return "DE"
    digits = re.sub(r"\D", "", value)
    if _is_american(digits) or re.match(r"1\D", value):
        return "US"
    return next((region for shape, region in _WRITTEN_FOR if re.fullmatch(shape, digits)), None)


def _international(value: str, digits: str) -> phonenumbers.PhoneNumber | None:
    """The number if it is written with its country's code: behind +, 00, or longer than any national one."""
    code = digits.removeprefix("00")
    if not (value.lstrip(" (").startswith("+") or digits.startswith("00") or len(digits) > 11):
        return None
    try:
        return phonenumbers.parse(f"+{code}")
    except phonenumbers.NumberParseException:
        return None


def _is_american(digits: str) -> bool:
    return re.fullmatch(r"1[2-9]\d{9}", digits) is not None and not _is_valid(digits, "CN")


def _kept(old: str, region: str | None) -> list[str]:
    """Beginnings of a number that is none: the old area code and a 0, which begins hardly any subscriber's number."""
    if region == "KR":
        area = old[: 2 if old.startswith("02") else 4 if old.startswith("050") else 3]
        return [f"{area}0", f"{area}00"]
    return [f"{old[:3]}0", f"{old[:2]}0", old[:3], old[:2], f"{old[:1]}0", old[:1], ""]


def _is_free(candidate: str, value: str, region: str | None, regions: Sequence[str]) -> bool:
    """Whether nobody can own it where it is written for; without its country's code, nor in `regions`."""
    own = region or "US"
    if _is_valid(candidate, own) and not is_nobodys(phonenumbers.parse(candidate, own)):
        return False
    if own == "KR":
        return True
    if _international(value, re.sub(r"\D", "", value)) is None:
        return not any(_is_valid(candidate, other) for other in regions)
    written = in_shape_of(value, candidate)  # a 0 behind the country's code may be dialled or not
    parsed = _international(written, re.sub(r"\D", "", written))
    return parsed is None or is_nobodys(parsed)


def _is_valid(value: str, region: str) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(value, region)))
    except phonenumbers.NumberParseException:
        return False


def _filled(shape: str, rng: random.Random) -> str:
    return "".join(rng.choice("0123456789") if place == "#" else place for place in shape)
