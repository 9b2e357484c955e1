import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from carteira import documents
from carteira.documents import Vault
from carteira.documents.errors import FileDamaged
from carteira.documents.vault import MAX_UPLOADS_AT_ONCE
from carteira.kit.values.clock import clock
from tests.support import files
from tests.support.app import RunningApp
from tests.support.documents import FIELDS, FILE_PART, TYPE_PART, StoredBytes, download, form, upload
from tests.support.people import Person, register, sign_in


async def test_a_document_is_kept_and_given_back(app: RunningApp, stored: StoredBytes) -> None:
    person = app.person()
    data = files.pdf(700_000)
    answer = await upload(person, data, "Minha CNH.pdf")
    assert answer.status_code == 201, answer.text
    document = answer.json()
    assert document == {
        "id": document["id"],
        "user_id": str(person.id),
        "document_type": "CNH",
        "document_number": "62472927637",
        "file_name": "Minha CNH.pdf",
        "uploaded_at": document["uploaded_at"],
        "updated_at": document["uploaded_at"],
        "expires_on": None,
        "version": 1,
        "state": "declared",
        "decided_at": None,
        "refusal_reason": None,
    }
    assert (await person.get(f"/documents/{document['id']}")).json() == document
    assert (await person.get("/documents")).json() == {"items": [document], "next_cursor": None}
    got = await download(person, document["id"])
    assert got.content == data
    assert got.headers["content-type"] == "application/pdf"
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''Minha%20CNH.pdf"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-length"] == str(len(data))
    # No window of the plain text is on the disk.
    lying = b"".join(stored())
    assert all(data[start : start + 16] not in lying for start in range(0, len(data) - 16, 4096))


@pytest.mark.parametrize(
    ("data", "name", "media_type"),
    [
        (files.png(padding=300_000), "rg.png", "image/png"),
        (files.jpeg(), "rg.JPG", "image/jpeg"),
        (files.pdf(), "rg", "application/octet-stream"),
        (files.pdf(256 * 1024), "one segment.pdf", "application/pdf"),
        (files.pdf(10 * files.MIB), "largest.pdf", "application/pdf"),
    ],
)
async def test_each_kind_up_to_ten_mebibytes(app: RunningApp, data: bytes, name: str, media_type: str) -> None:
    person = app.person()
    answer = await upload(person, data, name, media_type)
    assert answer.status_code == 201, answer.text
    assert (await download(person, answer.json()["id"])).content == data


REFUSED: dict[str, tuple[bytes, str, str, int, str]] = {
    "a PNG named .pdf": (files.png(), "rg.pdf", "application/pdf", 415, "file_type_refused"),
    "a PDF told to be a PNG": (files.pdf(), "rg.pdf", "image/png", 415, "file_type_refused"),
    "an ELF executable": (files.ELF, "rg.pdf", "application/pdf", 415, "file_type_refused"),
    "a Windows executable": (files.EXE, "setup.exe", "application/x-msdownload", 415, "file_type_refused"),
    "ten mebibytes and a byte": (files.pdf(10 * files.MIB + 1), "rg.pdf", "application/pdf", 413, "file_too_large"),
    "much more": (b"%PDF-1.7" + b"\0" * (12 * files.MIB), "rg.pdf", "application/pdf", 413, "payload_too_large"),
    "a cut PDF": (files.pdf(700_000)[:600_000], "rg.pdf", "application/pdf", 422, "file_broken"),
    "a cut PNG": (files.png(padding=600_000)[:-9], "rg.png", "image/png", 422, "file_broken"),
    "a zip bomb": (files.zip_bomb(), "rg.pdf", "application/pdf", 415, "file_type_refused"),
    "a zip bomb named .zip": (files.zip_bomb(), "rg.zip", "application/zip", 415, "file_type_refused"),
    "a bomb of pixels": (files.png(60_000, 60_000), "rg.png", "image/png", 422, "file_broken"),
    "nothing": (b"", "rg.pdf", "application/pdf", 422, "file_broken"),
    "a few bytes": (b"%PDF", "rg.pdf", "application/pdf", 415, "file_type_refused"),
    "a path": (files.pdf(), "../../etc/rg.pdf", "application/pdf", 422, "file_name_refused"),
    "a path of another world": (files.pdf(), "C:\\temp\\rg.pdf", "application/pdf", 422, "file_name_refused"),
    "a share": (files.pdf(), "\\\\server\\rg.pdf", "application/pdf", 422, "file_name_refused"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_uploads_leave_nothing(app: RunningApp, stored: StoredBytes, name: str) -> None:
    data, file_name, media_type, status, code = REFUSED[name]
    person = app.person()
    before = stored()
    answer = await upload(person, data, file_name, media_type)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"]
    assert stored() == before
    assert (await person.get("/documents")).json()["items"] == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"document_number": "62472927638"}, "document_number"),
        ({"document_type": "CPF", "document_number": "52998224726"}, "document_number"),
        ({"document_type": "carteirinha"}, "document_type"),
        ({"expires_on": "amanhã"}, "expires_on"),
        ({"file_name": "x.pdf"}, "file_name"),
        ({"document_number": "9" * 2000}, "document_number"),
    ],
)
async def test_a_field_that_breaks_a_rule_is_named_and_nothing_is_kept(
    app: RunningApp, stored: StoredBytes, fields: dict[str, str], field: str
) -> None:
    person = app.person()
    before = stored()
    answer = await upload(person, files.pdf(600_000), **fields)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    registered = await person.post("/documents", FIELDS | fields | {"unknown": "x"})
    assert registered.status_code == 422
    assert stored() == before


