"""What FastAPI cannot see by itself: bodies that it does not parse, and every refusal of every route, from one table."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.chat.openai import ChatRequest
from service.chat.responses import ResponseRequest
from service.ingest.client_keys import CONVERSATION_KEYS, MESSAGE_KEYS
from service.ingest.wire import (
    ComparisonChangeIn,
    ConversationIn,
    CorrectionChangeIn,
    RetractionIn,
    VoteChangeIn,
    WholeComparisonIn,
)
from service.web.limits import body_limit
from service.web.schemas import Problem

_REFERENCE = "#/components/schemas/{name}"
_CONVERSATION = {"$ref": _REFERENCE.format(name="ConversationIn")}
_EXAMPLE = {
    "id": "c-17",
    "user": "u-4",
    "consent": True,
    "satisfaction": 5,
    "messages": [
        {"id": "m-1", "role": "user", "content": "What is the capital of Velmora?"},
        {"id": "m-2", "role": "assistant", "content": "The capital of Velmora is Tarsin."},
        {"id": "m-3", "role": "assistant", "content": "It is Osk.", "parent": "m-1"},
    ],
    "votes": [{"message": "m-2", "value": "up", "user": "u-4", "reason": "right"}],
}


def _body(media_type: str, schema: dict[str, Any], required: bool = True, **more: Any) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {media_type: {"schema": schema, **more}}}}


CONVERSATIONS_BODY = _body(
    "application/json",
    {"anyOf": [_CONVERSATION, {"type": "array", "items": _CONVERSATION, "maxItems": 1000}]},
    example=_EXAMPLE,
)
SECURITY: dict[str, list[dict[str, list[str]]]] = {"security": [{"HTTPBearer": []}, {"APIKeyHeader": []}]}
NDJSON_BODY = _body("application/x-ndjson", {"type": "string", "description": "one conversation per line"})
VOTE_BODY = _body(
    "application/json", {"$ref": _REFERENCE.format(name="VoteChangeIn")}, example={"value": "up", "user": "u-4"}
)
CORRECTION_BODY = _body(
    "application/json",
    {"$ref": _REFERENCE.format(name="CorrectionChangeIn")},
    example={"content": "It is Tarsin, on the river Oss.", "user": "u-4"},
)
COMPARISON_BODY = _body(
    "application/json",
    {"anyOf": [{"$ref": _REFERENCE.format(name=name)} for name in ("ComparisonChangeIn", "WholeComparisonIn")]},
    example={"chosen": "m-2", "rejected": "m-3", "user": "u-4"},
)
RETRACTION_BODY = _body("application/json", {"$ref": _REFERENCE.format(name="RetractionIn")}, required=False)
CHAT_BODY = _body(
    "application/json",
    {"$ref": _REFERENCE.format(name="ChatRequest")},
    example={"model": "champion", "messages": [{"role": "user", "content": "What is the capital of Velmora?"}]},
)
RESPONSES_BODY = _body(
    "application/json",
    {"$ref": _REFERENCE.format(name="ResponseRequest")},
    example={"model": "champion", "input": "What is the capital of Velmora?"},
)
CHAT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "OpenAI's chat.completion or response; with `stream` its chunks or events, server-sent",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": {"type": "object", "properties": {"data": {"type": "string"}}}},
        },
    }
}
_TEXT_OR_PARTS: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "null"}, {"type": "array", "items": {"type": "object"}}],
    "description": "a text, null beside tool calls, or a list of parts: text is kept, of others only that they were there",
}
_CALLS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "object"},
    "description": "{id, name, arguments} or OpenAI's {id, type, function: {name, arguments}}; arguments as JSON or object",
}
_THUMB = {"description": "up, down, 1, -1, true, false, thumbs_up, thumbs_down and the like"}
_TIME = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}, {"type": "null"}]}
# The shapes of others that service/ingest/natural.py reads as well.
_NATURAL: dict[str, dict[str, Any]] = {
    "MessageIn": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": _TEXT_OR_PARTS,
        "tool_calls": _CALLS,
        "time": _TIME,
    },
    "PromptMessageIn": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": _TEXT_OR_PARTS,
        "tool_calls": _CALLS,
    },
    "AnswerIn": {"content": _TEXT_OR_PARTS, "tool_calls": _CALLS},
    "VoteIn": {"value": _THUMB, "time": _TIME},
    "VoteChangeIn": {"value": _THUMB, "time": _TIME},
    "ConversationIn": {
        "tools": {
            "type": "array",
            "items": {"type": "object"},
            "description": "{name, description, parameters} or OpenAI's",
        },
        "time": _TIME,
    },
}
_WIRE = (ConversationIn, VoteChangeIn, RetractionIn, CorrectionChangeIn, ComparisonChangeIn, WholeComparisonIn)

_REFUSALS = {
    400: "not readable: no HTTP, no JSON, or broken off before its end",
    401: "a key is needed, or nobody holds this one",
    403: "the key lacks the scope, belongs to another app, or an open server is asked from elsewhere",
    404: "nothing has this id or name",
    408: "the request was not whole in time",
    409: "what stands already does not allow it",
    413: "the body is too large",
    422: "readable, but a value is not one that can be acted on",
    429: "as many chats wait for the engine as may; come again after Retry-After seconds",
    431: "the head of the request is too large",
    500: "something that should not have happened; the log has its place under `id`",
    501: "a package that this needs is not installed",
    502: "the engine went away in the middle",
    503: "not now: the database, the engine or the queue; come again after Retry-After seconds",
}
_HEADERS = {
    429: {"Retry-After": {"schema": {"type": "integer"}}},
    503: {"Retry-After": {"schema": {"type": "integer"}}},
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
}
_ALWAYS = (400, 408, 431, 500, 503)
_EXAMPLES = {"conversation_id": "c-17", "message_id": "m-2", "model_id": "tiny-r0001-a1", "round_id": 1, "user": "u-4"}
# what an operation refuses beyond what its key, parameters and body imply
OWN_REFUSALS: dict[tuple[str, str], tuple[int, ...]] = {
    ("post", "/v1/conversations"): (409,),
    ("get", "/v1/conversations/{conversation_id}"): (404,),
    ("put", "/v1/votes/{message_id}"): (409,),
    ("delete", "/v1/votes/{message_id}"): (409,),
    ("post", "/v1/messages/{message_id}/corrections"): (404, 409),
    ("delete", "/v1/messages/{message_id}/corrections"): (404, 409),
    ("post", "/v1/comparisons"): (404, 409),
    ("delete", "/v1/comparisons"): (404, 409),
    ("post", "/v1/chat/completions"): (404, 409, 429, 502),
    ("post", "/v1/responses"): (404, 409, 429, 502),
    ("get", "/v1/users/{user}"): (404, 409),
    ("post", "/v1/users/export"): (404, 409),
    ("delete", "/v1/users/{user}"): (404, 409),
    ("post", "/v1/users/forget"): (404, 409),
    ("get", "/v1/models/{model_id}"): (404,),
    ("post", "/v1/models/{model_id}/promote"): (404, 409, 501),
    ("post", "/v1/models/{model_id}/deploy"): (404, 409),
    ("post", "/v1/models/rollback"): (409, 501),
    ("post", "/v1/rounds"): (404, 409),
    ("get", "/v1/rounds/{round_id}"): (404,),
    ("post", "/v1/rounds/{round_id}/cancel"): (404, 409),
}


def describe(app: FastAPI) -> None:
    """Makes /openapi.json complete: every body, status and content type."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = document["components"]
    components["schemas"] |= _schemas()
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own words for a 422; ours is a problem
        components["schemas"].pop(name, None)
    components["responses"] = {str(status): _refusal(status, sentence) for status, sentence in _REFUSALS.items()}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"] = _answers(method, path, operation, app.state.settings.max_body_bytes)
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in _EXAMPLES:
                    parameter["example"] = _EXAMPLES[parameter["name"]]
    return document


