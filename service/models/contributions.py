"""Why a model is as it is: what one person contributed to its lineage, and who contributed the most."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlmodel import Session

from pipelines.errors import NotFound
from service.store import erasure, fates, models
from service.store.fates import ConversationUses, FeedbackUses
from service.store.people import app_id
from service.store.session import Store
from service.vault import Vault


@dataclass(frozen=True)
class Contribution:
    """What a person contributed to a model, by round of its lineage; shares are of the whole lineage, 0 to 1."""

    person: str
    rounds: tuple[int, ...]
    conversations: tuple[ConversationUses, ...]
    feedback: tuple[FeedbackUses, ...]
    token_share: float
    weight_share: float


@dataclass(frozen=True)
class Influence:
    """One person's share of the trained tokens and of the weight of feedback, 0 to 1."""

    person: str
    tokens: int
    weight: float
    token_share: float
    weight_share: float


def contribution(store: Store, vault: Vault, model_id: str, app: str, user: str) -> Contribution:
    """What a user of an app contributed to a model and the models that it was trained on.

    Raises:
        NotFound: there is no such model, or nothing is stored for this user.
    """
    with store.read() as session:
        rounds = _rounds(session, model_id)
        app_row = app_id(session, app)
        hmac = vault.person_hash(app_row, user) if app_row else ""
        found = erasure.find_person(session, app_row, hmac) if app_row else None
        raters = {found.id, hmac} if found else {hmac}
        heard = fates.feedback_of(session, raters, rounds) if app_row else []
        if found is None and not heard:
            raise NotFound(f"nothing is stored for the user {user[:80]!r} of the app {app!r}")
        person = found.id if found else hmac
        ranked = {one.person: one for one in _ranked(session, rounds)}
        mine = [ranked[name] for name in sorted({person, *raters}) if name in ranked]
        return Contribution(
            person=person,
            rounds=tuple(sorted(rounds)),
            conversations=tuple(fates.uses_by(session, person, rounds)),
            feedback=tuple(heard),
            token_share=sum(one.token_share for one in mine),
            weight_share=sum(one.weight_share for one in mine),
        )


def most_influential(store: Store, model_id: str, limit: int = 20) -> list[Influence]:
    """The people whom a model owes the most, by the larger of their two shares; ids only.

    Raises:
        NotFound: there is no such model.
    """
    with store.read() as session:
        return ranked(session, model_id)[:limit]


def ranked(session: Session, model_id: str) -> list[Influence]:
    """Like `most_influential`, everybody, in the caller's transaction."""
    return _ranked(session, _rounds(session, model_id))


def _rounds(session: Session, model_id: str) -> set[int]:
    """The rounds that made a model and those that it was trained on; none for an origin."""
    lineage = [model_id, *models.get_model(session, model_id).model.parents]
    rounds = [models.get_model(session, name).model.round_id for name in lineage]
    return {round_id for round_id in rounds if round_id is not None}


def _ranked(session: Session, rounds: Collection[int]) -> list[Influence]:
    tokens, weights = fates.tokens_by_person(session, rounds), fates.weight_by_rater(session, rounds)
    all_tokens, all_weight = sum(tokens.values()), sum(weights.values())
    everybody = [
        Influence(
            person=person,
            tokens=tokens.get(person, 0),
            weight=weights.get(person, 0.0),
            token_share=tokens.get(person, 0) / all_tokens if all_tokens else 0.0,
            weight_share=weights.get(person, 0.0) / all_weight if all_weight else 0.0,
        )
        for person in tokens.keys() | weights.keys()
    ]
    return sorted(everybody, key=lambda one: (-max(one.token_share, one.weight_share), one.person))


@dataclass(frozen=True)
class People:
    """How many people a model and those it was trained on learned from, and how many of them were forgotten since."""

    all: int
    forgotten: int


def count_people(session: Session, model_id: str) -> People:
    """The people of a model's lineage, as numbers. Raises NotFound."""
    rounds = _rounds(session, model_id)
    return People(*fates.count_people(session, rounds)) if rounds else People(0, 0)
