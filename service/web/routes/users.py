"""What a person may ask of whoever keeps their data: to have it, and to have it gone.

DELETE /v1/users/{user}      GET /v1/users/{user}      POST /v1/users/export, /v1/users/forget  {"user": "u-4", "app": "shop"}

The two that take a body are for apps before which somebody logs addresses: this service logs none.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from service import dossier, erasure
from service.api_keys import Caller
from service.ingest import checked_id
from service.store.session import Store
from service.vault import Vault
from service.web.auth import PeopleCaller, app_of
from service.web.deps import StoreDep, VaultDep

router = APIRouter(prefix="/v1/users", tags=["people"])
_JSON: dict[int | str, dict[str, Any]] = {
    200: {"description": "everything that is stored about the person", "content": {"application/json": {}}}
}


class PersonIn(BaseModel):
    """Whose data of which app; `app` is for keys of every app."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(min_length=1, max_length=256)]
    app: Annotated[str, Field(min_length=1, max_length=256)] | None = None


class ForgottenOut(BaseModel):
    """What forgetting did: the receipt's id, what can no longer be read, and what had learned from it.

    `keys_copied_at` is when the keys were last copied: that copy opens older backups until it is replaced. `scrubbed` is
    false where readers kept the database from emptying its log at once.
    """

    receipt: str
    conversations: int
    rounds: list[int]
    models: list[str]
    cancelled: list[int]
    scrubbed: bool
    keys_copied_at: datetime | None


@router.delete("/{user:path}", summary="Forget a person, for good")
def forget_by_address(
    user: str, caller: PeopleCaller, store: StoreDep, vault: VaultDep, app: str | None = None
) -> ForgottenOut:
    """Destroys the person's key and deletes what they gave; models that learned from them are marked. It cannot be undone."""
    return _forget(store, vault, caller, user, app)


@router.post("/forget", summary="Forget a person, for good, by a body")
def forget(given: PersonIn, caller: PeopleCaller, store: StoreDep, vault: VaultDep) -> ForgottenOut:
    """As DELETE, with the id in the body."""
    return _forget(store, vault, caller, given.user, given.app)


@router.get("/{user:path}", summary="Everything that is stored about a person", responses=_JSON)
def export_by_address(
    user: str, caller: PeopleCaller, store: StoreDep, vault: VaultDep, app: str | None = None
) -> Response:
    """Conversations as they came in, while their text is kept, and anonymized; votes, corrections, comparisons; rounds."""
    return _export(store, vault, caller, user, app)


@router.post("/export", summary="Everything that is stored about a person, by a body", responses=_JSON)
def export(given: PersonIn, caller: PeopleCaller, store: StoreDep, vault: VaultDep) -> Response:
    """As GET, with the id in the body."""
    return _export(store, vault, caller, given.user, given.app)


def _forget(store: Store, vault: Vault, caller: Caller, user: str, app: str | None) -> ForgottenOut:
    done = erasure.forget(store, vault, app_of(caller, app), checked_id(user), actor=caller.actor)
    return ForgottenOut(
        receipt=done.id,
        conversations=done.conversations,
        rounds=list(done.rounds),
        models=list(done.models),
        cancelled=list(done.cancelled),
        scrubbed=done.scrubbed,
        keys_copied_at=done.keys_copied_at,
    )


def _export(store: Store, vault: Vault, caller: Caller, user: str, app: str | None) -> Response:
    found = dossier.read_dossier(store, vault, app_of(caller, app), checked_id(user), actor=caller.actor)
    return Response(msgspec.json.encode(found), media_type="application/json", headers={"Cache-Control": "no-store"})
