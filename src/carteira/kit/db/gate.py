"""A gate before the database, closed while nobody may be served from it."""

from dataclasses import dataclass

from carteira.kit.db.errors import DatabaseDown


@dataclass(slots=True)
class Gate:
    """Open while `reason` is None; the reason for closing is Portuguese."""

    reason: str | None = None

    def pass_through(self) -> None:
        """Return at once while the gate is open.

        Raises:
            DatabaseDown: the gate is closed.
        """
        if self.reason is not None:
            raise DatabaseDown(self.reason)
