"""The audit of data outside of PostgreSQL: rows are written right after an act, and before a look's data are shown.

While PostgreSQL is away a row goes to a file of its own in a folder on this machine, whole and synced, and is delivered
later under the same id, so that it exists once. If that fails too, nothing is shown.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import structlog
from prometheus_client import Gauge

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.ops.private_files import create_private_file
from carteira.kit.security import audit

_PATIENCE_SECONDS = 0.5
"""The longest wait for PostgreSQL before the row goes to a file."""
_AWAY_SECONDS = 1.0
_DELIVER_SECONDS = 5.0
_BATCH = 500

_INSERT = """
    INSERT INTO audit_log (id, actor_kind, actor_id, actor_name, session_id, request_id, subject_id, action, details,
                           created_at, entry_id, look)
    SELECT id, actor_kind, actor_id, actor_name, session_id, request_id, subject_id, action, details,
           created_at, entry_id, look
    FROM jsonb_to_recordset($1::jsonb) AS row (
        id uuid, actor_kind text, actor_id uuid, actor_name text, session_id uuid, request_id text, subject_id uuid,
        action text, details jsonb, created_at timestamptz, entry_id uuid, look boolean)
    ON CONFLICT (id) DO NOTHING
"""

spooled = Gauge(
    "carteira_audit_spooled", "Files with rows of the audit that wait for PostgreSQL", multiprocess_mode="livemax"
)
log = structlog.get_logger(__name__)


class AuditDown(Exception):
    """A row of the audit could be written neither to PostgreSQL nor to a file."""


class AuditTrail:
    """Writes rows of the audit that are not part of a transaction.

    Args:
        database: PostgreSQL.
        folder: The folder of rows that wait while it is away; created at need, for its owner only.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._away_until = 0.0

    async def look(self, action: str, subject: UUID, **details: Any) -> None:  # noqa: ANN401 - any JSON
        """Record a look before its data are shown.

        Raises:
            AuditDown: it could not be written.
        """
        await self.write(audit.look_rows(action, [subject], **details))

    async def act(self, action: str, subject: UUID, **details: Any) -> None:  # noqa: ANN401 - any JSON
        """Record an act.

        Raises:
            AuditDown: it could not be written.
        """
        await self.write([audit.act_row(action, subject=subject, **details)])

    async def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows of `audit.look_rows`, to PostgreSQL or to a file.

        Raises:
            AuditDown: they could not be written.
        """
        if not rows:
            return
        content = orjson.dumps(rows, default=str)  # the driver has its own UUID class
        if time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._insert(content)
            except (DatabaseDown, TimeoutError) as error:
                log.warning("audit written to a file", error=type(error).__name__)
                self._away_until = time.monotonic() + _AWAY_SECONDS
            else:
                return
        try:
            await asyncio.to_thread(create_private_file, self._folder / f"{rows[0]['id']}.json", content)
        except OSError as error:
            log.exception("audit unavailable", error=type(error).__name__)
            raise AuditDown from error

    async def _insert(self, content: bytes) -> None:
        async with self._database.lean_statements() as connection:
            await connection.execute(_INSERT, content.decode())

    async def deliver(self) -> int:
        """Write the rows in files to PostgreSQL, remove the files, and return how many.

        Several processes may do it at once.

        Raises:
            DatabaseDown: PostgreSQL is still away.
        """
        files = await asyncio.to_thread(lambda: sorted(self._folder.glob("*.json"))[:_BATCH])
        spooled.set(len(files))
        for file in files:
            try:
                content = await asyncio.to_thread(file.read_bytes)
            except FileNotFoundError:
                continue  # another process has delivered it
            await self._insert(content)
            await asyncio.to_thread(file.unlink, missing_ok=True)
        if files:
            log.info("audit delivered", files=len(files))
            spooled.set(0)
        return len(files)

    async def deliver_for_ever(self) -> None:
        """Deliver every few seconds, until cancelled."""
        while True:
            try:
                await self.deliver()
            except DatabaseDown:
                log.warning("database unavailable, audit delivery waits")
            except Exception:
                log.exception("audit not delivered")
            await asyncio.sleep(_DELIVER_SECONDS)
