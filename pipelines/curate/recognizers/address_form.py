"""The parts of an address form: what its heart is, and what may stand before and behind it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AddressForm:
    """`core` is a street or lot with its number, `hint` what every such text holds and is found at once; `before` and `behind` are parts that belong to it where they touch it.

    Parts behind are tried again and again, those before once each; each brings its own comma or blank.
    """

    name: str
    core: str
    before: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    hint: str = r"\d"
