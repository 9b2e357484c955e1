"""Restores everything but PostgreSQL, after PostgreSQL, and verifies the whole."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO
from uuid import UUID

import orjson

from carteira import credit, documents, ledger
from carteira.backup import copying, place
from carteira.backup.config import BackupConfig
from carteira.backup.errors import BackupFailed
from carteira.backup.making import BASE_B
from carteira.backup.place import Manifest
from carteira.backup.restoring import decrypted_into
from carteira.kit.db import outbox
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Follower
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.security import audit_checks
from carteira.kit.security.age import PrivateKey
from carteira.kit.security.hash_chain import Head

REBUILT = "credit."
"""The prefix of the names of base C's followers."""
OPENED = 200
"""The number of documents that are opened as a test."""


@dataclass
class Restored:
    """Counts of what was restored, and the faults."""

    documents: int = 0
    documents_missing: int = 0
    base_b: int = 0
    events: int = 0
    faults: list[str] = field(default_factory=list)
    """A sentence each, in Portuguese."""
    ledger_head: str = ""
    audit_head: str = ""
    entries: int = 0


async def bring_back_documents(
    config: BackupConfig, database: Database, restored: Restored, progress: Progress = no_progress, *, again: bool
) -> None:
    """Copy the files that rows name and that are missing into documents' storage.

    Raises:
        BackupFailed: the storage has files that no row names. With `again` they are no error and stay: they were stored
            after the log's last copy, or are of deleted documents.
        ObjectsDown: the storage or the place does not answer. Run it again, and it goes on.
    """
    if config.documents is None:
        return
    async with database.transaction() as tx:
        wanted = await documents.stored_names(tx)
    there = {entry.name: entry.size async for entry in config.documents.entries() if copying.is_segment(entry.name)}
    if (strange := there.keys() - wanted) and not again:
        raise BackupFailed(
            f"o armazenamento de documentos não está vazio: {len(strange)} segmentos não são deste banco de dados "
            "(--again os deixa onde estão)"
        )
    sizes = there | await place.stored_objects(config.place)
    missing = await copying.bring_back(
        config.place, config.documents, {name: sizes.get(name, -1) for name in wanted}, progress
    )
    restored.documents = len(wanted) - len(missing)
    restored.documents_missing = len(missing)
    if missing:
        restored.faults.append(f"{len(missing)} segmentos de documentos não estão no backup")


async def bring_back_base_b(
    config: BackupConfig, manifest: Manifest, key: PrivateKey, restored: Restored, *, again: bool
) -> None:
    """Feed base B's items into an empty table, or with `again` into any; newer items stay.

    Raises:
        BackupFailed: the table is not empty.
        BackupDamaged: the part is missing, was changed, or does not open with this key.
        BaseBDown: DynamoDB does not answer. Run it again.
    """
    part = manifest.parts.get(BASE_B)
    if part is None or config.credit is None:
        return
    if not again and not await credit.is_empty(config.credit):
        raise BackupFailed(f"a tabela {config.credit.table} da base B não está vazia (--again a completa)")
    loop = asyncio.get_running_loop()
    async with credit.feeding(config.credit) as feed:

        def take(stream: IO[bytes]) -> None:
            while lines := [*islice(stream, credit.FED_AT_ONCE)]:
                asyncio.run_coroutine_threadsafe(feed([orjson.loads(line) for line in lines]), loop).result()
                restored.base_b += len(lines)

        await asyncio.to_thread(decrypted_into, config.place, part, key, take, no_progress)


async def begin_base_c_again(database: Database) -> None:
    """Make base C's followers read everything again; repeated events change nothing."""
    async with database.transaction() as tx:
        await outbox.begin_again(tx, REBUILT)


async def catch_up(database: Database, followers: Sequence[Follower], report: Callable[[int], None]) -> int:
    """Run each follower to its end; return the number of rows."""
    rows = 0
    for follower in followers:
        while True:
            async with database.transaction() as tx:
                handled = await outbox.follow(tx, follower)
            rows += handled
            report(rows)
            if not handled:
                break
    return rows


async def prove(config: BackupConfig, database: Database, manifest: Manifest, restored: Restored) -> None:
    """Reconcile the ledger, verify the chains beyond the backup's heads, and open documents."""
    reconciled = await ledger.prove_balances(database, whole=True)
    restored.entries = reconciled.entries
    restored.faults += [f"o livro-razão não confere: {difference}" for difference in reconciled.differences]
    found = {}
    for name, verify in {"ledger": ledger.prove_chain, "audit": audit_checks.verify}.items():
        result = await verify(database, whole=True, expected=_head(manifest.heads.get(name, "")))
        restored.faults += [f"{name}: {finding.what} {finding.row_id or ''}" for finding in result.findings]
        found[name] = f"{result.height}:{result.head.hex()}"
    restored.ledger_head, restored.audit_head = found["ledger"], found["audit"]
    if config.documents is not None:
        restored.faults += [f"o documento {version} não abre" for version in await _unreadable(config, database)]


async def _unreadable(config: BackupConfig, database: Database) -> list[UUID]:
    assert config.documents is not None
    settings = config.settings
    ring = documents.MasterKeyRing(settings.documents_key_file or documents.key_file_in(settings.carteira_home))
    async with database.transaction() as tx:
        return await documents.unreadable_among(tx, ring, documents.Storage(config.documents), OPENED)


def _head(text: str) -> Head | None:
    height, _, digest = text.partition(":")
    return (int(height), bytes.fromhex(digest)) if digest else None
