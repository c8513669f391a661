"""What the labels of a model mean: schemes differ from model to model, and only the meaning counts.

B-PER  I-PERSON  PS  GIVEN_NAME  S-SURNAME  FIRSTNAME1  LastName  full name   -> PERSON
LOC  ORG  DATE  O                                                             -> nothing
with {"WHO": "PERSON", "STREET": "ADDRESS"}: B-WHO -> PERSON, STREET -> ADDRESS
"""

import re
from collections.abc import Iterable, Mapping

from pipelines.curate.entities import ENTITIES
from pipelines.errors import ModelError

NOTHING = "-"
_POSITION = re.compile(r"^[BIESLUM][-_](?=.{2})|(?<=.{2})[-_][BIESLUM]$")
_PERSON = frozenset(
    [
        "per",
        "person",
        "persons",
        "ps",
        "psname",
        "pers",
        "people",
        "name",
        "names",
        "pername",
        "personname",
        "privateperson",
        "human",
        "individual",
        "givenname",
        "givennames",
        "firstname",
        "forename",
        "middlename",
        "surname",
        "surnames",
        "lastname",
        "familyname",
        "maidenname",
        "nickname",
        "fullname",
        "nameperson",
        "namegiven",
        "namefamily",
        "namefirst",
        "namelast",
        "namestudent",
        "namepatient",
        "namemedicalprofessional",
        "patient",
        "patientname",
        "doctor",
        "doctorname",
        "staff",
        "hcw",
        "customername",
        "人名",
        "인물",
        "사람",
    ]
)


class Labels:
    """The meaning of a model's labels: `entity(label)` is what a span with that label is, None for nothing of ours.

    Args:
        labels: all labels of the model, with or without the positions of a scheme (B-, I-, E-, S-).
        mapping: labels (without positions, any case) to an entity, or to `-` for nothing; before what they seem to mean.
        model: the model's name, for the sentence.

    Raises:
        ModelError: none of the labels means a person or is in the mapping; the sentence lists them.
    """

    def __init__(self, labels: Iterable[str], mapping: Mapping[str, str], model: str) -> None:
        own = {_plain(label): entity for label, entity in mapping.items()}
        names = sorted(set(labels))
        self._entities = {name: _entity(_plain(name), own) for name in names}
        if not any(self._entities.values()):
            raise ModelError(
                f"none of the labels of the model {model} means a person, as far as their names say: "
                f"{', '.join(sorted({_base(name) for name in names}))}; say what they mean with PERENNIAL_NER_LABELS, "
                "for example PERENNIAL_NER_LABELS=WHO=PERSON,STREET=ADDRESS"
            )

    def entity(self, label: str) -> str | None:
        """What a span with this label is: PERSON or another entity; None for nothing."""
        return self._entities.get(label)


def parse_mapping(text: str) -> dict[str, str]:
    """`WHO=PERSON,STREET=ADDRESS,PLACE=-` as a mapping. Raises ValueError for what is no such list."""
    mapping: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        label, equals, entity = (part.strip() for part in pair.partition("="))
        if not equals or not label or (entity.upper() not in ENTITIES and entity != NOTHING):
            raise ValueError(
                f"{pair[:80]!r} maps no label: write LABEL=ENTITY with an entity of {', '.join(sorted(ENTITIES))}, or "
                f"LABEL={NOTHING} for a label that means nothing personal"
            )
        mapping[label] = entity.upper()
    return mapping


def _entity(label: str, mapping: Mapping[str, str]) -> str | None:
    if label in mapping:
        return None if mapping[label] == NOTHING else mapping[label]
    return "PERSON" if re.sub(r"\d+$", "", label) in _PERSON else None


def _base(label: str) -> str:
    """The label without its position."""
    return _POSITION.sub("", label)


def _plain(label: str) -> str:
    return re.sub(r"[\W_]+", "", _base(label)).casefold()
