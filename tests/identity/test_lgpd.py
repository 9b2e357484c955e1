import csv
import io
import zipfile
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from carteira import ledger
from carteira.identity.users.export import export_daily, export_users
from tests.identity.support import Person, Server, new_person, register, sign_in

SOURCE = ledger.system_account("test.identity.source")


@pytest.fixture
async def purse(server: Server, person: Person) -> UUID:
    """A ledger account of the person with R$ 10,00 in it."""
    async with server.database.transaction() as tx:
        await tx.execute(
            text(
                "INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative) "
                "VALUES (:id, 'test.identity.source', true, true) ON CONFLICT DO NOTHING"
            ),
            {"id": SOURCE},
        )
        owner = UUID(person.id)
        account = await ledger.open_account(tx, "test.purse", holder_id=owner, owner_id=owner)
        await ledger.post(tx, ledger.transfer("test.top_up", source=SOURCE, target=account, amount=1000))
    return account


async def test_erasure_waits_for_the_money_and_leaves_the_ledger_whole(
    server: Server, person: Person, purse: UUID
) -> None:
    refused = await server.http.delete(f"/users/{person.id}", headers=person.headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "money_remains")
    assert (await server.http.get("/users/me", headers=person.headers)).json()["cpf"] == person.cpf
    async with server.database.transaction() as tx:
        await ledger.post(tx, ledger.transfer("test.spend", source=purse, target=SOURCE, amount=1000))
    erased = await server.http.delete(f"/users/{person.id}", headers=person.headers)
    assert erased.status_code == 204
    assert (await server.http.get("/users/me", headers=person.headers)).status_code == 401
    operator = server.operator("users:read", "users:write")
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/role"), ("GET", "/claims")):
        answer = await server.http.request(method, f"/users/{person.id}{path}", headers=operator)
        assert answer.status_code == 404
    async with server.database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
    async with server.database.transaction() as tx:
        row = (await tx.execute(text("SELECT * FROM users WHERE id = :id"), {"id": UUID(person.id)})).mappings().one()
        assert [row[name] for name in ("full_name", "email", "cpf", "birth_date", "phone", "password_hash")] == [
            None
        ] * 6
        assert (await ledger.account(tx, purse)).owner_id is None


