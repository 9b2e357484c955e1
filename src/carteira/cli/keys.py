"""`carteira keys …`: the rings of keys, made, rotated and checked."""

import secrets
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from carteira.cli import errors
from carteira.cli.terminal import database_of, err, fail, out, run_quietly, run_with_bar, settings_here, written
from carteira.kit.ops.progress import Progress
from carteira.settings import Settings

if TYPE_CHECKING:
    from carteira.doctor import Diagnosis

app = typer.Typer(no_args_is_help=True, help="Chaves: tokens, identidade, documentos, crédito e processadora.")

_MOST_SECRETS = 2


class RingName(StrEnum):
    """The rings that can be rotated."""

    TOKENS = "tokens"
    IDENTITY = "identity"
    DOCUMENTS = "documents"
    CREDIT = "credit"
    JWT = "jwt"


@app.command("init")
def init(
    folder: Annotated[
        Path | None,
        typer.Option(help="Pasta dos arquivos; sem ela, onde as configurações dizem. Mostra as linhas para o .env."),
    ] = None,
) -> None:
    """Cria os arquivos de chaves que ainda não existem; nunca troca um que exista."""
    from carteira.key_rings import RINGS, rings_on

    if folder is None:
        settings = settings_here()
        files = {ring: ring.path(settings) for ring in rings_on(settings)}
    else:
        files = {ring: folder.absolute() / ring.file_name for ring in RINGS.values()}
    for ring, path in files.items():
        made = ring.make(path)
        err.print(f"{ring.name}: {'feito' if made else 'já existia'}: {path}", highlight=False, soft_wrap=True)
    if folder is None:
        return
    for ring, path in files.items():
        out.print(f"{ring.setting}={path}", highlight=False, soft_wrap=True, markup=False)
    if written("JWT_SECRET") is None:
        out.print(f"JWT_SECRET={secrets.token_hex(32)}", highlight=False, soft_wrap=True, markup=False)


@app.command("prepare")
def prepare(
    ring: Annotated[RingName, typer.Argument(metavar="chaveiro", help="Chaveiro em que a chave é preparada.")],
) -> None:
    """Acrescenta uma chave que ainda não é usada, para chegar às outras máquinas antes de `rotate`."""
    from carteira.key_rings import RINGS
    from carteira.kit.security.key_ring import KeyWaits

    if ring is RingName.JWT:
        fail("o segredo da processadora se troca em três passos: execute `carteira keys rotate jwt`.")
    settings = settings_here()
    path = RINGS[ring.value].path(settings)
    try:
        made = RINGS[ring.value].prepare(path)
    except KeyWaits as error:
        fail(f"a chave {error} já espera: copie {path.parent} e execute `carteira keys rotate {ring.value}`.")
    except (OSError, ValueError) as error:
        _refuse(ring.value, settings, error)
    out.print(f"Chave {made}: abre, e ainda não é usada.", highlight=False)
    err.print(f"1. Copie {path.parent} para as outras máquinas; os processos a veem em um segundo.", soft_wrap=True)
    err.print(f"2. Execute aqui `carteira keys rotate {ring.value}`, que passa a usá-la.", soft_wrap=True)
    err.print("3. Copie a pasta de novo.")


@app.command("rotate")
def rotate(
    ring: Annotated[RingName, typer.Argument(metavar="chaveiro", help="Chaveiro cuja chave é trocada.")],
    new: Annotated[
        bool,
        typer.Option("--new/--no-new", help="Cria a chave nova; sem ela, continua uma troca interrompida."),
    ] = True,
    stolen: Annotated[
        bool,
        typer.Option("--stolen", help="Só de tokens: a chave anterior deixa de valer na hora."),
    ] = False,
) -> None:
    """Troca as chaves, com o servidor no ar; sai com 1 se algo não abrir."""
    settings = settings_here()
    if stolen and ring is not RingName.TOKENS:
        fail("--stolen é só para tokens; as outras chaves se trocam sempre por inteiro.")
    if not new and ring in {RingName.TOKENS, RingName.JWT}:
        fail(f"--no-new não é para {ring.value}: essa troca é de um passo só.")
    try:
        if ring is RingName.TOKENS:
            _rotate_tokens(settings, stolen=stolen)
        elif ring is RingName.JWT:
            _rotate_jwt(settings)
        else:
            url = database_of(settings)
            run_quietly("Procurando o PostgreSQL", lambda: _answers(url))  # before a key is made for nothing
            _WITH_DATA[ring](settings, url, new)
    except (OSError, ValueError) as error:
        _refuse(ring.value, settings, error)


async def _answers(url: str) -> None:
    from carteira.kit.db.engine import open_database

    async with open_database(url) as database:
        await database.ping()


def _refuse(ring: str, settings: Settings, error: OSError | ValueError) -> NoReturn:
    """Exit with 1 if the key file is missing, unreadable or invalid.

    Raises:
        OSError, ValueError: another error.
    """
    from carteira.key_rings import RINGS, fault_of

    fault = fault_of(RINGS[ring].path(settings), RINGS[ring].look) if ring in RINGS else None
    if fault is None:
        raise error
    fail(f"{fault}.")


