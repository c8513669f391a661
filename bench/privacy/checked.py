"""Identifiers whose check digits are right: the one thing that both generators share, for it is arithmetic."""

import random
import string

from stdnum import iban, luhn, verhoeff
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.gb import utr
from stdnum.iso7064 import mod_11_10
from stdnum.it import codicefiscale
from stdnum.jp import in_ as my_number

from bench.privacy.rows import digits, pattern

# Country, and the shape of what follows the check digits (ISO 13616).
_IBANS = {
    "DE": "##################",
    "GB": "^^^^##############",
    "FR": "####################" + "###",
    "ES": "####################",
    "NL": "^^^^##########",
    "IT": "^######################",
}


def card(rng: random.Random) -> str:
    """Sixteen digits of an issuer that is in use."""
    head = rng.choice(("4", "51", "53", "55", "6011")) + digits(rng, 15)
    return head[:15] + str(luhn.calc_check_digit(head[:15]))


def amex(rng: random.Random) -> str:
    """Fifteen digits, American Express."""
    head = "37" + digits(rng, 12)
    return head + str(luhn.calc_check_digit(head))


def plain_iban(rng: random.Random) -> str:
    """An IBAN without blanks."""
    country = rng.choice(sorted(_IBANS))
    bban = pattern(_IBANS[country])(rng)
    return country + str(iban.calc_check_digits(f"{country}00{bban}")) + bban


def steuer_id(rng: random.Random) -> str:
    """Eleven digits: among the first ten one stands twice (or thrice)."""
    while True:
        ten = rng.sample("0123456789", 9)
        ten.insert(rng.randrange(1, 9), rng.choice(ten))
        head = "".join(ten)
        number = head + str(mod_11_10.calc_check_digit(head))
        if idnr.is_valid(number):
            return number


def french_nir(rng: random.Random) -> str:
    """Fifteen digits: sex, year, month, department, commune, order, key."""
    head = f"{rng.choice('12')}{rng.randrange(40, 99)}{rng.randrange(1, 13):02d}{rng.randrange(1, 96):02d}{rng.randrange(1, 900):03d}{digits(rng, 3)}"
    return head + str(nir.calc_check_digits(head))


def spanish_dni(rng: random.Random) -> str:
    """Eight digits and a letter."""
    number = digits(rng, 8)
    return number + str(dni.calc_check_digit(number))


def spanish_nie(rng: random.Random) -> str:
    """X, Y or Z, seven digits and a letter."""
    number = rng.choice("XYZ") + digits(rng, 7)
    return number + str(nie.calc_check_digit(number))


def my_number_jp(rng: random.Random) -> str:
    """Twelve digits."""
    head = digits(rng, 11)
    return head + str(my_number.calc_check_digit(head))


def codice_fiscale(rng: random.Random) -> str:
    """Sixteen letters and digits."""
    letters = "".join(rng.choice("BCDFGLMNPRSTV") for _ in range(6))
    head = f"{letters}{rng.randrange(40, 99)}{rng.choice('ABCDEHLMPRST')}{rng.randrange(1, 28):02d}{rng.choice('AFHL')}{rng.randrange(100, 999)}"
    return head + str(codicefiscale.calc_check_digit(head))


def cpf(rng: random.Random) -> str:
    """Eleven digits, Brazil."""
    head = digits(rng, 9)
    for _ in range(2):
        total = sum((len(head) + 1 - place) * int(digit) for place, digit in enumerate(head))
        head += str(-total % 11 % 10)
    return head


def aadhaar(rng: random.Random) -> str:
    """Twelve digits, India."""
    head = rng.choice("23456789") + digits(rng, 10)
    return head + str(verhoeff.calc_check_digit(head))


def chinese_id(rng: random.Random) -> str:
    """Eighteen places, the last a digit or X."""
    head = rng.choice(("110101", "310104", "440106", "510107")) + _birth(rng) + digits(rng, 3)
    return head + str(ric.calc_check_digit(head + "0"))


def british_utr(rng: random.Random) -> str:
    """Ten digits, the first a check digit."""
    tail = digits(rng, 9)
    return str(utr.calc_check_digit(tail)) + tail


def nhs_number(rng: random.Random) -> str:
    """Ten digits, the last a check digit (modulus 11)."""
    while True:
        head = rng.choice("4679") + digits(rng, 8)
        check = -sum((10 - place) * int(digit) for place, digit in enumerate(head)) % 11
        if check < 10:
            return head + str(check)


def rrn(rng: random.Random) -> str:
    """Thirteen digits, Korea; new numbers have no check digit, so any will do."""
    return _birth(rng)[2:] + rng.choice("1234") + digits(rng, 6)


def driver_gb(rng: random.Random) -> str:
    """Sixteen places: five of the surname, a birthday taken apart, initials, arbitrary."""
    surname = "".join(rng.choice(string.ascii_uppercase) for _ in range(5))
    return f"{surname}{rng.randrange(10)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}{rng.randrange(10)}{pattern('^^#^^')(rng)}"


def _birth(rng: random.Random) -> str:
    return f"19{rng.randrange(50, 99)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}"


def grouped(value: str, *sizes: int, mark: str = " ") -> str:
    """The value in groups of these sizes, the last repeated."""
    groups, at = [], 0
    for place in range(len(value)):
        if at >= len(value):
            break
        size = sizes[min(place, len(sizes) - 1)]
        groups.append(value[at : at + size])
        at += size
    return mark.join(groups)
