"""Faker's generators and name lists, made once per process and reseeded per value."""

import importlib
import random
from functools import cache
from typing import Any

from faker import Faker


@cache
def person_lists(locale: str) -> Any:
    """Faker's person provider of a locale: `first_names_male`, `first_names_female`, `first_names`, `last_names`."""
    return importlib.import_module(f"faker.providers.person.{locale}").Provider


@cache
def ascii_names(kind: str) -> tuple[str, ...]:
    """American names in plain letters: kind `male`, `female` or `last`."""
    provider = person_lists("en_US")
    names = {"male": provider.first_names_male, "female": provider.first_names_female, "last": provider.last_names}[
        kind
    ]
    return tuple(name for name in names if name.isascii() and name.isalpha())


@cache
def hangul_names(kind: str) -> tuple[str, ...]:
    """Korean names: kind `male`, `female` or `last`."""
    provider = person_lists("ko_KR")
    return tuple(
        {"male": provider.first_names_male, "female": provider.first_names_female, "last": provider.last_names}[kind]
    )


def fake(locale: str, rng: random.Random) -> Faker:
    """The locale's Faker, seeded from `rng`."""
    faker = _faker(locale)
    faker.seed_instance(rng.getrandbits(64))
    return faker


@cache
def _faker(locale: str) -> Faker:
    return Faker(locale)
