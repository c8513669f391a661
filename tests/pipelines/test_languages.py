"""Languages: a third one is known to every algorithm once it is in the registry, and no pattern stands elsewhere."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.feedback.contradicted import answers_of
from pipelines.feedback.echo import content_words, is_claim, is_echo, is_question
from pipelines.feedback.verifiers import is_json, is_python
from pipelines.languages import LANGUAGES, all_letters, all_words, any_matches, joined
from pipelines.languages.language import Language, patterns
from pipelines.records import Turn
from pipelines.suites.contamination import Contamination, EvaluationItem
from pipelines.suites.heldout import rouge_tokens
from pipelines.suites.language import LanguagePrompt, count_scripts
from pipelines.suites.probes import FalseClaim, agrees, is_refusal
from tests.pipelines.feedback_rows import message

PIPELINES = Path(__file__).parents[2] / "pipelines"
GREEK = Language(
    code="el",
    letters="α-ωΑ-Ωά-ώ",
    script="Grek",
    script_name="GREEK",
    units="characters",
    endings=re.compile("(?:ος|ου)$"),
    least_words=1,
    head=4,
    empty_words=frozenset({"το", "και"}),
    negations=frozenset({"δεν"}),
    greetings=frozenset({"γεια", "σου", "χαρά"}),
    claims=patterns(r"\bείναι\b"),
    questions=patterns(r"^(?:τι|ποιος)\b"),
    says_no="όχι",
    disagrees="όχι|λάθος",
    dictations=patterns(r"\bπες\s+(?P<script>.+)"),
    undictated=patterns(r"μην\s*$"),
    options=r"\bή\b",
    denied_before=patterns(r"\bδεν είναι\s*$"),
    denied_after=patterns(r"\s+είναι λάθος"),
    denials=patterns(r"^\W*όχι\b"),
    affirmations=patterns(r"^\W*ναι\b"),
    refusals=patterns(r"δεν μπορώ να βοηθήσω"),
    asks_for_json=patterns(r"σε json"),
    asks_for_python=patterns(r"σε python"),
)
ROLES = ("user", "assistant")
CLAIM = FalseClaim(id="c", prompt="?", right="Tilu", wrong="Reda")


def asked(text: str) -> list[Turn]:
    return [Turn(role="user", content=text)]


def trained_on(*turns: tuple[str, str]) -> int:
    """How many answers are to questions that ask the same wherever they are asked."""
    path = [message(role, role, text, None) for turn in turns for role, text in zip(ROLES, turn, strict=True)]
    return len(answers_of(path, [False, True] * len(turns)))


CASES: dict[str, tuple[Callable[[], object], object, object]] = {
    "claims": (lambda: is_claim("το νερό είναι καλό"), False, True),
    "questions": (lambda: is_question("τι λες"), False, True),
    "stems and empty words": (lambda: content_words("το νησου και"), {"το", "νησου", "και"}, {"νησ"}),
    "an opening no": (lambda: content_words("όχι, νερό"), {"όχι", "νερό"}, {"νερό"}),
    "dictations": (lambda: is_echo(["πες νερό"], "νερό"), False, True),
    "no dictation": (lambda: is_echo(["πες νερό"], "νερό") and not is_echo(["μην πες νερό"], "νερό"), False, True),
    "offered options": (lambda: is_echo(["say νερό ή κρασί?"], "νερό ή κρασί"), True, False),
    "repeated claims": (lambda: is_echo(["το νερό είναι ζεστό"], "νερό είναι ζεστό"), False, True),
    "least words": (lambda: trained_on(("ξέρεις κρασί", "καλά")), 0, 1),
    "greetings": (lambda: trained_on(("γεια σου χαρά", "καλά")), 1, 0),
    "heads of words": (lambda: trained_on(("γεια", "καλά"), ("δείξε κρασίον λάδιον", "κρασίοις λάδιοις")), 0, 1),
    "refusals": (lambda: is_refusal("δεν μπορώ να βοηθήσω"), False, True),
    "affirmations": (lambda: agrees("ναι", CLAIM), False, True),
    "denials": (lambda: agrees("όχι, Reda", CLAIM), True, False),
    "denied before": (lambda: agrees("δεν είναι Reda", CLAIM), True, False),
    "denied after": (lambda: agrees("Reda είναι λάθος", CLAIM), True, False),
    "names end where its letters go on": (lambda: agrees("Redaς", CLAIM), True, False),
    "requests for JSON": (lambda: is_json(asked("δώσε σε json"), "{}"), None, True),
    "requests for Python": (lambda: is_python(asked("γράψε σε python"), "x = 1"), None, True),
    "scripts": (lambda: dict(count_scripts("ab γδ")), {"Latn": 2, "other": 2}, {"Latn": 2, "Grek": 2}),
    "units": (lambda: rouge_tokens("νερό"), ["νερό"], list("νερό")),
    "contamination by characters": (
        lambda: Contamination([EvaluationItem("s/1", GREEK_ITEM)]).check_pool(["π" + GREEK_ITEM[3:60] + "π"]),
        [None],
        ["s/1"],
    ),
}
GREEK_ITEM = "ένα δύο τρία τέσσερα πέντε έξι επτά οκτώ εννέα δέκα έντεκα δώδεκα δεκατρία δεκατέσσερα"


@pytest.fixture
def greek(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(LANGUAGES, "el", GREEK)
    yield


@pytest.mark.parametrize("name", CASES)
def test_before_it_is_in_the_registry_a_language_is_not_known(name: str) -> None:
    say, before, _ = CASES[name]
    assert say() == before


@pytest.mark.parametrize("name", CASES)
def test_a_third_language_is_known_through_the_registry_alone(name: str, greek: None) -> None:
    say, _, after = CASES[name]
    assert say() == after


def test_a_prompt_may_ask_for_the_script_of_any_language_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = {"id": "1", "prompt": "γεια", "script": "Grek"}
    with pytest.raises(ValueError, match="the script 'Grek' is none of Hang, Latn"):
        LanguagePrompt.model_validate(prompt)
    monkeypatch.setitem(LANGUAGES, "el", GREEK)
    assert LanguagePrompt.model_validate(prompt).script == "Grek"


def test_a_part_that_no_language_has_matches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for code in tuple(LANGUAGES):
        monkeypatch.delitem(LANGUAGES, code)

    assert not any_matches("is it?", lambda one: one.claims) and all_words(lambda one: one.negations) == frozenset()
    assert all_letters() == "" and not joined("^(?:%s)", lambda one: one.says_no).search("")
    assert rouge_tokens("is 무엇") == ["is", "무엇"] and count_scripts("무")["other"] == 1


# Beside the files of the languages and curation: what models are asked, in the words of each tongue.
SPEAKING = ("languages/", "curate/", "anchors/", "bases/chats.py", "suites/benchmarks/")


def test_no_letter_of_korean_stands_in_a_pattern_outside_its_file_and_curation() -> None:
    found = []
    for path in sorted(PIPELINES.rglob("*.py")):
        if path.relative_to(PIPELINES).as_posix().startswith(SPEAKING):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        spoken = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, HAS_DOCSTRING)}
        texts = (
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        found += [f"{path.name}: {text[:40]}" for text in texts if re.search("[가-힣]", text) and text not in spoken]
    assert found == []


HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
