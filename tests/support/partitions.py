"""Helpers of partition tests: months by their distance, and a table without partitions."""

from datetime import UTC, datetime

import psycopg
from psycopg import sql

from carteira.kit.values.ids import first_uuid7


def month(ahead: int) -> datetime:
    """Return the first instant of the month that lies so many months after this one."""
    now = datetime.now(UTC)
    years, months = divmod(now.month - 1 + ahead, 12)
    return datetime(now.year + years, months + 1, 1, tzinfo=UTC)


def drop_months(owner: str, table: str, begins: datetime) -> None:
    """Leave a table as if no months had been made for long: its last partition begins at an instant."""
    with psycopg.connect(owner) as connection:
        connection.execute("SET timezone = 'UTC'")
        parts = connection.execute(
            """
            SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = %s::regclass AND relname NOT LIKE '%%before' ORDER BY relname
            """,
            (table,),
        ).fetchall()
        before = sql.Identifier(f"{table}_before")
        for (part,) in [*parts, (f"{table}_before",)]:
            names = {"table": sql.Identifier(table), "part": sql.Identifier(part)}
            connection.execute(sql.SQL("ALTER TABLE {table} DETACH PARTITION {part}").format(**names))
            if not part.endswith(("later", "before")):
                connection.execute(sql.SQL("DROP TABLE {part}").format(**names))
        bound = sql.Literal(str(first_uuid7(begins.timestamp())))
        names = {"table": sql.Identifier(table), "tail": sql.Identifier(f"{table}_later"), "before": before}
        attach = "ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES FROM ({low}) TO ({high})"
        for part, low, high in (
            (names["before"], sql.SQL("MINVALUE"), bound),
            (names["tail"], bound, sql.SQL("MAXVALUE")),
        ):
            connection.execute(sql.SQL(attach).format(table=names["table"], part=part, low=low, high=high))