async def test_a_document_without_a_file(app: RunningApp) -> None:
    person = app.person()
    answer = await person.post("/documents", {"document_type": "cpf", "document_number": "529.982.247-25"})
    assert answer.status_code == 201
    document = answer.json()
    assert (document["document_type"], document["document_number"]) == ("CPF", "52998224725")
    assert (document["file_name"], document["version"]) == (None, 0)
    none = await person.post(f"/documents/{document['id']}/link")
    assert (none.status_code, none.json()["code"]) == (404, "document_has_no_file")


async def test_versions_are_kept_when_a_file_is_replaced(app: RunningApp, stored: StoredBytes) -> None:
    person = app.person()
    first, second = files.pdf(5_000), files.png()
    document_id = (await upload(person, first)).json()["id"]
    path = f"/documents/{document_id}/file"
    replaced = await person.client.put(path, files={"file": ("novo.png", second, "image/png")}, headers=person.headers)
    assert (replaced.status_code, replaced.json()["version"], replaced.json()["file_name"]) == (200, 2, "novo.png")
    before = stored()
    refused = await person.client.put(path, files={"file": ("x.png", first, "image/png")}, headers=person.headers)
    assert refused.status_code == 415
    assert stored() == before
    listed = (await person.get(f"/documents/{document_id}/versions")).json()["items"]
    assert [(item["number"], item["content_type"], item["size"]) for item in listed] == [
        (2, "image/png", len(second)),
        (1, "application/pdf", len(first)),
    ]
    assert (await download(person, document_id)).content == second
    assert (await download(person, document_id, version=1)).content == first
    missing = await person.client.post(f"/documents/{document_id}/link", params={"version": 3}, headers=person.headers)
    assert missing.status_code == 404


async def test_replacements_at_once_each_get_a_number(app: RunningApp) -> None:
    person = app.person()
    document_id = (await upload(person, files.pdf())).json()["id"]
    answers = await asyncio.gather(
        *(
            person.client.put(
                f"/documents/{document_id}/file",
                files={"file": ("novo.pdf", files.pdf(2000 + number), "application/pdf")},
                headers=person.headers,
            )
            for number in range(MAX_UPLOADS_AT_ONCE)
        )
    )
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 2 + MAX_UPLOADS_AT_ONCE))


async def test_data_is_changed_and_a_document_deleted(app: RunningApp, stored: StoredBytes, vault: Vault) -> None:
    person = app.person()
    before = stored()
    document_id = (await upload(person, files.pdf(300_000))).json()["id"]
    body = {"document_type": "passaporte", "document_number": "FZ123456", "expires_on": "2030-01-31"}
    changed = await person.client.put(f"/documents/{document_id}", json=body, headers=person.headers)
    assert changed.status_code == 200
    assert changed.json() | body == changed.json()
    assert changed.json()["file_name"] == "cnh.pdf"
    link = (await person.post(f"/documents/{document_id}/link")).json()["url"]
    deleted = await person.client.delete(f"/documents/{document_id}", headers=person.headers)
    assert deleted.status_code == 204
    assert (await person.get(f"/documents/{document_id}")).json()["detail"] == "Documento não encontrado."
    assert (await person.client.get(link)).status_code == 404
    async with app.database.transaction() as tx:
        (args,) = await tx.scalars(
            text(
                "SELECT args FROM procrastinate_jobs WHERE task_name = 'documents:remove_files'"
                " ORDER BY id DESC LIMIT 1"
            )
        )
    for version_id in args["version_ids"]:
        await vault.storage.remove(UUID(version_id))
    assert stored() == before


