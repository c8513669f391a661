"""What FastAPI cannot see by itself: the bodies that msgspec checks, and the problem that every route may answer."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.ingest.wire import ComparisonChangeIn, ConversationIn, CorrectionChangeIn, VoteChangeIn, WholeComparisonIn
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
    ],
    "votes": [{"message": "m-2", "value": "up", "rater": "u-4"}],
}


def _body(media_type: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema, **more}}}}


CONVERSATIONS_BODY = _body(
    "application/json",
    {"anyOf": [_CONVERSATION, {"type": "array", "items": _CONVERSATION, "maxItems": 1000}]},
    example=_EXAMPLE,
)
SECURITY: dict[str, list[dict[str, list[str]]]] = {"security": [{"HTTPBearer": []}, {"APIKeyHeader": []}]}
NDJSON_BODY = _body("application/x-ndjson", {"type": "string", "description": "one conversation per line"})
VOTE_BODY = _body("application/json", {"$ref": _REFERENCE.format(name="VoteChangeIn")})
CORRECTION_BODY = _body("application/json", {"$ref": _REFERENCE.format(name="CorrectionChangeIn")})
COMPARISON_BODY = _body(
    "application/json",
    {"anyOf": [{"$ref": _REFERENCE.format(name=name)} for name in ("ComparisonChangeIn", "WholeComparisonIn")]},
)
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"model": Problem, "description": "one clear sentence, as application/problem+json"}
}


def describe(app: FastAPI) -> None:
    """Makes /openapi.json complete."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, components = msgspec.json.schema_components(
                (ConversationIn, VoteChangeIn, CorrectionChangeIn, ComparisonChangeIn, WholeComparisonIn),
                ref_template=_REFERENCE,
            )
            found.setdefault("components", {}).setdefault("schemas", {}).update(components)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
