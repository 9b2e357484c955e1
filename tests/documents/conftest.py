from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pydantic import PostgresDsn

from carteira.documents import Vault
from carteira.embedded import Endpoints
from carteira.settings import Settings
from tests.served import Served, serve
from tests.support.databases import NewDatabase

Lookout = Callable[[], list[bytes]]
"""Gives what lies in the storage."""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def papers_url(new_database: NewDatabase) -> str:
    """A database of these tests' own: a rotation counts every document in it."""
    return new_database("papers")


@pytest.fixture(scope="session")
async def served(papers_url: str, home: Path) -> AsyncIterator[Served]:
    settings = Settings(
        _env_file=None,
        carteira_home=home,
        carteira_modules="documents",
        database_url=PostgresDsn(papers_url),
    )
    async with serve(settings) as running:
        yield running


@pytest.fixture(scope="session")
async def on_s3(papers_url: str, home: Path, endpoints: Endpoints) -> AsyncIterator[Served]:
    settings = Settings(
        _env_file=None,
        carteira_home=home,
        carteira_modules="documents",
        database_url=PostgresDsn(papers_url),
        aws_endpoint_url=endpoints.aws_endpoint_url,
        documents_url="s3://papers/sealed",
    )
    async with serve(settings) as running:
        yield running


@pytest.fixture
def vault(served: Served) -> Vault:
    vault: Vault = served.api.state.documents
    return vault


@pytest.fixture
def stored(home: Path) -> Lookout:
    """What lies on the disk; a test that must leave nothing compares before and after."""

    def look() -> list[bytes]:
        return [file.read_bytes() for file in sorted((home / "documents").rglob("*")) if file.is_file()]

    return look
