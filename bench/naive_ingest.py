"""What most people would write first: pydantic in, `Session.add`, commit, answer. The baseline of bench/ingest.py."""

import os
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import MetaData, event
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


engine = create_engine(f"sqlite:///{os.environ['PERENNIAL_HOME']}/naive.db", connect_args={"timeout": 30})


@event.listens_for(engine, "connect")
def _prepare(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


Base.metadata.create_all(engine)
app = FastAPI()


def get_session() -> Any:
    with Session(engine) as session:
        yield session


@app.post("/v1/conversations", status_code=201)
def store(given: ConversationIn, session: Annotated[Session, Depends(get_session)]) -> dict[str, str]:
    session.add(NaiveConversation(**given.model_dump(exclude={"messages", "votes"})))
    for position, message in enumerate(given.messages):
        session.add(NaiveMessage(conversation_id=given.id, position=position, **message.model_dump()))
    for vote in given.votes:
        session.add(NaiveVote(message_id=vote.message, rater=given.user, value=vote.value))
    session.commit()
    return {"id": given.id}
