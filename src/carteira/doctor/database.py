"""Checks PostgreSQL: its address, version, role, schema and clock, and its settings for the safety of money."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, timedelta

import psycopg

from carteira import database_state, demo, schema
from carteira.doctor import keys
from carteira.doctor.findings import Diagnosis, fail, finding_of, ok, warn
from carteira.doctor.machine import OFFSETS, ZONE
from carteira.kit.db import rights
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.db.connecting import connect
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx, fetch
from carteira.kit.values.clock import clock
from carteira.kit.web.health import NotReady
from carteira.modules import RIGHTS
from carteira.settings import Settings, production

AREA = "postgresql"
OWNER_AREA = "migração"
REPLICA_AREA = "réplica"
_WHICH = """
SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()
"""
_SECONDS_OFF, _SECONDS_WRONG = 2, 20
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
_OTHERS_CONNECTIONS = 10
DISCREET = {
    "log_min_error_statement": ("panic", "fatal", "log"),
    "log_error_verbosity": ("terse",),
    "log_parameter_max_length": ("0",),
    "log_parameter_max_length_on_error": ("0",),
}
"""Settings of the server's log, with the values that keep personal data out of it; the first of them is advised."""

_FACTS = """
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_num,
       current_setting('server_encoding') AS encoding,
       current_setting('max_connections')::int AS max_connections,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('log_min_error_statement') AS log_min_error_statement,
       current_setting('log_error_verbosity') AS log_error_verbosity,
       CASE WHEN current_setting('log_min_duration_statement') = '-1' AND current_setting('log_statement') = 'none'
            THEN '0' ELSE current_setting('log_parameter_max_length') END AS log_parameter_max_length,
       current_setting('log_parameter_max_length_on_error') AS log_parameter_max_length_on_error,
       pg_is_in_recovery() AS is_replica,
       (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       clock_timestamp() AS now
"""
_ADMINISTRATORS = """
SELECT EXISTS (SELECT FROM users JOIN roles ON roles.id = users.role_id
               WHERE roles.description = 'administrador' AND users.erased_at IS NULL)
"""