async def test_another_persons_document_is_not_there(app: RunningApp) -> None:
    owner, stranger = app.person(), app.person("documents:read")
    document_id = (await upload(owner, files.pdf())).json()["id"]
    file = {"file": ("x.pdf", files.pdf(), "application/pdf")}
    client, headers = app.client, stranger.headers
    answers = [
        await stranger.get(f"/documents/{document_id}"),
        await client.put(f"/documents/{document_id}", json=FIELDS, headers=headers),
        await client.delete(f"/documents/{document_id}", headers=headers),
        await client.put(f"/documents/{document_id}/file", files=file, headers=headers),
        await stranger.get(f"/documents/{document_id}/versions"),
        await stranger.post(f"/documents/{document_id}/link"),
        await stranger.post(f"/documents/{document_id}/proof"),
        await stranger.get(f"/documents/{uuid4()}"),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "document_not_found")] * 8
    assert (await client.post("/documents", json=FIELDS)).status_code == 401


async def test_a_link_ends_and_opens_one_document_only(app: RunningApp) -> None:
    person = app.person()
    document_id = (await upload(person, files.pdf())).json()["id"]
    other_id = (await upload(person, files.pdf())).json()["id"]
    link = (await person.post(f"/documents/{document_id}/link")).json()
    assert (await person.client.get(link["url"])).status_code == 200
    elsewhere = await person.client.get(link["url"].replace(document_id, other_id))
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "link_refused")
    assert (await person.client.get(link["url"][:-2])).status_code == 403
    clock.advance(timedelta(minutes=5, seconds=1))
    assert (await person.client.get(link["url"])).status_code == 403


