"""Near-duplicates in SQL: exact texts first, then MinHash bands, then the comparison itself."""

import json
from collections.abc import Callable

from sqlalchemy import delete
from sqlalchemy.engine import Connection
from sqlmodel import Session, col, select

from pipelines.records import Signature
from service.store.bulk import cursor_of, insert_ignoring_conflicts
from service.store.tables import Band, Cluster, ClusterText, Conversation, new_id

PROMPT, PAIR = "prompt", "pair"
MAX_CANDIDATES = 64

Same = Callable[[Signature, Signature], bool]


def find_cluster(session: Session, kind: str, signature: Signature, same: Same) -> str | None:
    """The cluster that a text belongs to, None if it is like nothing before."""
    for exact in filter(None, (signature.exact, signature.former)):
        known = session.get(ClusterText, (kind, exact))
        if known is not None:
            return known.cluster_id
    for cluster in _candidates(session, kind, signature):
        if _is_same(signature, cluster, same):
            return cluster.id
    return None


def add_cluster(session: Session, kind: str, signature: Signature, id: str | None = None) -> str:
    """A new cluster with this text as its first member; returns its id."""
    id = id or new_id()
    session.add(Cluster(id=id, kind=kind, exact=signature.exact, signature=signature.model_dump_json().encode()))
    session.flush()
    bands = [
        {"cluster_id": id, "number": number, "kind": kind, "hash": str(hashed)}
        for number, hashed in enumerate(signature.bands)
    ]
    insert_ignoring_conflicts(session.connection(), Band, bands)
    return id


def remember_text(session: Session, kind: str, signature: Signature, cluster_id: str) -> None:
    """Makes each further copy of this exact text one lookup."""
    row = {"kind": kind, "exact": signature.exact, "cluster_id": cluster_id}
    insert_ignoring_conflicts(session.connection(), ClusterText, [row])


def forget_unused(session: Session, ids: set[str]) -> None:
    """Deletes those of these clusters that no conversation belongs to any more."""
    for column in (Conversation.prompt_cluster_id, Conversation.pair_cluster_id):
        ids = ids - set(session.exec(select(column).where(col(column).in_(ids)).distinct()).all())
    for table, column in ((Band, Band.cluster_id), (ClusterText, ClusterText.cluster_id), (Cluster, Cluster.id)):
        session.execute(delete(table).where(col(column).in_(ids)))


def _is_same(signature: Signature, cluster: Cluster, same: Same) -> bool:
    try:
        return same(signature, Signature.model_validate_json(cluster.signature))
    except ValueError:  # a damaged signature is like nothing
        return False


def _candidates(session: Session, kind: str, signature: Signature) -> list[Cluster]:
    """Clusters that share a band with this text."""
    if not signature.bands:
        return []
    ids = _sharing_a_band(session.connection(), kind, [str(hashed) for hashed in signature.bands])
    return list(session.exec(select(Cluster).where(col(Cluster.id).in_(ids)).order_by(col(Cluster.id))).all())


def _sharing_a_band(connection: Connection, kind: str, hashes: list[str]) -> list[str]:
    """The ids of some clusters that have one of these bands under its number, each band one look into the index."""
    bands = json.dumps(hashes) if connection.dialect.name == "sqlite" else hashes
    with cursor_of(connection) as cursor:
        cursor.execute(_SHARING[connection.dialect.name], (bands, kind))
        return [row[0] for row in cursor.fetchall()]


# the bands first and then the index, said so that no planner starts with the table
_SHARING = {
    "sqlite": (
        "SELECT DISTINCT band.cluster_id FROM json_each(?) AS given CROSS JOIN band "
        "WHERE band.kind = ? AND band.number = given.key AND band.hash = given.value "
        f"LIMIT {MAX_CANDIDATES}"
    ),
    "postgresql": (
        "SELECT DISTINCT band.cluster_id FROM unnest(%s::text[]) WITH ORDINALITY AS given(value, place) "
        "JOIN band ON band.kind = %s AND band.number = given.place - 1 AND band.hash = given.value "
        f"LIMIT {MAX_CANDIDATES}"
    ),
}
