"""`carteira backup …`: all stores into one place, encrypted to a public key."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from carteira.cli.terminal import err, fail, out, run_quietly, settings_here
from carteira.kit.ops import progress

if TYPE_CHECKING:
    from carteira.backup.config import BackupConfig
    from carteira.backup.place import Manifest
    from carteira.backup.retention import Pruned

app = typer.Typer(no_args_is_help=True, help="Backups: tudo num lugar, criptografado para uma chave pública.")

_STEPS = {
    "base.tar": "PostgreSQL, cópia física",
    "dump": "PostgreSQL, cópia lógica",
    "documents": "Documentos",
    "log": "PostgreSQL, log",
}


@app.command("key")
def key(
    path: Annotated[
        Path, typer.Argument(metavar="arquivo", help="Arquivo novo da chave privada; não é dos servidores.")
    ],
) -> None:
    """Cria o par de chaves dos backups, e mostra a linha para o .env; nunca troca um arquivo que exista."""
    from carteira.kit.ops.private_files import create_private_file
    from carteira.kit.security.age import PrivateKey

    made = PrivateKey.make()
    if not create_private_file(path, made.text().encode()):
        fail(f"{path} já existe.")
    err.print(f"Chave privada em {path}: leve-a daqui, em duas cópias. Sem ela nenhum backup abre.", soft_wrap=True)
    out.print(f"BACKUP_RECIPIENTS={made.public}", highlight=False, soft_wrap=True, markup=False)


@app.command("keys")
def keys(
    path: Annotated[Path, typer.Argument(metavar="arquivo", help="Arquivo novo; nunca no lugar dos backups.")],
) -> None:
    """Copia os arquivos de chaves num só, criptografado para a chave pública dos backups."""
    from carteira.backup import keys as key_files
    from carteira.kit.ops.private_files import create_private_file

    config = config_here()
    folder = None if config.settings.backup_url is None else config.place.folder
    if folder is not None and path.resolve().is_relative_to(folder.resolve()):
        fail(f"{path} está no lugar dos backups: chaves nunca ficam ao lado do que abrem.")
    if not create_private_file(path, key_files.pack(config.settings, config.recipients)):
        fail(f"{path} já existe.")
    err.print(f"Chaves em {path}: guarde o arquivo longe dos backups.", soft_wrap=True, highlight=False)


@app.command("create")
def create(
    *, prune: Annotated[bool, typer.Option("--prune", help="Depois, remove os que passaram de BACKUP_DAYS.")] = False
) -> None:
    """Faz um backup; um que foi interrompido no último dia continua de onde parou."""
    from carteira.backup import making, retention

    config = config_here()

    async def work() -> "Manifest":
        with bars() as progress_of:
            return await making.make(config, progress_of)

    manifest = asyncio.run(work())
    out.print(f"Backup {manifest.id}: {size_text(manifest.size)}, e {_documents(manifest)}.", highlight=False)
    if prune:
        _print_pruned(asyncio.run(retention.prune(config)))


@app.command("list")
def list_backups() -> None:
    """Lista os backups completos, do mais antigo ao mais novo."""
    from carteira.backup import place

    config = config_here()
    found = run_quietly("Lendo os backups", lambda: place.manifests(config.place))
    for one in found:
        parts = ", ".join(one.parts)
        out.print(f"{one.id}  {size_text(one.size)}  {parts}; {_documents(one)}", highlight=False, soft_wrap=True)
    out.print(f"{len(found)} backup(s).", highlight=False)


@app.command("verify")
def verify(
    set_id: Annotated[
        str | None, typer.Option("--set", help="Um dos backups de `backup list`; sem esta opção, o último.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", help="Arquivo da chave privada: abre também o que está criptografado.")
    ] = None,
) -> None:
    """Confere um backup onde ele está: cada pedaço, os documentos e o log; sai com 1 se algo faltar ou mudou."""
    from carteira.backup import checking, place
    from carteira.cli.erasures import load_key

    config = config_here()
    key = None if identity is None else load_key(identity)

    async def work() -> "tuple[Manifest, list[str]]":
        manifest = await place.manifest_of(config.place, set_id)
        with bars() as progress_of:
            return manifest, await checking.check(config, manifest, key, progress_of("Conferindo"))

    manifest, faults = asyncio.run(work())
    for fault in faults:
        out.print(f"[red]{escape(fault)}[/]", highlight=False, soft_wrap=True)
    if faults:
        raise typer.Exit(1)
    out.print(f"Backup {manifest.id} inteiro.", highlight=False)


@app.command("prune")
def prune_old() -> None:
    """Remove os backups de mais de BACKUP_DAYS dias, menos o último inteiro, e do log e dos documentos o que sobra."""
    from carteira.backup import retention

    config = config_here()
    _print_pruned(run_quietly("Removendo", lambda: retention.prune(config)))


def _print_pruned(gone: "Pruned") -> None:
    """Print what was removed; exit with 1 if a newer backup is damaged."""
    out.print(
        f"Removidos: {gone.backups} backups, {gone.segments} segmentos do log, {gone.objects} de documentos.",
        highlight=False,
    )
    if gone.damaged:
        fail(
            f"o backup {gone.damaged[0]} não está inteiro, ou não é desta instalação (`carteira backup verify --set "
            f"{gone.damaged[0]}` diz por quê): o último inteiro ficou, por velho que seja."
        )


def config_here() -> "BackupConfig":
    """Return the settings of backups."""
    from carteira.app import backup_config

    return backup_config(settings_here())


@contextmanager
def bars() -> Iterator[Callable[[str], progress.Progress]]:
    """Return the function that shows a bar for each step."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as shown:

        def progress_of(step: str) -> progress.Progress:
            task = shown.add_task(_STEPS.get(step, step), total=None)
            return lambda done, total: shown.update(task, completed=done, total=total)

        yield progress_of


def size_text(size: int) -> str:
    """Return a size for a person."""
    return f"{size / 1_000_000:.1f} MB".replace(".", ",")


def _documents(manifest: "Manifest") -> str:
    return f"{manifest.objects} segmentos de documentos ({size_text(manifest.objects_bytes)})"
