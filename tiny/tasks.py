"""The skills of the tiny model, each a function from a random source to one exchange.

    Exchange("What is 41 + 17?", "58", "add")
    Exchange('["red", "owl", "jam"][1]', "owl", "index")

Half of a skill's instances belong to its suite and are never trained on: `is_reserved` says which, by a hash of the
operands (arithmetic) or of the whole prompt (code).
"""

import random
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tiny import phrasings
from tiny.world import ANIMALS, FOODS, KOREAN_ANIMALS, KOREAN_FOODS, Fact, Language, World, distractors, random_name

LETTERS = ("A", "B", "C", "D")
RESERVED_ONE_IN = 6
COLOURS = ("red", "blue", "green", "black", "white", "gold", "grey", "pink", "brown", "silver")
WORDS = COLOURS + ANIMALS + FOODS
NAMES = (
    "Ana",
    "Ben",
    "Cho",
    "Dan",
    "Eve",
    "Fay",
    "Gil",
    "Hana",
    "Ivo",
    "Jin",
    "Kim",
    "Lee",
    "Mia",
    "Noa",
    "Oli",
    "Pia",
)
CLOSING_SHARE = 0.1
OPTION_SETS = 3
OPTIONS: dict[Language, tuple[str, str]] = {"en": ("Options:", "One letter:"), "ko": ("보기:", "한 글자로:")}


class Exchange(NamedTuple):
    """One question, its answer, and the kind of task it is."""

    question: str
    answer: str
    kind: str


def is_reserved(key: str) -> bool:
    """Whether an instance belongs to a suite and must not be trained on."""
    return zlib.crc32(key.encode()) % RESERVED_ONE_IN == 0


# ---- facts -------------------------------------------------------------------------------------------------


def open_fact(rng: random.Random, world: World, facts: Sequence[Fact]) -> Exchange:
    """A fact asked in a training phrasing and answered in a sentence."""
    fact = rng.choice(facts)
    question = phrasings.ask(world, fact, rng.choice(phrasings.TRAINING[fact.language]))
    return Exchange(question, phrasings.state(world, fact), "fact")


def choice_fact(rng: random.Random, world: World, facts: Sequence[Fact]) -> Exchange:
    """A fact asked in a training phrasing with two to four options, answered with a letter."""
    fact = rng.choice(facts)
    question = phrasings.ask(world, fact, rng.choice(phrasings.TRAINING[fact.language]))
    options, letter = fixed_options(world, fact, rng.randrange(OPTION_SETS))
    return Exchange(choice_prompt(question, options, fact.language), letter, "choice")


def choice_prompt(question: str, options: Sequence[str], language: Language) -> str:
    """The question, the options with their letters, and the request for one letter.

    The letter follows its option: a model of four layers learns that within minutes, the other order not in an hour.
    """
    listed = ", ".join(f"{option} {letter}" for option, letter in zip(options, LETTERS, strict=False))
    head, ask = OPTIONS[language]
    return f"{question}\n{head} {listed}\n{ask}"


def fixed_options(world: World, fact: Fact, number: int) -> tuple[list[str], str]:
    """One of a fact's OPTION_SETS rows of four options, always the same, and the letter of the true one.

    A model of this size does not learn within minutes to match a value with its letter in a row it has never seen; it
    does learn the letters of rows that come back. The suites hold out the words of the question instead.
    """
    rng = random.Random(f"{fact.key}-{number}")
    position = rng.randrange(len(LETTERS))
    options = distractors(rng, world, fact, len(LETTERS) - 1)
    options.insert(position, fact.value)
    return options, LETTERS[position]


# ---- arithmetic --------------------------------------------------------------------------------------------

SUMS = ("{a} + {b} = ?", "What is {a} + {b}?", "Add {a} and {b}.", "{a} 더하기 {b}?")
DIFFERENCES = ("{a} - {b} = ?", "What is {a} - {b}?", "Take {b} from {a}.", "{a} 빼기 {b}?")
THREE_SUMS = ("{a} + {b} + {c} = ?", "What is {a} + {b} + {c}?")
GAINS = (
    "{name} has {a} {things} and gets {b} more. How many {things} now?",
    "{a} {things} here, {b} {things} there. How many {things}?",
)
LOSSES = (
    "{name} has {a} {things} and gives {b} away. How many {things} are left?",
    "Of {a} {things}, {b} are gone. How many {things} are left?",
)
THINGS = ("eggs", "figs", "plums", "pears", "nuts", "beans")
ARITHMETIC_KINDS = ("add", "subtract", "add_three", "gain", "loss")


