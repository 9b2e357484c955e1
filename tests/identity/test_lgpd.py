import csv
import errno
import io
import os
import zipfile
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from carteira import ledger
from carteira.identity.config import DailyExport
from carteira.identity.users import by_operator, export
from carteira.identity.users.by_operator import PersonChangeOrder
from carteira.identity.users.export import export_daily, export_users
from carteira.kit.outbound import objects
from carteira.kit.security import audit
from carteira.kit.security.approvals import Gains
from carteira.kit.values.actor import Actor
from carteira.kit.values.cpf import format_cpf
from carteira.kit.values.ids import uuid7
from carteira.kit.web.approvals import Desk, WaitingOut
from tests.support.app import RunningApp
from tests.support.ledger import TESTER
from tests.support.people import Person, new_person, register, sign_in

SOURCE = ledger.system_account("test.identity.source")


@pytest.fixture
async def purse(app: RunningApp, person: Person) -> UUID:
    """A ledger account of the person's with R$ 10,00 in it."""
    async with app.database.transaction() as tx:
        await tx.execute(
            text(
                "INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative) "
                "VALUES (:id, 'test.identity.source', true, true) ON CONFLICT DO NOTHING"
            ),
            {"id": SOURCE},
        )
        owner = person.id
        account = await ledger.open_account(tx, "test.purse", holder_id=owner, owner_id=owner)
        await ledger.post(tx, ledger.transfer("test.top_up", source=SOURCE, target=account, amount=1000), actor=TESTER)
    return account


async def test_erasure_waits_for_the_money_and_leaves_the_ledger_whole(
    app: RunningApp, person: Person, purse: UUID
) -> None:
    refused = await app.client.delete(f"/users/{person.id}", headers=person.headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "money_remains")
    assert (await app.client.get("/users/me", headers=person.headers)).json()["cpf"] == person.cpf
    async with app.database.transaction() as tx:
        await ledger.post(tx, ledger.transfer("test.spend", source=purse, target=SOURCE, amount=1000), actor=TESTER)
    erased = await app.client.delete(f"/users/{person.id}", headers=person.headers)
    assert erased.status_code == 204
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 401
    operator = app.bearer("users:read", "users:write")
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/role"), ("GET", "/claims")):
        answer = await app.client.request(method, f"/users/{person.id}{path}", headers=operator)
        assert answer.status_code == 404
    async with app.database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
    async with app.database.transaction() as tx:
        row = (await tx.execute(text("SELECT * FROM users WHERE id = :id"), {"id": person.id})).mappings().one()
        assert [row[name] for name in ("full_name", "email", "cpf", "birth_date", "phone", "password_hash")] == [
            None
        ] * 6
        assert (await ledger.account(tx, purse)).owner_id is None


async def test_nothing_of_an_erased_person_is_left_in_any_table(app: RunningApp, person: Person) -> None:
    await app.client.put("/users/me/consents/marketing", json={"granted": True}, headers=person.headers)
    await app.client.post("/password-recovery", json={"email": person.email})
    await app.work_off()
    assert (await app.client.delete(f"/users/{person.id}", headers=person.headers)).status_code == 204
    async with app.database.transaction() as tx:
        tables = await tx.scalars(
            text("""
                SELECT relname FROM pg_class
                WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
            """)
        )
        for table in tables.all():
            rows = (await tx.execute(text(f'SELECT row::text FROM "{table}" row'))).scalars()
            for row in rows:
                assert person.email not in row, table
                assert person.cpf not in row, table
    again = await app.client.post("/users/register", json=new_person() | {"email": person.email, "cpf": person.cpf})
    assert again.status_code == 201, "the person may come back"


async def waiting_for(app: RunningApp, person: Person, email: str) -> str:
    """Request a change of e-mail address that waits, as in production; return the pending operation's id."""
    desk: Desk = app.api.state.desk
    what = by_operator.operation(app.api.state.identity.config, ())
    order = PersonChangeOrder(user_id=person.id, changes={"email": email})
    async with app.database.transaction() as tx:
        told = await desk.propose(
            tx, what, order, Actor.person(uuid4()), summary="Trocar o contato", gains=Gains.of(person.id, person.cpf)
        )
    assert isinstance(told.body, WaitingOut)
    return str(told.body.pending.id)


