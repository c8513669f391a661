"""The pages of models: one model's card, its answers beside the champion's, its files, and promotion with a confirmation.

Whoever decides sends along the champion that they saw; if another one answers by then, nothing is done (409).
"""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Response
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse

from pipelines.errors import Conflict, InputError, NotFound, PerennialError
from service.models import promotion
from service.models.answers import ask, one_comparison
from service.models.downloads import find_download
from service.models.questions import heldout_questions
from service.models.targets.deploy import shipment_of
from service.models.targets.ollama import modelfile_of
from service.settings import Settings
from service.store import audit, models
from service.store.session import Store
from service.vault import Vault
from service.web.deps import SettingsDep, StoreDep, VaultDep
from service.web.pages.model_views import Answered, model_view, result_of
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.pages.words import N_
from service.web.problems import status_of

NOBODY = "(nobody)"  # stands in a form that was shown while there was no champion
MAX_QUESTION, MAX_TOKENS, HELD_OUT_AT_ONCE = 2000, 160, 3
Text = Annotated[str, Form()]

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/models/rollback")
def confirm_rollback(visit: VisitDep, store: StoreDep) -> Response:
    """Asks whether to go back to the champion before."""
    return _confirm_rollback(visit, store)


@router.post("/models/rollback")
def rollback(
    visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text, override_reason: Text = "", expected: Text = ""
) -> Response:
    """Goes back, and shows the models."""
    visit.check_token(csrf)
    visit.require("models")
    try:
        promotion.rollback(store, settings, visit.by, override_reason or None, expected=_seen(expected))
    except PerennialError as error:
        return _confirm_rollback(visit, store, settings.without_paths(str(error)), status_of(error))
    return RedirectResponse("/models", 303, dict(HEADERS))


