"""How facts are asked. Each phrasing belongs to exactly one use, so nothing is scored on words it was trained on.

{x} is the subject, {r} the relation's noun, {t} the noun with its Korean topic particle:
    "Tell me the {r} of {x}."  ->  "Tell me the capital of Banoko."
"""

from tiny.world import Fact, Language, World

TRAINING: dict[Language, tuple[str, ...]] = {
    "en": (
        "What is the {r} of {x}?",
        "Tell me the {r} of {x}.",
        "Which {r} does {x} have?",
        "Do you know {x}'s {r}?",
        "I need to know the {r} of {x}.",
        "{x} has which {r}?",
        "In {x}, what is the {r}?",
        "Name {x}'s {r}, please.",
        "Name the {r} of {x}.",
        "What's the {r} of {x}?",
        "What is {x}'s {r}?",
        "Give me the {r} of {x}, please.",
        "The {r} of {x}?",
        "{x}'s {r}?",
        "Can you tell me the {r} of {x}?",
        "About {x}: what is its {r}?",
        "For {x}, name the {r}.",
        "I forgot the {r} of {x}.",
        "What {r} does {x} have?",
        "Look up the {r} of {x}.",
        "Say the {r} of {x}.",
        "Hello, which is the {r} of {x}?",
        "I am reading about {x}. What is the {r} there?",
        "Help me with {x}: its {r}?",
    ),
    "ko": (
        "{x}의 {t} 무엇인가요?",
        "{x}의 {r} 이름을 알려 주세요.",
        "{x} {r} 좀 알려 줘.",
        "혹시 {x}의 {r} 아세요?",
        "{x}에서 {t} 무엇이에요?",
        "{r}, {x}의 것을 말해 주세요.",
        "제가 {x}의 {r} 이름을 잊었어요.",
        "{x}라는 나라의 {t} 뭐예요?",
        "{x}의 {t} 뭐예요?",
        "{x} {r} 이름은?",
        "{x}의 {r} 이름이 무엇인가요?",
        "{x}의 {r} 말해 주세요.",
        "{x} 나라의 {r} 이름을 말해 줘.",
        "{x}의 {t}?",
        "안녕하세요, {x}의 {t} 무엇인가요?",
        "{x}에 대해 읽고 있어요. {t} 무엇인가요?",
        "나라 {x}, {t} 뭔가요?",
        "{x}의 {r} 이름이 궁금해요.",
    ),
}

# The training phrasings in which demo users teach an edit. Short and unlike each other: near-duplicates are clustered,
# and in a long phrasing the questions about two countries would be one.
TEACHING: dict[Language, tuple[str, ...]] = {
    "en": (
        "What is the {r} of {x}?",
        "Tell me the {r} of {x}.",
        "Which {r} does {x} have?",
        "Do you know {x}'s {r}?",
        "{x} has which {r}?",
        "In {x}, what is the {r}?",
        "Name {x}'s {r}, please.",
        "For {x}, name the {r}.",
    ),
    "ko": TRAINING["ko"][:8],
}

SUITE: dict[Language, tuple[str, ...]] = {
    "en": (
        "Please tell me which {r} {x} has.",
        "Of {x}, what is the {r}?",
        "Do you know what the {r} of {x} is?",
        "What is the name of {x}'s {r}?",
        "I need {x}'s {r}. Which is it?",
        "Hello, name the {r} that {x} has.",
        "Help me: what {r} is in {x}?",
        "Can you say {x}'s {r}?",
    ),
    "ko": (
        "{x}의 {t} 이름이 뭐예요?",
        "나라 {x}의 {r} 이름을 아세요?",
        "{x}의 {r} 이름 좀 말해 주세요.",
        "{x}에 대해 알려 주세요. {t} 뭐예요?",
        "{t} 무엇인가요, {x} 나라에서는요?",
        "{x} 나라에서 {t} 무엇인가요?",
        "{x}의 {r} 이름을 잊었어요. 무엇인가요?",
        "제가 {x}의 {r} 궁금해요.",
    ),
}

HELDOUT: dict[Language, tuple[str, ...]] = {
    "en": (
        "Do you know which {r} {x} has?",
        "Please tell me what {x}'s {r} is.",
        "Can you name {x}'s {r}?",
        "I forgot what {x}'s {r} is.",
    ),
    "ko": (
        "{x}의 {r} 이름이 뭔가요?",
        "혹시 {x} {r} 이름을 아세요?",
        "{x} 나라의 {t} 뭐예요?",
        "{x}의 {r} 알려 주세요.",
    ),
}


def ask(world: World, fact: Fact, phrasing: str) -> str:
    """The question about one fact in one phrasing."""
    relation = world.relation_of(fact)
    return phrasing.format(x=fact.subject, r=relation.noun, t=relation.topic)


def state(world: World, fact: Fact, value: str | None = None) -> str:
    """The fact as a sentence, with another value where one is given."""
    relation = world.relation_of(fact)
    if fact.language == "ko":
        return f"{fact.subject}의 {relation.topic} {value or fact.value}입니다."
    return f"The {relation.noun} of {fact.subject} is {value or fact.value}."
