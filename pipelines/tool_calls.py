r"""Calls of tools in what a model writes, in the format that its chat template teaches.

Qwen2.5, Qwen3, Granite   <tool_call>\n{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call>
Qwen3-Coder, Qwen3.5      <tool_call>\n<function=weather>\n<parameter=city>\nUlm\n</parameter>\n</function>\n</tool_call>
GLM                       <tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Ulm</arg_value>\n</tool_call>
Llama 3                   {"name": "weather", "parameters": {"city": "Ulm"}}
Mistral                   [TOOL_CALLS][{"name": "weather", "arguments": {"city": "Ulm"}}], or [TOOL_CALLS]weather[ARGS]{...}
Gemma 4                   <|tool_call>call:weather{city:<|"|>Ulm<|"|>}<tool_call|>
LFM2                      <|tool_call_start|>[weather(city='Ulm')]<|tool_call_end|>
Command R7B               <|START_ACTION|>[{"tool_call_id": "0", "tool_name": "weather", "parameters": {...}}]<|END_ACTION|>
DeepSeek R1, V3.1         <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{...}\n```<｜tool▁call▁end｜>, or
                          <｜tool▁call▁begin｜>weather<｜tool▁sep｜>{...}<｜tool▁call▁end｜>
DeepSeek V3.2, V4         <｜DSML｜invoke name="weather">\n<｜DSML｜parameter name="city" string="true">Ulm</｜DSML｜parameter>
MiniMax M2                <minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">Ulm</parameter>\n</invoke>
Kimi K2                   <|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{...}<|tool_call_end|>
"""

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pipelines.records import ToolCall

Call = tuple[str, Mapping[str, Any]]
Types = Mapping[str, Mapping[str, str]]
"""JSON types by the names of a tool and of its parameter."""

_BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_NAMED = re.compile(r"\s*([\w.-]+)(?:\[CALL_ID\]\w+)?\[ARGS\]")
_GEMMA = re.compile(r"<\|tool_call>call:([\w.-]+)(\{.*?\})<tool_call\|>", re.DOTALL)
_DEEPSEEK = re.compile(
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>([^\n]+)\n```json\n(.*?)\n```|(.*?)<｜tool▁sep｜>(.*?))<｜tool▁call▁end｜>",
    re.DOTALL,
)
_DSML = re.compile(r'<｜DSML｜invoke name="([^"]+)">(.*?)</｜DSML｜invoke>', re.DOTALL)
_DSML_PARAMETER = re.compile(
    r'<｜DSML｜parameter name="([^"]+)" string="(true|false)">(.*?)</｜DSML｜parameter>', re.DOTALL
)
_INVOKE = re.compile(r'<invoke name="([^"]+)">(.*?)</invoke>', re.DOTALL)
_INVOKE_PARAMETER = re.compile(r'<parameter name="([^"]+)">(.*?)</parameter>', re.DOTALL)
_KIMI = re.compile(
    r"<\|tool_call_begin\|>\s*(?:functions\.)?([\w.-]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>",
    re.DOTALL,
)
_NAME = re.compile(r"[\w.:/-]+")
_PYTHON = {"True": True, "False": False, "None": None}
_KEY = re.compile(r"([{,]\s*)([^\s{}\[\],:\"]+)\s*:")


@dataclass(frozen=True)
class CallFormat:
    """How a family writes calls.

    Attributes:
        begin: the mark at which text ends and calls begin; "{" only as the first thing of an answer.
        marks: tokens that belong to the format, though a vocabulary may call them control tokens.
        read: the calls in what stands from there on; raises ValueError where they are none.
        key: what one call's JSON calls its arguments, None where a call is no JSON.
        opening, closing: what stands around one call's JSON.
    """

    begin: str
    marks: tuple[str, ...]
    read: Callable[[str, Types], Iterator[Call]]
    key: str | None = None
    opening: str = ""
    closing: str = ""


def call_format(template: str) -> CallFormat | None:
    """The format that a chat template teaches; None for a family that is not known."""
    return next((form for sign, form in _FORMATS if sign in template), None)


