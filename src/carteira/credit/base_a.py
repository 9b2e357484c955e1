"""Base A in PostgreSQL: a person's name, address and debts, sealed.

A keyed hash of the CPF finds the row; a read is recorded before the row is opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from carteira.credit import access_log, sealing
from carteira.credit.access_log import AccessRecord
from carteira.credit.errors import CreditRecordNotFound, RecordUnreadable
from carteira.credit.keys import Keyring
from carteira.credit.models import CreditRecord
from carteira.credit.schemas import BaseAIn, BaseAOut
from carteira.credit.sealing import COLUMNS, Sealed
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.preconditions import Precondition, RecordChanged

LOOKUP = "base-a lookup"
CHAIN = "access log"
ROTATION_BATCH = 100
"""Most records that one transaction reseals."""


@dataclass(frozen=True)
class Reader:
    """The reader, the channel and the purpose of a read."""

    who: UUID
    what: str
    purpose: str
    looks: Sequence[dict[str, Any]] = ()
    """The audit's rows that the same transaction writes."""


@dataclass(frozen=True)
class StoredA:
    """A record of base A and the version that a change of it must name."""

    content: BaseAOut
    version: str


def person_hash(keyring: Keyring, cpf: str) -> bytes:
    """Return the keyed hash of a CPF in base A and its log."""
    return keyring.hash(LOOKUP, cpf)


def person_id(keyring: Keyring, cpf: str) -> UUID:
    """Return the pseudonym by which the audit names the person of a CPF.

    Only the holder of the key can derive it.
    """
    return UUID(bytes=person_hash(keyring, cpf)[:16])


def _sealed(row: CreditRecord) -> Sealed:
    fields = {column: getattr(row, column) for column in COLUMNS}
    return Sealed(row.wrapped_by, row.data_key_id, row.data_key, fields)


def _columns(sealed: Sealed) -> dict[str, object]:
    return {
        "wrapped_by": sealed.wrapped_by,
        "data_key_id": sealed.data_key_id,
        "data_key": sealed.data_key,
        **sealed.fields,
    }


async def _open(keyring: Keyring, row: CreditRecord) -> StoredA:
    plain = await sealing.unseal(keyring, row.id, _sealed(row))
    if person_hash(keyring, str(plain["cpf"])) != row.person:
        raise RecordUnreadable  # it decrypts, but belongs to another CPF: the row was swapped
    return StoredA(BaseAOut.model_validate(plain | {"updated_at": row.updated_at}), str(row.version))


async def read(database: Database, keyring: Keyring, cpf: str, reader: Reader) -> StoredA:
    """Return a person's base A. The read is committed to the log before anything is opened, even if there is no record.

    Raises:
        CreditRecordNotFound: there is none.
        RecordUnreadable: it was tampered with, or its key is not here.
        DatabaseDown, KeyServiceDown: one of them does not answer.
    """
    person = person_hash(keyring, cpf)
    async with database.transaction() as tx:
        row = await tx.scalar(select(CreditRecord).where(CreditRecord.person == person))
        outcome = access_log.NOT_FOUND if row is None else access_log.FOUND
        access = AccessRecord(person, reader.who, reader.what, reader.purpose, outcome)
        await audit.write(tx, reader.looks)
        await access_log.append(tx, keyring.derive(CHAIN), access)
    if row is None:
        raise CreditRecordNotFound
    return await _open(keyring, row)


async def put(
    database: Database, keyring: Keyring, cpf: str, content: BaseAIn, precondition: Precondition
) -> tuple[StoredA, bool]:
    """Store a person's whole base A; return it and whether it is new.

    Raises:
        PreconditionRequired, RecordChanged: the caller has not seen the present version.
    """
    person, now, version = person_hash(keyring, cpf), clock.now(), uuid7()
    async with database.transaction() as tx:
        found = (await tx.execute(select(CreditRecord.id, CreditRecord.version).filter_by(person=person))).one_or_none()
    precondition.require(str(found.version) if found else None)
    row_id = found.id if found else uuid7()
    plain = {"cpf": cpf, **content.model_dump(mode="json")}
    sealed = await sealing.seal(keyring, row_id, plain)  # may call KMS: outside of any transaction
    values = {"version": version, "updated_at": now, **_columns(sealed)}
    async with database.transaction() as tx:
        if found is None:
            statement = insert(CreditRecord).values(id=row_id, person=person, **values).on_conflict_do_nothing()
            written = await tx.scalar(statement.returning(CreditRecord.id))
        else:
            where = (CreditRecord.id == row_id, CreditRecord.version == found.version)
            written = await tx.scalar(update(CreditRecord).where(*where).values(**values).returning(CreditRecord.id))
        if written is None:
            raise RecordChanged
        await audit.record(tx, "credit_base_a_written", subject=person_id(keyring, cpf))
    return StoredA(BaseAOut.model_validate(plain | {"updated_at": now}), str(version)), found is None


