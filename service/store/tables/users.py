"""Who signs in to the pages, and how often somebody tried in vain."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from service.store.tables.base import new_id, now


class User(SQLModel, table=True):
    """Somebody who signs in with a password; `password` is its Argon2id hash.

    A session holds the `generation` that it began in, and ends when the user's is another.
    """

    __tablename__ = "user_account"

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str = Field(unique=True)
    password: str
    role: str  # one of service/users.py's ROLES
    generation: int = 1
    created_at: datetime = Field(default_factory=now)
    signed_in_at: datetime | None = None
    disabled_at: datetime | None = None


class SignInFailures(SQLModel, table=True):
    """Attempts to sign in since a time that did not succeed; `subject` is the keyed hash of a name or an address."""

    __tablename__ = "sign_in_failures"

    subject: str = Field(primary_key=True)
    number: int
    since: datetime
