"""The export of users: XLSX and CSV, streamed in small pieces, without passwords, CPFs masked unless the caller may."""

import asyncio
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal
from uuid import UUID

from sqlalchemy import func, select

from carteira.identity.config import DailyExport
from carteira.identity.models import User
from carteira.identity.users.queries import PersonView, people, view_of
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.security.audit import Look
from carteira.kit.values.clock import SAO_PAULO, clock
from carteira.kit.values.cpf import format_cpf, mask_cpf
from carteira.kit.values.csv_sheet import MARK, MEDIA_TYPE, csv_rows, plain_cell
from carteira.kit.values.phone import format_phone

Format = Literal["xlsx", "csv"]
MEDIA_TYPES = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": MEDIA_TYPE,
}
COLUMNS = (
    "id",
    "nome",
    "e-mail",
    "CPF",
    "nascimento",
    "telefone",
    "papel",
    "permissões",
    "criado em",
    "atualizado em",
)
_BATCH = 1_000
_CHUNK_BYTES = 65_536
_SHEET_ROWS = 1_048_575


def _instant(at: datetime) -> str:
    return at.astimezone(SAO_PAULO).strftime("%Y-%m-%d %H:%M:%S")


def _row(person: PersonView, *, show_cpf: bool) -> list[str]:
    """Write a person; numbers with punctuation, since spreadsheets drop leading zeros."""
    cpf = person.cpf or ""
    return [
        str(person.id),
        person.full_name,
        person.email,
        (format_cpf(cpf) if show_cpf else mask_cpf(cpf)) if cpf else "",
        person.birth_date.isoformat() if person.birth_date else "",
        format_phone(person.phone) if person.phone else "",
        person.role,
        ", ".join(person.claims),
        _instant(person.created_at),
        _instant(person.updated_at),
    ]


async def _read_batch(tx: Tx, *, after: UUID | None) -> list[PersonView]:
    query = people().order_by(User.id).limit(_BATCH)
    return [view_of(row) for row in await tx.execute(query if after is None else query.where(User.id > after))]


async def _batches(database: Database, look: Look | None) -> AsyncIterator[Sequence[PersonView]]:
    """Read the people in pieces, so that a slow reader holds nothing open; they may be as a replica has them.

    The look at a piece's people is recorded before the piece is yielded. So nobody is shown unrecorded, and a client
    that disconnects leaves no records of people whom it did not see.
    """
    after: UUID | None = None
    while True:
        rows = await database.read_behind(partial(_read_batch, after=after))
        if look is not None:
            async with database.transaction() as tx:
                await look.at(tx, [row.id for row in rows])
        if rows:
            yield rows
        if len(rows) < _BATCH:
            return
        after = rows[-1].id


async def count(database: Database) -> int:
    """Return how many people an export would hold."""

    async def ask(tx: Tx) -> int:
        return await tx.scalar(select(func.count()).select_from(User).where(User.erased_at.is_(None))) or 0

    return await database.read_behind(ask)


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    return csv_rows([plain_cell(cell) for cell in row] for row in rows)


async def csv_chunks(database: Database, look: Look, *, show_cpf: bool) -> AsyncGenerator[bytes, None]:
    """Yield the CSV piece by piece, in the form that spreadsheets in Brazil open."""
    yield MARK + _csv([COLUMNS])
    async for batch in _batches(database, look):
        rows = [_row(person, show_cpf=show_cpf) for person in batch]
        yield await asyncio.to_thread(_csv, rows)


