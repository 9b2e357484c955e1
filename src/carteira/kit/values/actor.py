"""The actor of an act, which the ledger and the audit store beside it. Ids only, no personal data."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

ActorKind = Literal["person", "client", "processor", "job", "command"]


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor.

    `person` and `client` have an id, `processor` the name of its endpoint, `job` and `command` their own name
    (`resellers.close_due_months`, `seed`).
    """

    kind: ActorKind
    id: str

    @classmethod
    def person(cls, user_id: UUID) -> "Actor":
        """Return the actor of a user."""
        return cls("person", str(user_id))

    @property
    def user_id(self) -> UUID | None:
        """The id of the user, if it is a person."""
        return UUID(self.id) if self.kind == "person" else None
