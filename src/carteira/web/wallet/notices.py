"""Notices: the product's messages to a person in one list, with the unread ones marked."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from carteira import inbox
from carteira.web.forms import FormBody
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
_HOME = "/app/avisos"
_SHOWN = 30
NOTICE_ICONS = {
    "account": "shield",
    "benefits": "coins",
    "documents": "doc",
    "look": "eye",
    "payments": "qr",
    "resellers": "percent",
    "transit": "bus",
}
"""By the prefix of a notice's topic."""


class ReadForm(FormBody):
    """The newest notice that the person has read."""

    until: UUID


def inbox_of(page: WebPage) -> inbox.Inbox:
    """Return the signed-in person's inbox."""
    return inbox.Inbox(page.identity, page.user_id, page.renderer.config.modules)


@router.get("/app/avisos")
async def show_notices(page: SignedPage, before: Annotated[UUID | None, Query(alias="antes")] = None) -> Response:
    """Show the person's notices, newest first."""
    async with page.database.transaction() as tx:
        found = await inbox_of(page).listed(tx, limit=_SHOWN + 1, before=before)
    notices = found[:_SHOWN]
    return page.show(
        "wallet/notices.html",
        block="list",
        notices=[(notice, NOTICE_ICONS.get(notice.topic.partition(".")[0], "bell")) for notice in notices],
        until=notices[0].id if notices and notices[0].unread and before is None else None,
        before=before,
        older=notices[-1].id if len(found) > _SHOWN else None,
    )


@router.post("/app/avisos/lidos")
async def mark_read(page: SignedPage) -> Response:
    """Mark the shown notices as read; the page's script calls it on opening."""
    form = await page.form(ReadForm)
    if form.value is not None:
        async with page.database.transaction() as tx:
            await inbox_of(page).mark_read(tx, form.value.until)
    return page.go(_HOME)
