"""/docs: every call of the API, its parameters, bodies and answers, from /openapi.json; no script, nothing from elsewhere.

POST /v1/rounds   scope rounds   {"recipe": "tiny"}   201 RoundOut, 404, 409, 422
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from markupsafe import Markup, escape

from service.web.forwarded import is_https
from service.web.pages.visit import GuestDep, PageRoute

Json = Mapping[str, Any]
_SAMPLE_DEPTH = 3
_BOUNDS = (
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {:,} characters"),
    ("minimum", "at least {}"),
    ("maximum", "at most {:,}"),
    ("exclusiveMinimum", "more than {}"),
    ("minItems", "at least {}"),
    ("maxItems", "at most {:,}"),
    ("pattern", "like {}"),
)

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Field:
    """A parameter, or a key of a JSON object."""

    name: str
    type: Markup
    place: str
    is_required: bool
    description: str


@dataclass(frozen=True)
class Answer:
    """A status, what it means, and the shape of what comes with it."""

    status: str
    description: str
    type: Markup | None


@dataclass(frozen=True)
class Operation:
    """One call: `scopes` are what a key needs, None where no key is needed."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    scopes: Sequence[str] | None
    fields: Sequence[Field]
    bodies: Sequence[tuple[str, Markup]]
    answers: Sequence[Answer]
    example: str


@dataclass(frozen=True)
class Shape:
    """A JSON object of the API."""

    name: str
    description: str
    fields: Sequence[Field]


@router.get("/docs")
def reference(visit: GuestDep) -> Response:
    """The reference of the API, which works without the network."""
    document = visit.request.app.openapi()
    url = visit.request.url.replace(scheme="https" if is_https(visit.request) else "http", path="", query="")
    return visit.page(
        "docs.html",
        here="/docs",
        groups=_groups(document, str(url).rstrip("/")),
        shapes=[_shape(name, schema) for name, schema in sorted(document["components"]["schemas"].items())],
    )


def _groups(document: Json, url: str) -> dict[str, list[Operation]]:
    """The operations under the names of their groups, in the document's order."""
    groups: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_operation(document, url, path, method, operation))
    return groups


def _operation(document: Json, url: str, path: str, method: str, operation: Json) -> Operation:
    content = operation.get("requestBody", {}).get("content", {})
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        scopes=_scopes(operation),
        fields=[_parameter(one) for one in operation.get("parameters", ())],
        bodies=[(kind, _type(one.get("schema", {}))) for kind, one in content.items()],
        answers=[_answer(document, status, one) for status, one in operation["responses"].items()],
        example=_curl(document, url, path, method, operation),
    )


def _scopes(operation: Json) -> Sequence[str] | None:
    security = operation.get("security", ())
    if not security or {} in security:  # empty: a key tells more, and none is needed
        return None
    scopes: Sequence[str] = next(iter(security[0].values()))
    return scopes


def _parameter(parameter: Json) -> Field:
    schema = parameter.get("schema", {})
    words = parameter.get("description", "")
    return Field(parameter["name"], _type(schema), parameter["in"], parameter.get("required", False), words)


def _answer(document: Json, status: str, answer: Json) -> Answer:
    found = _resolved(document, answer)
    schema = next((one.get("schema") for one in found.get("content", {}).values()), None)
    return Answer(status, found.get("description", ""), None if not schema else _type(schema))


def _shape(name: str, schema: Json) -> Shape:
    needed = schema.get("required", ())
    fields = [
        Field(key, _type(one), "", key in needed, one.get("description", ""))
        for key, one in schema.get("properties", {}).items()
    ]
    return Shape(name, schema.get("description", ""), fields)


def _type(schema: Json) -> Markup:
    """A schema in words: `list of MessageIn, at most 2,000`; the shapes that it names are links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#shape-{0}">{0}</a>').format(name)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return Markup(" or ").join(_type(one) for one in schema[key])
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return Markup(", ").join(
            Markup("<code>{}</code>").format(json.dumps(value, ensure_ascii=False)) for value in values
        )
    bounds = [words.format(schema[key]) for key, words in _BOUNDS if key in schema]
    return Markup(", ").join([_kind(schema), *map(escape, bounds)])


def _kind(schema: Json) -> Markup:
    kind = schema.get("type", "anything")
    if kind == "array":
        return Markup("list of {}").format(_type(schema.get("items", {})))
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return Markup("object of {}").format(_type(schema["additionalProperties"]))
    if schema.get("format") == "date-time":
        return Markup("time (ISO 8601)")
    return escape(" or ".join(kind) if isinstance(kind, list) else kind)


def _curl(document: Json, url: str, path: str, method: str, operation: Json) -> str:
    """The call as it is typed into a shell, with a key in $KEY."""
    parameters = operation.get("parameters", ())
    for one in parameters:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(one.get("example", "ID")))
    query = "&".join(
        f"{one['name']}={one.get('example', 'x')}" for one in parameters if one["in"] == "query" and one["required"]
    )
    words = [
        "curl",
        *(() if method == "get" else ("-X", method.upper())),
        f"'{url}{path}{'?' if query else ''}{query}'",
    ]
    lines = [" ".join(words)]
    if _scopes(operation) is not None:
        lines.append('-H "X-API-Key: $KEY"')
    for kind, content in list(operation.get("requestBody", {}).get("content", {}).items())[:1]:
        lines.append(f"-H 'Content-Type: {kind}'")
        if kind == "application/json":
            sample = content.get("example") or _sample(document, content.get("schema", {}), _SAMPLE_DEPTH)
            lines.append("-d '" + json.dumps(sample, ensure_ascii=False, indent=1).replace("'", "'\\''") + "'")
        else:
            lines.append("--data-binary @FILE")
    return " \\\n  ".join(lines)


def _sample(document: Json, schema: Json, depth: int) -> Any:
    """A value of a schema, with what is required of it alone."""
    found = _resolved(document, schema)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in found:
            return _sample(document, found[key][0], depth)
    if "enum" in found or "const" in found:
        return found.get("const", found.get("enum", [None])[0])
    if found.get("type") == "object" and depth:
        known = found.get("properties", {})
        return {name: _sample(document, known[name], depth - 1) for name in found.get("required", ()) if name in known}
    if found.get("type") == "array" and depth:
        return [_sample(document, found.get("items", {}), depth - 1)]
    return {"string": "...", "integer": 1, "number": 1.0, "boolean": True, "array": []}.get(found.get("type", ""), {})


def _resolved(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        _, group, name = schema["$ref"].rsplit("/", 2)
        schema = document["components"][group][name]
    return schema