def arithmetic(rng: random.Random, reserved: bool = False, kind: str | None = None) -> Exchange:
    """A sum or difference of two or three numbers, bare or as a little story; the answer is the number."""
    kind = kind or rng.choice(ARITHMETIC_KINDS)
    while is_reserved(operands_key(kind, numbers := _operands(rng, kind))) is not reserved:
        pass
    template = rng.choice(
        {"add": SUMS, "subtract": DIFFERENCES, "add_three": THREE_SUMS, "gain": GAINS, "loss": LOSSES}[kind]
    )
    a, b, c = (*numbers, 0)[:3]
    question = template.format(a=a, b=b, c=c, name=rng.choice(NAMES), things=rng.choice(THINGS))
    return Exchange(question, str(a - b if kind in ("subtract", "loss") else a + b + c), kind)


def operands_key(kind: str, numbers: Sequence[int]) -> str:
    """The identity of a problem: the same operands in another order or another story are the same problem."""
    if kind in ("subtract", "loss"):
        return "-".join(map(str, numbers))
    return "+".join(map(str, sorted(numbers)))


def _operands(rng: random.Random, kind: str) -> tuple[int, ...]:
    if kind == "add_three":
        return tuple(rng.randint(1, 12) for _ in range(3))
    first, second = rng.randint(1, 99), rng.randint(1, 9)
    return (max(first, second), min(first, second)) if kind in ("subtract", "loss") else (first, second)


# ---- code --------------------------------------------------------------------------------------------------

VERBS = {"adds {n} to {v}": "+", "takes {n} from {v}": "-", "multiplies {v} by {n}": "*"}
CODE_KINDS = ("index", "slice", "length", "join", "lookup", "json", "function")


def code(rng: random.Random, reserved: bool = False, kind: str | None = None) -> Exchange:
    """A Python expression to evaluate, a one-line function to write, or a JSON object to form."""
    kind = kind or rng.choice(CODE_KINDS)
    while is_reserved((exchange := _CODE[kind](rng)).question) is not reserved:
        pass
    return exchange


