"""Positions: the order in which transactions wrote, which continues in another cluster.

Followers, roll-ups and hash chains go by the order of transaction ids. But ids belong to a cluster: a logical dump that
is restored into another cluster finds lower ones there. So rows store a position: the transaction's id plus an offset,
which is kept in one row. Every stored position then lies below all later ones. Each new connection to a primary checks
that this holds. Where it does not, the offset is raised under a lock before the connection is used; rows and digests
stay as they are.

`position_now()` and `position_horizon()` in the database return positions; nothing else reads transaction ids.
"""

from typing import Any

import asyncpg
import structlog
from sqlalchemy import BigInteger, Boolean, CheckConstraint, ColumnElement, literal_column, text
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import Base
from carteira.kit.db.errors import DatabaseDown

NOW = text("position_now()")
"""The default of a column for the position of the writing transaction."""
HORIZON: ColumnElement[int] = literal_column("position_horizon()")
"""The position below which every transaction has ended, in the statement's snapshot."""

_CHECK_SECONDS, _RAISE_SECONDS = 8.0, 35.0
"""For how long a server may be silent. A raise waits for a lock, at most as long as a statement may take."""
log = structlog.get_logger(__name__)


class Positions(Base):
    """The offset, in one row, and the table's identity when it was last checked: a restore creates another table."""

    __tablename__ = "positions"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)

    only_row: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default="true")
    xid_offset: Mapped[int] = mapped_column(BigInteger, server_default="0")
    table_id: Mapped[int] = mapped_column(OID, server_default="0")


async def check(connection: Any) -> None:  # noqa: ANN401 - asyncpg has no types
    """Check the positions, and raise the offset if needed, on a driver's connection without a transaction.

    A database without the functions is not migrated yet and stores no positions.

    Raises:
        DatabaseDown: they cannot be checked, or the offset cannot be raised now: a restore is under way, or a writing
            transaction does not end. The connection is closed.
    """
    try:
        if not await connection.fetchval("SELECT position_holds()", timeout=_CHECK_SECONDS):
            raised = await connection.fetchval("SELECT position_raise()", timeout=_RAISE_SECONDS)
            log.warning("positions checked after a restore", raised=raised)
    except asyncpg.UndefinedFunctionError:
        return
    except asyncpg.PostgresError as error:
        connection.terminate()
        log.warning(
            "positions not checked", error=type(error).__name__, detail=str(error), hint=getattr(error, "hint", None)
        )
        raise DatabaseDown from error
    except BaseException:
        connection.terminate()
        raise