@router.get("/models/{model_id}")
def model(model_id: str, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """One model: what it gained and kept, what it takes, its files, and what can be done with it."""
    return _model(visit, store, settings, model_id)


@router.get("/models/{model_id}/promote")
def confirm_promote(model_id: str, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """Asks whether to promote a model, and says what speaks against it."""
    return _confirm_promote(visit, store, settings, model_id)


@router.post("/models/{model_id}/promote")
def promote(
    model_id: str,
    visit: VisitDep,
    store: StoreDep,
    settings: SettingsDep,
    csrf: Text,
    override_reason: Text = "",
    expected: Text = "",
) -> Response:
    """Promotes, and shows the models."""
    visit.check_token(csrf)
    visit.require("models")
    try:
        promotion.promote(store, settings, model_id, visit.by, override_reason or None, expected=_seen(expected))
    except NotFound:
        raise
    except PerennialError as error:
        return _confirm_promote(visit, store, settings, model_id, settings.without_paths(str(error)), status_of(error))
    return RedirectResponse(f"/models#{quote(model_id)}", 303, dict(HEADERS))


@router.post("/models/{model_id}/ask")
def ask_side_by_side(
    model_id: str, visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text, question: Text = ""
) -> Response:
    """The model's and the champion's greedy answers to a question of the visitor's, beside each other; nothing is kept."""
    visit.check_token(csrf)
    visit.require("chat")
    try:
        answered = _answers(store, settings, model_id, [(_checked(question), None)])
    except NotFound:
        raise
    except PerennialError as error:
        problem, status = settings.without_paths(str(error)), status_of(error)
        return _model(visit, store, settings, model_id, status, question=question, problem=problem)
    return _model(visit, store, settings, model_id, question=question, answered=answered)


@router.post("/models/{model_id}/ask-held-out")
def ask_held_out(
    model_id: str,
    visit: VisitDep,
    store: StoreDep,
    settings: SettingsDep,
    vault: VaultDep,
    csrf: Text,
    behind: Text = "",
) -> Response:
    """The same for questions that its round kept apart to measure, beside the answers that people rated well."""
    visit.check_token(csrf)
    visit.require("operate")
    try:
        asked, last = _held_out(store, vault, model_id, behind)
        answered = _answers(store, settings, model_id, asked)
    except NotFound:
        raise
    except PerennialError as error:
        problem, status = settings.without_paths(str(error)), status_of(error)
        return _model(visit, store, settings, model_id, status, problem=problem)
    return _model(visit, store, settings, model_id, answered=answered, behind=last)


@router.get("/models/{model_id}/files/Modelfile")
def download_modelfile(model_id: str, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """The Modelfile by which Ollama makes a model beside its file."""
    visit.require("models")
    with store.read() as session:
        entry = models.get_model(session, model_id)
    if entry.form is None or entry.form.collected_at is not None:
        raise NotFound(f"the model '{model_id}' has no file, so no Modelfile can be written for it")
    headers = HEADERS | {"Content-Disposition": f'attachment; filename="{quote(model_id)}.Modelfile"'}
    return PlainTextResponse(modelfile_of(shipment_of(settings, entry, None)).text(), headers=headers)


@router.get("/models/{model_id}/files/{name}")
def download(model_id: str, name: str, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """One of a model's files, streamed from the disk; noted in the audit log."""
    visit.require("models")
    with store.begin() as session:
        file = find_download(settings, models.get_model(session, model_id), name)
        audit.record(session, visit.by, "download", model_id, {"file": name})
    return FileResponse(file.path, media_type="application/octet-stream", filename=file.save_as, headers=dict(HEADERS))


def _model(
    visit: Visit,
    store: Store,
    settings: Settings,
    model_id: str,
    status: int = 200,
    *,
    question: str = "",
    behind: str = "",
    problem: str = "",
    answered: tuple[Answered, ...] = (),
) -> Response:
    with store.read() as session:
        values = model_view(session, settings, model_id)
    asked = {"question": question, "behind": behind, "problem": problem, "answered": answered}
    return visit.page("model.html", status, here="/models", **values, **asked)


def _seen(expected: str) -> str | None:
    """The champion that a form was shown with, as `promotion` takes it; a form that names none asks for no comparison."""
    return "" if expected == NOBODY else expected or None


def _checked(question: str) -> str:
    if not question.strip():
        raise InputError("there is nothing to ask yet: write a question")
    if len(question) > MAX_QUESTION:
        raise InputError(f"the question has {len(question)} characters; at most {MAX_QUESTION} are asked")
    return question.strip()


def _held_out(store: Store, vault: Vault, model_id: str, behind: str) -> tuple[list[tuple[str, str | None]], str]:
    """Questions with the answers that were rated well, and behind which conversation the next ones stand."""
    with store.read() as session:
        row = models.get_model(session, model_id).model
        if row.round_id is None:
            raise Conflict(f"'{model_id}' comes from no round, so no questions were kept apart for it")
        found = heldout_questions(session, vault, row.round_id, HELD_OUT_AT_ONCE, behind)
    if not found:
        raise Conflict(
            f"round {row.round_id} has no more questions of one turn that were kept apart; type one of yours"
        )
    return [(one.question, one.answer) for one in found], found[-1].conversation_id


def _answers(
    store: Store, settings: Settings, model_id: str, asked: list[tuple[str, str | None]]
) -> tuple[Answered, ...]:
    """What the champion and a model say, one after the other, each in a process of its own."""
    with store.read() as session:
        entry, champion = models.get_model(session, model_id), models.champion_id(session)
        entries = [models.get_model(session, champion)] if champion not in (None, model_id) else []
        if not entries and (before := models.rollback_target(session)):
            entries = [models.get_model(session, before)]
    with one_comparison():
        said: list[tuple[str, list[str]]] = []
        for one in (*entries, entry):
            if one.form is None or one.form.collected_at is not None:
                raise Conflict(f"the model '{one.model.id}' has no file to ask")
            said.append((one.model.id, ask(settings.home, one.form, [text for text, _ in asked], MAX_TOKENS)))
    return tuple(
        Answered(text, rated, tuple((name, answers[place]) for name, answers in said))
        for place, (text, rated) in enumerate(asked)
    )


def _confirm_promote(
    visit: Visit, store: Store, settings: Settings, model_id: str, problem: str = "", status: int = 200
) -> Response:
    with store.read() as session:
        entry = models.get_model(session, model_id)
        result = result_of(session, settings, entry.model)
        champion = models.champion_id(session)
        against = promotion.objections(session, entry)
    if champion == model_id:
        problem, status = problem or f"'{model_id}' is the champion already", status if problem else 409
    return visit.page(
        "confirm.html",
        status,
        here="/models",
        result=result,
        is_rollback=False,
        target=model_id,
        champion=champion,
        expected=champion or NOBODY,
        objections=against,
        passed=entry.model.verdict == "pass",
        problem=problem,
        blocked=champion == model_id,
        action=f"/models/{quote(model_id)}/promote",
        button=N_("Promote against the rules") if against else N_("Promote"),
    )


def _confirm_rollback(visit: Visit, store: Store, problem: str = "", status: int = 200) -> Response:
    with store.read() as session:
        target, champion = models.rollback_target(session), models.champion_id(session)
        entry = models.get_model(session, target) if target else None
    if entry is None:
        raise Conflict("there is no earlier champion to roll back to")
    against = promotion.taint(entry.model)
    return visit.page(
        "confirm.html",
        status,
        here="/models",
        result=None,
        is_rollback=True,
        target=target,
        champion=champion,
        expected=champion or NOBODY,
        objections=against,
        passed=False,
        problem=problem,
        blocked=False,
        action="/models/rollback",
        button=N_("Roll back against the rules") if against else N_("Roll back"),
    )