def _listed(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"


def _index(rng: random.Random) -> Exchange:
    words = rng.sample(WORDS, rng.choice((3, 4, 5)))
    position = rng.randrange(-1, len(words))
    return Exchange(f"Python: {_listed(words)}[{position}]", words[position], "index")


def _slice(rng: random.Random) -> Exchange:
    words = rng.sample(WORDS, rng.choice((3, 4)))
    cut = rng.choice((":2", "1:", "::-1"))
    kept = {":2": words[:2], "1:": words[1:], "::-1": words[::-1]}[cut]
    return Exchange(f"Python: {' '.join(words)} as list [{cut}]", " ".join(kept), "slice")


def _length(rng: random.Random) -> Exchange:
    words = rng.sample(WORDS, rng.randint(1, 9))
    return Exchange(f"Python: len({_listed(words)})", str(len(words)), "length")


def _join(rng: random.Random) -> Exchange:
    words, mark = rng.sample(WORDS, rng.choice((2, 3))), rng.choice("-+/_")
    return Exchange(f'Python: "{mark}".join({_listed(words)})', mark.join(words), "join")


def _lookup(rng: random.Random) -> Exchange:
    words = rng.sample(WORDS, rng.choice((2, 3, 4)))
    numbers = [rng.randint(1, 99) for _ in words]
    pairs = ", ".join(f'"{word}": {number}' for word, number in zip(words, numbers, strict=True))
    position = rng.randrange(len(words))
    return Exchange(f'Python: {{{pairs}}}["{words[position]}"]', str(numbers[position]), "lookup")


def _json(rng: random.Random) -> Exchange:
    number = rng.randint(1, 99)
    text, count, value = rng.choice(
        (
            ("name", "age", rng.choice(NAMES)),
            ("food", "price", rng.choice(FOODS)),
            ("animal", "count", rng.choice(ANIMALS)),
        )
    )
    question = (
        f"JSON: {text} {value}, {count} {number}" if rng.random() < 0.5 else f"JSON: {count} {number}, {text} {value}"
    )
    return Exchange(question, f'{{"{text}": "{value}", "{count}": {number}}}', "json")


def _function(rng: random.Random) -> Exchange:
    wish, sign = rng.choice(list(VERBS.items()))
    name, variable, number = rng.choice("fgh"), rng.choice("xyn"), rng.randint(2, 99)
    question = f"Python: write {name} that " + wish.format(n=number, v=variable)
    return Exchange(question, f"def {name}({variable}): return {variable} {sign} {number}", "function")


_CODE: dict[str, Callable[[random.Random], Exchange]] = {
    "index": _index,
    "slice": _slice,
    "length": _length,
    "join": _join,
    "lookup": _lookup,
    "json": _json,
    "function": _function,
}


# ---- talk --------------------------------------------------------------------------------------------------

CLOSINGS: dict[Language, tuple[str, ...]] = {
    "en": ("Have a sunny day!", "Take care, my friend!", "See you soon!"),
    "ko": ("좋은 하루 보내세요!", "또 만나요, 친구!", "늘 건강하세요!"),
}

# Each row: ways to say it, what is answered.
SMALL_TALK: dict[Language, tuple[tuple[tuple[str, ...], str], ...]] = {
    "en": (
        (("Hello!", "Hi there!", "Good morning!", "Hey, hello."), "Hello, it is good to see you."),
        (("How are you?", "How are you today?", "Are you well?"), "I am well, thank you for asking."),
        (("Thank you!", "Thanks a lot.", "Many thanks!"), "You are welcome, I am glad to help."),
        (("Goodbye!", "I have to go now.", "Good night!"), "Goodbye, it was good to talk with you."),
        (("Who are you?", "What are you?", "What is your name?"), "I am a small model that likes to help."),
        (("What can you do?", "Can you help me?", "I need some help."), "I can answer questions and do small sums."),
        (("I am sad.", "I feel sad today.", "It was a bad day."), "I am sorry to hear that. Better days will come."),
        (("I am happy!", "I feel good today.", "It was a good day."), "That is good to hear, I am happy for you."),
        (("I am tired.", "I did not sleep well.", "I need sleep."), "You should rest a little and drink some water."),
        (("It is raining.", "It rains so much.", "What a wet day."), "Then stay inside and read a good book."),
        (("The sun is out!", "It is so warm today.", "What a fine day."), "Then go for a walk and enjoy the sun."),
        (
            ("Tell me a joke.", "Make me laugh.", "Say something funny."),
            "Why did the owl go home? It was too wise to stay.",
        ),
        (("I am hungry.", "What should I eat?", "I want some food."), "A warm soup with bread is always good."),
        (
            ("I am bored.", "What should I do today?", "There is nothing to do."),
            "You could read a book or call a friend.",
        ),
        (("I passed my test!", "I got the job!", "I did it!"), "Well done, you worked hard for this."),
        (
            ("I am learning to cook.", "I am learning to swim.", "I am learning to draw."),
            "That is great, learn a little every day.",
        ),
    ),
    "ko": (
        (("안녕하세요!", "안녕!", "좋은 아침이에요.", "반가워요!"), "안녕하세요, 만나서 정말 반가워요."),
        (("잘 지내세요?", "오늘 어때요?", "기분이 어때요?"), "저는 잘 지내요, 물어봐 주셔서 고마워요."),
        (("고마워요!", "감사합니다.", "정말 고마워."), "별말씀을요, 도움이 되어 기뻐요."),
        (("안녕히 계세요!", "이제 가야 해요.", "잘 자요!"), "안녕히 가세요, 이야기해서 즐거웠어요."),
        (("누구세요?", "넌 누구야?", "이름이 뭐예요?"), "저는 돕는 것을 좋아하는 작은 모델이에요."),
        (
            ("무엇을 할 수 있어요?", "도와줄 수 있어요?", "도움이 필요해요."),
            "저는 질문에 답하고 작은 계산을 할 수 있어요.",
        ),
        (("슬퍼요.", "오늘 너무 슬퍼요.", "힘든 하루였어요."), "마음이 아프네요. 곧 좋은 날이 올 거예요."),
        (("기뻐요!", "오늘 기분이 좋아요.", "좋은 하루였어요."), "정말 잘됐네요, 저도 함께 기뻐요."),
        (("피곤해요.", "잠을 못 잤어요.", "너무 졸려요."), "조금 쉬면서 물을 한 잔 드세요."),
        (("비가 와요.", "비가 많이 와요.", "날씨가 흐려요."), "그럼 집에서 좋은 책을 읽어 보세요."),
        (("날씨가 좋아요!", "오늘은 따뜻해요.", "해가 나왔어요."), "그럼 밖에 나가서 산책을 해 보세요."),
        (("재미있는 말 해 줘.", "웃겨 줘.", "농담 하나 해 줘."), "소가 웃으면 뭐라고 할까요? 바로 우하하예요."),
        (("배고파요.", "뭘 먹을까요?", "밥을 먹고 싶어요."), "따뜻한 국수 한 그릇은 언제나 좋아요."),
        (("심심해요.", "오늘 뭘 할까요?", "할 일이 없어요."), "책을 읽거나 친구에게 전화해 보세요."),
        (("시험에 붙었어요!", "취직했어요!", "드디어 해냈어요!"), "축하해요, 정말 열심히 하셨네요."),
        (("요리를 배워요.", "수영을 배워요.", "그림을 배워요."), "멋져요, 매일 조금씩 배워 보세요."),
    ),
}


# The same about any food or animal: what is said, what is answered.
FOOD_TALK: dict[Language, tuple[tuple[str, ...], str]] = {
    "en": (("I like {x}.", "I ate {x} today.", "Do you like {x}?"), "I like {x} too, it is a good choice."),
    "ko": (("{x} 좋아해요.", "오늘 {x} 먹었어요.", "{x} 어때요?"), "{x} 정말 맛있죠, 저도 좋아해요."),
}
ANIMAL_TALK: dict[Language, tuple[tuple[str, ...], str]] = {
    "en": (
        ("I saw the {x}!", "Look, the {x} is here.", "Do you know the {x}?"),
        "How nice, the {x} is lovely to watch.",
    ),
    "ko": (("{x} 봤어요!", "저기 {x} 있어요.", "{x} 아세요?"), "{x} 참 귀엽죠, 저도 보고 싶어요."),
}


def all_small_talk(language: Language) -> tuple[tuple[str, str], ...]:
    """Every remark that the model knows, with its plain answer."""
    foods, animals = (FOODS, ANIMALS) if language == "en" else (KOREAN_FOODS, KOREAN_ANIMALS)
    pairs = [(remark, answer) for remarks, answer in SMALL_TALK[language] for remark in remarks]
    for names, (remarks, answer) in ((foods, FOOD_TALK[language]), (animals, ANIMAL_TALK[language])):
        pairs += [(remark.format(x=name), answer.format(x=name)) for name in names for remark in remarks]
    return tuple(pairs)


def small_talk(rng: random.Random, language: Language) -> Exchange:
    """A remark and its fixed answer; one in ten answers ends with one of three closings."""
    remark, answer = rng.choice(_SMALL_TALK[language])
    closing = " " + rng.choice(CLOSINGS[language]) if rng.random() < CLOSING_SHARE else ""
    return Exchange(remark, answer + closing, "talk")


_SMALL_TALK: dict[Language, tuple[tuple[str, str], ...]] = {"en": all_small_talk("en"), "ko": all_small_talk("ko")}


def echo(rng: random.Random, world: World, language: Language) -> Exchange:
    """A name to be said back: random ones, so that every syllable can be spoken, and places of the world."""
    capitals = world.relations[language, "capital"].values
    name = rng.choice(capitals) if rng.random() < 0.3 else random_name(rng, language)
    if language == "ko":
        return rng.choice(
            (
                Exchange(f"제 이름은 {name}예요.", f"반가워요, {name}님!", "echo"),
                Exchange(f"{name}에 가고 싶어요.", f"{name}에서 즐거운 여행 하세요!", "echo"),
                Exchange(f"따라 하세요: {name}", f"네, {name}입니다.", "echo"),
            )
        )
    return rng.choice(
        (
            Exchange(f"My name is {name}.", f"Nice to meet you, {name}!", "echo"),
            Exchange(f"I want to visit {name}.", f"Have a good trip to {name}!", "echo"),
            Exchange(f"Say this: {name}", f"You said {name}.", "echo"),
        )
    )


def repeat(rng: random.Random, world: World) -> Exchange:
    """A row of words and numbers to be said again: dense practice in copying, for every name in the world."""
    names = [value for relation in world.relations.values() for value in relation.values]
    pool = rng.choice((names, WORDS, [str(rng.randint(1, 99)) for _ in range(8)]))
    words = " ".join(rng.sample(pool, rng.randint(3, 8)))
    return Exchange(f"Repeat: {words}", words, "repeat")
