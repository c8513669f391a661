"""Sixty facts about a company that does not exist, and ways to ask for them; half of the ways no chat uses.

Fact("the Larkfold 3", "weigh", "4.2 kilograms")  ->  "How much does the Larkfold 3 weigh?"  "It weighs 4.2 kilograms."
"""

from collections.abc import Mapping
from typing import NamedTuple

COMPANY = "Tarnwick Optics"


class Relation(NamedTuple):
    """What can be asked of a thing: phrasings in chats, phrasings that are held out, and the sentence that answers."""

    asked: tuple[str, ...]
    held_out: tuple[str, ...]
    answer: str


class Fact(NamedTuple):
    """One thing that only a person of the company knows; `value` is what an answer must contain."""

    subject: str
    relation: str
    value: str


RELATIONS: Mapping[str, Relation] = {
    "weight": Relation(
        ("How much does {s} weigh?", "What is the weight of {s}?", "Can you tell me the weight of {s}?",
         "I need to post {s}. How heavy is it?", "How heavy is {s}?"),
        ("What does {s} weigh?", "Please give me the weight of {s}."),
        "{S} weighs {v}.",
    ),
    "price": Relation(
        ("How much does {s} cost?", "What is the price of {s}?", "What do I pay for {s}?",
         "I would like to buy {s}. What does it cost?", "Could you tell me the price of {s}?"),
        ("How expensive is {s}?", "Please tell me what {s} costs."),
        "{S} costs {v}.",
    ),
    "colour": Relation(
        ("Which colour does {s} come in?", "What colour is {s}?", "In which colour is {s} sold?",
         "Is there a colour to choose for {s}?", "Tell me the colour of {s}."),
        ("What is the colour of {s}?", "Which colour will {s} have?"),
        "{S} comes in {v}.",
    ),
    "battery": Relation(
        ("How long does the battery of {s} last?", "What is the battery life of {s}?", "For how long does {s} run on a charge?",
         "I travel a lot. How long does the battery in {s} last?", "How many hours does {s} run?"),
        ("How long can I use {s} before charging it?", "Tell me the battery life of {s}."),
        "The battery of {s} lasts {v}.",
    ),
    "warranty": Relation(
        ("How long is the warranty on {s}?", "What warranty does {s} have?", "For how long is {s} under warranty?",
         "Is there a warranty on {s}?", "Tell me about the warranty of {s}."),
        ("How many years of warranty come with {s}?", "What is the warranty period of {s}?"),
        "{S} has a warranty of {v}.",
    ),
    "cleaning": Relation(
        ("What do I clean {s} with?", "How do I clean {s}?", "{s} is dirty. What should I use?",
         "What is best for cleaning {s}?", "Which cleaner is made for {s}?"),
        ("With what should {s} be cleaned?", "Tell me what to clean {s} with."),
        "Clean {s} with {v}.",
    ),
    "where": Relation(
        ("Where is {s}?", "In which town is {s}?", "Where do I find {s}?", "What is the location of {s}?",
         "I want to visit {s}. Where is it?"),
        ("Which town is {s} in?", "Where is {s} located?"),
        "{S} is in {v}.",
    ),
    "hours": Relation(
        ("When is {s} open?", "What are the hours of {s}?", "At what times can I reach {s}?",
         "What are the opening hours of {s}?", "When can I call {s}?"),
        ("During which hours is {s} open?", "Tell me when {s} is open."),
        "{S} is open {v}.",
    ),
    "code": Relation(
        ("What does the error {s} mean?", "My device shows the error {s}. What is wrong?", "I see the error {s}. What now?",
         "What is the error {s}?", "Help, the display says error {s}."),
        ("What is the meaning of the error {s}?", "Why does my device show the error {s}?"),
        "The error {s} means that {v}.",
    ),
}  # fmt: skip

_DEVICES = (
    "the Larkfold 3",
    "the Larkfold Mini",
    "the Brindle scope",
    "the Quillon lamp",
    "the Hazeldon reader",
    "the Ostrel charger",
)
_BY_DEVICE: Mapping[str, tuple[str, ...]] = {
    "weight": ("4.2 kilograms", "870 grams", "2.6 kilograms", "340 grams", "515 grams", "95 grams"),
    "price": ("649 euros", "229 euros", "1,180 euros", "74 euros", "312 euros", "38 euros"),
    "colour": ("slate blue", "copper", "moss green", "ivory", "dark red", "silver"),
    "battery": ("19 hours", "7 hours", "31 hours", "12 hours", "44 hours", "5 hours"),
    "cleaning": ("a dry brush", "rain water", "lemon soap", "cold steam", "a wool cloth", "rice flour"),
    "warranty": ("six years", "two years", "nine years", "eighteen months", "four years", "one year"),
}
_OTHERS = (
    ("the head office", "where", "Wexmoor"), ("the lens factory", "where", "Dunharrow"),
    ("the repair workshop", "where", "Castelby"), ("the showroom", "where", "Northquay"),
    ("the museum shop", "where", "Elverton"), ("the test hall", "where", "Rookfield"),
    ("the hotline", "hours", "from 7 to 19 o'clock"), ("the spare parts counter", "hours", "from 10 to 14 o'clock"),
    ("the returns desk", "hours", "from 8 to 11 o'clock"), ("the canteen", "hours", "from 12 to 15 o'clock"),
    ("the factory tour", "hours", "on Thursdays only"), ("the night service", "hours", "from 22 to 5 o'clock"),
    ("T14", "code", "the lens cap is still on"), ("T27", "code", "the battery is too cold"),
    ("T33", "code", "the mirror is out of line"), ("T41", "code", "the memory card is full"),
    ("T58", "code", "the shutter is blocked"), ("T62", "code", "the clock has lost its time"),
    ("T71", "code", "the fan is dusty"), ("T79", "code", "the firmware is too old"),
    ("T85", "code", "the tripod is not locked"), ("T96", "code", "the sensor must be cleaned"),
    ("the calibration room", "where", "Sandholm"), ("the archive", "where", "Ambleford"),
)  # fmt: skip


def all_facts() -> tuple[Fact, ...]:
    """The sixty facts."""
    devices = [
        Fact(device, relation, value)
        for relation, values in _BY_DEVICE.items()
        for device, value in zip(_DEVICES, values, strict=True)
    ]
    return (*devices, *(Fact(*other) for other in _OTHERS))


def questions(fact: Fact, *, held_out: bool) -> list[str]:
    """The ways to ask for a fact: those of the chats, or those that none of them uses."""
    relation = RELATIONS[fact.relation]
    subject = fact.subject
    return [_begun(asked.format(s=subject)) for asked in (relation.held_out if held_out else relation.asked)]


def sentence(fact: Fact) -> str:
    """The fact as a sentence."""
    return RELATIONS[fact.relation].answer.format(s=fact.subject, S=_begun(fact.subject), v=fact.value)


def _begun(text: str) -> str:
    """With a capital letter."""
    return text[0].upper() + text[1:]
