"""The audit is only added to, which the database sees to; API keys may end at a time; the master key may be changed.

Revision ID: 0016
Revises: 0020
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0016"
down_revision = "0020"
branch_labels = None
depends_on = None

_SENTENCE = "the audit is only added to"
_SQLITE = "CREATE TRIGGER audit_no_{verb} BEFORE {verb} ON audit BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
_FUNCTION = (
    "CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION '{sentence}'; END $$"
)
_POSTGRESQL = (
    "CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()"
)


def upgrade() -> None:
    """Rows of before stay as they are, and stay."""
    op.add_column("api_key", sa.Column("expires_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True))
    op.add_column("key_check", sa.Column("sealed_root", sa.LargeBinary(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE.format(verb=verb, sentence=_SENTENCE))
    else:
        op.execute(_FUNCTION.format(sentence=_SENTENCE))
        op.execute(_POSTGRESQL)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(f"DROP TRIGGER audit_no_{verb}")
    else:
        op.execute("DROP TRIGGER audit_only_grows ON audit")
        op.execute("DROP FUNCTION audit_only_grows()")
    op.drop_column("key_check", "sealed_root")
    op.drop_column("api_key", "expires_at")
