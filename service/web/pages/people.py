"""What a person may ask of whoever keeps their data, as pages: to have it, and to have it gone.

    /settings/people -> what is stored, in counts -> download it | forget them, after their id is typed again -> the report

The id goes along in the forms' bodies: addresses stand in histories and logs.
"""

from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Form, Response

from pipelines.errors import InputError, PerennialError
from service import dossier, erasure
from service.ingest import DEFAULT_APP, checked_id
from service.models.promotion import TAINTED
from service.store import erasure as stored
from service.store.people import all_apps
from service.store.session import Store
from service.vault import Vault
from service.web.deps import StoreDep, VaultDep
from service.web.pages.session import HEADERS
from service.web.pages.settings import settings_page
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.problems import status_of

Text = Annotated[str, Form()]
_TAB = "/settings/people"
_RECEIPTS = 50

router = APIRouter(prefix=_TAB, route_class=PageRoute, include_in_schema=False)


@router.get("")
def people(visit: VisitDep, store: StoreDep) -> Response:
    """Asks whose data; and what was forgotten so far."""
    visit.require("people")
    return _page(visit, store)


@router.post("/preview")
def preview(
    visit: VisitDep, store: StoreDep, vault: VaultDep, csrf: Text, user: Text, app: Text = DEFAULT_APP
) -> Response:
    """What is stored about somebody, in counts, and what learned from it."""
    _check(visit, csrf)
    return _preview(visit, store, vault, app, user)


@router.post("/export")
def export(
    visit: VisitDep, store: StoreDep, vault: VaultDep, csrf: Text, user: Text, app: Text = DEFAULT_APP
) -> Response:
    """Everything that is stored about somebody, as a JSON file."""
    _check(visit, csrf)
    try:
        data = dossier.read_dossier(store, vault, app, checked_id(user), visit.by)
    except PerennialError as error:
        return _page(visit, store, app, str(error), status_of(error))
    name = f"person-{data['exported_at']:%Y-%m-%d}.json"
    headers = dict(HEADERS) | {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(msgspec.json.format(msgspec.json.encode(data), indent=2), 200, headers, "application/json")


@router.post("/forget")
def forget(
    visit: VisitDep, store: StoreDep, vault: VaultDep, csrf: Text, user: Text, again: Text = "", app: Text = DEFAULT_APP
) -> Response:
    """Forgets somebody for good, and reports what that did."""
    _check(visit, csrf)
    try:
        if again != user:
            raise InputError("nothing was forgotten: type the person's id once more, exactly as it stands above")
        receipt = erasure.forget(store, vault, app, checked_id(user), visit.by)
    except InputError as error:
        return _preview(visit, store, vault, app, user, str(error), status_of(error))
    except PerennialError as error:
        return _page(visit, store, app, str(error), status_of(error))
    return settings_page(visit, "person_forgotten.html", _TAB, receipt=receipt, tainted=TAINTED)


def _check(visit: Visit, csrf: str) -> None:
    visit.check_token(csrf)
    visit.require("people")


def _page(visit: Visit, store: Store, app: str = DEFAULT_APP, problem: str = "", status: int = 200) -> Response:
    with store.read() as session:
        apps = [name for _, name in all_apps(session)]
        receipts = stored.newest_receipts(session, _RECEIPTS)
    shown = {"apps": apps or [DEFAULT_APP], "app": app, "receipts": receipts, "problem": problem}
    return settings_page(visit, "people.html", _TAB, status, **shown)


def _preview(
    visit: Visit, store: Store, vault: Vault, app: str, user: str, problem: str = "", status: int = 200
) -> Response:
    try:
        found = erasure.footprint(store, vault, app, checked_id(user))
    except PerennialError as error:
        return _page(visit, store, app, str(error), status_of(error))
    shown = {"found": found, "user": user, "app": app, "tainted": TAINTED, "problem": problem}
    return settings_page(visit, "person.html", _TAB, status, **shown)
