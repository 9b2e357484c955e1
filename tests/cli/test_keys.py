"""`carteira keys …`: keys are made once, rotated with overlap, and checked with advice."""

import asyncio
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from carteira import credit, demo
from carteira.doctor.keys import key_files
from carteira.key_rings import RINGS
from carteira.kit.security import tokens
from carteira.kit.security.key_ring import KeyRing, KeyWaits
from carteira.settings import Settings
from tests.support.commands import run_command
from tests.support.databases import NewDatabase
from tests.support.server import running_server

Carteira = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def url(new_database: NewDatabase) -> str:
    made = new_database("keys")
    asyncio.run(demo.seed(made, ()))
    return made


@pytest.fixture
def carteira(tmp_path: Path) -> Carteira:
    def run(*args: str, code: int = 0, **settings: object) -> subprocess.CompletedProcess[str]:
        done = run_command(tmp_path, settings, *args, columns=200)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def test_a_folder_of_keys_is_made_once_and_its_lines_are_settings(carteira: Carteira, tmp_path: Path) -> None:
    folder = tmp_path / "chaves"
    made = carteira("keys", "init", "--folder", str(folder))
    lines = dict(line.split("=", 1) for line in made.stdout.splitlines())
    assert set(lines) == {*(ring.setting for ring in RINGS.values()), "JWT_SECRET"}
    settings = Settings.model_validate({name.lower(): value for name, value in lines.items()})
    for ring in RINGS.values():
        path = ring.path(settings)
        assert path.stat().st_mode & 0o777 == 0o600
        assert ring.look(path).former == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    content = {path: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / ".env").write_text(made.stdout)
    again = carteira("keys", "init", "--folder", str(folder))
    assert "JWT_SECRET" not in again.stdout, "it is set"
    assert again.stderr.count("já existia") == len(RINGS)
    assert {path: path.read_bytes() for path in folder.iterdir()} == content


def test_the_check_names_faults_and_remedies(carteira: Carteira, tmp_path: Path) -> None:
    carteira("keys", "init")
    (tmp_path / "keys" / "documents.json").chmod(0o644)
    (tmp_path / "keys" / "credit.json").write_text("{}")
    (tmp_path / "keys" / "identity.key").chmod(0o660)
    done = carteira("keys", "check", "--files", "--json", code=1)
    found = json.loads(done.stdout)
    levels = {item["text"].partition(":")[0]: item["level"] for item in found["findings"]}
    assert levels == {"tokens": "ok", "identity": "fail", "documents": "fail", "credit": "fail", "jwt": "ok"}
    said = carteira("keys", "check", "--files", code=1).stdout
    assert f"execute chmod 600 {tmp_path}/keys/documents.json" in said
    assert "pode ser escrito por outros" in said
    for name in ("documents.json", "identity.key"):
        (tmp_path / "keys" / name).chmod(0o600)
    carteira("keys", "check", "--files", carteira_modules="documents")


def test_the_check_finds_data_that_no_key_opens(carteira: Carteira, url: str) -> None:
    carteira("keys", "init")
    assert carteira("keys", "check", database_url=url).stdout.count("ok ") == 8
    with psycopg.connect(url, autocommit=True) as connection:
        sealed = "INSERT INTO totp (user_id, secret, created_at) VALUES (%s, %s, now())"
        connection.execute(sealed, [demo.PERSON_ID, os.urandom(60)])
    done = carteira("keys", "check", database_url=url, code=1)
    assert "identity: 1 segredos do banco de dados não abrem com nenhuma chave" in done.stdout
    rotated = carteira("keys", "rotate", "identity", database_url=url, code=1)
    assert "1 segredos não abrem" in rotated.stderr
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM totp WHERE user_id = %s", [demo.PERSON_ID])
    carteira("keys", "check", database_url=url)


def made(home: Path) -> Settings:
    """Make the files of all key rings in a home."""
    settings = Settings.model_validate({"carteira_home": home})
    for ring in RINGS.values():
        assert ring.make(ring.path(settings))
    return settings


@pytest.mark.parametrize(
    "settings", [{}, {"database_url": "postgresql://ana@127.0.0.1:1/banco"}], ids=["unset", "down"]
)
def test_the_check_runs_without_a_database_and_names_skipped_checks(
    settings: dict[str, str], carteira: Carteira, tmp_path: Path
) -> None:
    made(tmp_path)
    found = json.loads(carteira("keys", "check", "--json", code=1, **settings).stdout)["findings"]
    assert [one["level"] for one in found] == ["ok"] * 5 + ["fail"]
    assert "não foi conferido se as chaves abrem" in found[-1]["text"]
    assert found[-1]["advice"]


ROTATIONS: dict[str, Callable[[Path], object]] = {
    "tokens": tokens.rotate,
    "identity": lambda path: KeyRing(path).add(),
    "documents": lambda path: KeyRing(path).add(),
    "credit": credit.add_key,
}