class _Book:
    """An XLSX written row by row; the library keeps one row in memory and the rest in files beside the book."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        import xlsxwriter  # noqa: PLC0415 - only needed to make a book

        self._columns = columns
        rows = _rows_of(path)
        rows.mkdir(mode=0o700)
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        self._book = xlsxwriter.Workbook(str(path), options | {"tmpdir": str(rows)})
        self._next = 0
        self._begin_sheet()

    def _begin_sheet(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.set_column(0, len(self._columns) - 1, 22)
        self._sheet.freeze_panes(1, 0)
        for column, title in enumerate(self._columns):
            self._sheet.write_string(0, column, title)
        self._next = 1

    def write(self, rows: Sequence[Sequence[str]]) -> None:
        for row in rows:
            if self._next > _SHEET_ROWS:
                self._begin_sheet()
            for column, cell in enumerate(row):
                self._sheet.write_string(self._next, column, cell)
            self._next += 1

    def close(self) -> None:
        self._book.close()


async def export_users(  # noqa: PLR0913 - a file's options
    database: Database,
    path: Path,
    *,
    form: Format,
    look: Look | None,
    show_cpf: bool = False,
    columns: Sequence[str] = COLUMNS,
    progress: Progress = no_progress,
) -> int:
    """Write the users to a file, for its owner only, whole or not at all; return how many there were.

    Memory use is constant. `look` records the caller's look at them, if there is a caller; `progress` is for the
    command's bar.
    """
    total = await count(database)
    written = 0
    file = await asyncio.to_thread(_File, path, form, columns)
    picked = [COLUMNS.index(name) for name in columns]
    try:
        async for batch in _batches(database, look):
            whole = [_row(person, show_cpf=show_cpf) for person in batch]
            rows = [[row[place] for place in picked] for row in whole]
            await asyncio.to_thread(file.write, rows)
            written += len(rows)
            progress(written, max(total, written))
        await asyncio.to_thread(file.finish)
    finally:
        file.discard()
    return written


class _File:
    """A file that gets its name once it is complete."""

    def __init__(self, path: Path, form: Format, columns: Sequence[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # until its writer has finished or died
        self._path, self._part = path, Path(name)
        self._book: _Book | None = None
        try:
            if form == "xlsx":
                self._book = _Book(self._part, columns)
            else:
                self._part.write_bytes(MARK + _csv([columns]))
        except BaseException:  # no caller has the file yet to discard it
            self.discard()
            raise

    def write(self, rows: Sequence[Sequence[str]]) -> None:
        if self._book is not None:
            self._book.write(rows)
            return
        with self._part.open("ab") as file:
            file.write(_csv(rows))

    def finish(self) -> None:
        if self._book is not None:
            self._book.close()
        self._part.replace(self._path)

    def discard(self) -> None:
        _discard(self._part)
        os.close(self._descriptor)


async def xlsx_chunks(database: Database, look: Look, *, show_cpf: bool) -> AsyncGenerator[bytes, None]:
    """Yield the XLSX piece by piece, from a temporary file that is deleted at the end, even if the client aborts."""
    with tempfile.TemporaryDirectory(prefix="carteira-export-") as folder:
        path = Path(folder) / "usuarios.xlsx"
        await export_users(database, path, form="xlsx", look=look, show_cpf=show_cpf)
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield chunk


async def export_daily(database: Database, folder: Path, asked: DailyExport) -> str:
    """Write the day's export with masked CPFs, delete expired ones, and return its name. A job calls it.

    It is written to the folder and then moved to its store, if that is elsewhere. Files that a dying worker left behind
    are deleted too.

    Raises:
        ObjectsDown: the store of exports does not answer.
    """
    name = f"usuarios-{clock.today().isoformat()}.{asked.form}"
    await asyncio.to_thread(_delete_parts, folder)
    await export_users(database, folder / name, form=asked.form, look=None, columns=asked.columns or COLUMNS)
    if asked.place is None:
        await asyncio.to_thread(_delete_old, folder, asked.days_kept)
        return name
    store = asked.place()
    try:
        await store.put_file(name, folder / name)
    finally:
        await asyncio.to_thread((folder / name).unlink)
    kept = sorted([entry.name async for entry in store.entries() if _NAMED.fullmatch(entry.name)])
    await store.remove(kept[: -asked.days_kept])
    return name


_NAMED = re.compile(r"usuarios-\d{4}-\d\d-\d\d\.(xlsx|csv)")


def _delete_old(folder: Path, days_kept: int) -> None:
    for old in sorted(file for file in folder.iterdir() if _NAMED.fullmatch(file.name))[:-days_kept]:
        old.unlink(missing_ok=True)


def _delete_parts(folder: Path) -> None:
    for part in folder.glob("*.part"):
        with suppress(FileNotFoundError, BlockingIOError), part.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _discard(part)


def _rows_of(path: Path) -> Path:
    """Return the folder of a book's temporary files."""
    return path.with_suffix(".rows")


def _discard(part: Path) -> None:
    shutil.rmtree(_rows_of(part), ignore_errors=True)
    part.unlink(missing_ok=True)
