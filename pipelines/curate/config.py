"""What curation may be told: one frozen record, light to import (no Presidio, no models)."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from pipelines.records import Record

OVER_BUDGET = "over_budget"  # why a conversation is quarantined that took more processor time than it may


_Entity = Annotated[str, Field(pattern=r"^[A-Z][A-Z_]{2,20}$")]
_Text = Annotated[str, Field(min_length=1, max_length=500)]


class Recognizer(Record):
    """A pattern of one's own; `words` must stand near what it finds, if there are any."""

    name: _Text
    entity: _Entity
    pattern: _Text
    words: tuple[_Text, ...] = ()
    ignore_case: bool = False
    finds: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()


class Denied(Record):
    """Values that are replaced wherever they stand as whole words, in any case."""

    entity: _Entity
    values: Annotated[tuple[_Text, ...], Field(max_length=10_000)]


class CustomRules(Record):
    """What a file of one's own says."""

    recognizers: tuple[Recognizer, ...] = ()
    deny: tuple[Denied, ...] = ()


class CurationConfig(Record):
    """How conversations are checked and anonymized.

    `ner_model` names one or more models for person names, separated by commas: a spaCy package (`en_core_web_lg`),
    a folder saved by spaCy, a folder with a Hugging Face token-classification model, or a folder with a GLiNER model.
    Without one, names are found by rules and a gazetteer only, at the recall that the README states, and
    `allow_degraded_names` must say that this is accepted. `ner_labels` says what labels mean that do not say so
    themselves: a label to an entity of pipelines.curate.entities, or to `-`.

    `custom` are recognizers of one's own (pipelines.curate.custom).
    `public_names` stay as they are, beside the places and months that ship (wordlists/public_names.txt).

    Characters are counted per message and per conversation; `timeout_seconds` bounds one search over one text,
    `budget_seconds` the processor time of a conversation. Addresses on `public_hosts` without credentials or a query are nobody's and stay as they are.
    """

    ner_model: str | None = None
    ner_labels: Mapping[str, str] = {}
    allow_degraded_names: bool = False
    public_names: tuple[str, ...] = ()
    custom: CustomRules = CustomRules()
    max_characters: Annotated[int, Field(ge=1, le=1_000_000)] = 32_000
    max_conversation_characters: Annotated[int, Field(ge=1)] = 256_000
    max_messages: Annotated[int, Field(ge=1)] = 1_000
    timeout_seconds: Annotated[float, Field(gt=0)] = 1.0
    budget_seconds: Annotated[float, Field(gt=0)] = 20.0
    phone_regions: tuple[str, ...] = ("KR", "US", "GB", "JP", "DE", "FR", "ES", "CN", "IN", "BR")
    public_hosts: tuple[str, ...] = (
        "docs.python.org",
        "docs.rs",
        "developer.mozilla.org",
        "en.wikipedia.org",
        "ko.wikipedia.org",
        "arxiv.org",
    )
