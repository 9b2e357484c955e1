"""Receives a form with a file, which streams into the vault and is removed again if the database refuses it."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from uuid import UUID

from carteira.documents import forms, metrics
from carteira.documents.forms import BeforeFile, Form
from carteira.documents.upload import StoredFile, Upload
from carteira.documents.vault import Vault
from carteira.kit.db.errors import OperationInProgress, TextNotStorable
from carteira.kit.web.problems import DependencyDown, Problem


async def receive_form(  # noqa: PLR0913 - a form and the rules for its files
    vault: Vault,
    body: AsyncIterator[bytes],
    content_type: str,
    *,
    owner_id: UUID,
    document_id: UUID,
    allowed: frozenset[str],
    before_file: BeforeFile | None = None,
) -> Form:
    """Read a multipart form; its file, if there is one, is stored for a document.

    Raises:
        As `forms.read_form`; TooManyUploads: the limit of their concurrent uploads is reached.
    """
    place = ExitStack()

    def open_upload(file_name: str, media_type: str) -> Upload:
        place.enter_context(vault.arriving(owner_id))
        return Upload(vault.storage, document_id, file_name=file_name, media_type=media_type, scanner=vault.scanner)

    try:
        with place:
            return await forms.read_form(
                body, content_type, allowed=allowed, open_upload=open_upload, before_file=before_file
            )
    except Problem as problem:
        metrics.refused_files.labels(problem.code).inc()
        raise


@asynccontextmanager
async def kept(vault: Vault, file: StoredFile | None) -> AsyncIterator[None]:
    """Keep an uploaded file only if the block ends well.

    After an unknown commit the hourly sweep decides.
    """
    try:
        yield
    except DependencyDown:
        raise
    except (Problem, OperationInProgress, TextNotStorable):
        if file is not None:
            await vault.storage.discard(file.version_id)
        raise