async def test_waiting_operations_are_downloaded_and_end_with_the_erasure(app: RunningApp, person: Person) -> None:
    email = new_person()["email"]
    operation = await waiting_for(app, person, email)
    (held,) = (await person.get("/users/me/data")).json()["pending_operations"]
    assert (held["id"], held["status"], held["for_you"], held["asked_by_you"]) == (operation, "pending", True, False)
    assert held["order"]["changes"] == {"email": email}
    assert (await person.call("DELETE", f"/users/{person.id}")).status_code == 204
    async with app.database.transaction() as tx:
        query = text("SELECT status, payload, outcome FROM pending_operations WHERE id = :id")
        assert tuple((await tx.execute(query, {"id": operation})).one()) == ("expired", None, None)


async def test_everything_held_is_downloaded_without_secrets(app: RunningApp, person: Person, purse: UUID) -> None:
    answer = await app.client.get("/users/me/data", headers=person.headers)
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
async def test_the_audit_takes_no_change(app: RunningApp, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        async with app.database.transaction() as tx:
            await tx.execute(text(statement))


async def test_the_audit_knows_sign_ins_claims_exports_and_looks(app: RunningApp, person: Person) -> None:
    operator = app.bearer("users:write", "users:read", "users:export")
    await app.client.post("/auth/login", data={"username": person.cpf, "password": "Errada123"})
    await app.client.put(f"/users/{person.id}/claims/1", headers=operator)
    await app.client.delete(f"/users/{person.id}/claims/1", headers=operator)
    await app.client.get(f"/users/{person.id}", headers=operator)
    await app.client.get("/users/export", params={"format": "csv"}, headers=operator)
    async with app.database.transaction() as tx:
        rows = await tx.scalars(
            text("SELECT action FROM audit_log WHERE subject_id = :id ORDER BY id"), {"id": person.id}
        )
        acts = ["user_added", "sign_in", "sign_in_failed", "claims_given", "claims_taken"]
        assert rows.all() == [*acts, "user_read", "users_exported"]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_an_export_is_a_look_at_each_person_in_it_but_oneself(app: RunningApp, person: Person, form: str) -> None:
    admin = await register(app)
    given = await app.client.put(f"/users/{admin.id}/role", json={"role_id": 2}, headers=app.bearer("*"))
    assert given.status_code == 200
    await sign_in(admin)
    request_id = str(uuid7())
    shown = await app.client.get(
        "/users/export", params={"format": form}, headers=admin.headers | {"X-Request-ID": request_id}
    )
    assert shown.status_code == 200
    late = await register(app)
    async with app.database.transaction() as tx:
        rows = await tx.execute(
            text("SELECT subject_id, actor_id, session_id, look FROM audit_log WHERE request_id = :id"),
            {"id": request_id},
        )
        looks = {row.subject_id: (row.actor_id, row.session_id is not None, row.look) for row in rows}
        people = set(await tx.scalars(text("SELECT id FROM users WHERE erased_at IS NULL")))
    assert set(looks) == people - {admin.id, late.id}
    assert set(looks.values()) == {(admin.id, True, True)}
    answer = await app.client.get("/users/me/accesses", headers=person.headers)
    assert [item["actor_id"] for item in answer.json()["items"]].count(str(admin.id)) == 1
    await sign_in(late)
    answer = await app.client.get("/users/me/accesses", headers=late.headers)
    assert str(admin.id) not in [item["actor_id"] for item in answer.json()["items"]]


async def test_an_interrupted_export_records_the_people_already_shown(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await register(app)
    monkeypatch.setattr(export, "_BATCH", 2)
    reader = Actor.person(uuid7())
    pieces = export.csv_chunks(app.database, audit.look("users_exported", actor=reader), show_cpf=False)
    await anext(pieces)
    given = list(csv.reader(io.StringIO((await anext(pieces)).decode()), delimiter=";"))
    await pieces.aclose()
    async with app.database.transaction() as tx:
        rows = await tx.scalars(
            text("SELECT subject_id FROM audit_log WHERE actor_id = :id ORDER BY id"), {"id": reader.id}
        )
        assert [str(shown) for shown in rows] == [row[0] for row in given]
    assert len(given) == 2


async def test_export_as_csv_is_masked_and_safe_in_a_spreadsheet(app: RunningApp, person: Person) -> None:
    name = "=HYPERLINK(1) de Tal"
    evil = new_person() | {"full_name": name}
    assert (await app.client.post("/users/register", json=evil)).status_code == 201
    answer = await app.client.get("/users/export?format=csv", headers=app.bearer("users:export"))
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith('.csv"')
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=";"))
    mine = next(row for row in rows if row["id"] == str(person.id))
    assert mine["CPF"] == f"***.{person.cpf[3:6]}.{person.cpf[6:9]}-**"
    assert "'" + name in [row["nome"] for row in rows]
    assert "argon2" not in answer.text
    whole = await app.client.get("/users/export?format=csv", headers=app.bearer("users:export", "users:cpf"))
    assert format_cpf(person.cpf) in whole.text
    assert (await app.client.get("/users/export?format=pdf", headers=app.bearer("users:export"))).status_code == 422
    assert (await app.client.get("/users/export", headers=person.headers)).status_code == 403


