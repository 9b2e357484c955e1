"""Forms with a file, parsed as they arrive, so that no file is spooled in clear on its way to the vault.

The token and the other fields come before the file and are checked before any of it is stored. Typed texts come back
with the form, whatever is wrong with the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from fastapi import Request

from carteira import documents
from carteira.kit.web.problems import Problem
from carteira.web import csrf, forms
from carteira.web.forms import FormBody, Reading
from carteira.web.page import ONCE, WebPage

M = TypeVar("M", bound=FormBody)


class _FieldsWrong(Exception):
    """A field before the file is wrong: the file is not read."""


@dataclass(frozen=True, slots=True)
class Received(Generic[M]):
    """A parsed form, and its stored file if there was no error."""

    form: Reading[M]
    file: documents.StoredFile | None

    @property
    def key(self) -> str:
        """The form's idempotency key."""
        return self.form.typed.get(ONCE, "")


def vault_of(request: Request) -> documents.Vault:
    """Return the documents' vault."""
    return documents.VAULT.of(request.app)


async def receive(page: WebPage, kind: type[M], document_id: UUID) -> Received[M]:
    """Parse a form with a file, and store the file for a document; errors are in the form.

    Raises:
        FormNotOurs: it lacks this browser's token.
    """
    request = page.request
    content_type = request.headers.get("content-type", "")
    if not content_type.startswith("multipart/form-data"):
        return Received(forms.read(kind, await request.form()), None)  # the route has checked its token
    reading: Reading[M] = Reading()

    def look(fields: Mapping[str, str]) -> None:
        nonlocal reading
        if not csrf.fits(page.browser.secret, fields.get(csrf.FIELD, "")):
            raise csrf.FormNotOurs
        reading = forms.read(kind, fields)
        if reading.value is None:
            raise _FieldsWrong

    try:
        form = await documents.receive_form(
            vault_of(request),
            request.stream(),
            content_type,
            owner_id=page.user_id,
            document_id=document_id,
            allowed=frozenset(kind.model_fields) | {csrf.FIELD, ONCE},
            before_file=look,
        )
        if form.file is None:
            look(form.fields)
    except _FieldsWrong:
        return Received(reading, None)
    except Problem as problem:
        if isinstance(problem, csrf.FormNotOurs) or reading.value is None:
            raise csrf.FormNotOurs from problem  # the file came before a token, or the form is foreign
        return Received(reading.at(documents.FILE, problem.detail), None)
    return Received(reading, form.file)
