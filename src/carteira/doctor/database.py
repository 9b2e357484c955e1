"""PostgreSQL: reached how, which, as whom, up to date, of the same time, and safe for money."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, timedelta

from alembic.script import ScriptDirectory

from carteira import database_state, demo, schema
from carteira.doctor import keys
from carteira.doctor.findings import Diagnosis, fail, ok, warn
from carteira.doctor.machine import OFFSETS, ZONE
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx, fetch
from carteira.kit.values.clock import clock
from carteira.kit.web.health import NotReady
from carteira.settings import Settings, production

AREA = "postgresql"
_OLDEST = 160_000
_SECONDS_OFF, _SECONDS_WRONG = 2, 20
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
_OTHERS_CONNECTIONS = 10

_FACTS = """
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_num,
       current_setting('server_encoding') AS encoding,
       current_setting('max_connections')::int AS max_connections,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       pg_is_in_recovery() AS is_replica,
       (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       clock_timestamp() AS now
"""
_ADMINISTRATORS = """
SELECT EXISTS (SELECT FROM users JOIN roles ON roles.id = users.role_id
               WHERE roles.description = 'administrador' AND users.erased_at IS NULL)
"""


async def look(settings: Settings, database: Database) -> AsyncIterator[Diagnosis]:
    """Look at the server and its schema. Raises as `Database.transaction`."""
    async with database.transaction() as tx:
        before = clock.now()
        facts = (await fetch(tx, _FACTS))[0]._mapping  # noqa: SLF001 - SQLAlchemy's own name for it
        for finding in _of_server(settings, facts, before):
            yield finding
        yield await _of_zone(tx)
        current = await _revision(tx)
        yield current
        if current.level == "fail":
            return
        yield await _of_service(settings, database)
        async for finding in _of_content(settings, tx):
            yield finding
    async for finding in keys.sealed_data(settings, database):
        yield finding


def _of_server(settings: Settings, facts: Mapping[str, object], asked_at: datetime) -> Iterator[Diagnosis]:
    version, number = facts["version"], int(str(facts["version_num"]))
    if number < _OLDEST:
        yield fail(AREA, f"versão {version}", "atualize para o PostgreSQL 16 ou mais novo")
    else:
        yield ok(AREA, f"versão {version}, {'com' if facts['tls'] else 'sem'} TLS")
    if not facts["tls"] and not production.is_database_here(settings):
        tell = fail if settings.environment != "development" and not settings.database_insecure else warn
        yield tell(AREA, "a conexão a outra máquina não é cifrada", "use sslmode=verify-full em DATABASE_URL")
    if facts["encoding"] != "UTF8":
        yield fail(AREA, f"a codificação do banco é {facts['encoding']}", "crie o banco com ENCODING 'UTF8'")
    if facts["is_replica"]:
        yield fail(AREA, "o servidor é uma réplica e só aceita leituras", "aponte DATABASE_URL para o principal")
    for name in _DURABLE:
        if facts[name] == "off":
            yield fail(AREA, f"{name} está desligado: um lançamento confirmado pode se perder", f"ligue {name}")
    if facts["superuser"] and settings.environment != "development":
        yield warn(AREA, "o usuário é superusuário", "use um usuário só da Carteira, sem esse direito")
    wanted = settings.workers * 2 * settings.database_pool_size + _OTHERS_CONNECTIONS
    if int(str(facts["max_connections"])) < wanted:
        yield warn(
            AREA,
            f"max_connections é {facts['max_connections']}, e este servidor pode pedir {wanted}",
            "aumente max_connections, ou diminua WORKERS ou DATABASE_POOL_SIZE",
        )
    now = facts["now"]
    assert isinstance(now, datetime)
    yield clock_finding("do PostgreSQL", now, asked_at)


def clock_finding(whose: str, theirs: datetime, asked_at: datetime) -> Diagnosis:
    """Compare another machine's clock, asked at an instant of ours, with ours."""
    seconds = _distance(theirs, asked_at, clock.now()).total_seconds()
    text = f"o relógio {whose} e o desta máquina diferem {seconds:.0f} s"
    advice = "acerte os relógios (chrony, systemd-timesyncd): códigos e tokens dependem deles"
    if seconds > _SECONDS_WRONG:
        return fail("relógio", text, advice)
    return warn("relógio", text, advice) if seconds > _SECONDS_OFF else ok("relógio", f"o {whose} e o daqui concordam")


def _distance(theirs: datetime, begin: datetime, end: datetime) -> timedelta:
    """Return how far an instant is from the span in which it was asked for."""
    return max(begin - theirs, theirs - end, timedelta(0))


async def _of_zone(tx: Tx) -> Diagnosis:
    for instant, hours in OFFSETS.items():
        rows = await fetch(tx, "SELECT $1::timestamptz AT TIME ZONE $2::text", instant, ZONE)
        if rows[0][0] != instant.replace(tzinfo=None) + timedelta(hours=hours):
            return fail(AREA, f"os dados do fuso horário {ZONE} são antigos ou errados", "atualize o tzdata dele")
    return ok(AREA, f"dados do fuso horário {ZONE}")


async def _of_service(settings: Settings, database: Database) -> Diagnosis:
    """Look as a server does before it serves: sessions of its own, rights, and a release that fits the schema."""
    watch = database_state.DatabaseWatch(database, may_own=settings.may_own_tables)
    try:
        note = await watch.ready()
    except NotReady as refused:
        return fail(AREA, str(refused))
    finally:
        watch.close()
    return (
        warn(AREA, note, "atualize este servidor") if isinstance(note, str) else ok(AREA, "serve: sessões e direitos")
    )


async def _revision(tx: Tx) -> Diagnosis:
    scripts = ScriptDirectory.from_config(schema.alembic_config())
    head = scripts.get_current_head()
    if (await fetch(tx, "SELECT to_regclass('alembic_version')::text"))[0][0] is None:
        return fail(AREA, "o banco de dados está vazio", "execute carteira migrate")
    found = [str(row[0]) for row in await fetch(tx, "SELECT version_num FROM alembic_version")]
    if found == [head]:
        return ok(AREA, f"migrações em dia ({head})")
    known = {script.revision for script in scripts.walk_revisions()}
    at = ", ".join(found)
    if set(found) <= known:
        return fail(AREA, f"faltam migrações: está em {at}, e a última é {head}", "execute carteira migrate")
    return fail(AREA, f"o banco está em {at}, de uma versão mais nova", "instale a versão da Carteira que o migrou")


async def _of_content(settings: Settings, tx: Tx) -> AsyncIterator[Diagnosis]:
    denied = [
        str(row[0])
        for row in await fetch(
            tx,
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
            "AND NOT has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'SELECT')",
        )
    ]
    if denied:
        yield fail(AREA, f"sem direito de ler {', '.join(sorted(denied))}", "execute carteira migrate como o dono")
    else:
        yield ok(AREA, "direitos sobre as tabelas")
    if not (await fetch(tx, _ADMINISTRATORS))[0][0]:
        yield warn(AREA, "não há quem administre", "execute carteira admin create")
    found = await demo.found(tx)
    if found and settings.environment != "development":
        yield fail(AREA, f"há {found} pessoas de demonstração, de senha conhecida", demo.REMOVE)
