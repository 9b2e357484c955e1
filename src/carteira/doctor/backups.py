"""Checks backups and the journal of erasures: whether they are kept, their age, and the means to make one."""

from collections.abc import AsyncIterator

from carteira.app import backup_config, erasure_journal
from carteira.backup import making
from carteira.backup.ages import is_late
from carteira.backup.config import BackupConfig
from carteira.backup.place import Manifest
from carteira.doctor.findings import Diagnosis, fail, ok, warn
from carteira.kit.db import silence
from carteira.settings import Settings

AREA = "backup"


async def check(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Check the backups that the settings name. Raises as the places and PostgreSQL's programs do."""
    if settings.environment == "development" and settings.backup_url is None:
        return
    open_journal = erasure_journal(settings)
    if open_journal is None:
        advice = "sem ele, uma restauração desfaz eliminações de pessoas"
        yield warn(AREA, "ERASURE_JOURNAL_URL não está definida", advice)
    else:
        await open_journal().entries()
        yield ok(AREA, "o diário de eliminações responde")
    if settings.backup_url is None:
        yield warn(AREA, "BACKUP_URL não está definida", "veja docs/how-to/back-up.md")
        return
    config = backup_config(settings)
    yield _age(await making.newest(config))
    yield await _role(config)
    for program in ("pg_basebackup", "pg_receivewal")[: 2 * config.is_physical] + ("pg_dump",)[: config.is_logical]:
        config.programs.find(program)


def _age(newest: Manifest | None) -> Diagnosis:
    if newest is None:
        return fail(AREA, "não há nenhum backup completo", "execute carteira backup create")
    text = f"o último backup completo é de {newest.made_at:%d/%m/%Y %H:%M} UTC"
    return fail(AREA, text, "execute carteira backup create, e veja o worker") if is_late(newest) else ok(AREA, text)


_ROLE = (
    "SELECT rolreplication OR rolsuper, pg_has_role(rolname, 'pg_read_all_data', 'USAGE')"
    " FROM pg_roles WHERE rolname = current_user"
)


async def _role(config: BackupConfig) -> Diagnosis:
    """Check the rights of the role that makes backups."""
    async with silence.watched(config.address) as connection:
        row = await (await connection.execute(_ROLE)).fetchone()
    replicates, reads = row or (False, False)
    if config.is_physical and not replicates:
        return fail(AREA, "o usuário de BACKUP_DATABASE_URL não replica", "ALTER ROLE … REPLICATION, como superusuário")
    if not reads:
        return fail(AREA, "o usuário de BACKUP_DATABASE_URL não lê tudo", "GRANT pg_read_all_data, como superusuário")
    return ok(AREA, "o usuário de BACKUP_DATABASE_URL replica e lê tudo")
