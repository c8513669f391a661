"""The decision card of a round, to read and to print: what it learned, kept and costs, and answers old and new."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import PlainTextResponse, RedirectResponse

from service.rounds.answers import AnswerDesk
from service.rounds.card import make_card
from service.web.deps import SettingsDep, StoreDep, VaultDep
from service.web.pages.rounds import round_view
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, VisitDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Text = Annotated[str, Form()]


@router.get("/rounds/{round_id}/card")
def card(round_id: int, visit: VisitDep, store: StoreDep, settings: SettingsDep, vault: VaultDep) -> Response:
    """The card as a page."""
    with store.read() as session:
        made = make_card(session, settings, vault, round_id)
        values = round_view(session, settings, round_id)
    attempt = next(one for one in values["attempts"] if one.number == made.facts["attempt"])
    answers = _desk(visit.request).look(round_id) if visit.may("operate") else None
    shown = {"card": made, "attempt": attempt, "round": values["round"], "answers": answers}
    return visit.page("card.html", here="/rounds", **shown)


@router.get("/rounds/{round_id}/card.json")
def file(round_id: int, visit: VisitDep, store: StoreDep, settings: SettingsDep, vault: VaultDep) -> Response:
    """The signed card as a file, which `perennial round verify` checks."""
    with store.read() as session:
        text = make_card(session, settings, vault, round_id).text()
    headers = dict(HEADERS) | {"Content-Disposition": f'attachment; filename="round-{round_id}-card.json"'}
    return PlainTextResponse(text, headers=headers, media_type="application/json")


@router.get("/rounds/{round_id}/card/answers")
def answers(round_id: int, visit: VisitDep) -> Response:
    """The answers as far as they are, as a part of the card."""
    visit.require("operate")
    return visit.fragment("card_answers.html", answers=_desk(visit.request).look(round_id))


@router.post("/rounds/{round_id}/card/answers")
def write_answers(round_id: int, visit: VisitDep, csrf: Text) -> Response:
    """Has the answers written, and shows the card."""
    visit.check_token(csrf)
    visit.require("operate")
    _desk(visit.request).begin(round_id)
    return RedirectResponse(f"/rounds/{round_id}/card#answers", 303, dict(HEADERS))


def _desk(request: Request) -> AnswerDesk:
    """The process's one desk."""
    state = request.app.state
    if not hasattr(state, "answers"):
        state.answers = AnswerDesk(state.settings, state.store, state.vault)
    desk: AnswerDesk = state.answers
    return desk
