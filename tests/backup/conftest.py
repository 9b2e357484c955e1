from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from carteira.embedded import Endpoints
from carteira.kit.security.age import PrivateKey
from carteira.settings import Settings
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase


@pytest.fixture(scope="session")
def private_key() -> PrivateKey:
    return PrivateKey.make()


@pytest.fixture
def journal_folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def settings(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path, private_key: PrivateKey, journal_folder: Path
) -> Settings:
    return settings_for(
        tmp_path / "home",
        database_url=new_database("backup"),
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        credit_table="backup-" + uuid4().hex[:8],
        backup_recipients=private_key.public,
        erasure_journal_url=journal_folder.as_uri(),
    )


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[RunningApp]:
    async with running_app(settings) as app:
        yield app


@pytest.fixture
def settings_of_nothing(tmp_path: Path, private_key: PrivateKey) -> Settings:
    """Settings of an installation whose stores do not exist, apart from the place of the backups."""
    return settings_for(
        tmp_path / "home",
        backup_url=(tmp_path / "place").as_uri(),
        backup_recipients=private_key.public,
        backup_database_url="postgresql://nobody@localhost/none",
    )