async def check(settings: Settings, database: Database) -> AsyncIterator[Diagnosis]:
    """Check the server and its schema. Raises as `Database.transaction`."""
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
    yield of_version(str(facts["version"]), int(str(facts["version_num"])) // 10_000, is_tls=bool(facts["tls"]))
    if not facts["tls"] and not production.is_database_here(settings):
        finding = fail if settings.environment != "development" and not settings.database_insecure else warn
        yield finding(AREA, "a conexão a outra máquina não é criptografada", "use sslmode=verify-full em DATABASE_URL")
    if facts["encoding"] != "UTF8":
        yield fail(AREA, f"a codificação do banco é {facts['encoding']}", "crie o banco com ENCODING 'UTF8'")
    if facts["is_replica"]:
        yield fail(AREA, "o servidor é uma réplica e só aceita leituras", "aponte DATABASE_URL para o principal")
    for name in _DURABLE:
        if facts[name] == "off":
            yield fail(AREA, f"{name} está desligado: um lançamento confirmado pode se perder", f"ligue {name}")
    if missing := " ".join(f"{name}={values[0]}" for name, values in DISCREET.items() if facts[name] not in values):
        yield warn(AREA, "o log do servidor repete valores de comandos, com dados pessoais", f"defina {missing}")
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


def of_version(version: str, major: int, *, is_tls: bool) -> Diagnosis:
    """Return whether the product is tested with a version of PostgreSQL, as a finding."""
    oldest, newest = database_state.OLDEST_MAJOR, database_state.NEWEST_MAJOR
    text = f"versão {version}, {'com' if is_tls else 'sem'} TLS"
    if major < oldest:
        return fail(AREA, text, f"atualize para o PostgreSQL {newest} (a Carteira roda no {oldest} e no {newest})")
    if major > newest:
        return warn(AREA, text, f"a Carteira foi testada no PostgreSQL {oldest} e no {newest}: ensaie antes com ele")
    return ok(AREA, text)


def clock_finding(whose: str, theirs: datetime, asked_at: datetime) -> Diagnosis:
    """Compare another machine's clock with ours; `theirs` was read between `asked_at` and now."""
    seconds = _distance(theirs, asked_at, clock.now()).total_seconds()
    text = f"o relógio {whose} e o desta máquina diferem {seconds:.0f} s"
    advice = "acerte os relógios (chrony, systemd-timesyncd): códigos e tokens dependem deles"
    if seconds > _SECONDS_WRONG:
        return fail("relógio", text, advice)
    return warn("relógio", text, advice) if seconds > _SECONDS_OFF else ok("relógio", f"o {whose} e o daqui concordam")


def _distance(theirs: datetime, begin: datetime, end: datetime) -> timedelta:
    """Return the distance of `theirs` from the span between `begin` and `end`: zero inside of it."""
    return max(begin - theirs, theirs - end, timedelta(0))


async def _of_zone(tx: Tx) -> Diagnosis:
    for instant, hours in OFFSETS.items():
        rows = await fetch(tx, "SELECT $1::timestamptz AT TIME ZONE $2::text", instant, ZONE)
        if rows[0][0] != instant.replace(tzinfo=None) + timedelta(hours=hours):
            return fail(AREA, f"os dados do fuso horário {ZONE} são antigos ou errados", "atualize o tzdata dele")
    return ok(AREA, f"dados do fuso horário {ZONE}")


async def _of_service(settings: Settings, database: Database) -> Diagnosis:
    """Make the checks of a server's start: sessions of its own, rights, and a release that fits the schema."""
    watch = database_state.DatabaseWatch(database, may_own=settings.may_own_tables)
    try:
        await watch.ready()
    except NotReady as refused:
        return finding_of(AREA, "fail", str(refused), "confira DATABASE_URL")
    finally:
        watch.close()
    return ok(AREA, "sessões e direitos em ordem")


async def _revision(tx: Tx) -> Diagnosis:
    if (await fetch(tx, "SELECT to_regclass('alembic_version')::text"))[0][0] is None:
        return fail(AREA, "o banco de dados está vazio", "execute carteira migrate")
    query = "SELECT max(version_num), obj_description('alembic_version'::regclass) FROM alembic_version"
    revision, said = (await fetch(tx, query))[0]
    fit = schema.fit_of(revision, said)
    if fit is schema.Fit.CURRENT:
        return ok(AREA, f"migrações em dia ({revision})")
    if fit is schema.Fit.OLD:
        last = f"faltam migrações: está em {revision}, e a última é {schema.head()}"
        return fail(AREA, last, "execute carteira migrate")
    text = f"o banco está em {revision}, de uma versão mais nova"
    if fit is schema.Fit.NEWER:
        return warn(AREA, f"{text}, que ainda serve a esta", "atualize este servidor")
    return fail(AREA, text, "instale a versão da Carteira que o migrou")


async def check_replica(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Check whether the replica of `DATABASE_READ_URL` follows the database of `DATABASE_URL`. Raises as the driver."""
    replica = settings.replica()
    if replica is None:
        return
    address = DatabaseAddress.parse(replica.url)
    finding_of = [await _identity_of(DatabaseAddress.parse(settings.database())), await _identity_of(address)]
    if finding_of[0][0] != finding_of[1][0]:
        yield fail(REPLICA_AREA, f"{address.place} segue outro PostgreSQL", "aponte DATABASE_READ_URL para uma réplica")
    elif not finding_of[1][1]:
        yield warn(REPLICA_AREA, f"{address.place} é o principal agora", "use target_session_attrs=prefer-standby")
    else:
        yield ok(REPLICA_AREA, address.place)


async def _identity_of(address: DatabaseAddress) -> tuple[int, bool]:
    connection = await connect(address, {})
    try:
        row = await connection.fetchrow("SELECT system_identifier, pg_is_in_recovery() FROM pg_control_system()")
    finally:
        connection.terminate()
    return row[0], row[1]


def check_as_owner(settings: Settings) -> list[Diagnosis]:
    """Check whether the role of `MIGRATION_DATABASE_URL` can migrate and grant; nothing where it is not set.

    Raises:
        psycopg.Error: PostgreSQL does not answer, or refuses the connection.
    """
    if settings.migration_database_url is None:
        return []
    owner = DatabaseAddress.parse(settings.owner_database())
    service = DatabaseAddress.parse(settings.database())
    with psycopg.connect(service.conninfo, autocommit=True) as connection:
        served = connection.execute(_WHICH).fetchone()
    with psycopg.connect(owner.conninfo, autocommit=True) as connection:
        if connection.execute(_WHICH).fetchone() != served:
            return [fail(OWNER_AREA, "não é o banco de dados de DATABASE_URL", "dê às duas o mesmo banco de dados")]
        return list(_of_owner(connection, owner.user, service.user))


def _of_owner(connection: psycopg.Connection, owner: str, service: str) -> Iterator[Diagnosis]:
    if owner == service:
        yield warn(OWNER_AREA, f"o usuário é o mesmo de DATABASE_URL ({owner})", "dê ao serviço um usuário próprio")
    if connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,):
        yield warn(OWNER_AREA, f"{owner} é superusuário", "use um usuário só da Carteira, sem esse direito")
    if connection.execute("SELECT has_schema_privilege('public', 'CREATE')").fetchone() != (True,):
        yield fail(
            OWNER_AREA,
            f"{owner} não pode criar tabelas",
            f"como superusuário: ALTER DATABASE … OWNER TO {owner}, ou GRANT CREATE ON SCHEMA public TO {owner}",
        )
    if others := rights.foreign(connection):
        text = f"{owner} não é dono de {', '.join(others)}"
        yield fail(OWNER_AREA, text, f"como superusuário: ALTER TABLE … OWNER TO {owner}")
    elif owner != service and (differing := rights.differing(connection, service, RIGHTS)):
        text = f"{service} não tem os direitos do serviço em {', '.join(differing)}"
        yield fail(OWNER_AREA, text, "execute carteira migrate")
    else:
        yield ok(OWNER_AREA, f"{owner} migra e concede")


async def _of_content(settings: Settings, tx: Tx) -> AsyncIterator[Diagnosis]:
    denied = [
        str(row[0])
        for row in await fetch(
            tx,
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition AND NOT has_table_privilege(oid, 'SELECT')",  # partitions: through their table
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
