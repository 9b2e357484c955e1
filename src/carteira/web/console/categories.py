"""The MCCs of each category: an editor that shows what a change would have done to last month's purchases."""

from typing import Annotated, Any, Literal

from fastapi import Query, Response
from pydantic import BeforeValidator, Field

from carteira import benefits
from carteira.kit.web.access import acts, claims, reads
from carteira.kit.web.preconditions import NEW
from carteira.web.console.acts import Confirmation, VersionForm, ask, ask_again, told_unseen, version_seen
from carteira.web.console.rules import CLAIM, HOME
from carteira.web.formats import plain_money
from carteira.web.forms import EMPTY, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
PATH = f"{HOME}/categoria"
_PAGE = "console/category.html"
_NOBODYS = reads("the catalog is nobody's")
_FIXED = {"FOOD": "pat", "MEAL": "pat", "CASH": "free"}


def _codes(text: object) -> object:
    return sorted(set(text.replace(",", " ").replace(";", " ").split())) if isinstance(text, str) else text


class CategoryForm(VersionForm):
    """A category and its typed MCCs; nothing is saved before the confirmation."""

    category: benefits.bulk_desk.CategoryName
    regime: Literal["pat", "free"]
    mccs: Annotated[list[benefits.bulk_desk.Mcc], BeforeValidator(_codes), Field(max_length=10_000)] = Field(
        default_factory=list
    )
    sure: Annotated[str, Field(alias="certo", max_length=3)] = ""


async def _known(page: WebPage, name: str) -> benefits.bulk_desk.CategoryOut | None:
    categories = await page.read(benefits.desk.list_categories)
    return next((one for one in categories if one.category == name), None)


def _drawn(
    page: WebPage, known: benefits.bulk_desk.CategoryOut | None, form: Reading[Any] = EMPTY, status: int = 200
) -> Response:
    return page.show(
        _PAGE, status=status, form=told_unseen(form), known=known, home=HOME, path_of_form=PATH, fixed=_FIXED
    )


@router.get(PATH, dependencies=[claims(CLAIM), _NOBODYS])
async def show_category(
    page: SignedPage, name: Annotated[str, Query(alias="nome", pattern=r"^[A-Z][A-Z0-9_]{0,31}$")] = ""
) -> Response:
    """Show the editor of a category's MCCs, or of a new category."""
    benefits.desk.require_unbound(page.who)
    return _drawn(page, await _known(page, name) if name else None)


async def _saving(page: WebPage, asked: CategoryForm, known: benefits.bulk_desk.CategoryOut | None) -> Confirmation:
    now = known.mccs if known is not None else []
    effect = await page.read(lambda tx: benefits.bulk_desk.effect_of_mccs(tx, asked.category, now, asked.mccs))
    name = benefits.pocket_name(asked.category)
    facts = [("Entram", ", ".join(sorted(set(asked.mccs) - set(now))) or "nenhum")]
    facts.append(("Saem", ", ".join(sorted(set(now) - set(asked.mccs))) or "nenhum"))
    facts.append(("Compras desses MCCs em 30 dias", f"{effect.purchases}, {plain_money(effect.amount)}"))
    for (before, after), many in effect.moved.items():
        facts.append((f"De {benefits.pocket_name(before)} para {benefits.pocket_name(after)}", f"{many} compras"))
    return Confirmation(
        title=f"Mudar os MCCs de {name}?",
        says=("Vale em segundos, para as próximas compras de todas as empresas. O que já passou não muda.",),
        way_back="Os MCCs podem ser mudados de novo aqui.",
        button="Salvar os MCCs",
        path=PATH,
        back=HOME,
        facts=facts,
        hidden=(("category", asked.category), ("regime", asked.regime), ("mccs", " ".join(asked.mccs))),
        seen=version_seen(known.version if known else None),
    )


@router.post(PATH, dependencies=[claims(CLAIM), acts("benefit_category_set")])
async def save(page: SignedPage) -> Response:
    """Save a category's MCCs, after the page has shown the effect."""
    benefits.desk.require_unbound(page.who)
    form = await page.form(CategoryForm)
    if form.value is None:
        return _drawn(page, await _known(page, (await page.typed()).get("category", "")), form, 422)
    asked = form.value
    known = await _known(page, asked.category)
    if asked.seen == NEW and known is not None:
        taken = form.at("category", "Já há uma categoria com este nome. Abra-a na lista para mudá-la.")
        return _drawn(page, None, taken, 422)
    act = await _saving(page, asked, known)
    if not asked.sure:
        return ask(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await benefits.bulk_desk.put_category(tx, asked.category, asked.mccs, asked.regime, asked.known)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(HOME, "MCCs salvos.")
