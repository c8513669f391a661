"""GET /v1/audit: who did what and when, for keys with the scope `admin`."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from service.store import audit
from service.web.auth import AdminCaller
from service.web.deps import StoreDep

router = APIRouter(prefix="/v1/audit", tags=["audit"])
_MOST = 1_000


class AuditEntry(BaseModel):
    """One act: `subject` is the id of what it was done to, `detail` holds ids and counts."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class AuditList(BaseModel):
    """Newest first; `next_before` asks for those before them, null where there are none."""

    data: list[AuditEntry]
    next_before: int | None


@router.get("", summary="Who did what and when, newest first")
def list_audit(
    caller: AdminCaller,
    store: StoreDep,
    before: Annotated[int | None, Query(ge=1, le=2**31)] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
    action: Annotated[str | None, Query(max_length=64)] = None,
) -> AuditList:
    """Keys made, rotated and revoked, promotions and overrides, erasures, exports, imports, rounds and schedules."""
    with store.read() as session:
        rows = audit.entries(session, before, limit, action)
        data = [AuditEntry.model_validate(row.model_dump()) for row in rows]
    return AuditList(data=data, next_before=data[-1].id if len(data) == limit else None)