class CallReader:
    """Parts a stream of text into what is said and the calls behind it; nothing that was written gets lost."""

    def __init__(self, form: CallFormat, tools: Sequence[Mapping[str, Any]]) -> None:
        self._form, self._types = form, _types(tools)
        self._held = ""
        self._said = False
        self._calls = False

    def push(self, text: str) -> str:
        """The text that is surely no call."""
        self._held += text
        if self._calls:
            return ""
        place = self._begin()
        self._calls = place is not None
        end = len(self._held) - self._undecided() if place is None else place
        shown, self._held = self._held[:end], self._held[end:]
        self._said |= bool(shown.strip())
        return shown

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """What was held back: calls, or text where it is none after all."""
        if self._calls:
            with suppress(ValueError, RecursionError):
                calls = tuple(_call(name, arguments) for name, arguments in self._form.read(self._held, self._types))
                if calls:
                    return "", calls
        return self._held, ()

    def _begin(self) -> int | None:
        if self._form.begin == "{":
            return 0 if not self._said and self._held.lstrip().startswith("{") else None
        place = self._held.find(self._form.begin)
        return None if place < 0 else place

    def _undecided(self) -> int:
        """How many characters at the end may be the first of a call."""
        if self._form.begin == "{":
            return len(self._held) if not self._said and not self._held.strip() else 0
        sizes = range(min(len(self._form.begin) - 1, len(self._held)), 0, -1)
        return next((size for size in sizes if self._held.endswith(self._form.begin[:size])), 0)


def _call(name: str, arguments: Mapping[str, Any]) -> ToolCall:
    """Nine letters and digits, since Mistral's templates take no other id."""
    if not _NAME.fullmatch(name) or not isinstance(arguments, dict):
        raise ValueError("no call")
    return ToolCall(id=uuid4().hex[:9], name=name, arguments=json.dumps(arguments, ensure_ascii=False))


def _types(tools: Sequence[Mapping[str, Any]]) -> Types:
    """The types of all parameters that the definitions tell; a definition is somebody's JSON."""
    types: dict[str, dict[str, str]] = {}
    for tool in tools:
        known = types[str(tool.get("name"))] = {}
        parameters = tool.get("parameters")
        properties = parameters.get("properties") if isinstance(parameters, dict) else None
        for name, schema in properties.items() if isinstance(properties, dict) else ():
            if isinstance(schema, dict):
                known[name] = str(schema.get("type", ""))
    return types


