"""Base A at rest: bound to its place, wrapped by keys that rotate, and opened with no other key."""

import itertools
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text, update

from carteira import credit
from carteira.credit import CreditConfig, Stores, base_a
from carteira.credit.base_a import Reader
from carteira.credit.errors import RecordUnreadable
from carteira.credit.keys import KeyFileInvalid, load_or_create_key_file
from carteira.credit.models import CreditRecord
from carteira.credit.schemas import BaseAIn
from carteira.credit.sealing import COLUMNS
from carteira.kit.db.engine import Database
from carteira.kit.web.preconditions import Precondition
from tests.support.credit import BASE_A
from tests.support.people import new_cpf

READER = Reader(uuid4(), "base_a", "audit")


@pytest.fixture
def own(own_database: Database, key_file: Path) -> tuple[Database, Stores]:
    """A database and a key file of the test's own, so that a rotation has the test's records only."""
    return own_database, Stores(CreditConfig(key_file))


async def _fill(database: Database, stores: Stores, number: int) -> list[str]:
    cpfs = [new_cpf() for _ in range(number)]
    for index, cpf in enumerate(cpfs):
        content = BaseAIn.model_validate(BASE_A | {"name": f"Pessoa {index}"})
        await base_a.put(database, stores.keyring, cpf, content, Precondition())
    return cpfs


async def test_a_ciphertext_moved_to_another_row_or_column_does_not_open(own: tuple[Database, Stores]) -> None:
    database, stores = own
    one, two = await _fill(database, stores, 2)
    hashes = [base_a.person_hash(stores.keyring, cpf) for cpf in (one, two)]
    async with database.transaction() as tx:
        rows = {row.person: row for row in await tx.scalars(select(CreditRecord))}
        first, second = (rows[person] for person in hashes)
        kept = {column: getattr(first, column) for column in (*COLUMNS, "data_key", "data_key_id")}
    moves = [{column: getattr(second, column)} for column in COLUMNS]
    moves += [{a: kept[b]} for a, b in itertools.permutations(COLUMNS, 2)]
    moves += [{"data_key": second.data_key}, {"data_key_id": second.data_key_id}]
    moves += [{column: getattr(second, column) for column in (*COLUMNS, "data_key", "data_key_id")}]
    moves += [{"name": kept["name"][:-1] + bytes([kept["name"][-1] ^ 1])}, {"debts": b""}]
    for values in moves:
        async with database.transaction() as tx:
            await tx.execute(update(CreditRecord).where(CreditRecord.id == first.id).values(**values))
        with pytest.raises(RecordUnreadable):
            await base_a.read(database, stores.keyring, one, READER)
        async with database.transaction() as tx:
            await tx.execute(update(CreditRecord).where(CreditRecord.id == first.id).values(**kept))
    assert (await base_a.read(database, stores.keyring, one, READER)).content.name == "Pessoa 0"


def _between_rows(*columns: str) -> list[str]:
    """Swap columns between the only two rows; a second swap restores them."""
    theirs = ", ".join(f"{column} = other.{column}" for column in columns)
    return [f"UPDATE credit_records mine SET {theirs} FROM credit_records other WHERE other.id <> mine.id"]


SWAPS = [
    *(_between_rows(column) for column in (*COLUMNS, "data_key", "data_key_id")),
    _between_rows(*COLUMNS, "data_key", "data_key_id", "wrapped_by"),
    *([f"UPDATE credit_records SET {a} = {b}, {b} = {a}"] for a, b in itertools.combinations(COLUMNS, 2)),
    # Swap the persons of two whole rows; in two steps, since no two rows may have the same person.
    [
        "UPDATE credit_records SET person = '\\x00' || person",
        (
            "UPDATE credit_records mine SET person = substr(other.person, 2)"
            " FROM credit_records other WHERE other.id <> mine.id"
        ),
    ],
]


async def test_values_swapped_between_rows_or_columns_do_not_open(own: tuple[Database, Stores]) -> None:
    database, stores = own
    both = await _fill(database, stores, 2)

    async def swap(statements: list[str]) -> None:
        async with database.transaction() as tx:
            for statement in statements:
                await tx.execute(text(statement))

    for statements in SWAPS:
        await swap(statements)
        for cpf in both:
            with pytest.raises(RecordUnreadable):
                await base_a.read(database, stores.keyring, cpf, READER)
        await swap(statements)
    for index, cpf in enumerate(both):
        assert (await base_a.read(database, stores.keyring, cpf, READER)).content.name == f"Pessoa {index}"


