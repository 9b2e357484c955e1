"""The operators' commands, run as operators run them."""

import asyncio
import csv
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from carteira import demo
from carteira.documents import MasterKeyRing
from carteira.kit.security.tokens import SigningKeys as AccessKeys
from carteira.kit.values.cpf import mask_cpf
from tests.support.commands import run_command
from tests.support.databases import NewDatabase
from tests.support.files import pdf
from tests.support.server import running_server


@pytest.fixture(scope="module")
def cli_url(new_database: NewDatabase) -> str:
    url = new_database("cli")
    asyncio.run(demo.seed(url, ()))
    return url


@pytest.fixture
def carteira(cli_url: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*args: str, code: int = 0, **settings: object) -> subprocess.CompletedProcess[str]:
        done = run_command(tmp_path, {"database_url": cli_url} | settings, *args, columns=200)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


Carteira = Callable[..., subprocess.CompletedProcess[str]]


def test_everybody_is_signed_out_only_with_the_option(carteira: Carteira) -> None:
    assert "--everyone" in carteira("users", "sign-out", code=1).stderr
    assert carteira("users", "sign-out", "--everyone").stdout == "0 sessões encerradas\n"


def test_people_are_exported_to_either_format(carteira: Carteira, cli_url: str, tmp_path: Path) -> None:
    done = carteira("users", "export", "--format", "csv", "pessoas.csv")
    assert done.stdout.startswith(f"{len(demo.PEOPLE)} pessoas em pessoas.csv")
    path = tmp_path / "pessoas.csv"
    assert path.stat().st_mode & 0o077 == 0
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines(), delimiter=";"))
    assert {row["e-mail"] for row in rows} == {one.person.email for one in demo.PEOPLE}
    assert {row["CPF"] for row in rows} == {mask_cpf(one.person.cpf or "") for one in demo.PEOPLE}
    carteira("users", "export", "pessoas.xlsx")
    with zipfile.ZipFile(tmp_path / "pessoas.xlsx") as book:
        assert b"maria@exemplo.com.br" in book.read("xl/worksheets/sheet1.xml")
    with psycopg.connect(cli_url) as connection:
        audited = connection.execute(
            "SELECT details ->> 'format', actor_name, count(DISTINCT subject_id), count(*) FROM audit_log "
            "WHERE action = 'users_exported' GROUP BY 1, 2 ORDER BY 1"
        ).fetchall()
    people = len(demo.PEOPLE)
    assert audited == [(form, "users export", people, people) for form in ("csv", "xlsx")]
    assert "não pôde ser escrito" in carteira("users", "export", "/proc/pessoas.xlsx", code=1).stderr


def test_the_contract_is_printed_as_openapi_and_as_a_postman_collection(carteira: Carteira) -> None:
    document = json.loads(carteira("openapi").stdout)
    assert document["openapi"].startswith("3.")
    collection = json.loads(carteira("openapi", "--postman", port=8123).stdout)
    assert collection["info"]["schema"].endswith("/v2.1.0/collection.json")
    assert {"key": "url", "value": "http://localhost:8123"} in collection["variable"]
    requests = [item["request"] for folder in collection["item"] for item in folder["item"]]
    assert len(requests) == sum(len(item) for item in document["paths"].values())
    by_url = {(request["method"], request["url"]["raw"]): request for request in requests}
    authorizer = by_url["POST", "{{url}}/transactions/authorizer"]
    assert json.loads(authorizer["body"]["raw"])["totalAmount"] == 100.0
    sign_in = by_url["POST", "{{url}}/auth/login"]
    assert (sign_in["body"]["mode"], sign_in["auth"]) == ("urlencoded", {"type": "noauth"})
    assert {"username", "password"} <= {field["key"] for field in sign_in["body"]["urlencoded"]}
    balance = by_url["GET", "{{url}}/transport-cards/:card_number/balance"]
    assert [variable["key"] for variable in balance["url"]["variable"]] == ["card_number"]
    upload = by_url["PUT", "{{url}}/documents/:document_id/file"]
    assert {"key": "file", "type": "file"} in upload["body"]["formdata"]