def _value(text: str, type: str | None) -> Any:
    """A parameter that was written without quotes: a text where its type says so, else the JSON that it is."""
    if type == "string":
        return text
    if text in _PYTHON:  # what Jinja makes of a JSON value that nobody turned into JSON
        return _PYTHON[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _named(value: Any) -> Call:
    arguments = value.get("arguments", value.get("parameters")) if isinstance(value, dict) else None
    if not isinstance(arguments, dict):
        raise ValueError("no call")
    return str(value.get("name", "")), arguments


def _objects(text: str, between: str) -> Iterator[Any]:
    """JSON values one after the other, with only white space and `between` among them."""
    decoder, place = json.JSONDecoder(), 0
    while rest := text[place:].lstrip(between + " \n\t"):
        value, size = decoder.raw_decode(rest)
        place = len(text) - len(rest) + size
        yield value


def _read_json_blocks(text: str, types: Types) -> Iterator[Call]:
    for block in _BLOCK.findall(text):
        yield _named(json.loads(block))


def _read_functions(text: str, types: Types) -> Iterator[Call]:
    for block in _BLOCK.findall(text):
        found = _FUNCTION.search(block)
        if found is None:
            raise ValueError("no call")
        known = types.get(found[1], {})
        yield found[1], {name: _value(value, known.get(name)) for name, value in _PARAMETER.findall(found[2])}


def _read_pairs(text: str, types: Types) -> Iterator[Call]:
    for block in _BLOCK.findall(text):
        name = block.partition("<arg_key>")[0].strip()
        yield name, {key: _value(value, types.get(name, {}).get(key)) for key, value in _PAIR.findall(block)}


def _read_llama(text: str, types: Types) -> Iterator[Call]:
    yield from (_named(value) for value in _objects(text, ";"))


def _read_mistral(text: str, types: Types) -> Iterator[Call]:
    for part in text.split("[TOOL_CALLS]")[1:]:
        named = _NAMED.match(part)
        if named:
            yield named[1], json.loads(part[named.end() :])
        else:
            yield from map(_named, json.loads(part))


def _read_gemma(text: str, types: Types) -> Iterator[Call]:
    for name, body in _GEMMA.findall(text):
        parts = body.split('<|"|>')
        plain = (_KEY.sub(r'\1"\2":', part) for part in parts[::2])
        quoted = [json.dumps(part) for part in parts[1::2]] + [""]
        yield name, json.loads("".join(part for pair in zip(plain, quoted, strict=True) for part in pair))


def _read_python(text: str, types: Types) -> Iterator[Call]:
    body = text.removeprefix("<|tool_call_start|>").partition("<|tool_call_end|>")[0]
    try:
        listed = ast.parse(body.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError("no call") from error
    for call in listed.elts if isinstance(listed, ast.List) else [listed]:
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("no call")
        yield ast.unparse(call.func), {word.arg or "": _literal(word.value) for word in call.keywords}


def _literal(value: ast.expr) -> Any:
    """A value as Python writes it, or as JSON does: templates differ, and models mix them."""
    words = {"true": True, "false": False, "null": None}
    return words[value.id] if isinstance(value, ast.Name) and value.id in words else ast.literal_eval(value)


def _read_cohere(text: str, types: Types) -> Iterator[Call]:
    body = text.removeprefix("<|START_ACTION|>").partition("<|END_ACTION|>")[0]
    for value in json.loads(body):
        yield _named({"name": value.get("tool_name"), **value} if isinstance(value, dict) else value)


def _read_deepseek(text: str, types: Types) -> Iterator[Call]:
    for fenced, fenced_body, plain, plain_body in _DEEPSEEK.findall(text):
        yield (fenced or plain).strip(), json.loads(fenced_body or plain_body)


def _read_dsml(text: str, types: Types) -> Iterator[Call]:
    for name, body in _DSML.findall(text):
        values = _DSML_PARAMETER.findall(body)
        yield name, {key: value if quoted == "true" else json.loads(value) for key, quoted, value in values}


def _read_invokes(text: str, types: Types) -> Iterator[Call]:
    for name, body in _INVOKE.findall(text):
        known = types.get(name, {})
        yield name, {key: _value(value, known.get(key)) for key, value in _INVOKE_PARAMETER.findall(body)}


def _read_kimi(text: str, types: Types) -> Iterator[Call]:
    for name, body in _KIMI.findall(text):
        yield name, json.loads(body)


_TAGS = ("<tool_call>", "</tool_call>")
_FORMATS = (
    ("｜DSML｜", CallFormat("<｜DSML｜", ("<｜DSML｜", "｜DSML｜"), _read_dsml)),
    (
        "<｜tool▁calls▁begin｜>",
        CallFormat(
            "<｜tool▁calls▁begin｜>",
            (*(f"<｜tool▁{part}▁{end}｜>" for part in ("calls", "call") for end in ("begin", "end")), "<｜tool▁sep｜>"),
            _read_deepseek,
        ),
    ),
    (
        "<|tool_calls_section_begin|>",
        CallFormat(
            "<|tool_calls_section_begin|>",
            (
                *(f"<|tool_calls_section_{end}|>" for end in ("begin", "end")),
                *(f"<|tool_call_{end}|>" for end in ("begin", "argument_begin", "end")),
            ),
            _read_kimi,
        ),
    ),
    ("<|START_ACTION|>", CallFormat("<|START_ACTION|>", ("<|START_ACTION|>", "<|END_ACTION|>"), _read_cohere)),
    (
        "<|tool_call_start|>",
        CallFormat("<|tool_call_start|>", ("<|tool_call_start|>", "<|tool_call_end|>"), _read_python),
    ),
    (
        "<minimax:tool_call>",
        CallFormat("<minimax:tool_call>", ("<minimax:tool_call>", "</minimax:tool_call>"), _read_invokes),
    ),
    ("<|tool_call>call:", CallFormat("<|tool_call>", ("<|tool_call>", "<tool_call|>", '<|"|>'), _read_gemma)),
    (
        "[TOOL_CALLS]",
        CallFormat(
            "[TOOL_CALLS]",
            ("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"),
            _read_mistral,
            key="arguments",
            opening="[TOOL_CALLS][",
            closing="]",
        ),
    ),
    (
        "<arg_key>",
        CallFormat("<tool_call>", (*_TAGS, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"), _read_pairs),
    ),
    ("<function=", CallFormat("<tool_call>", _TAGS, _read_functions)),
    (
        "<tool_call>",
        CallFormat(
            "<tool_call>", _TAGS, _read_json_blocks, key="arguments", opening="<tool_call>\n", closing="\n</tool_call>"
        ),
    ),
    ('"parameters": ', CallFormat("{", (), _read_llama, key="parameters")),
)
PLAIN = CallFormat("{", (), _read_llama, key="arguments")
"""A call that a model without a format of its own is made to write."""