async def test_export_as_xlsx_opens_as_one(app: RunningApp, person: Person) -> None:
    answer = await app.client.get("/users/export", headers=app.bearer("users:export"))
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert str(person.id) in sheet
    assert person.cpf not in sheet


@pytest.mark.usefixtures("person")
async def test_the_command_reports_progress_and_the_daily_export_keeps_some(app: RunningApp, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    written = await export_users(
        app.database, tmp_path / "u.csv", form="csv", look=None, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (written, written)
    for day in range(1, 5):
        (tmp_path / f"usuarios-2020-01-0{day}.xlsx").write_bytes(b"")
    made = tmp_path / await export_daily(app.database, tmp_path, DailyExport(days_kept=3))
    kept = sorted(file.name for file in tmp_path.iterdir() if file.name.startswith("usuarios-"))  # noqa: ASYNC240 - the test needs no concurrency
    assert kept == ["usuarios-2020-01-03.xlsx", "usuarios-2020-01-04.xlsx", made.name]
    assert made.stat().st_mode & 0o077 == 0


async def test_the_daily_export_lies_where_the_settings_say_with_their_columns(
    app: RunningApp, tmp_path: Path, person: Person
) -> None:
    folder = tmp_path / "elsewhere"
    place = objects.opener(folder.as_uri(), aws_endpoint_url=None)
    for day in range(1, 4):
        await place().put(f"usuarios-2020-01-0{day}.csv", b"")
    await place().put("other.csv", b"")
    asked = DailyExport(days_kept=2, form="csv", columns=("e-mail", "nome"), place=place)
    made = await export_daily(app.database, tmp_path / "exports", asked)
    assert made.endswith(".csv")
    first, *rows = (await place().get(made)).decode("utf-8-sig").splitlines()
    assert first == "e-mail;nome"
    assert any(row.startswith(f"{person.email};") for row in rows)
    kept = sorted([entry.name async for entry in place().entries()])
    assert kept == ["other.csv", "usuarios-2020-01-03.csv", made]
    assert os.listdir(tmp_path / "exports") == []  # noqa: PTH208 - no I/O to wait for


async def test_a_disk_that_is_full_leaves_no_part_of_an_export(
    app: RunningApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="space"):
        await export_users(app.database, tmp_path / "u.csv", form="csv", look=None)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - no I/O to wait for


async def test_another_persons_token_opens_nothing(app: RunningApp, person: Person) -> None:
    stranger = await sign_in(await register(app))
    session = (await app.client.get("/auth/sessions", headers=person.headers)).json()["items"][0]["id"]
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
        theirs = await app.client.request(method, path, json=body, headers=stranger.headers)
        assert theirs.status_code in {403, 404}, f"{method} {path}"
        nobodys = await app.client.request(method, path, json=body)
        assert nobodys.status_code == 401, f"{method} {path}"
    assert (await app.client.get("/users/me", headers=person.headers)).json()["phone"] == "11987654321"
