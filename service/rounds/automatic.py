"""`promote: automatic`: the candidate that passed becomes the champion by itself, if whoever asked for it still may."""

import structlog

from pipelines.errors import PerennialError
from service.models.promotion import promote
from service.settings import Settings
from service.store import rounds
from service.store.session import Store
from service.users import HOLDER, find_holder

_WAITS = "so its model waits to be promoted"
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def objection_to_promoting(store: Store, round_id: int) -> str | None:
    """Why a round must not promote its model by itself although its recipe says so; None if nothing speaks against it.

    Rounds that neither a key nor a user asked for come from the command line, from a schedule or from this machine's own user.
    """
    with store.read() as session:
        row = rounds.get_round(session, round_id)
        if row.requested_key is None:
            unknown = row.requested_by.startswith("key:") and row.requested_by != "key:localhost"
            return f"It was not noted which key asked for it, {_WAITS}." if unknown else None
        holder = find_holder(session, row.requested_key)
    who, ended = ("user", "disabled") if row.requested_key.startswith(HOLDER) else ("key", "revoked")
    if holder is None:
        return f"The {who} that asked for it was {ended} since, {_WAITS}."
    if not holder.may("models"):
        return f"The {who} that asked for it may not promote, {_WAITS}."
    return None


def promote_passed(settings: Settings, store: Store, round_id: int) -> None:
    """Promote the candidate that passed; a refusal is logged, and the candidate waits for its click."""
    with store.read() as session:
        passed = [model.id for model in rounds.models_of(session, round_id) if model.verdict == "pass"]
    for model_id in passed:
        try:
            promote(store, settings, model_id, by=f"round:{round_id}", automatic=True)
        except PerennialError as error:
            _log.warning("not_promoted", round=round_id, model=model_id, why=str(error))
