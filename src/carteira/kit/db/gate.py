"""A gate before the database: closed while it is one that nobody is to be served from."""

from dataclasses import dataclass

from carteira.kit.db.errors import DatabaseDown


@dataclass(slots=True)
class Gate:
    """Open while there is no reason for it to be closed; the reason is Portuguese."""

    reason: str | None = None

    def pass_through(self) -> None:
        """Go on.

        Raises:
            DatabaseDown: the gate is closed.
        """
        if self.reason is not None:
            raise DatabaseDown(self.reason)
