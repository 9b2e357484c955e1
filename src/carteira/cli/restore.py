"""`carteira restore …` and `carteira drill`: restore backups into empty places, and verify them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from carteira.cli import erasures
from carteira.cli.backup import bars, size_text
from carteira.cli.erasures import Intents, IntentsOption, KeyOption, load_key
from carteira.cli.terminal import confirm, database_of, err, fail, out, settings_here
from carteira.kit.ops.progress import Progress
from carteira.settings import Settings

if TYPE_CHECKING:
    from carteira.backup.config import BackupConfig
    from carteira.backup.finishing import Restored
    from carteira.backup.place import Manifest
    from carteira.backup.restoring import Log
    from carteira.identity import ErasureJournal
    from carteira.kit.security.age import PrivateKey

app = typer.Typer(no_args_is_help=True, help="Restauração de um backup, só em lugares vazios.")


class CopyForm(StrEnum):
    """The copy of PostgreSQL to restore."""

    PHYSICAL = "physical"
    LOGICAL = "logical"


SetOption = Annotated[
    str | None, typer.Option("--set", help="Um dos backups de `carteira backup list`; sem esta opção, o último.")
]
UntilOption = Annotated[
    datetime | None, typer.Option(help="Até que instante (2026-11-27T12:00:00, em UTC); sem ele, até onde houver log.")
]
FormOption = Annotated[CopyForm, typer.Option("--form", help="Cópia física com o log, ou lógica (de outra versão).")]
YesOption = Annotated[bool, typer.Option("--yes", help="Não pergunta antes.")]
UnsignedOption = Annotated[
    bool, typer.Option("--unsigned", help="Aceita um backup sem assinatura, de uma versão antiga.")
]
KeysOption = Annotated[
    Path | None, typer.Option("--keys", help="Arquivo de `carteira backup keys`, de onde vêm as chaves.")
]


@app.command("home")
def home(  # noqa: PLR0913 - the folder, the keys, the choice of a backup
    folder: Annotated[Path, typer.Argument(metavar="pasta", help="Pasta vazia, que será a CARTEIRA_HOME.")],
    identity: KeyOption,
    *,
    keys: KeysOption = None,
    set_id: SetOption = None,
    until: UntilOption = None,
    form: FormOption = CopyForm.PHYSICAL,
    intents: IntentsOption = Intents.ASK,
    unsigned: UnsignedOption = False,
    yes: YesOption = False,
) -> None:
    """Traz uma instalação inteira para uma pasta, com servidores locais, e a confere."""
    from carteira.backup import keys as key_files
    from carteira.cli.restoring import is_home

    settings, key = settings_here(), load_key(identity)
    folder = folder.expanduser().absolute()
    mark = folder.with_name(f".{folder.name}.carteira-restore")
    again = mark.exists()
    if is_home(folder) and not again:
        fail(f"{folder} não está vazia: uma restauração só vai para uma pasta vazia.")
    there = settings.model_copy(update={"carteira_home": folder})
    plan = _planned(settings, key, _Asked(set_id, until, form, keys, unsigned))
    if again and mark.read_text(encoding="utf-8") not in {"", _asked_of(plan)}:
        fail(f"{folder} já recebe {mark.read_text(encoding='utf-8')}: termine-a assim, ou escolha outra pasta.")
    _confirm([f"uma pasta nova: {folder}"], plan, yes=yes)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark.write_text(_asked_of(plan), encoding="utf-8")
    if keys is not None:
        key_files.unpack(keys.read_bytes(), key, there)
    restored = _whole(settings, key, folder, replace(plan, again=again), intents)
    mark.unlink()
    _print_result(restored)


@app.command("keys")
def keys(
    packed: Annotated[Path, typer.Argument(metavar="arquivo", help="Arquivo de `carteira backup keys`.")],
    identity: KeyOption,
) -> None:
    """Traz as chaves para os lugares que as configurações dizem; nunca por cima de outras."""
    from carteira.backup import keys as key_files

    written = key_files.unpack(packed.read_bytes(), load_key(identity), settings_here())
    for path in written:
        out.print(f"{path}", highlight=False, soft_wrap=True, markup=False)
    out.print(f"{len(written)} arquivo(s) de chaves.", highlight=False)


@app.command("postgresql")
def postgresql(  # noqa: PLR0913 - the folder, the keys, the choice of a backup
    folder: Annotated[Path, typer.Argument(metavar="pasta", help="Pasta de dados vazia, para o seu PostgreSQL.")],
    identity: KeyOption,
    *,
    keys: KeysOption = None,
    set_id: SetOption = None,
    until: UntilOption = None,
    unsigned: UnsignedOption = False,
    yes: YesOption = False,
) -> None:
    """Prepara uma pasta de dados; o PostgreSQL sobe nela e se recupera até o fim do log."""
    from carteira.backup import restoring
    from carteira.backup.programs import Programs
    from carteira.kit.db.address import DatabaseAddress

    settings, key = settings_here(), load_key(identity)
    plan = _planned(settings, key, _Asked(set_id, until, CopyForm.PHYSICAL, keys, unsigned))
    _confirm([f"uma pasta de dados: {folder}"], plan, yes=yes)
    programs = Programs(DatabaseAddress.parse("postgresql://localhost/none"), settings.backup_programs)
    with bars() as progress_of:
        restoring.lay_down(
            plan.config,
            plan.manifest,
            key,
            folder.expanduser().absolute(),
            plan.log,
            until=plan.until,
            programs=programs,
            base_progress=progress_of("base.tar"),
            log_progress=progress_of("log"),
        )
    out.print(f"Suba o PostgreSQL {plan.manifest.postgresql.partition('.')[0]} em {folder}: ele se recupera e abre.")
    out.print("Depois: carteira migrate, e carteira restore stores.", highlight=False)


@app.command("dump")
def dump(
    identity: KeyOption,
    *,
    keys: KeysOption = None,
    set_id: SetOption = None,
    unsigned: UnsignedOption = False,
    yes: YesOption = False,
) -> None:
    """Carrega a cópia lógica no banco de dados de MIGRATION_DATABASE_URL, que tem de estar vazio."""
    from carteira.backup import restoring
    from carteira.backup.programs import Programs
    from carteira.kit.db.address import DatabaseAddress

    settings, key = settings_here(), load_key(identity)
    address = DatabaseAddress.parse(settings.owner_database())
    plan = _planned(settings, key, _Asked(set_id, None, CopyForm.LOGICAL, keys, unsigned))
    _confirm([f"um banco de dados: {address.place}"], plan, yes=yes)
    _require_empty(address.conninfo, address.place)
    with bars() as progress_of:
        restoring.load_dump(
            plan.config, plan.manifest, key, Programs(address, settings.backup_programs), progress_of("dump")
        )
    out.print("Depois: carteira migrate, e carteira restore stores.", highlight=False)


@app.command("stores")
def stores(  # noqa: PLR0913 - one argument per option of the command
    identity: KeyOption,
    *,
    set_id: SetOption = None,
    intents: IntentsOption = Intents.ASK,
    again: Annotated[
        bool, typer.Option("--again", help="Continua um que foi interrompido, ou completa o que não se perdeu.")
    ] = False,
    unsigned: UnsignedOption = False,
    yes: YesOption = False,
) -> None:
    """Traz de volta documentos e base B, apaga de novo quem foi apagado, refaz a base C e confere tudo."""
    settings, key = settings_here(), load_key(identity)
    database_of(settings)
    plan = _planned(settings, key, _Asked(set_id, None, CopyForm.PHYSICAL, None, unsigned))
    where = settings.documents_url or settings.carteira_home / "documents"
    _confirm([f"documentos: {where}", f"base B: tabela {settings.credit_table}"], plan, yes=yes)
    with bars() as progress_of:
        restored = _finish(settings, key, replace(plan, again=again), intents, progress_of)
    _print_result(restored)


def drill(
    identity: KeyOption,
    *,
    form: FormOption = CopyForm.PHYSICAL,
    set_id: SetOption = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Pasta em que caiba uma cópia de tudo; sem esta opção, a pasta temporária."),
    ] = None,
    unsigned: UnsignedOption = False,
) -> None:
    """Ensaia o pior dia: restaura o último backup ao lado, confere, relata e remove."""
    from carteira.cli.restoring import drill_home
    from carteira.key_rings import rings_on

    settings, key = settings_here(), load_key(identity)
    began = datetime.now().astimezone()
    plan = _planned(settings, key, _Asked(set_id, None, form, None, unsigned))
    paths = {ring.setting.lower(): ring.path(settings) for ring in rings_on(settings)}
    with drill_home(folder) as beside:
        restored = _whole(settings.model_copy(update=paths), key, beside, plan, Intents.APPLY)
    _print_result(restored)
    minutes = (datetime.now().astimezone() - began).total_seconds() / 60
    size = plan.manifest.size + plan.manifest.objects_bytes
    took = f"{minutes:.1f} min".replace(".", ",")
    out.print(f"Ensaio de {plan.manifest.id}: {size_text(size)} em {took}.", highlight=False)


@dataclass(frozen=True)
class Plan:
    """The backup to restore, and the instant up to which its log is replayed."""

    config: "BackupConfig"
    manifest: "Manifest"
    log: "Log"
    until: datetime | None
    form: CopyForm
    journal: "ErasureJournal | None"
    """None: erasures after the backup are undone, in development alone."""
    again: bool = False
    """Whether it was begun before."""


@dataclass(frozen=True)
class _Asked:
    """The requested backup and instant, and the proof that the backup is one of ours."""

    set_id: str | None
    until: datetime | None
    form: CopyForm
    keys: Path | None
    unsigned: bool


def _asked_of(plan: Plan) -> str:
    """Return what a restore was asked for; an interrupted one is only continued for the same."""
    until = "" if plan.until is None else f" até {plan.until:%Y-%m-%dT%H:%M:%S} UTC"
    return f"{plan.manifest.id} ({plan.form}){until}"


def _planned(settings: Settings, key: "PrivateKey", asked: _Asked) -> Plan:
    from carteira import __version__, schema
    from carteira.app import backup_config
    from carteira.backup import place, restoring, signing

    if settings.environment == "production" and settings.erasure_journal_url is None:
        fail("ERASURE_JOURNAL_URL não está definida: sem o diário, uma restauração desfaria eliminações de pessoas.")
    config = backup_config(settings)

    async def find() -> "tuple[Manifest, Log]":
        manifest = await place.manifest_of(config.place, asked.set_id)
        return manifest, await restoring.log_of(config.place, manifest)

    manifest, log = asyncio.run(find())
    if schema.fit_of(manifest.revision, None) is schema.Fit.TOO_NEW:
        fail(f"o backup é da Carteira {manifest.release}, mais nova que esta ({__version__}): restaure com aquela.")
    if manifest.signature or not asked.unsigned:
        packed = None if asked.keys is None else asked.keys.read_bytes()
        ring = signing.ring_of(settings) if packed is None else signing.ring_in(packed, key, settings)
        signing.require_signature(manifest, ring)
    until, form = asked.until, asked.form
    if until is not None and until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    if until is not None and (form is CopyForm.LOGICAL or until < manifest.made_at):
        fail(f"--until precisa ser depois de {manifest.ended_at[:19]} UTC, e da cópia física.")
    journal = None if settings.erasure_journal_url is None else erasures.journal_of(settings)
    return Plan(config, manifest, log, until, form, journal)


def _confirm(targets: list[str], plan: Plan, *, yes: bool) -> None:
    """Print what is about to be done, and exit unless it is confirmed."""
    manifest = plan.manifest
    made_of = f"do PostgreSQL {manifest.postgresql}, revisão {manifest.revision}"
    err.print(f"Backup {manifest.id}, {made_of}.", highlight=False)
    if plan.form is CopyForm.LOGICAL:
        err.print(f"  Como estava em {manifest.began_at[:19]} UTC (cópia lógica).", highlight=False)
    elif plan.until is not None:
        err.print(f"  Até {plan.until:%Y-%m-%d %H:%M:%S} UTC.", highlight=False)
    elif plan.log.last_at is not None:
        err.print(f"  Até o fim do log, copiado em {plan.log.last_at:%Y-%m-%d %H:%M:%S} UTC.", highlight=False)
    if plan.log.gap:
        err.print("  [yellow]Atenção:[/] falta um pedaço do log; o que foi escrito depois dele não volta.")
    for target in targets:
        err.print(f"  Para {escape(target)}", highlight=False, soft_wrap=True)
    if not yes and not confirm("Continuar?"):
        raise typer.Exit(1)


def _require_empty(conninfo: str, where: str) -> None:
    import psycopg

    query = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    with psycopg.connect(conninfo) as connection:
        if connection.execute(query).fetchone() != (0,):
            fail(f"o banco de dados em {where} não está vazio: uma restauração só vai para um banco vazio.")


def _whole(settings: Settings, key: "PrivateKey", folder: Path, plan: Plan, intents: Intents) -> "Restored":
    """Restore a home, and finish it on its own servers."""
    from carteira.cli.restoring import restore_home, running_home
    from carteira.embedded import EmbeddedError

    with bars() as progress_of:
        try:
            logical = plan.form is CopyForm.LOGICAL
            restore_home(
                plan.config,
                plan.manifest,
                key,
                folder,
                plan.log,
                until=plan.until,
                logical=logical,
                progress_of=progress_of,
            )
            with running_home(settings, folder) as there:
                return _finish(there, key, plan, intents, progress_of)
        except EmbeddedError as error:
            fail(f"{error}.")


def _finish(
    settings: Settings, key: "PrivateKey", plan: Plan, intents: Intents, progress_of: Callable[[str], Progress]
) -> "Restored":
    """Restore what is not PostgreSQL, repeat erasures, rebuild base C, and verify everything."""
    from carteira.app import backup_config
    from carteira.backup.finishing import Restored

    config = replace(backup_config(settings), opened=plan.config.place)
    restored = Restored()
    asyncio.run(_bring_back(config, plan, key, restored, progress_of))
    if plan.journal is not None:
        erasures.print_result(erasures.apply_to(settings, plan.journal, key, intents))
    else:
        err.print("[yellow]Atenção:[/] sem ERASURE_JOURNAL_URL, quem foi apagado depois do backup está de volta.")
    asyncio.run(_follow_and_prove(config, plan, restored))
    return restored


async def _bring_back(
    config: "BackupConfig", plan: Plan, key: "PrivateKey", restored: "Restored", progress_of: Callable[[str], Progress]
) -> None:
    from carteira.backup import finishing
    from carteira.kit.db.engine import open_database

    async with open_database(config.settings.database()) as database:
        await finishing.bring_back_documents(config, database, restored, progress_of("documents"), again=plan.again)
    await finishing.bring_back_base_b(config, plan.manifest, key, restored, again=plan.again)


async def _follow_and_prove(config: "BackupConfig", plan: Plan, restored: "Restored") -> None:
    from carteira.app import modules_of
    from carteira.backup import finishing
    from carteira.kit.db.engine import open_database

    modules = modules_of(config.settings)
    async with open_database(config.settings.database()) as database:
        await finishing.begin_base_c_again(database)
        followers = [follower for module in modules for follower in module.followers]
        restored.events = await finishing.catch_up(database, followers, lambda _rows: None)
        await finishing.prove(config, database, plan.manifest, restored)


def _print_result(restored: "Restored") -> None:
    """Print what was restored; exit with 1 if something is wrong."""
    out.print(f"{restored.documents} segmentos de documentos, {restored.base_b} pessoas na base B.", highlight=False)
    out.print(f"{restored.events} eventos lidos pelos seguidores; nenhum espera.", highlight=False)
    out.print(f"{restored.entries} lançamentos conferidos, cabeça {restored.ledger_head}", soft_wrap=True)
    out.print(f"Auditoria conferida, cabeça {restored.audit_head}", soft_wrap=True)
    for fault in restored.faults:
        out.print(f"[red]{escape(fault)}[/]", highlight=False, soft_wrap=True)
    if restored.faults:
        raise typer.Exit(1)
    out.print("Tudo confere.")
