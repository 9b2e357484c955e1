"""Base B to Parquet by parallel scan: pseudonymised, resumable, and flat in memory however large the table is.

Each segment writes its pages as parts of its own, and after each its position (`progress.json`, replaced as a whole). A
killed run continues from these positions; an unfinished part is written again under the same name. Only the fields that
training needs leave the table: no address, no description, no CPF and no hash of it, but a pseudonym under a key of its
own (LGPD art. 13, par. 4).
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from carteira.credit.base_b import PROFILE, BaseB, age_today, all_of, from_item
from carteira.credit.keys import Keyring
from carteira.kit.values.clock import clock

PSEUDONYM = "export pseudonym"
PROGRESS_FILE = "progress.json"

ExportProgress = Callable[[int, int, int], None]
"""Called with the number of segments done, their total, and the number of people written."""


class ExportMismatch(Exception):
    """The folder holds an export of another table or another number of segments."""


NEEDS_ML = "é preciso instalar carteira[ml] (pyarrow e scikit-learn; requirements-ml.lock)"


class MissingLibrary(Exception):
    """A library for exporting or training is not installed; the text says how to install it."""


@dataclass
class _Segment:
    """The progress of one segment."""

    parts: int = 0
    rows: int = 0
    after: dict[str, Any] | None = None
    done: bool = False


@dataclass
class _Notes:
    """The progress of an export."""

    table: str
    total_segments: int
    segments: dict[int, _Segment] = field(default_factory=dict)


def parquet() -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return pyarrow's Parquet module.

    Raises:
        MissingLibrary: it is not installed.
    """
    try:
        import pyarrow.parquet as module  # noqa: PLC0415 - the server does without it
    except ImportError as error:
        raise MissingLibrary(NEEDS_ML) from error
    return module


def _schema() -> Any:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa  # noqa: PLC0415 - the server does without it

    return pa.schema(
        [
            ("pseudonym", pa.string()),
            ("age", pa.int16()),
            ("assets", pa.list_(pa.struct([("kind", pa.string()), ("amount", pa.int64())]))),
            ("incomes", pa.list_(pa.int64())),
            ("defaulted", pa.bool_()),
            ("outcome_on", pa.string()),
        ]
    )


def _row(key: bytes, item: Mapping[str, Any], today: date) -> dict[str, Any]:
    return {
        "pseudonym": hmac.new(key, item["pk"].encode(), hashlib.sha256).hexdigest()[:32],
        "age": age_today(item, today),
        "assets": [{"kind": asset["kind"], "amount": asset["amount"]} for asset in item.get("assets", [])],
        "incomes": [source["monthly_amount"] for source in item.get("income_sources", [])],
        "defaulted": item.get("defaulted"),
        "outcome_on": item.get("outcome_on"),
    }


async def export(  # noqa: PLR0913 - an export's options, passed by name
    base_b: BaseB,
    keyring: Keyring,
    folder: Path,
    *,
    segments: int = 8,
    page_items: int = 2_000,
    resume: bool = True,
    progress: ExportProgress = lambda _done, _total, _rows: None,
) -> int:
    """Write base B into a folder of Parquet parts, scanning segments in parallel; return the number of people.

    Args:
        base_b: The table.
        keyring: For the pseudonyms.
        folder: Made when missing.
        segments: The number of parts into which DynamoDB splits the scan.
        page_items: The most items per page; DynamoDB also ends a page at 1 MB.
        resume: Continue an unfinished export; otherwise start again.
        progress: Called after every page.

    Raises:
        ExportMismatch: the folder holds another export.
        MissingLibrary: pyarrow is not installed.
        BaseBDown: DynamoDB does not answer; the next run continues.
    """
    writer = parquet()
    notes = _begin(folder, base_b.table, segments, resume=resume)
    today, key, schema = clock.today(), keyring.derive(PSEUDONYM), _schema()

    def report() -> None:
        states = notes.segments.values()
        progress(sum(state.done for state in states), segments, sum(state.rows for state in states))

    async def scan(number: int, state: _Segment) -> None:
        while not state.done:
            more: dict[str, Any] = {"ExclusiveStartKey": state.after} if state.after else {}
            page = await base_b.scan_page(segment=number, segments=segments, Limit=page_items, **more)
            rows = [_row(key, item, today) for item in map(from_item, page["Items"]) if item["sk"] == PROFILE]
            if rows:
                await asyncio.to_thread(_write_part, writer, schema, folder, number, state.parts, rows)
                state.parts += 1
                state.rows += len(rows)
            state.after = page.get("LastEvaluatedKey")
            state.done = state.after is None
            _note(folder, notes)
            report()

    states = [notes.segments.setdefault(number, _Segment()) for number in range(segments)]
    await all_of(scan(number, state) for number, state in enumerate(states))
    return sum(state.rows for state in notes.segments.values())


def _write_part(writer: Any, schema: Any, folder: Path, segment: int, part: int, rows: Sequence[Any]) -> None:  # noqa: ANN401, PLR0913, PLR0917 - pyarrow has no types; one part's facts
    import pyarrow as pa  # noqa: PLC0415 - the server does without it

    path = folder / f"people-{segment:03d}-{part:05d}.parquet"
    fresh = path.with_suffix(".new")
    writer.write_table(pa.Table.from_pylist(rows, schema=schema), fresh)
    fresh.replace(path)


def table_of(folder: Path) -> str:
    """Return the table of an export; empty if its `progress.json` is missing."""
    file = folder / PROGRESS_FILE
    return str(json.loads(file.read_text())["table"]) if file.exists() else ""


def _begin(folder: Path, table: str, segments: int, *, resume: bool) -> _Notes:
    file = folder / PROGRESS_FILE
    if not resume and folder.exists():
        for part in (*folder.glob("people-*.parquet"), *folder.glob("people-*.new"), file):
            part.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not file.exists():
        return _Notes(table, segments)
    content = json.loads(file.read_text())
    notes = _Notes(
        content["table"],
        content["total_segments"],
        {int(number): _Segment(**state) for number, state in content["segments"].items()},
    )
    if (notes.table, notes.total_segments) != (table, segments):
        raise ExportMismatch(f"{folder} holds an export of {notes.table} in {notes.total_segments} segments")
    return notes


def _note(folder: Path, notes: _Notes) -> None:
    fresh = folder / f"{PROGRESS_FILE}.new"
    fresh.write_text(json.dumps(asdict(notes)))
    fresh.replace(folder / PROGRESS_FILE)
