"""The whole examination: every check with its duration; a failed check does not end the others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from carteira.doctor import backups, database, keys, machine, machines, services
from carteira.doctor.findings import Diagnosis, fail, finding_of, ok
from carteira.kit.db.engine import open_database
from carteira.settings import Settings

SECONDS = 20.0
ADVICE = {
    database.AREA: "confira DATABASE_URL, e se o PostgreSQL está no ar",
    database.OWNER_AREA: "confira MIGRATION_DATABASE_URL",
    database.REPLICA_AREA: "confira DATABASE_READ_URL; enquanto isso, DATABASE_URL responde no seu lugar",
    "redis": "confira REDIS_URL, e se o Redis está no ar",
    "armazenamento": "confira AWS_ENDPOINT_URL, AWS_REGION e DOCUMENTS_URL, e as credenciais da AWS",
    backups.AREA: "confira BACKUP_URL, BACKUP_DATABASE_URL e ERASURE_JOURNAL_URL",
    "antivírus": "confira CLAMD_URL, e se o clamd está no ar",
    "e-mail": "confira SMTP_URL, e se o servidor de e-mail está no ar",
}
"""Advice for a check that could not be made, where the error gives none itself."""
_ADDRESSES = {database.OWNER_AREA: "MIGRATION_DATABASE_URL", database.REPLICA_AREA: "DATABASE_READ_URL"}
Explain = Callable[[BaseException, str | None], str | None]
"""Returns an error's meaning for an operator in Portuguese, by a database's address; None if it knows none."""


async def examine(settings: Settings, explain: Explain) -> list[Diagnosis]:
    """Check everything that the settings name."""
    found = [ok("configuração", f"ENVIRONMENT={settings.environment}")]
    found += list(machine.check(settings))
    found += list(keys.key_files(settings))
    looks: list[tuple[str, Callable[[], Awaitable[list[Diagnosis]]]]] = [
        (database.AREA, lambda: _check_database(settings)),
        (database.OWNER_AREA, lambda: asyncio.to_thread(database.check_as_owner, settings)),
        (database.REPLICA_AREA, lambda: _all(database.check_replica(settings))),
        (machines.AREA, lambda: machines.check(settings)),
        ("redis", lambda: _all(services.check_redis(settings))),
        ("armazenamento", lambda: _all(services.check_storage(settings))),
        (backups.AREA, lambda: _all(backups.check(settings))),
        ("antivírus", lambda: _all(services.check_scanner(settings))),
        ("e-mail", lambda: asyncio.to_thread(lambda: list(services.check_mail(settings)))),
        ("endereços", lambda: _addresses(settings)),
    ]
    for area, take in looks:
        found += await _taken(settings, area, take, explain)
    return found


async def _taken(
    settings: Settings, area: str, take: Callable[[], Awaitable[list[Diagnosis]]], explain: Explain
) -> list[Diagnosis]:
    try:
        async with asyncio.timeout(SECONDS):
            return await take()
    except Exception as error:  # noqa: BLE001 - a check that cannot be made is a finding, whatever its error
        name = _ADDRESSES.get(area, "DATABASE_URL")
        url = getattr(settings, name.lower())
        sentence = explain(error, None if url is None else url.get_secret_value())
        sentence = sentence or f"não responde como devia ({type(error).__name__}. {error})"
        sentence = sentence.replace("DATABASE_URL", name)
        return [finding_of(area, "fail", sentence, ADVICE.get(area))]


async def _all(findings: AsyncIterator[Diagnosis]) -> list[Diagnosis]:
    return [finding async for finding in findings]


async def _check_database(settings: Settings) -> list[Diagnosis]:
    if settings.database_url is None:
        return [
            fail(
                database.AREA,
                "DATABASE_URL não está definida e nenhum `carteira run` desta pasta está no ar",
                "defina DATABASE_URL, ou execute carteira run",
            )
        ]
    async with open_database(settings.database()) as opened:
        return await _all(database.check(settings, opened))


async def _addresses(settings: Settings) -> list[Diagnosis]:
    looks: Iterable[Awaitable[Diagnosis]] = (
        services.check_address(name, url) for name, url in services.addresses(settings).items()
    )
    return list(await asyncio.gather(*looks))
