"""What most people would write first: pydantic in, `Session.add`, commit, answer. The baseline of bench/ingest.py.

SQLite unless NAIVE_DATABASE_URL names another database. Nothing is sealed, hashed or checked beyond its shape here.
"""

import os
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import Engine, MetaData, event, make_url
from sqlmodel import Field, Session, SQLModel, create_engine


class MessageIn(BaseModel):
    id: str
    role: Literal["system", "user", "assistant", "tool"]
    content: str


class VoteIn(BaseModel):
    message: str
    value: Literal["up", "down"]


class ConversationIn(BaseModel):
    id: str
    user: str
    messages: list[MessageIn]
    votes: list[VoteIn] = []
    satisfaction: int | None = None
    consent: bool | None = None
    time: datetime | None = None


class Base(SQLModel):
    metadata = MetaData()


class NaiveConversation(Base, table=True):
    id: str = Field(primary_key=True)
    user: str = Field(index=True)
    satisfaction: int | None = None
    consent: bool | None = None
    time: datetime | None = None


class NaiveMessage(Base, table=True):
    id: str = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="naiveconversation.id", index=True)
    position: int
    role: str
    content: str


class NaiveVote(Base, table=True):
    message_id: str = Field(primary_key=True, foreign_key="naivemessage.id")
    rater: str = Field(primary_key=True)
    value: str


def _make_engine() -> Engine:
    if url := os.environ.get("NAIVE_DATABASE_URL"):
        return create_engine(make_url(url).set(drivername="postgresql+psycopg"), pool_size=20, max_overflow=20)
    engine = create_engine(f"sqlite:///{os.environ['PERENNIAL_HOME']}/naive.db", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


engine = _make_engine()
Base.metadata.create_all(engine)
app = FastAPI()


def get_session() -> Any:
    with Session(engine) as session:
        yield session


@app.post("/v1/conversations", status_code=201)
def store(given: ConversationIn, session: Annotated[Session, Depends(get_session)]) -> dict[str, str]:
    _add(session, given)
    session.commit()
    return {"id": given.id}


@app.post("/v1/conversations/list")
def store_list(given: list[ConversationIn], session: Annotated[Session, Depends(get_session)]) -> list[dict[str, str]]:
    for conversation in given:
        _add(session, conversation)
    session.commit()
    return [{"id": conversation.id} for conversation in given]


def _add(session: Session, given: ConversationIn) -> None:
    session.add(NaiveConversation(**given.model_dump(exclude={"messages", "votes"})))
    for position, message in enumerate(given.messages):
        session.add(NaiveMessage(conversation_id=given.id, position=position, **message.model_dump()))
    for vote in given.votes:
        session.add(NaiveVote(message_id=vote.message, rater=given.user, value=vote.value))
