"""Queries about whoever signs in."""

from collections.abc import Sequence

from sqlmodel import Session, col, func, select

from service.store.tables import User


def find_user(session: Session, name: str) -> User | None:
    """The user of this name."""
    return session.exec(select(User).where(User.name == name)).first()


def all_users(session: Session) -> Sequence[User]:
    """Every user, disabled ones included, by name."""
    return session.exec(select(User).order_by(col(User.name))).all()


def count_users(session: Session) -> int:
    """How many users were ever made."""
    return session.exec(select(func.count()).select_from(User)).one()
