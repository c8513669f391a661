"""Answers of a form that is asked for: a JSON Schema, or the call of a tool, as a grammar that llama.cpp holds tokens to.

{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    ->  root ::= "{" space city-kv "}" space ...      (llama.cpp's own converter, through llama-cpp-python)
"""

import ctypes
import importlib
import json
import os
import re
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import InputError
from pipelines.gguf.runtime import llama

ANY_OBJECT = '{"type": "object"}'
_LONGEST_SCHEMA = 64_000
_LONGEST_GRAMMAR = 1_000_000
_MOST_REPEATS = 1_000
_MOST_PROPERTIES = 256
_COUNTED = ("minLength", "maxLength", "minItems", "maxItems")
_REPEATS = re.compile(r"\{(\d*),?(\d*)\}")
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)], align=True)
_MARKED = {"type", "properties", "items", "prefixItems", "anyOf", "oneOf", "allOf", "enum", "const", "$ref", "pattern"}


def schema_grammar(schema: str) -> str:
    """The grammar of all JSON texts that a schema allows; keys come in the schema's order, only those that it names.

    Raises:
        InputError: llama.cpp cannot hold a model to this schema; the sentence says what it stumbles over.
    """
    if len(schema) > _LONGEST_SCHEMA:
        raise InputError(f"a JSON schema may have {_LONGEST_SCHEMA:,} characters, and this one has {len(schema):,}")
    try:
        value = json.loads(schema)
        _require_bounded(value)
        convert = _converter()(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
        convert.visit(convert.resolve_refs(_below(_plain(value)), "here"), "")
        grammar: str = convert.format_grammar()
    except RecursionError as error:
        raise InputError("the JSON schema is nested too deeply, or refers to itself alone") from error
    except InputError:
        raise
    except Exception as error:  # what the converter stumbles over is somebody's JSON
        raise InputError(f"no answer can be held to this JSON schema: {_reason(error)}") from error
    if len(grammar) > _LONGEST_GRAMMAR:
        raise InputError("the JSON schema is too large: name fewer properties, or fewer of them optional")
    return grammar


def call_grammar(begin: str, key: str, end: str, tools: Sequence[Mapping[str, Any]]) -> str:
    """The grammar of one call of one of these tools: `begin`, {"name": .., key: ..}, `end`.

    Raises:
        InputError: as `schema_grammar`, for a tool's parameters.
    """
    rules: list[str] = []
    calls: list[str] = []
    for place, tool in enumerate(tools):
        parameters = schema_grammar(json.dumps(tool.get("parameters") or {"type": "object"}))
        rules += _renamed(parameters, f"tool{place}-")
        name = json.dumps(str(tool.get("name")), ensure_ascii=False)
        calls.append(_literal(f'{{"name": {name}, "{key}": ') + f" tool{place}-root")
    root = f"root ::= {_literal(begin)} ({' | '.join(calls)}) " + _literal("}" + end)
    return "\n".join([root, *rules])


class Grammar:
    """Where an answer stands in a grammar, and which tokens may come next. Of one thread, for one answer."""

    def __init__(self, vocabulary: Any, text: str) -> None:
        self._library = llama()
        with _silence:
            self._sampler = self._library.llama_sampler_init_grammar(vocabulary, text.encode(), b"root")
        if not self._sampler:
            raise InputError("llama.cpp cannot follow the grammar of this JSON schema; make the schema simpler")
        self._finalizer = weakref.finalize(self, self._library.llama_sampler_free, self._sampler)

    def allows(self, token: int) -> bool:
        """Whether this token may come next; far cheaper than `allowed`."""
        return bool(np.isfinite(self._applied(np.array([token], np.int32), np.zeros(1, np.float32))[0]))

    def allowed(self, row: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The logits, minus infinity where a token may not come next."""
        return self._applied(np.arange(len(row), dtype=np.int32), row)

    def accept(self, token: int) -> None:
        """Go on by a token that is allowed. One that is not would end the process, as would one that ends an answer."""
        self._library.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        """Free it; it cannot be used afterwards."""
        self._finalizer()

    def _applied(self, ids: npt.NDArray[np.int32], logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        rows = np.zeros(len(ids), _CANDIDATE)
        rows["id"], rows["logit"] = ids, logits
        pointer = ctypes.cast(rows.ctypes.data, ctypes.POINTER(self._library.llama_token_data))
        candidates = self._library.llama_token_data_array(data=pointer, size=len(ids), selected=-1, sorted=False)
        self._library.llama_sampler_apply(self._sampler, ctypes.byref(candidates))
        return rows["logit"].copy()


class _Silence:
    """llama.cpp writes a grammar that it cannot read to stderr, which is a log here, and the words in it are somebody's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()
        self._kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._kept, 2)
        os.close(self._kept)
        self._lock.release()


_silence = _Silence()


@cache
def _converter() -> Any:
    """llama-cpp-python's converter, which escapes no backslash and writes Hangul as \\uXXXX."""
    base: Any = importlib.import_module("llama_cpp.llama_grammar").SchemaConverter

    class Converter(base):  # type: ignore[misc]
        def _generate_constant_rule(self, value: Any) -> str:
            return _literal(json.dumps(value, ensure_ascii=False))

        def _format_literal(self, literal: str) -> str:
            try:
                return _literal(json.dumps(json.loads(literal), ensure_ascii=False))
            except ValueError:
                return _literal(literal)

    return Converter


def _literal(text: str) -> str:
    """A text as GBNF writes it."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def _renamed(grammar: str, prefix: str) -> Iterator[str]:
    """Its rules under names of their own, so that several grammars fit into one; literals and classes stay."""
    names = {line.partition(" ::= ")[0] for line in grammar.splitlines()}
    parts = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[a-zA-Z][a-zA-Z0-9-]*')
    for line in grammar.splitlines():
        yield parts.sub(lambda part: prefix + part[0] if part[0] in names else part[0], line)


def _plain(schema: Any) -> Any:
    """The schema without what says nothing of the form: a value of any kind is written as one of the kinds that JSON has."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _of_any_kind(key, value) for key, value in schema.items()}


def _below(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with a reference at its top one step further down: the converter looks into nothing beside a reference."""
    if "$ref" not in schema:
        return schema
    return {key: value for key, value in schema.items() if key != "$ref"} | {"anyOf": [{"$ref": schema["$ref"]}]}


def _of_any_kind(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
        return {name: _one(one) for name, one in value.items()}
    if key in ("items", "additionalProperties"):
        return _one(value) if isinstance(value, dict) else value
    return value if key in ("enum", "const", "default", "examples") else _plain(value)


def _one(schema: Any) -> Any:
    if schema is True or (isinstance(schema, dict) and not _MARKED & schema.keys()):
        return {"type": ["string", "number", "boolean", "null"]}
    return _plain(schema)


def _require_bounded(schema: Any) -> None:
    """Pass if no count in it makes a grammar that takes the engine's memory or time."""
    waiting = [schema]
    if not isinstance(schema, dict):
        raise InputError("a JSON schema is an object")
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if any(isinstance(value.get(key), int) and value[key] > _MOST_REPEATS for key in _COUNTED):
                raise InputError(f"a length or a number of items in a JSON schema may be at most {_MOST_REPEATS:,}")
            if any(value.get(key) == [] for key in ("enum", "anyOf", "oneOf", "type")):
                raise InputError(
                    "the JSON schema has an empty `enum`, `anyOf`, `oneOf` or `type`, which nothing can be"
                )
            if isinstance(value.get("properties"), dict) and len(value["properties"]) > _MOST_PROPERTIES:
                raise InputError(f"an object in a JSON schema may have at most {_MOST_PROPERTIES} properties")
            pattern = value.get("pattern")
            if isinstance(pattern, str):
                _require_short(pattern)
        if isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)


def _require_short(pattern: str) -> None:
    """Repeats within repeats multiply."""
    product = 1
    for least, most in _REPEATS.findall(pattern):
        product *= max(int(least or 1), int(most or 1), 1)
    if product > _MOST_REPEATS or len(pattern) > 1_000:
        raise InputError("a `pattern` in the JSON schema repeats too much, or is longer than 1,000 characters")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