def _schemas() -> dict[str, Any]:
    """The shapes that no route declares to FastAPI, because it does not parse them."""
    _, wire = msgspec.json.schema_components(_WIRE, ref_template=_REFERENCE)
    chat = ChatRequest.model_json_schema(ref_template=_REFERENCE.replace("{name}", "{model}"))
    response = ResponseRequest.model_json_schema(ref_template=_REFERENCE.replace("{name}", "{model}"))
    problem = Problem.model_json_schema()
    for name, fields in _NATURAL.items():
        wire[name]["properties"] |= fields
    for name in ("MessageIn", "PromptMessageIn", "AnswerIn"):
        wire[name]["required"].remove("content")
    for name, ignored in (("MessageIn", MESSAGE_KEYS), ("ConversationIn", CONVERSATION_KEYS)):
        wire[name]["properties"] |= {key: {"description": "read and not kept"} for key in sorted(ignored)}
    asked = {**chat.pop("$defs"), **response.pop("$defs"), "ChatRequest": chat, "ResponseRequest": response}
    return {**wire, **asked, "Problem": problem}


def _refusal(status: int, description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(name="Problem")}}}
    headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
    return {"description": description, "content": content, **headers}


def _answers(method: str, path: str, operation: dict[str, Any], most_bytes: int) -> dict[str, Any]:
    """What an operation answers: what its route declares, and every refusal that its parts imply."""
    limit = body_limit(path, most_bytes) if "requestBody" in operation else None
    implied = [
        *_ALWAYS,
        *((401, 403) if operation.get("security") else ()),
        *((422,) if "parameters" in operation or "requestBody" in operation else ()),
        *OWN_REFUSALS.get((method, path), ()),
    ]
    refusals = {str(status): {"$ref": f"#/components/responses/{status}"} for status in implied}
    if limit is not None:
        refusals["413"] = _refusal(413, f"the body is larger than {limit:,} bytes")
    declared = {status: answer for status, answer in operation["responses"].items() if status != "422"}
    return dict(sorted((refusals | declared).items()))