def _rotate_tokens(settings: Settings, *, stolen: bool) -> None:
    from carteira.key_rings import RINGS
    from carteira.kit.security import tokens

    kid = tokens.rotate(RINGS["tokens"].path(settings), retire=not stolen)
    out.print(f"Nova chave: {kid}", highlight=False)
    if stolen:
        err.print("A anterior deixa de valer em um segundo. Encerre também as sessões que começaram com ela:")
        err.print("  carteira users sign-out --everyone", highlight=False)


def _rotate_jwt(settings: Settings) -> None:
    """Print the new `JWT_SECRET`: it is set in the environment, which no command changes."""
    if len(settings.jwt_secrets) >= _MOST_SECRETS:
        fail("JWT_SECRET já tem segredos de uma troca: termine-a, deixando só o novo, antes de começar outra.")
    out.print(f"JWT_SECRET={settings.jwt_secrets[0]},{secrets.token_hex(32)}", highlight=False, soft_wrap=True)
    err.print("1. Defina JWT_SECRET assim e reinicie os servidores, um a um: os dois segredos valem.")
    err.print("2. Faça a processadora assinar com o segundo.")
    err.print("3. Deixe só o segundo em JWT_SECRET e reinicie: o primeiro deixa de valer.")


def _rotate_identity(settings: Settings, url: str, new: bool) -> None:
    from carteira import identity, webhooks
    from carteira.key_rings import RINGS
    from carteira.kit.db.engine import open_database
    from carteira.kit.security.sealing import Sealer

    _log(settings)
    ring = Sealer(RINGS["identity"].path(settings))

    async def work(report: Progress) -> "identity.SealingKeyRotation":
        ring.keys()
        async with open_database(url) as database:
            return await identity.rotate_sealing_key(database, ring, report, others=[webhooks.SEALED], add_key=new)

    result = run_with_bar("Trocando a chave da identidade", work)
    out.print(f"Chave {result.active_key}: {result.resealed} segredos passaram para ela.", highlight=False)
    _print_retired(result.retired)
    if result.unreadable:
        fail(f"{result.unreadable} segredos não abrem com nenhuma chave.")


def _rotate_documents(settings: Settings, url: str, new: bool) -> None:
    from carteira import documents
    from carteira.key_rings import RINGS
    from carteira.kit.db.engine import open_database

    _log(settings)
    ring = documents.MasterKeyRing(RINGS["documents"].path(settings))

    async def work(report: Progress) -> documents.MasterKeyRotation:
        ring.keys()
        async with open_database(url) as database:
            return await documents.rotate_master_key(database, ring, report, add_key=new)

    result = run_with_bar("Trocando a chave-mestra", work)
    out.print(f"Chave-mestra {result.active_key}: {result.rewrapped} arquivos passaram para ela.", highlight=False)
    _print_retired(result.retired)
    if result.unreadable:
        fail(f"{result.unreadable} arquivos têm chaves que nenhuma chave-mestra abre.")


def _rotate_credit(settings: Settings, url: str, new: bool) -> None:
    from carteira import credit
    from carteira.app import credit_config

    result = run_with_bar(
        "Trocando a chave da base A",
        lambda report: credit.rotate_keys(credit_config(settings), url, new_key=new, progress=report),
    )
    out.print(f"Chave {result.active}: {result.rotated} registros passaram para ela.", highlight=False)
    if result.unreadable:
        fail(f"{len(result.unreadable)} registros não abrem com nenhuma chave.")


_WITH_DATA: dict[RingName, Callable[[Settings, str, bool], None]] = {
    RingName.IDENTITY: _rotate_identity,
    RingName.DOCUMENTS: _rotate_documents,
    RingName.CREDIT: _rotate_credit,
}


def _log(settings: Settings) -> None:
    from carteira.kit.ops import log

    log.configure(level=settings.log_level, form=settings.log_format)


def _print_retired(ids: list[str]) -> None:
    if ids:
        out.print(f"Chaves que saíram do arquivo: {', '.join(ids)}", highlight=False)


@app.command("check")
def check(
    files: Annotated[bool, typer.Option("--files", help="Só os arquivos, sem o banco de dados.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Em JSON.")] = False,
) -> None:
    """Confere os arquivos de chaves e se abrem o que o banco de dados guarda; sai com 1 se algo falhar.

    Sem o banco de dados confere o que não precisa dele, e diz o que ficou por conferir.
    """
    from carteira.cli.findings import print_findings
    from carteira.doctor import keys

    settings = settings_here()
    _log(settings)
    found = list(keys.key_files(settings))
    if not files:
        found += run_quietly("Conferindo as chaves", lambda: _check_data(settings))
    print_findings(found, as_json=as_json)


async def _check_data(settings: Settings) -> "list[Diagnosis]":
    from carteira.doctor import keys
    from carteira.kit.db.engine import open_database

    if settings.database_url is None:
        return [keys.not_checked("DATABASE_URL não está definida e nenhum `carteira run` desta pasta está no ar.")]
    url = settings.database()
    try:
        async with open_database(url) as database:
            return [finding async for finding in keys.sealed_data(settings, database)]
    except Exception as error:
        sentence = errors.sentence_of(error, url)
        if sentence is None:
            raise
        return [keys.not_checked(sentence)]
