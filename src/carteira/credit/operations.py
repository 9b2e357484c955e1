"""Credit's operations for the command line: rotate keys, verify the log, export, train, generate."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from carteira.credit import access_log, base_a, export, keys, synthetic, training, versions
from carteira.credit.access_log import AccessLogVerification
from carteira.credit.base_a import RecordKeyRotation
from carteira.credit.stores import CreditConfig, Stores
from carteira.credit.training import Trained
from carteira.kit.db.engine import open_database
from carteira.kit.ops.progress import Progress
from carteira.kit.values.actor import Actor

TRAINER = Actor("command", "credit train")
SYNTHETIC_SUFFIX = "-synthetic"
"""The suffix of the table of synthetic people, beside the real one."""


class NotInProduction(Exception):
    """Synthetic people are for development only."""


async def rotate_keys(
    config: CreditConfig, database_url: str, *, new_key: bool, progress: Progress
) -> RecordKeyRotation:
    """Wrap every record of base A with the active key-encryption key; with `new_key` make a new one active first.

    If it is interrupted, run it again without `new_key`. Raises as `base_a.rotate`.
    """
    if new_key:
        keys.add_key(config.key_file)
    async with open_database(database_url) as database, Stores(config).aws_only() as stores:
        return await base_a.rotate(database, stores.keyring, progress)


async def table_answers(config: CreditConfig) -> bool:
    """Return whether base B's table exists.

    Raises:
        BaseBDown: DynamoDB does not answer.
    """
    async with Stores(config).aws_only() as stores:
        return await stores.b.table_exists()


async def verify_accesses(
    config: CreditConfig, database_url: str, *, noted_head: str | None = None
) -> AccessLogVerification:
    """Verify the access log's hashes and, if given, a head that was noted earlier."""
    async with open_database(database_url) as database:
        return await access_log.verify(database, Stores(config).keyring.derive(base_a.CHAIN), noted_head=noted_head)


async def generate_people(config: CreditConfig, *, people: int, seed: int, progress: Progress) -> str:
    """Write synthetic people into a table of their own; return its name.

    Raises:
        NotInProduction: the configuration is production's.
        BaseBDown: DynamoDB does not answer.
    """
    if not config.makes_people_up:
        raise NotInProduction
    async with Stores(config).aws_only() as stores:
        base_b = stores.table(config.table + SYNTHETIC_SUFFIX)
        await synthetic.generate(base_b, stores.keyring, people=people, seed=seed, progress=progress)
        return base_b.table


async def export_people(  # noqa: PLR0913 - options, passed by name
    config: CreditConfig,
    folder: Path,
    *,
    segments: int = 8,
    synthetic_people: bool = False,
    resume: bool = True,
    progress: export.ExportProgress,
) -> int:
    """Write base B (or the synthetic people) to Parquet; return the number of people. Raises as `export.export`."""
    async with Stores(config).aws_only() as stores:
        base_b = stores.table(config.table + SYNTHETIC_SUFFIX) if synthetic_people else stores.b
        return await export.export(base_b, stores.keyring, folder, segments=segments, resume=resume, progress=progress)


def train_scorecard(folder: Path, *, without_age: bool = False) -> Trained:
    """Train a scorecard on an export; its `text` is the file that ships. Raises as `training.train`."""
    return training.train(folder, without=frozenset({"age"}) if without_age else frozenset())


async def store_model(database_url: str, folder: Path, trained: Trained) -> bool:
    """Store a model that was trained on an export; return whether it is new. It scores once it is chosen."""
    is_synthetic = export.table_of(folder).endswith(SYNTHETIC_SUFFIX)
    values = {
        "card": trained.text,
        "origin": "synthetic" if is_synthetic else "outcomes",
        "people": trained.people,
        "figures": versions.figures_of(trained.measures),
        "outcomes_from": trained.outcomes_from,
        "outcomes_until": trained.outcomes_until,
    }
    async with open_database(database_url) as database, database.transaction() as tx:
        return await versions.store(tx, values, actor=TRAINER)


async def stored_models(database_url: str) -> list[versions.CreditModelOut]:
    """List the models, the newest first."""
    async with open_database(database_url) as database, database.reading() as tx:
        return await versions.list_models(tx)


async def export_items(config: CreditConfig) -> AsyncIterator[dict[str, Any]]:
    """Yield base B's items as DynamoDB has them, page by page; one that changes meanwhile comes in either state.

    Raises:
        BaseBDown: DynamoDB does not answer.
    """
    async with Stores(config).aws_only() as stores:
        async for item in stores.b.items():
            yield item


@asynccontextmanager
async def feeding(
    config: CreditConfig,
) -> AsyncIterator[Callable[[Sequence[Mapping[str, Any]]], Coroutine[Any, Any, None]]]:
    """Yield the function that writes an export's items unless the same or a newer one is stored.

    It writes at most `FED_AT_ONCE` items concurrently, and raises `BaseBDown` if DynamoDB does not answer. Writing an
    item again changes nothing.
    """
    async with Stores(config).aws_only() as stores:
        yield stores.b.feed


async def is_empty(config: CreditConfig) -> bool:
    """Return whether base B has no items.

    Raises:
        BaseBDown: DynamoDB does not answer.
    """
    async with Stores(config).aws_only() as stores:
        async for _ in stores.b.items(page_items=1):
            return False
    return True
