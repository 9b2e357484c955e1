"""A person's contact points at an instant: plain values, computed from the person's row and its changes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from carteira.identity.models import ContactChange

Kind = Literal["email", "phone"]
State = Literal["registered", "confirmed", "unconfirmed", "former"]
KINDS: tuple[Kind, ...] = ("email", "phone")


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """An e-mail address or a phone; `recovers_from` is None if codes go to it already."""

    kind: Kind
    value: str
    state: State
    recovers_from: datetime | None
    confirmed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Former:
    """The contact point before the present one, and the instant from which the present one may recover."""

    value: str | None
    confirmed_at: datetime | None
    recovers_from: datetime


def former_of(change: ContactChange | None) -> Former | None:
    """Return the former contact point of a row."""
    return None if change is None else Former(change.former, change.former_confirmed_at, change.recovers_from)


def recovers(confirmed_at: datetime | None, former: Former | None, now: datetime) -> bool:
    """Return whether the present contact point, rather than the former one, recovers the account."""
    return former is None or (confirmed_at is not None and former.recovers_from <= now)


def points_of(
    kind: Kind, value: str | None, confirmed_at: datetime | None, former: Former | None, now: datetime
) -> list[ContactPoint]:
    """Return a kind's contact points: the present one, and the former one while it recovers the account."""
    settled = recovers(confirmed_at, former, now)
    points = []
    if value is not None:
        waits = None if former is None or settled else former.recovers_from
        state: State = "confirmed" if confirmed_at else "registered" if former is None else "unconfirmed"
        points.append(ContactPoint(kind, value, state, waits, confirmed_at))
    if former is not None and former.value is not None and not settled:
        points.append(ContactPoint(kind, former.value, "former", None, former.confirmed_at))
    return points


def recovering(points: list[ContactPoint]) -> ContactPoint | None:
    """Return the one of a kind's contact points that codes go to."""
    return next((point for point in points if point.recovers_from is None), None)
