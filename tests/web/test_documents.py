"""Documents: storing, changing, showing and deleting them, by forms without scripts."""

from contextlib import ExitStack
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from carteira.documents import Vault
from carteira.documents.vault import MAX_UPLOADS_AT_ONCE
from carteira.kit.values.clock import clock
from tests.support import files
from tests.support.app import RunningApp
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import Person, register

HOSTILE = '"><script>alert(1)</script>.pdf'
NEW = "/app/documentos/enviar"
CNH = {"document_type": "CNH", "document_number": "624.729.276-37"}
PDF = ("cnh.pdf", files.pdf(), "application/pdf")


@pytest.fixture(autouse=True)
async def person(app: RunningApp, browser: PlainBrowser) -> Person:
    person = await register(app)
    await browser.sign_in(person)
    return person


async def send(
    browser: PlainBrowser, path: str = NEW, file: tuple[str, bytes, str] | None = PDF, **typed: str
) -> Shown:
    """Fill in a form with a file as a browser does: without a file it sends an empty part."""
    page = await browser.open(path)
    fields = page.form(path).fields
    fields.pop("file", None)
    if file is not None:
        return Shown(await browser.client.post(path, data=fields | typed, files={"file": file}))
    parts = [("", f'name="{name}"', value) for name, value in (fields | typed).items()]
    parts.append(("Content-Type: application/octet-stream\r\n", 'name="file"; filename=""', ""))
    body = "".join(
        f"--x\r\nContent-Disposition: form-data; {name}\r\n{kind}\r\n{value}\r\n" for kind, name, value in parts
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return Shown(await browser.client.post(path, content=(body + "--x--\r\n").encode(), headers=headers))


async def store(browser: PlainBrowser, file: tuple[str, bytes, str] | None = PDF, **typed: str) -> Shown:
    return await browser.follow(await send(browser, NEW, file, **(CNH | typed)))


def id_on(page: Shown) -> str:
    return page.answer.url.path.rpartition("/")[2]


async def count(app: RunningApp) -> tuple[int, int]:
    """Return how many documents and files there are."""
    query = text("SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM document_versions)")
    async with app.database.transaction() as tx:
        store, with_files = (await tx.execute(query)).one()
    return store, with_files


async def test_a_document_is_kept_listed_and_downloaded(browser: PlainBrowser) -> None:
    assert "Nenhum documento ainda" in (await browser.open("/app/documentos")).text
    page = await store(browser, expires_on="2031-05-17")
    assert "Documento guardado." in page.text
    assert "62472927637" in page.text
    assert "17/05/2031" in page.text
    assert "Declarado por você" in page.text
    assert page.answer.headers["cache-control"] == "no-store"
    listed = await browser.open("/app/documentos")
    assert "Número •••• 7637" in listed.text
    assert "62472927637" not in listed.answer.text
    file = await browser.open(f"/app/documentos/{id_on(page)}/arquivo?versao=1")
    assert file.answer.content == PDF[1]
    assert file.answer.headers["content-disposition"].startswith("attachment")
    missing = await browser.open(f"/app/documentos/{id_on(page)}/arquivo?versao=2")
    assert missing.status == 404


async def test_without_a_file_it_waits_for_one_and_is_shown_to_nobody(browser: PlainBrowser) -> None:
    page = await store(browser, None)
    assert "Falta o arquivo" in page.text
    at = f"/app/documentos/{id_on(page)}"
    refused = await browser.follow(await browser.get(f"{at}/mostrar"))
    assert "Envie o arquivo do documento antes" in refused.text
    empty = await send(browser, f"{NEW}/{id_on(page)}", None)
    assert empty.status == 422
    assert "Escolha um arquivo." in empty.text
    sent = await browser.follow(await send(browser, f"{NEW}/{id_on(page)}"))
    assert "Arquivo guardado." in sent.text
    again = await browser.follow(await send(browser, f"{NEW}/{id_on(page)}", ("nova.png", files.png(), "image/png")))
    assert "nova.png" in again.text
    assert "Anterior" in again.text


async def test_errors_are_shown_and_typed_values_stay(app: RunningApp, browser: PlainBrowser) -> None:
    before = await count(app)
    page = await send(browser, NEW, PDF, document_type="CNH", document_number="6247292763")
    assert page.status == 422
    assert "A CNH tem 11 números. Aqui há 10." in page.text
    assert page.form(NEW).fields["document_number"] == "6247292763"
    heic = ("foto.heic", b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(200), "image/heic")
    for file, said in (
        (heic, "Esta foto está em HEIC"),
        (("rg.pdf", files.png(), "application/pdf"), "não é do tipo que o nome diz"),
        (("rg.pdf", files.pdf()[:-30], ""), "incompleto ou danificado"),
        (("rg.pdf", files.pdf(10 * files.MIB + 1), ""), "passa de 10 MiB"),
        (("../rg.pdf", files.pdf(), ""), "Envie só o nome do arquivo"),
    ):
        page = await send(browser, NEW, file, **CNH)
        assert page.status == 422
        assert said in page.text
        assert page.form(NEW).fields["document_number"] == CNH["document_number"]
    assert await count(app) == before


async def test_too_many_uploads_lose_no_typed_value(app: RunningApp, browser: PlainBrowser, person: Person) -> None:
    vault: Vault = app.api.state.documents
    with ExitStack() as others:
        for _ in range(MAX_UPLOADS_AT_ONCE):
            others.enter_context(vault.arriving(person.id))
        page = await send(browser, NEW, PDF, **CNH)
    assert page.status == 422
    assert "Você já está enviando outros arquivos." in page.text
    assert page.form(NEW).fields["document_number"] == CNH["document_number"]
    assert "Documento guardado." in (await store(browser)).text


async def test_a_name_of_a_file_stays_text(browser: PlainBrowser) -> None:
    page = await store(browser, ("nome " + HOSTILE.replace("/", ""), files.pdf(), ""))
    assert "<script>alert" not in page.answer.text
    assert "alert(1)" in page.text


async def test_a_form_that_is_sent_again_keeps_one_document(app: RunningApp, browser: PlainBrowser) -> None:
    fields = (await browser.open(NEW)).form(NEW).fields | CNH
    fields.pop("file", None)
    before = await count(app)
    for _ in range(2):
        sent = Shown(await browser.client.post(NEW, data=fields, files={"file": PDF}))
    assert "Já recebemos este pedido às" in (await browser.follow(sent)).text
    assert await count(app) == (before[0] + 1, before[1] + 1)


async def test_no_file_is_read_before_the_token(app: RunningApp, browser: PlainBrowser) -> None:
    before = await count(app)
    fields = (await browser.open(NEW)).form(NEW).fields
    for data in (CNH, CNH | {"csrf": "x" * 88}, CNH | {"csrf": "ã" * 4}):
        answer = await browser.client.post(NEW, data=data, files={"file": PDF})
        assert answer.status_code == 403
    boundary = b"--x\r\n"
    late = b'Content-Disposition: form-data; name="csrf"\r\n\r\n' + fields["csrf"].encode() + b"\r\n--x--\r\n"
    body = boundary + b'Content-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF\r\n' + boundary + late
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await browser.client.post(NEW, content=body, headers=headers)).status_code == 403
    assert await count(app) == before


