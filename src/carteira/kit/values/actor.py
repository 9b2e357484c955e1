"""Who does something: the value that the ledger and the audit keep beside what was done. Ids only, no personal data."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

ActorKind = Literal["person", "client", "processor", "job", "command"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something.

    `person` and `client` are named by their id, `processor` by the door through which it comes, `job` and `command` by
    their own name (`resellers.close_due_months`, `seed`).
    """

    kind: ActorKind
    id: str

    @classmethod
    def person(cls, user_id: UUID) -> "Actor":
        """Name a person by the id of their user."""
        return cls("person", str(user_id))

    @property
    def user_id(self) -> UUID | None:
        """The id of the user, if it is a person."""
        return UUID(self.id) if self.kind == "person" else None
