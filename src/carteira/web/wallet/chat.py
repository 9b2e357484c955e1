"""The assistant as a chat: messages, choices, a requested file, and answers.

Each exchange is a page; where scripts run, it is added below the previous one. A message or file that is sent twice
acts once and gets the same answer.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response
from pydantic import Field

from carteira import assistant, documents
from carteira.kit.db.session import Tx
from carteira.kit.web.access import Who
from carteira.kit.web.problems import NotFound, problem_of
from carteira.web import uploads
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import UploadRoute, pages
from carteira.web.uploads import Received, vault_of

_PAGE, _HOME = "wallet/chat.html", "/app/assistente"
UPLOADS = "/app/assistente/arquivo"
_LONGEST = 4_000
_TOO_LONG = "A mensagem tem mais de 4.000 letras e não foi enviada. Conte em menos palavras."
_SENT = "pronto"
_REFUSED = {"options": None, "upload": None, "page": None}


class ChatForm(FormBody):
    """A message; `file_id` is the document of a sent file, `standing` the question that was shown."""

    message: Annotated[str, Field(max_length=_LONGEST)]
    file_id: UUID | None = None
    standing: Annotated[str | None, Field(max_length=64, alias="sobre")] = None


class ChatFileForm(FormBody):
    """A form with only a file."""


async def _is_on(page: SignedPage, _who: Who) -> None:
    if not page.has("assistant"):
        raise NotFound


router = pages()
files = pages(route_class=UploadRoute)
_HERE = [Depends(_is_on)]


def _assistant(page: WebPage) -> assistant.Assistant:
    return assistant.ASSISTANT.of(page.request.app)


async def _show_state(page: WebPage, *, said: str = "", failed: str = "") -> Response:
    """Show what the conversation waits for, and the error of the last message."""
    async with page.database.transaction() as tx:
        reply = await _assistant(page).resume(tx, page.who)
    return _turn(page, reply, said, failed)


def _turn(page: WebPage, reply: object, said: str, failed: str = "") -> Response:
    return page.show(_PAGE, block="turn", reply=reply, said=said, failed=failed, longest=_LONGEST)


@router.get(_HOME, dependencies=_HERE)
async def show_chat(page: SignedPage) -> Response:
    """Continue the conversation."""
    return await _show_state(page)


@router.post(_HOME, dependencies=_HERE)
async def say(page: SignedPage) -> Response:
    """Send a message and show the answer; a repeated message acts once."""
    form = await page.form(ChatForm)
    if form.value is None:
        typed = str((await page.request.form()).get("message", ""))
        return await _show_state(page, failed=_TOO_LONG if len(typed) > _LONGEST else "")
    return await _answer(page, form.value)


async def _answer(page: WebPage, form: ChatForm, *, shown: str = "", key: str | None = None) -> Response:
    assistant = _assistant(page)
    await assistant.model_cache.ready(page.database)
    outcome = await page.once(
        lambda tx: assistant.chat(tx, page.who, form.message, form.file_id, standing=form.standing),
        payload={"message": form.message, "file_id": form.file_id and str(form.file_id)},
        money=False,
        key=key,
    )
    reply = _REFUSED | {"message": outcome.refused} if outcome.refused else outcome.body
    return _turn(page, reply, shown or form.message)


@files.post(UPLOADS + "/{document_id}", dependencies=_HERE)
async def send_file(document_id: UUID, page: SignedPage) -> Response:
    """Send the file that the assistant waits for, and continue."""
    if not page.has("documents"):
        raise NotFound
    received = await uploads.receive(page, ChatFileForm, document_id)
    vault, file = vault_of(page.request), received.file
    async with documents.kept(vault, file), page.database.transaction() as tx:
        await documents.read(tx, page.user_id, document_id)
    if file is None:
        return await _show_state(page, failed=_wrong(received))

    async def work(tx: Tx) -> documents.DocumentView:
        return await documents.replace_file(tx, vault.ring, page.user_id, file)

    try:
        async with documents.kept(vault, file):
            payload = {"document": str(document_id), "file": file.file_name, "size": file.size}
            outcome = await page.once(work, payload=payload, money=False, key=received.key)
    except REFUSALS as error:
        return await _show_state(page, failed=problem_of(error).detail)
    if outcome.again:
        await vault.storage.discard(file.version_id)
    sent = ChatForm(message=_SENT, file_id=document_id)
    return await _answer(page, sent, shown=file.file_name, key=f"{received.key}:{_SENT}")


def _wrong(received: Received[ChatFileForm]) -> str:
    """Return the error of an upload that is not the expected file."""
    return next(iter(received.form.errors.values()), received.form.message) or "Escolha um arquivo."


@router.post("/app/assistente/recomecar", dependencies=_HERE)
async def begin_again(page: SignedPage) -> Response:
    """Restart the conversation."""
    async with page.database.transaction() as tx:
        await _assistant(page).start(tx, page.who)
    return page.go(_HOME)
