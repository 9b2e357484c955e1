"""The privacy notice and the terms: the product's or the installation's own, shown unchanged."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from carteira.web.texts import TextBlock, blocks_of, read
from tests.support.app import settings_for
from tests.support.pages import PlainBrowser


@pytest.mark.parametrize(("path", "title"), [("/privacidade", "Aviso de privacidade"), ("/termos", "Termos de uso")])
async def test_anybody_reads_the_public_texts(browser: PlainBrowser, path: str, title: str) -> None:
    shown = await browser.open(path)
    assert shown.status == 200
    assert title in shown.text
    assert path in (await browser.open("/")).links


def test_a_text_has_headings_lists_and_paragraphs() -> None:
    text = "# Um\n\nduas\nlinhas\n- a\n- <b>b</b>\n\n## não é título\n"
    assert blocks_of(text) == [
        TextBlock("heading", ("Um",)),
        TextBlock("paragraph", ("duas linhas",)),
        TextBlock("list", ("a", "<b>b</b>")),
        TextBlock("paragraph", ("## não é título",)),
    ]


def test_a_text_of_ones_own_takes_the_place_of_the_products(tmp_path: Path) -> None:
    (tmp_path / "termos.txt").write_text("# Nossos termos\n\nSão estes.\n", encoding="utf-8")
    assert read(tmp_path, "termos")[0].lines == ("Nossos termos",)
    assert read(tmp_path, "privacidade")[0].lines == ("Aviso de privacidade",)
    with pytest.raises(ValidationError, match="public_texts_folder"):
        settings_for(tmp_path, public_texts_folder=tmp_path / "nada")
