"""The menu: entries that do not fit into the bar, the theme, and signing out."""

from typing import Literal

from fastapi import Response

from carteira.web.browser import BALANCES, THEME
from carteira.web.forms import FormBody
from carteira.web.page import SignedPage, page_before
from carteira.web.routing import pages

router = pages()


class ThemeForm(FormBody):
    """The theme; `device`: the device's own."""

    theme: Literal["light", "dark", "device"]


@router.get("/app/menu")
async def show_menu(page: SignedPage) -> Response:
    """Show the entries, the theme and the way out."""
    return page.show("wallet/menu.html")


@router.post("/app/tema")
async def choose_theme(page: SignedPage) -> Response:
    """Set this browser's theme: light, dark or the device's own."""
    form = await page.form(ThemeForm)
    response = page.go("/app/menu")
    https = page.renderer.config.https
    if form.value is not None and form.value.theme != "device":
        THEME.set(response, form.value.theme, https=https)
    else:
        THEME.delete(response, https=https)
    return response


@router.post("/app/saldos")
async def hide_balances(page: SignedPage) -> Response:
    """Hide this browser's balances, or show them again."""
    response = page.go(page_before(page.request, page.renderer.config.root_path))
    https = page.renderer.config.https
    if page.browser.hides_balances:
        BALANCES.delete(response, https=https)
    else:
        BALANCES.set(response, "hidden", https=https)
    return response