@pytest.mark.parametrize("name", RINGS)
def test_a_key_waits_until_its_ring_is_rotated(name: str, tmp_path: Path) -> None:
    ring, settings = RINGS[name], made(tmp_path)
    path = ring.path(settings)
    active = ring.look(path).active
    waiting = ring.prepare(path)
    with pytest.raises(KeyWaits, match=waiting):
        ring.prepare(path)
    look = ring.look(path)
    assert (look.active, look.waiting, look.former) == (active, waiting, 0)
    (found,) = (one for one in key_files(settings) if one.text.startswith(f"{name}:"))
    assert (found.level, f"a chave {waiting} espera ser usada" in found.text) == ("warn", True)
    ROTATIONS[name](path)
    look = ring.look(path)
    assert (look.active, look.waiting, look.former) == (waiting, None, 1)


def test_a_key_is_prepared_and_rotated_to(carteira: Carteira, url: str, tmp_path: Path) -> None:
    ring, path = RINGS["identity"], RINGS["identity"].path(made(tmp_path))
    carteira("keys", "prepare", "identity")
    waiting = ring.look(path).waiting
    assert f"a chave {waiting} já espera" in carteira("keys", "prepare", "identity", code=1).stderr
    carteira("keys", "rotate", "identity", database_url=url)
    assert (ring.look(path).active, ring.look(path).waiting) == (waiting, None)


@pytest.mark.parametrize("words", [("prepare", "tokens"), ("prepare", "documents"), ("rotate", "credit")], ids=" ".join)
def test_a_file_without_keys_is_reported_and_left(
    words: tuple[str, str], carteira: Carteira, url: str, tmp_path: Path
) -> None:
    path = RINGS[words[1]].path(made(tmp_path))
    path.write_text("{")
    assert f"{path} não é um arquivo de chaves" in carteira("keys", *words, database_url=url, code=1).stderr
    assert path.read_text() == "{"


def test_a_stolen_signing_key_is_refused_by_running_servers(carteira: Carteira, url: str, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "access-token.pem"
    with running_server(tmp_path, workers=1, database_url=url, carteira_modules="none") as server:
        stolen = tokens.load_key(path)
        forged = tokens.sign(stolen, subject=str(demo.PERSON_ID), ttl_seconds=600, claims={"claims": ["*"]})
        asked = {"authorization": f"Bearer {forged}"}
        assert httpx.get(f"{server.url}/users", headers=asked).status_code == 200
        carteira("keys", "rotate", "tokens")
        assert httpx.get(f"{server.url}/users", headers=asked).status_code == 200, "valid until it expires"
        said = carteira("keys", "rotate", "tokens", "--stolen").stderr
        assert "carteira users sign-out --everyone" in said
        deadline = time.monotonic() + 30
        while httpx.get(f"{server.url}/users", headers=asked).status_code != 401:
            assert time.monotonic() < deadline, "the stolen key still verifies"
    assert tokens.retired_keys(path) == []


def test_a_retired_key_that_is_removed_by_hand_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "access-token.pem"
    ring = tokens.SigningKeys(path, create=True)
    old = tokens.sign(ring.current, subject="x", ttl_seconds=60, claims={})
    tokens.rotate(path)
    ring._looked_at = 0.0  # noqa: SLF001 - a running app reads its file once a second; the test does not wait
    assert ring.verify(old)["sub"] == "x"
    tokens.retired_keys(path)[0].unlink()
    ring._looked_at = 0.0  # noqa: SLF001 - the test skips a second
    with pytest.raises(tokens.InvalidToken):
        ring.verify(old)


def test_the_processors_secret_is_rotated_in_steps(carteira: Carteira) -> None:
    now = "0123456789abcdef0123456789abcdef"
    line = carteira("keys", "rotate", "jwt", jwt_secret=now).stdout.strip()
    assert re.fullmatch(rf"JWT_SECRET={now},[0-9a-f]{{64}}", line)
    both = line.removeprefix("JWT_SECRET=")
    assert "termine-a" in carteira("keys", "rotate", "jwt", jwt_secret=both, code=1).stderr
    assert "por terminar" in carteira("keys", "check", "--files", jwt_secret=both, carteira_modules="none").stdout


@pytest.mark.parametrize("words", [("tokens",), ("identity",), ("documents",), ("credit",)], ids=lambda words: words[0])
def test_missing_keys_are_not_rotated(words: tuple[str, ...], carteira: Carteira, url: str, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    said = carteira("keys", "rotate", *words, database_url=url, code=1).stderr
    assert "carteira keys init" in said
    assert list((tmp_path / "keys").iterdir()) == [], "no key was made silently"


@pytest.mark.parametrize("ring", ["identity", "documents", "credit"])
def test_no_key_is_made_while_the_database_does_not_answer(ring: str, carteira: Carteira, tmp_path: Path) -> None:
    path = RINGS[ring].path(made(tmp_path))
    before = path.read_bytes()
    said = carteira("keys", "rotate", ring, database_url="postgresql://ana@127.0.0.1:1/banco", code=1).stderr
    assert "não foi possível falar com o PostgreSQL" in said
    assert path.read_bytes() == before


@pytest.mark.parametrize("words", [("identity", "--stolen"), ("tokens", "--no-new"), ("jwt", "--no-new")], ids=" ".join)
def test_unsuitable_options_are_refused(words: tuple[str, ...], carteira: Carteira) -> None:
    assert "Erro: --" in carteira("keys", "rotate", *words, code=1).stderr
