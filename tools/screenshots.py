"""Take the README's screenshots from a running product with its demo people: `make screenshots`."""

import asyncio
import base64
import os
import shutil
import sys
from pathlib import Path

from playwright.async_api import Browser, ViewportSize, async_playwright

from carteira.demo import PASSWORD

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
MOST_BYTES = 60_000
PHONE: ViewportSize = {"width": 390, "height": 760}
DESKTOP: ViewportSize = {"width": 1120, "height": 700}
PICTURES = (
    ("inicio", "maria@exemplo.com.br", "/app", PHONE, "light"),
    ("extrato", "maria@exemplo.com.br", "/app/extrato", DESKTOP, "light"),
    ("transporte", "maria@exemplo.com.br", "/app/transporte", PHONE, "dark"),
    ("vendas", "helena@exemplo.com.br", "/app/vendas", DESKTOP, "light"),
    ("quem-viu", "maria@exemplo.com.br", "/app/dados", PHONE, "light"),
    ("assistente", "maria@exemplo.com.br", "/app/assistente", PHONE, "dark"),
)


async def take(browser: Browser, url: str, picture: tuple[str, str, str, ViewportSize, str]) -> None:
    """Sign in, open a page and save its visible part as a picture."""
    name, person, path, viewport, theme = picture
    context = await browser.new_context(
        viewport=viewport, color_scheme="dark" if theme == "dark" else "light", locale="pt-BR", service_workers="block"
    )
    page = await context.new_page()
    await page.goto(f"{url}/app/entrar")
    await page.locator("input[name=username]").fill(person)
    await page.locator("input[name=password]").fill(PASSWORD)
    await page.get_by_role("button", name="Entrar", exact=True).click()
    await page.wait_for_url(f"{url}/app")
    await page.goto(url + path, wait_until="networkidle")
    devtools = await context.new_cdp_session(page)
    shot = await devtools.send("Page.captureScreenshot", {"format": "webp", "quality": 80})
    file = FOLDER / f"{name}.webp"
    file.write_bytes(base64.b64decode(shot["data"]))
    print(f"{file.relative_to(FOLDER.parents[1])}: {file.stat().st_size / 1000:.0f} kB")  # noqa: T201 - the tool's output
    await context.close()
    if file.stat().st_size > MOST_BYTES:
        sys.exit(f"{file.name} é maior do que {MOST_BYTES // 1000} kB.")


async def main(url: str) -> None:
    """Take all pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Falta um Chromium: make browser")
    FOLDER.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for picture in PICTURES:
            await take(browser, url, picture)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(f"http://localhost:{os.environ.get('PORT', '8000')}"))