async def test_nothing_of_an_erased_person_is_left_in_any_table(server: Server, person: Person) -> None:
    await server.http.put("/users/me/consents/marketing", json={"granted": True}, headers=person.headers)
    await server.http.post("/password-recovery", json={"email": person.email})
    await server.work_off()
    assert (await server.http.delete(f"/users/{person.id}", headers=person.headers)).status_code == 204
    async with server.database.transaction() as tx:
        tables = await tx.scalars(
            text("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        )
        for table in tables.all():
            rows = (await tx.execute(text(f'SELECT row::text FROM "{table}" row'))).scalars()  # noqa: S608 - from the catalogue
            for row in rows:
                assert person.email not in row, table
                assert person.cpf not in row, table
    again = await server.http.post("/users/register", json=new_person() | {"email": person.email, "cpf": person.cpf})
    assert again.status_code == 201, "the person may come back"


async def test_everything_held_is_downloaded_without_secrets(server: Server, person: Person, purse: UUID) -> None:
    answer = await server.http.get("/users/me/data", headers=person.headers)
    assert answer.status_code == 200
    content = answer.json()
    assert content["identity"]["user"]["cpf"] == person.cpf
    assert content["identity"]["sessions"][0]["methods"] == ["password"]
    assert content["ledger"]["accounts"][0]["id"] == str(purse)
    assert content["ledger"]["movements"][0]["amount"] == 1000
    assert "argon2" not in answer.text
    assert person.tokens["refresh_token"] not in answer.text


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_the_audit_takes_no_change(server: Server, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        async with server.database.transaction() as tx:
            await tx.execute(text(statement))


async def test_the_audit_knows_sign_ins_claims_exports_and_looks(server: Server, person: Person) -> None:
    operator = server.operator("users:write", "users:read", "users:export")
    await server.http.post("/auth/login", data={"username": person.cpf, "password": "Errada123"})
    await server.http.put(f"/users/{person.id}/claims/1", headers=operator)
    await server.http.delete(f"/users/{person.id}/claims/1", headers=operator)
    await server.http.get(f"/users/{person.id}", headers=operator)
    await server.http.get("/users/export", params={"format": "csv"}, headers=operator)
    async with server.database.transaction() as tx:
        rows = await tx.scalars(
            text("SELECT action FROM audit_log WHERE subject_id = :id ORDER BY id"), {"id": UUID(person.id)}
        )
        assert rows.all() == ["user_added", "sign_in", "sign_in_failed", "claims_given", "claims_taken", "user_read"]
        exports = await tx.scalar(text("SELECT count(*) FROM audit_log WHERE action = 'users_exported'"))
        assert exports


async def test_export_as_csv_is_masked_and_safe_in_a_spreadsheet(server: Server, person: Person) -> None:
    name = "=HYPERLINK(1) de Tal"
    evil = new_person() | {"full_name": name}
    assert (await server.http.post("/users/register", json=evil)).status_code == 201
    answer = await server.http.get("/users/export?format=csv", headers=server.operator("users:export"))
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith('.csv"')
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    mine = next(row for row in rows if row["id"] == person.id)
    assert mine["CPF"] == f"***.{person.cpf[3:6]}.{person.cpf[6:9]}-**"
    assert "'" + name in [row["nome"] for row in rows]
    assert "argon2" not in answer.text
    whole = await server.http.get("/users/export?format=csv", headers=server.operator("users:export", "users:cpf"))
    assert person.cpf in whole.text
    assert (
        await server.http.get("/users/export?format=pdf", headers=server.operator("users:export"))
    ).status_code == 422
    assert (await server.http.get("/users/export", headers=person.headers)).status_code == 403


async def test_export_as_xlsx_opens_as_one(server: Server, person: Person) -> None:
    answer = await server.http.get("/users/export", headers=server.operator("users:export"))
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert person.id in sheet
    assert person.cpf not in sheet


async def test_the_command_reports_progress_and_the_daily_export_keeps_some(
    server: Server, person: Person, tmp_path: Path
) -> None:
    assert person.id
    told: list[tuple[int, int]] = []
    written = await export_users(
        server.database, tmp_path / "u.csv", form="csv", progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (written, written)
    for day in range(1, 5):
        (tmp_path / f"usuarios-2020-01-0{day}.xlsx").write_bytes(b"")
    made = await export_daily(server.database, tmp_path, days_kept=3)
    kept = sorted(file.name for file in tmp_path.iterdir() if file.name.startswith("usuarios-"))  # noqa: ASYNC240 - a test
    assert kept == ["usuarios-2020-01-03.xlsx", "usuarios-2020-01-04.xlsx", made.name]
    assert made.stat().st_mode & 0o077 == 0


async def test_another_persons_token_opens_nothing(server: Server, person: Person) -> None:
    stranger = await sign_in(server, await register(server))
    session = (await server.http.get("/auth/sessions", headers=person.headers)).json()["items"][0]["id"]
    mine = f"/users/{person.id}"
    routes = [
        ("GET", mine, None),
        ("PUT", mine, {"full_name": "Outra Pessoa", "email": "outra@exemplo.com"}),
        ("PATCH", mine, {"phone": "1133334444"}),
        ("DELETE", mine, None),
        ("DELETE", f"{mine}/sessions", None),
        ("GET", f"{mine}/role", None),
        ("PUT", f"{mine}/role", {"role_id": 2}),
        ("GET", f"{mine}/claims", None),
        ("PUT", f"{mine}/claims", {"claim_ids": [1]}),
        ("PUT", f"{mine}/claims/1", None),
        ("DELETE", f"{mine}/claims", None),
        ("DELETE", f"{mine}/claims/1", None),
        ("DELETE", f"/auth/sessions/{session}", None),
        ("GET", "/users", None),
        ("POST", "/users", {"full_name": "Outra Pessoa", "email": "outra@exemplo.com", "role_id": 2}),
        ("GET", "/users/report", None),
        ("GET", "/users/export", None),
        ("GET", "/roles", None),
        ("POST", "/roles", {"description": "x"}),
        ("GET", "/claims", None),
        ("POST", "/claims", {"description": "x"}),
        ("PATCH", "/claims/1", {"active": False}),
    ]
    for method, path, body in routes:
        theirs = await server.http.request(method, path, json=body, headers=stranger.headers)
        assert theirs.status_code in {403, 404}, f"{method} {path}"
        nobodys = await server.http.request(method, path, json=body)
        assert nobodys.status_code == 401, f"{method} {path}"
    assert (await server.http.get("/users/me", headers=person.headers)).json()["phone"] == "11987654321"