async def test_data_is_changed_and_a_document_deleted(browser: PlainBrowser) -> None:
    page = await store(browser)
    at = f"/app/documentos/{id_on(page)}"
    form = await browser.open(f"{at}/mudar")
    assert form.form(f"{at}/mudar").fields["document_number"] == "62472927637"
    wrong = await browser.send(form, f"{at}/mudar", document_type="passaporte", document_number="--")
    assert wrong.status == 422
    assert "Escreva o número do passaporte como está nele" in wrong.text
    soon = (clock.today() + timedelta(days=12)).isoformat()
    typed = {"document_type": "passaporte", "document_number": "fz123456", "expires_on": soon}
    page = await browser.follow(await browser.send(form, f"{at}/mudar", None, **typed))
    assert "FZ123456" in page.text
    assert "Vence em 12 dias" in page.text
    asked = await browser.open(f"{at}/apagar")
    assert "Apagar o passaporte?" in asked.text
    page = await browser.follow(await browser.send(asked, f"{at}/apagar"))
    assert "Documento apagado." in page.text
    assert (await browser.get(at)).status == 404


async def test_a_proof_is_read_by_anyone_for_ten_minutes(app: RunningApp, browser: PlainBrowser) -> None:
    page = await store(browser, expires_on="2031-05-17")
    at = f"/app/documentos/{id_on(page)}"
    shown = await browser.open(f"{at}/mostrar")
    assert "Declarado pelo titular, não conferido" in shown.text
    assert "62472927637" not in shown.answer.text
    assert "<svg" in shown.answer.text
    address = urlsplit(next(link for link in shown.links if "/p/" in link)).path
    stranger = PlainBrowser(app)
    read = await stranger.open(address)
    assert read.status == 200
    assert "DocumentoCNH" in read.text
    assert "Maria Açucena da Silva" in read.text
    assert "Declarado pelo titular, não conferido" in read.text
    assert "álid" not in read.text.replace("Validade", "")
    assert "62472927637" not in read.answer.text
    assert read.answer.headers["cache-control"] == "no-store"
    assert not read.forms
    changed = await stranger.open(address + "x")
    assert changed.status == 403
    assert "Esta prova não vale" in changed.text
    clock.advance(timedelta(minutes=10, seconds=1))
    assert (await stranger.open(address)).status == 403
    await stranger.client.aclose()


