"""`carteira documents …`: the master keys of documents."""

from typing import TYPE_CHECKING, Annotated

import typer

from carteira.cli.terminal import database_of, fail, out, run_with_bar, settings_here
from carteira.kit.ops.progress import Progress
from carteira.settings import Settings

if TYPE_CHECKING:
    from carteira.documents import MasterKeyRotation


app = typer.Typer(no_args_is_help=True, help="Documentos guardados.")


@app.command("rotate-key")
def rotate_documents_key(
    add: Annotated[
        bool, typer.Option("--new/--no-new", help="Cria a chave nova, ou usa a mais nova que já está no arquivo.")
    ] = True,
) -> None:
    """Troca a chave-mestra dos documentos, com o servidor no ar; sai com 1 se alguma chave não abrir."""
    settings = settings_here()
    url = database_of(settings)
    try:
        result = run_with_bar("Trocando a chave-mestra", lambda tell: _rotate_key(url, settings, tell, add_key=add))
    except (OSError, ValueError) as error:
        fail(f"a chave-mestra não pôde ser trocada: {error}")
    out.print(f"Chave-mestra {result.active_key}: {result.rewrapped} arquivos passaram para ela.", highlight=False)
    if result.retired:
        out.print(f"Chaves que saíram do arquivo: {', '.join(result.retired)}", highlight=False)
    if result.unreadable:
        fail(f"{result.unreadable} arquivos têm chaves que nenhuma chave-mestra abre.")


async def _rotate_key(url: str, settings: Settings, progress: Progress, *, add_key: bool) -> "MasterKeyRotation":
    """Wrap every document's key with a new master key, or with the newest of the file; no file is touched.

    Raises:
        OSError, ValueError: the file of master keys cannot be read or written.
    """
    from carteira import documents
    from carteira.kit.db.engine import open_database
    from carteira.kit.ops import log

    log.configure(level=settings.log_level, form=settings.log_format)
    path = settings.documents_key_file or documents.key_file_in(settings.carteira_home)
    ring = documents.MasterKeyRing(path, create=settings.environment == "development")
    async with open_database(url) as database:
        return await documents.rotate_master_key(database, ring, progress, add_key=add_key)