async def remove(tx: Tx, keyring: Keyring, cpf: str, precondition: Precondition) -> None:
    """Delete a person's base A; the log of who read it stays (LGPD art. 16, I).

    Raises:
        CreditRecordNotFound: there is none.
        PreconditionRequired, RecordChanged: the caller has not seen the present version.
    """
    query = select(CreditRecord).where(CreditRecord.person == person_hash(keyring, cpf)).with_for_update()
    row = await tx.scalar(query)
    if row is None:
        raise CreditRecordNotFound
    precondition.require(str(row.version))
    await tx.delete(row)
    await audit.record(tx, "credit_base_a_removed", subject=person_id(keyring, cpf))


async def export(tx: Tx, keyring: Keyring, cpf: str, person_id: UUID) -> BaseAOut | None:
    """Return a person's own base A. The look is recorded before anything is opened."""
    person = person_hash(keyring, cpf)
    row = await tx.scalar(select(CreditRecord).where(CreditRecord.person == person))
    outcome = access_log.NOT_FOUND if row is None else access_log.FOUND
    access = AccessRecord(person, person_id, "export", "data_subject", outcome)
    await access_log.append(tx, keyring.derive(CHAIN), access)
    return (await _open(keyring, row)).content if row else None


async def erase(tx: Tx, person: bytes) -> None:
    """Delete the base A of a person by their `person_hash`, whatever its version."""
    await tx.execute(delete(CreditRecord).where(CreditRecord.person == person))


async def count_by_key(tx: Tx) -> dict[str, int]:
    """Return how many records each key-encryption key wraps, by its id."""
    rows = await tx.execute(select(CreditRecord.wrapped_by, func.count()).group_by(CreditRecord.wrapped_by))
    return dict(rows.all())


@dataclass(frozen=True)
class RecordKeyRotation:
    """The result of a rotation. No key of the file opens the `unreadable` rows; they are left as they are."""

    rotated: int
    active: str
    unreadable: tuple[UUID, ...] = ()


async def rotate(database: Database, keyring: Keyring, progress: Progress = no_progress) -> RecordKeyRotation:
    """Reseal every record that is not under the active key-encryption key, with a new data key and new nonces.

    Batches are short transactions, and the rows themselves show what is left: after a kill the next run continues. A
    record that is changed meanwhile is sealed under the active key by that change.

    Raises:
        DatabaseDown, KeyServiceDown: one of them went away; run it again.
    """
    active = keyring.active
    stale = CreditRecord.wrapped_by != active
    async with database.transaction() as tx:
        total = await tx.scalar(select(func.count()).select_from(CreditRecord).where(stale)) or 0
    done, unreadable = 0, set[UUID]()
    progress(0, total)
    while True:
        async with database.transaction() as tx:
            query = select(CreditRecord).where(stale, CreditRecord.id.not_in(unreadable))
            rows = (await tx.scalars(query.order_by(CreditRecord.id).limit(ROTATION_BATCH))).all()
        if not rows:
            return RecordKeyRotation(done, active, tuple(sorted(unreadable)))
        fresh = {}
        for row in rows:
            try:
                plain = await sealing.unseal(keyring, row.id, _sealed(row))
            except RecordUnreadable:
                unreadable.add(row.id)
                continue
            fresh[row.id] = await sealing.seal(keyring, row.id, plain)
        async with database.transaction() as tx:
            for row in rows:
                if row.id in fresh:
                    unchanged = (CreditRecord.id == row.id, CreditRecord.data_key_id == row.data_key_id)
                    await tx.execute(update(CreditRecord).where(*unchanged).values(**_columns(fresh[row.id])))
        done += len(fresh)
        progress(done, total)