async def test_the_same_record_never_looks_the_same_twice(own: tuple[Database, Stores]) -> None:
    database, stores = own
    await _fill(database, stores, 2)
    async with database.transaction() as tx:
        one, two = (await tx.scalars(select(CreditRecord))).all()
    assert all(getattr(one, column) != getattr(two, column) for column in (*COLUMNS, "data_key", "person"))


class Killed(BaseException):
    """The process ends here."""


async def test_a_rotation_killed_half_way_is_ended_by_the_next(
    own: tuple[Database, Stores], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, stores = own
    monkeypatch.setattr(base_a, "ROTATION_BATCH", 4)
    cpfs = await _fill(database, stores, 18)
    before = stores.keyring.active
    async with database.transaction() as tx:
        versions = set(await tx.scalars(select(CreditRecord.version)))
    assert credit.add_key(stores.keyring.path) != before

    def kill_after_two_batches(done: int, _total: int) -> None:
        if done >= 8:
            raise Killed

    with pytest.raises(Killed):
        await base_a.rotate(database, stores.keyring, kill_after_two_batches)
    count = select(CreditRecord.wrapped_by, func.count()).group_by(CreditRecord.wrapped_by)
    async with database.transaction() as tx:
        assert dict((await tx.execute(count)).all()) == {before: 10, stores.keyring.active: 8}
    told: list[tuple[int, int]] = []
    again = Stores(stores.config)  # another process knows the file only
    result = await base_a.rotate(database, again.keyring, lambda done, total: told.append((done, total)))
    assert (result.rotated, result.unreadable, told[0], told[-1]) == (10, (), (0, 10), (10, 10))
    async with database.transaction() as tx:
        assert dict((await tx.execute(count)).all()) == {stores.keyring.active: 18}
        assert set(await tx.scalars(select(CreditRecord.version))) == versions, "no ETag became stale"
    file = load_or_create_key_file(stores.keyring.path)
    assert set(file.keys) == {before, file.active}
    for index, cpf in enumerate(cpfs):
        assert (await base_a.read(database, again.keyring, cpf, READER)).content.name == f"Pessoa {index}"


async def test_a_rotation_names_unreadable_data_and_continues(own: tuple[Database, Stores]) -> None:
    database, stores = own
    (cpf, _) = await _fill(database, stores, 2)
    person = base_a.person_hash(stores.keyring, cpf)
    async with database.transaction() as tx:
        await tx.execute(update(CreditRecord).where(CreditRecord.person == person).values(name=b"x" * 40))
    credit.add_key(stores.keyring.path)
    result = await base_a.rotate(database, stores.keyring)
    assert (result.rotated, len(result.unreadable)) == (1, 1)


async def test_a_write_names_the_version_that_it_replaces(own: tuple[Database, Stores]) -> None:
    database, stores = own
    cpf = new_cpf()
    content = BaseAIn.model_validate(BASE_A)
    stored, new = await base_a.put(database, stores.keyring, cpf, content, Precondition())
    assert new
    changed, new = await base_a.put(database, stores.keyring, cpf, content, Precondition(version=stored.version))
    assert not new
    assert changed.version != stored.version
    async with database.transaction() as tx:
        assert await tx.scalar(text("SELECT count(*) FROM credit_records")) == 1


def test_the_key_file_is_its_owners_alone_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "credit.json"
    first = load_or_create_key_file(path)
    assert path.stat().st_mode & 0o077 == 0
    assert load_or_create_key_file(path) == first
    assert list(path.parent.iterdir()) == [path]
    for rubbish in ("", "{}", '{"index": "AA==", "active": "k1", "keys": {"k1": "AA=="}}', "[]", '{"keys": 1}'):
        path.write_text(rubbish)
        with pytest.raises(KeyFileInvalid):
            load_or_create_key_file(path)
    with pytest.raises(KeyFileInvalid, match="does not exist"):
        _ = Stores(CreditConfig(tmp_path / "none.json")).keyring.file