def test_the_access_keys_rotate_and_the_old_tokens_live_on(carteira: Carteira, cli_url: str, tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1, database_url=cli_url, carteira_modules="none") as server:

        def me(token: str) -> int:
            return httpx.get(f"{server.url}/users/me", headers={"authorization": f"Bearer {token}"}).status_code

        def sign_in() -> str:
            form = {"username": demo.PERSON.email, "password": demo.PASSWORD}
            token: str = httpx.post(f"{server.url}/auth/login", data=form).json()["access_token"]
            return token

        old = sign_in()
        kid = carteira("keys", "rotate", "tokens").stdout.strip().removeprefix("Nova chave: ")
        ring = AccessKeys(tmp_path / "keys" / "access-token.pem")
        assert (ring.current.kid, len(ring.public()["keys"])) == (kid, 2)
        assert me(old) == 200
        assert me(carteira("token", "--claims", "users:read").stdout.strip()) == 200
        bruno = carteira("token", "--as", "bruno@exemplo.com.br").stdout.strip()
        answer = httpx.get(f"{server.url}/users/me", headers={"authorization": f"Bearer {bruno}"}).json()
        assert answer["email"] == "bruno@exemplo.com.br"
        users = httpx.get(f"{server.url}/users", headers={"authorization": f"Bearer {bruno}"})
        assert users.status_code == 200, "with the claims of the role"
        carteira("token", "--as", "ninguem@exemplo.com.br", code=1)
        carteira("token", "--as", "bruno@exemplo.com.br", "--processor", code=1)
        assert me(sign_in()) == 200


def test_the_documents_key_rotates_while_files_are_served(carteira: Carteira, cli_url: str, tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1, database_url=cli_url, carteira_modules="documents") as server:
        token = carteira("token", "--claims", "none").stdout.strip()
        headers = {"authorization": f"Bearer {token}"}
        stored = httpx.post(
            f"{server.url}/documents",
            headers=headers,
            data={"document_type": "RG", "document_number": "123456789"},
            files={"file": ("rg.pdf", pdf(), "application/pdf")},
        )
        assert stored.status_code == 201, stored.text
        before = MasterKeyRing(tmp_path / "keys" / "documents.json", create=False).active.id
        done = carteira("keys", "rotate", "documents")
        after = MasterKeyRing(tmp_path / "keys" / "documents.json", create=False).active.id
        assert after != before
        assert done.stdout.startswith(f"Chave-mestra {after}: 1 arquivos")
        assert "0 arquivos" in carteira("keys", "rotate", "documents", "--no-new").stdout
        document_id = UUID(stored.json()["id"])
        link = httpx.post(f"{server.url}/documents/{document_id}/link", headers=headers).json()["url"]
        assert httpx.get(link).content == pdf()
    (tmp_path / "keys" / "documents.json").write_text("rubbish")
    assert "não é um arquivo de chaves" in carteira("keys", "rotate", "documents", code=1).stderr


def test_an_administrator_is_invited(carteira: Carteira, cli_url: str, tmp_path: Path) -> None:
    done = carteira("admin", "create", "--email", "chefe@exemplo.com.br", "--name", "Helena Dias")
    assert "/auth/invitation?token=" in done.stdout
    token = done.stdout.strip().rpartition("=")[2]
    with running_server(tmp_path, workers=1, database_url=cli_url, carteira_modules="none") as server:
        opened = httpx.post(f"{server.url}/auth/invitation/start", data={"token": token})
        assert opened.json()["email"] == "chefe@exemplo.com.br"
    carteira("admin", "create", "--email", "chefe", "--name", "Helena Dias", code=1)
    carteira("admin", "create", "--email", "x@exemplo.com.br", "--name", "Helena", code=1)


def test_jobs_that_were_given_up_are_run_again_or_dropped(carteira: Carteira, cli_url: str) -> None:
    with psycopg.connect(cli_url) as connection:
        rows = connection.execute(
            """INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts)
               SELECT 'default', 'kit:given_up', 'failed', 8 FROM generate_series(1, 3) RETURNING id"""
        ).fetchall()
    first, second, third = (row[0] for row in rows)
    listed = carteira("jobs", "failed").stdout
    assert f"{first}  kit:given_up  8 tentativas" in listed
    assert " ".join(listed.split()).count("UTC: sem causa anotada") == 3
    assert listed.endswith("3 trabalho(s) abandonado(s).\n")
    assert "diga o número" in carteira("jobs", "retry", code=2).stderr
    assert carteira("jobs", "drop", str(third)).stdout == "Apagado.\n"
    assert carteira("jobs", "drop", str(third), code=1).stdout.startswith("Não há trabalho abandonado com o número")
    assert carteira("jobs", "retry", str(first)).stdout == "1 trabalho(s) de volta à fila.\n"
    assert carteira("jobs", "retry", "--all").stdout == "1 trabalho(s) de volta à fila.\n"
    with psycopg.connect(cli_url) as connection:
        waiting = connection.execute("SELECT id FROM procrastinate_jobs WHERE status = 'todo' AND task_name ~ 'given'")
        assert {row[0] for row in waiting} == {first, second}