async def test_a_link_ends_with_the_session_that_asked_for_it(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    other = await sign_in(replace(person))
    document_id = (await upload(person, files.pdf())).json()["id"]
    mine, theirs = [(await one.post(f"/documents/{document_id}/link")).json()["url"] for one in (person, other)]
    assert [(await app.client.get(url)).status_code for url in (mine, theirs)] == [200, 200]
    ended = await app.client.post("/auth/logout", json={"refresh_token": person.tokens["refresh_token"]})
    assert ended.status_code == 204
    assert [(await app.client.get(url)).status_code for url in (mine, theirs)] == [403, 200]
    assert (await other.call("DELETE", "/auth/sessions")).status_code == 204
    gone = await app.client.get(theirs)
    assert (gone.status_code, gone.json()["code"]) == (403, "link_refused")


async def test_on_s3_the_bytes_are_not_the_files_either(on_s3: RunningApp) -> None:
    person = on_s3.person()
    vault: Vault = on_s3.api.state.documents
    data = files.pdf(1_500_000)
    document_id = (await upload(person, data)).json()["id"]
    assert (await download(person, document_id)).content == data
    async with on_s3.database.transaction() as tx:
        version_id = await documents.service.current_version(tx, person.id, UUID(document_id))
    lying = b"".join([await vault.storage.get(version_id, index) for index in range(6)])
    assert len(lying) == len(data) + 6 * 16
    assert all(data[start : start + 16] not in lying for start in range(0, len(data) - 16, 4096))
    known = {found async for found, _ in vault.storage.versions()}
    refused = await upload(person, data[:-40])
    assert refused.status_code == 422
    assert {found async for found, _ in vault.storage.versions()} == known
    await vault.storage.remove(version_id)
    assert version_id not in {found async for found, _ in vault.storage.versions()}
    gone = await person.client.get((await person.post(f"/documents/{document_id}/link")).json()["url"])
    assert (gone.status_code, gone.json()["code"]) == (500, "file_damaged")


async def test_without_the_rows_key_stored_data_cannot_be_read(app: RunningApp, home: Path, vault: Vault) -> None:
    person = app.person()
    document_id = UUID((await upload(person, files.pdf(300_000))).json()["id"])
    async with app.database.transaction() as tx:
        version_id = await documents.service.current_version(tx, person.id, document_id)
        opened = await documents.service.open_file(tx, vault.ring, person.id, document_id, version_id)
    async with app.database.transaction() as tx:
        await tx.execute(
            text("UPDATE document_versions SET wrapped_key = decode(repeat('00', 60), 'hex') WHERE id = :id"),
            {"id": version_id},
        )
    refused = await person.client.get((await person.post(f"/documents/{document_id}/link")).json()["url"])
    assert (refused.status_code, refused.json()["code"]) == (500, "file_damaged")
    # Another key opens nothing; nor do swapped or changed segments open.
    folder = home / "documents" / version_id.hex
    zero, one = (folder / "0000").read_bytes(), (folder / "0001").read_bytes()
    sealer = documents.sealing.FileSealer(document_id, version_id, documents.sealing.new_data_key())
    with pytest.raises(FileDamaged):
        sealer.open(0, zero, last=False)
    (folder / "0000").write_bytes(one)
    (folder / "0001").write_bytes(zero)
    with pytest.raises(FileDamaged):
        _ = [segment async for segment in opened.read(vault.storage)]
    await person.client.delete(f"/documents/{document_id}", headers=person.headers)


async def test_everything_is_exported_and_erasure_destroys_the_keys(app: RunningApp) -> None:
    person = app.person()
    document_id = (await upload(person, files.pdf(), expires_on="2031-05-01")).json()["id"]
    async with app.database.transaction() as tx:
        exported = await documents.export_person(tx, person.id)
    (paper,) = exported["documents"]
    assert (paper["document_number"], paper["expires_on"], len(paper["files"])) == ("62472927637", "2031-05-01", 1)
    json.dumps(exported)
    link = (await person.post(f"/documents/{document_id}/link")).json()["url"]
    async with app.database.transaction() as tx:
        await documents.erase_person(tx, person.id)
    async with app.database.transaction() as tx:
        assert await documents.export_person(tx, person.id) == {"documents": []}
        left = await tx.scalar(
            text("SELECT count(*) FROM document_versions WHERE document_id = :id"), {"id": UUID(document_id)}
        )
    assert left == 0
    assert (await person.client.get(link)).status_code == 404


async def test_a_proof_shows_type_name_and_validity_and_nothing_more(app: RunningApp, vault: Vault) -> None:
    person = app.person()
    document_id = (await upload(person, files.pdf(), expires_on="2027-03-01")).json()["id"]

    async def name(_tx: object, user_id: UUID) -> str | None:
        return "Maria <b>da Silva</b>" if user_id == person.id else None

    vault.holder_name = name
    made = (await person.post(f"/documents/{document_id}/proof")).json()
    assert made["qr_svg"].startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    token = made["url"].rpartition("/")[2]
    sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert all(hidden.bytes not in sealed for hidden in (person.id, UUID(document_id)))
    checked = (await app.client.get(made["url"])).json()
    assert checked == {
        "document_type": "CNH",
        "holder_name": "Maria <b>da Silva</b>",
        "expires_on": "2027-03-01",
        "valid": True,
        "checked_at": checked["checked_at"],
        "state": "declared",
        "reviewed_by": None,
        "reviewed_at": None,
    }
    led = await app.client.get(made["url"], headers={"accept": "text/html,*/*"})
    assert (led.status_code, led.headers["location"].endswith(f"/p/{token}")) == (303, True)
    page = await app.client.get(f"/p/{token}", headers={"accept": "text/html,*/*"})
    assert "Maria &lt;b&gt;da Silva" in page.text
    assert "62472927637" not in page.text
    assert (await app.client.get(made["url"].replace("proofs/", "proofs/x"))).status_code == 403
    clock.advance(timedelta(minutes=10, seconds=1))
    assert (await app.client.get(made["url"])).status_code == 403


async def test_an_expired_document_is_notified_and_a_deleted_one_is_not(app: RunningApp) -> None:
    person = app.person()
    document_id = (await upload(person, files.pdf(), expires_on="2020-03-01")).json()["id"]
    url = (await person.post(f"/documents/{document_id}/proof")).json()["url"]
    assert (await app.client.get(url)).json()["valid"] is False
    await person.client.delete(f"/documents/{document_id}", headers=person.headers)
    assert (await app.client.get(url)).json()["code"] == "link_refused"


BROKEN_FORMS: dict[str, tuple[bytes, str]] = {
    "no boundary": (form(FILE_PART), "multipart/form-data"),
    "a boundary too long": (form(FILE_PART), "multipart/form-data; boundary=" + "x" * 71),
    "another boundary": (form(FILE_PART), "multipart/form-data; boundary=other"),
    "no end": (form(TYPE_PART, FILE_PART, end=False), "multipart/form-data; boundary=cut"),
    "cut in the file": (form(TYPE_PART, FILE_PART)[:400_000], "multipart/form-data; boundary=cut"),
    "no file": (form(TYPE_PART), "multipart/form-data; boundary=cut"),
    "no file name": (
        form(b'Content-Disposition: form-data; name="file"\r\n\r\nx'),
        "multipart/form-data; boundary=cut",
    ),
    "two files": (form(FILE_PART, FILE_PART), "multipart/form-data; boundary=cut"),
    "a field twice": (form(TYPE_PART, TYPE_PART, FILE_PART), "multipart/form-data; boundary=cut"),
    "a part without a name": (form(b"Content-Disposition: form-data\r\n\r\nx"), "multipart/form-data; boundary=cut"),
    "a part without headers": (form(b"\r\nx"), "multipart/form-data; boundary=cut"),
    "a field that is no UTF-8": (
        form(b'Content-Disposition: form-data; name="document_type"\r\n\r\n\xff\xfe', FILE_PART),
        "multipart/form-data; boundary=cut",
    ),
    "nothing": (b"", "multipart/form-data; boundary=cut"),
    "JSON that is none": (b"{", "application/json"),
    "JSON that is a list": (b"[]", "application/json"),
}


@pytest.mark.parametrize("name", BROKEN_FORMS)
async def test_a_broken_form_is_reported_and_leaves_nothing(app: RunningApp, stored: StoredBytes, name: str) -> None:
    body, content_type = BROKEN_FORMS[name]
    person = app.person()
    before = stored()
    answer = await app.client.post("/documents", content=body, headers=person.headers | {"content-type": content_type})
    assert answer.status_code == 422, answer.text
    assert stored() == before


async def test_no_clear_byte_passes_through_a_temporary_file(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def spool(*_: object, **__: object) -> None:
        raise AssertionError("a file was spooled")

    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", spool)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", spool)
    assert (await upload(app.person(), files.pdf(2 * files.MIB))).status_code == 201


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_json_body_has_a_small_limit(app: RunningApp, method: str) -> None:
    person = app.person()
    document_id = (await person.post("/documents", FIELDS)).json()["id"]
    path = "/documents" if method == "POST" else f"/documents/{document_id}"
    answer = await app.client.request(method, path, json=FIELDS | {"file_name": "x" * 70_000}, headers=person.headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert (await app.client.request(method, path, content=b"<x/>", headers=person.headers)).status_code == 415


async def test_another_media_type_is_not_taken(app: RunningApp) -> None:
    person = app.person()
    answer = await app.client.post("/documents", content=b"x", headers=person.headers | {"content-type": "text/csv"})
    assert answer.status_code == 415


async def test_a_form_is_read_however_it_is_cut(app: RunningApp) -> None:
    person = app.person()
    data = files.pdf(300_000)
    number = b'Content-Disposition: form-data; name="document_number"\r\n\r\n62472927637'
    file = b'Content-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + data
    body = form(file, TYPE_PART, number)
    picker = random.Random(7)

    async def pieces() -> AsyncIterator[bytes]:
        start = 0
        while start < len(body):
            size = picker.choice((1, 2, 30, 5_000, 60_000))
            yield body[start : start + size]
            start += size

    answer = await app.client.post(
        "/documents",
        content=pieces(),
        headers=person.headers | {"content-type": "multipart/form-data; boundary=cut"},
    )
    assert answer.status_code == 201, answer.text
    assert (await download(person, answer.json()["id"])).content == data


async def test_lists_go_on_by_cursor(app: RunningApp) -> None:
    person: Person = app.person()
    made: list[Any] = [(await person.post("/documents", FIELDS)).json()["id"] for _ in range(3)]
    page = (await person.get("/documents", limit=2)).json()
    rest = (await person.get("/documents", limit=2, cursor=page["next_cursor"])).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == made[::-1]
    assert (await person.get("/documents", cursor="rubbish")).status_code == 422
