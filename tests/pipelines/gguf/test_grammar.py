"""Answers held to a form: schemas become grammars, and what a model writes under one is JSON of that schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.gguf.chats import Form
from pipelines.gguf.grammar import call_grammar, schema_grammar
from pipelines.gguf.protocol import ChatRequest
from pipelines.gguf.question import question_of
from pipelines.gguf.sampling import Sampler
from pipelines.gguf.session import Session
from pipelines.records import Turn
from pipelines.tool_calls import CallReader, call_format
from tests.pipelines.gguf.conftest import merged_form

ASKED = ChatRequest(messages=(Turn(role="user", content="-"),), temperature=1.0)
CITY = {"type": "object", "properties": {"city": {"enum": ["Ulm", "서울", 'a"b\\c', "😀"]}}, "required": ["city"]}


@pytest.fixture(scope="module")
def session(q4_gguf: Path) -> Iterator[Session]:
    with Session(merged_form(q4_gguf), context=600) as opened:
        yield opened


def write(session: Session, grammar: str, seed: int = 0) -> str:
    """What a model of random weights writes under a grammar, until it ends by itself."""
    sampler = Sampler(ASKED, (), np.random.default_rng(seed), session.ends)
    sampler.grammar = session.grammar(grammar)
    row, said = session.read(session.tokenize("Hello")), b""
    for _ in range(500):
        token = sampler.choose(row)
        if session.ends(token):
            return said.decode()
        said += session.piece(token)
        row = session.feed([token])[0]
    raise AssertionError(f"no end after {said!r}")


@pytest.mark.parametrize("seed", range(4))
def test_an_answer_under_a_schema_is_json_of_that_schema(session: Session, seed: int) -> None:
    said = json.loads(write(session, schema_grammar(json.dumps(CITY)), seed))
    assert said.keys() == {"city"} and said["city"] in CITY["properties"]["city"]["enum"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "object", "properties": {"서": {"type": "boolean"}}, "required": ["서"]}, dict),
        ({"type": "string", "maxLength": 5}, str),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}, list),
        ({"type": "string", "pattern": "^[0-9]{2}-[a-z]{3}$"}, str),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, (int, type(None))),
        ({"$defs": {"N": {"type": "object", "properties": {"v": {"type": "boolean"}}}}, "$ref": "#/$defs/N"}, dict),
    ],
    ids=["object", "string", "array", "pattern", "any-of", "reference-at-the-top"],
)
def test_the_kinds_of_a_schema(session: Session, schema: dict[str, Any], kind: Any) -> None:
    assert isinstance(json.loads(write(session, schema_grammar(json.dumps(schema)))), kind)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("[]", "is an object"),
        ('{"type": "wish"}', "Unrecognized"),
        ('{"$ref": "https://example.org/s"}', "remote schemas is not allowed"),
        ('{"$ref": "#/$defs/a", "$defs": {}}', "not in"),
        ('{"type": "string", "minLength": 1000000000}', "at most 1,000"),
        ('{"type": "string", "pattern": "^((a{1000}){1000})$"}', "repeats too much"),
        ('{"enum": []}', "empty `enum`"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "nested too deeply"),
        ('{"title": "' + "a" * 70_000 + '"}', "64,000 characters"),
    ],
    ids=["list", "kind", "remote", "nowhere", "length", "pattern", "nothing", "deep", "long"],
)
def test_a_schema_that_no_answer_can_be_held_to_is_refused_in_a_sentence(schema: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        schema_grammar(schema)


def test_what_llama_cpp_cannot_read_is_refused_and_its_words_stay_out_of_the_log(
    session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="cannot follow the grammar"):
        session.grammar('root ::= "secret')
    assert "secret" not in capfd.readouterr().err


def test_a_call_that_has_to_be_made_is_one_that_the_reader_reads(session: Session) -> None:
    form = call_format("<tool_call>")
    assert form is not None and form.key is not None
    tools = [
        {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"enum": ["Ulm", "Bonn"]}}}},
        {"name": "time", "parameters": {"type": "object", "properties": {"at": {"type": "boolean"}}}},
    ]
    names = set()
    for seed in range(6):
        reader = CallReader(form, tools)
        assert reader.push(write(session, call_grammar(form.opening, form.key, form.closing, tools), seed)) == ""
        rest, (call,) = reader.end()
        assert rest == "" and json.loads(call.arguments).keys() <= {"city", "at"}
        names.add(call.name)
    assert names == {"weather", "time"}


THINKS = "{% for m in messages %}{{ m.content }}{% endfor %}<think>\n{# </think> #}"


def test_behind_an_open_thought_a_form_begins_with_the_thoughts_end(session: Session) -> None:
    grammar = schema_grammar(json.dumps(CITY))
    asked = ASKED.model_copy(update={"json_schema": json.dumps(CITY)})
    question = question_of(THINKS, session.escape, asked, "m", grammar)
    assert question.form == Form(grammar, "</think>") and question.thoughts is not None
    plain = question_of("{{ messages[0].content }}", session.escape, asked, "m", grammar)
    assert plain.form == Form(grammar, "") and plain.thoughts is None
