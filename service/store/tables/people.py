"""Apps, their keys, and the people whose text is sealed."""

from datetime import datetime

from sqlalchemy import Column, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from service.store.tables.base import new_id, now


class KeyCheck(SQLModel, table=True):
    """One row, sealed under the master key when the database was first used: a wrong key is noticed at start.

    `sealed_root` is that first key under the present one, once the master key was changed (service/rotation.py).
    """

    __tablename__ = "key_check"

    id: int = Field(default=1, primary_key=True)
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sealed_root: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class BoundKeyStore(SQLModel, table=True):
    """One row: the name of the key store that holds the keys of this database's people, bound at first use.

    `scrubbed` is false between the move of keys out of this database and the removal of their bytes from its files.
    """

    __tablename__ = "bound_key_store"

    id: int = Field(default=1, primary_key=True)
    name: str
    scrubbed: bool = True


class App(SQLModel, table=True):
    """A product that sends conversations; its users and their ids are its own."""

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str = Field(unique=True)
    created_at: datetime = Field(default_factory=now)


class ApiKey(SQLModel, table=True):
    """`hash` is the sha256 of the key; `app_id` null means every app (an administrator's key).

    `expires_at` is when a key that was rotated ends by itself.
    """

    __tablename__ = "api_key"

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str | None = Field(default=None, foreign_key="app.id")
    label: str
    scopes: str  # separated by spaces: ingest read review operate chat people rounds models admin
    hash: str = Field(unique=True)
    created_at: datetime = Field(default_factory=now)
    revoked_at: datetime | None = None
    expires_at: datetime | None = None


class Person(SQLModel, table=True):
    """`hmac` of the app's user id. The key that opens their text is in the key store (service/store/keystore.py)."""

    __table_args__ = (UniqueConstraint("app_id", "hmac"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    hmac: str
    created_at: datetime = Field(default_factory=now)
    erased_at: datetime | None = None
