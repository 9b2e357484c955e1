"""The assistant as a chat: what one writes or chooses, and what it says, one exchange a page."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import Depends, Response
from pydantic import Field

from carteira.kit.web.access import Who
from carteira.kit.web.problems import NotFound
from carteira.web.forms import FormBody
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

if TYPE_CHECKING:
    from carteira.assistant import Assistant

_PAGE = "wallet/chat.html"
_LONGEST = 2_000


class ChatForm(FormBody):
    """What one says; `file_id` names the document that the file was sent to."""

    message: Annotated[str, Field(max_length=_LONGEST)]
    file_id: UUID | None = None


async def _is_on(page: SignedPage, _who: Who) -> None:
    if not page.has("assistant"):
        raise NotFound


router = pages()
_HERE = [Depends(_is_on)]


def _assistant(page: WebPage) -> "Assistant":
    found: Assistant = page.request.app.state.assistant
    return found


@router.get("/app/assistente", dependencies=_HERE)
async def show_chat(page: SignedPage) -> Response:
    """Go on where the conversation stands."""
    async with page.database.transaction() as tx:
        reply = await _assistant(page).resume(tx, page.who)
    return page.show(_PAGE, reply=reply, said="")


@router.post("/app/assistente", dependencies=_HERE)
async def say(page: SignedPage) -> Response:
    """Say something, and read the answer; a message that comes twice is answered, and acts, once."""
    form = await page.form(ChatForm)
    assistant = _assistant(page)
    if form.value is None:
        async with page.database.transaction() as tx:
            return page.show(_PAGE, reply=await assistant.resume(tx, page.who), said="")
    message, file_id = form.value.message, form.value.file_id
    await assistant.brain.ready(page.database)
    outcome = await page.once(
        lambda tx: assistant.chat(tx, page.who, message, file_id),
        payload={"message": message, "file_id": file_id and str(file_id)},
        money=False,
    )
    reply = {"message": outcome.refused} if outcome.refused else outcome.body
    return page.show(_PAGE, reply=reply, said=message)


@router.post("/app/assistente/recomecar", dependencies=_HERE)
async def begin_again(page: SignedPage) -> Response:
    """Begin a conversation anew."""
    async with page.database.transaction() as tx:
        await _assistant(page).start(tx, page.who)
    return page.go("/app/assistente")