async def test_decisions_of_operators_are_shown(app: RunningApp, browser: PlainBrowser) -> None:
    page = await store(browser)
    document_id = id_on(page)
    operator = app.person("documents:review")
    seen = (await operator.get(f"/documents/reviews/{document_id}")).json()["updated_at"]
    words = {"reason": "A foto <b>está</b> ilegível", "updated_at": seen}
    assert (await operator.post(f"/documents/reviews/{document_id}/refuse", words)).status_code == 200
    page = await browser.open(f"/app/documentos/{document_id}")
    assert "A foto <b>está</b> ilegível" in page.text
    assert "Mostrar a CNH" not in page.text
    await send(browser, f"{NEW}/{document_id}")
    seen = (await operator.get(f"/documents/reviews/{document_id}")).json()["updated_at"]
    words = {"compared": "Foto e nome com a pessoa", "updated_at": seen}
    assert (await operator.post(f"/documents/reviews/{document_id}/review", words)).status_code == 200
    shown = await browser.open(f"/app/documentos/{document_id}/mostrar")
    address = urlsplit(next(link for link in shown.links if "/p/" in link)).path
    assert "Conferido, hoje às" in (await browser.open(address)).text


async def test_another_persons_document_is_not_there(app: RunningApp, browser: PlainBrowser) -> None:
    theirs = id_on(await store(browser))
    stranger = PlainBrowser(app)
    await stranger.sign_in(await register(app))
    before = await count(app)
    fields = (await stranger.open(NEW)).form(NEW).fields
    for path in ("", "/arquivo", "/mudar", "/apagar", "/mostrar"):
        assert (await stranger.get(f"/app/documentos/{theirs}{path}")).status == 404
    for path in ("/mudar", "/apagar"):
        data = fields | CNH
        assert (await stranger.client.post(f"/app/documentos/{theirs}{path}", data=data)).status_code == 404
    fields = {name: fields[name] for name in ("csrf", "pedido")}
    sent = await stranger.client.post(f"{NEW}/{theirs}", data=fields, files={"file": PDF})
    assert sent.status_code == 404
    assert await count(app) == before
    assert (await browser.get(f"/app/documentos/{theirs}")).status == 200
    await stranger.client.aclose()
