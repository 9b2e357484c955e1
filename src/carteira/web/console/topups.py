"""A bulk top-up: its lines are checked one by one, and sent once; above the limit the whole waits for two people."""

from typing import Annotated, Literal

from fastapi import Response
from pydantic import Field

from carteira import benefits
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks, reads
from carteira.web.console.pendings import desk_of
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage
from carteira.web.routing import pages

router = pages("benefits")
HOME = "/console/recargas"
CLAIM = "benefits:write"
_PAGE = "console/topup.html"
_LONGEST = 900_000


class TopUpForm(FormBody):
    """A file of top-ups, as text."""

    lines: Annotated[str, Field(max_length=_LONGEST)]
    atomic: Literal["sim"] | None = None


@router.get(HOME, dependencies=[claims(CLAIM), reads("a form, and nobody yet")])
async def show_form(page: SignedPage) -> Response:
    """Ask for the file."""
    return page.show(_PAGE, preview=None)


@router.post(f"{HOME}/conferir", dependencies=[claims(CLAIM), looks("benefit_credits_previewed")])
async def check(page: SignedPage) -> Response:
    """Tell line by line what the file would do; nothing moves."""
    form = await page.form(TopUpForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, preview=None)
    try:
        lines = await benefits.desk.read_top_up(form.value.lines)
        preview = await page.read(lambda tx: benefits.desk.preview_top_up(tx, page.who, lines))
    except REFUSALS as error:
        told = getattr(error, "errors", None)
        return page.show(_PAGE, status=422, form=form.at("lines", told[0]["message"]) if told else form, preview=None)
    return page.show(_PAGE, form=form, preview=preview)


@router.post(f"{HOME}/enviar", dependencies=[claims(CLAIM), acts("benefits_credited_in_bulk")])
async def send(page: SignedPage) -> Response:
    """Credit the accounts, once; above the limit the whole waits for a second person."""
    form = await page.form(TopUpForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, preview=None)
    asked = form.value

    async def work(tx: Tx) -> object:
        lines = await benefits.desk.read_top_up(asked.lines)
        done = await benefits.desk.top_up(tx, desk_of(page), page.who, lines, atomic=asked.atomic is not None)
        return {"now": done is not None}

    try:
        outcome = await page.once(work, payload={"lines": asked.lines, "atomic": asked.atomic})
    except REFUSALS as error:
        return page.again(_PAGE, form, error, preview=None)
    if outcome.refused:
        return page.show(_PAGE, status=409, form=form.saying(outcome.refused), preview=None)
    if outcome.body.get("now"):
        return page.go(HOME, outcome.said("Creditado."))
    return page.go("/console/pendencias", outcome.said("Enviado: outra pessoa aprova aqui."))
