"""Checks the other machines: whether processes that serve from the same database use the same settings and stores."""

from carteira import sharing
from carteira.doctor.findings import Diagnosis, Level, finding_of, ok
from carteira.kit.db.engine import open_database
from carteira.settings import Settings

AREA = "outras máquinas"


async def check(settings: Settings) -> list[Diagnosis]:
    """Compare the machines; without a configured database there is no finding. Raises as `Database.transaction`."""
    if settings.database_url is None:
        return []
    mine = await sharing.here(settings)
    async with open_database(settings.database()) as database:
        found = await sharing.others(database)
    level: Level = "warn" if settings.environment == "development" else "fail"
    if differing := [finding_of(AREA, level, sentence) for sentence in sharing.differing(settings, mine, found)]:
        return differing
    addresses = sorted({other.address for other in found})
    if not addresses:
        return [ok(AREA, "nenhum outro processo usa este banco de dados")]
    return [ok(AREA, f"as mesmas chaves e lugares dos processos em ({', '.join(addresses)})")]
