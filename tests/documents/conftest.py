from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from carteira.documents import Vault
from carteira.embedded import Endpoints
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase

StoredBytes = Callable[[], list[bytes]]
"""Returns the bytes in the storage."""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def papers_url(new_database: NewDatabase) -> str:
    """A database of these tests' own, since a rotation counts every document in it."""
    return new_database("papers")


@pytest.fixture(scope="session")
async def app(papers_url: str, home: Path) -> AsyncIterator[RunningApp]:
    settings = settings_for(home, carteira_modules="documents", database_url=papers_url)
    async with running_app(settings) as running:
        yield running


@pytest.fixture(scope="session")
async def on_s3(papers_url: str, home: Path, endpoints: Endpoints) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        home,
        carteira_modules="documents",
        database_url=papers_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        documents_url="s3://papers/sealed",
    )
    async with running_app(settings) as running:
        yield running


@pytest.fixture
def vault(app: RunningApp) -> Vault:
    vault: Vault = app.api.state.documents
    return vault


@pytest.fixture
def stored(home: Path) -> StoredBytes:
    """Return the files on the disk; a test that must leave nothing compares before and after."""

    def look() -> list[bytes]:
        return [file.read_bytes() for file in sorted((home / "documents").rglob("*")) if file.is_file()]

    return look
