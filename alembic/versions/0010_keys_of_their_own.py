"""People's wrapped keys leave the database for the key store, which no backup of the data contains.

Revision ID: 0010
Revises: 0012
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import sqlalchemy as sa
import sqlmodel

from alembic import context, op
from service.settings import load_settings
from service.store.keystore import KeyStore
from service.store.session import open_keys

revision = "0010"
down_revision = "0012"
branch_labels = None
depends_on = None

_CHUNK = 2_000
_person = sa.table("person", sa.column("id", sa.String), sa.column("wrapped_key", sa.LargeBinary))
_bound = sa.table(
    "bound_key_store", sa.column("id", sa.Integer), sa.column("name", sa.String), sa.column("scrubbed", sa.Boolean)
)


def upgrade() -> None:
    """Keys are in the key store, committed, before the column goes: a kill in between copies them once more.

    Receipts no longer refer to a person's row, as an erasure may be carried out again where that row never was.
    """
    op.create_table(
        "bound_key_store",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("scrubbed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bound_key_store")),
    )
    if not context.is_offline_mode():
        _move_out(op.get_bind())
    with op.batch_alter_table("erasure_receipt", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("fk_erasure_receipt_person_id"), type_="foreignkey")
    op.execute(_person.update().values(wrapped_key=None))
    op.drop_column("person", "wrapped_key")


def downgrade() -> None:
    op.add_column("person", sa.Column("wrapped_key", sa.LargeBinary(), nullable=True))
    if not context.is_offline_mode():
        _move_back(op.get_bind())
    op.execute("DELETE FROM erasure_receipt WHERE person_id NOT IN (SELECT id FROM person)")
    with op.batch_alter_table("erasure_receipt", schema=None) as batch_op:
        batch_op.create_foreign_key(op.f("fk_erasure_receipt_person_id"), "person", ["person_id"], ["id"])
    op.drop_table("bound_key_store")


def _move_out(connection: sa.Connection) -> None:
    """Copies every key into the key store and binds the database to it, if there is any."""
    with _key_store() as keys:
        last, moved = "", False
        while rows := _next_keys(connection, last):
            keys.add({row[0]: bytes(row[1]) for row in rows})
            last, moved = rows[-1][0], True
        if moved:
            connection.execute(_bound.insert().values(id=1, name=keys.ensure_name(), scrubbed=False))


def _next_keys(connection: sa.Connection, last: str) -> list[tuple[str, bytes]]:
    query = sa.select(_person.c.id, _person.c.wrapped_key).where(
        _person.c.id > last, _person.c.wrapped_key.is_not(None)
    )
    return [(row[0], row[1]) for row in connection.execute(query.order_by(_person.c.id).limit(_CHUNK))]


def _move_back(connection: sa.Connection) -> None:
    with _key_store() as keys:
        for people in keys.people() if keys.is_there else ():
            for person, wrapped in keys.wrapped(people).items():
                connection.execute(_person.update().where(_person.c.id == person).values(wrapped_key=wrapped))


@contextmanager
def _key_store() -> Iterator[KeyStore]:
    """The key store of the settings that the caller runs under, or of the environment's."""
    settings = context.config.attributes.get("settings") or load_settings()
    with closing(open_keys(settings)) as keys:
        yield keys
