"""Positions: the order in which transactions wrote, kept so that it goes on in another cluster.

A transaction's id orders what it wrote, and followers, roll-ups and hash chains go by that order; but ids are a
cluster's own, and a logical dump that is restored into another meets lower ones. So what is stored is a position: the
transaction's id and an offset, which is one row. In the cluster where it was written every position that is stored
lies below those still to come. Each new connection to a primary looks whether that holds. Where it does not, the offset
is raised under a lock before the connection is used; rows and digests stay as they are.

`position_now()` and `position_horizon()` in the database give positions; nothing else asks for a transaction's id.
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
"""The default of a column that keeps the position of the transaction that writes the row."""
HORIZON: ColumnElement[int] = literal_column("position_horizon()")
"""The position below which every transaction is over, in the snapshot of the statement that it is part of."""

log = structlog.get_logger(__name__)


class Positions(Base):
    """The offset, in one row, and the table in which it was last looked at: a restore makes another table."""

    __tablename__ = "positions"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)

    only_row: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default="true")
    xid_offset: Mapped[int] = mapped_column(BigInteger, server_default="0")
    table_id: Mapped[int] = mapped_column(OID, server_default="0")


async def look(connection: Any) -> None:  # noqa: ANN401 - asyncpg has no types
    """See to it that the positions hold, on a connection of the driver that has no transaction open.

    A database without the functions is not migrated, and stores no positions.

    Raises:
        DatabaseDown: it cannot be found out, or the offset cannot be raised now: a restore is under way, or somebody
            who writes does not come to an end. The connection is closed.
    """
    try:
        if not await connection.fetchval("SELECT position_holds()"):
            raised = await connection.fetchval("SELECT position_raise()")
            log.warning("positions looked at after a restore", raised=raised)
    except asyncpg.UndefinedFunctionError:
        return
    except asyncpg.PostgresError as error:
        connection.terminate()
        log.warning("positions cannot be looked at", error=str(error), hint=getattr(error, "hint", None))
        raise DatabaseDown from error
    except BaseException:
        connection.terminate()
        raise
