"""`carteira backup …`: keys, missing settings, and the doctor's findings."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from carteira import schema
from carteira.app import backup_config
from carteira.backup import ages, keys, signing
from carteira.backup.errors import BackupDamaged, BackupFailed
from carteira.backup.place import Manifest
from carteira.cli.backup import app as backup
from carteira.cli.restore import app as restore
from carteira.doctor import backups
from carteira.doctor.findings import Diagnosis
from carteira.embedded import Endpoints
from carteira.key_rings import RINGS, rings_on
from carteira.kit.security.age import PrivateKey, Recipients
from carteira.settings import Settings
from tests.house.test_settings import PRODUCTION
from tests.support.app import settings_for
from tests.support.databases import on_server


def test_a_key_pair_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "backup.key"
    made = CliRunner().invoke(backup, ["key", str(path)])
    assert made.exit_code == 0
    assert f"BACKUP_RECIPIENTS={PrivateKey.load(path).public}" in made.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    again = CliRunner().invoke(backup, ["key", str(path)])
    assert (again.exit_code, PrivateKey.load(path).public in made.stdout) == (1, True)


def with_keys(home: Path) -> Settings:
    settings = settings_for(home)
    for ring in rings_on(settings):
        ring.make(ring.path(settings))
    return settings


def test_key_files_are_packed_into_one_and_overwrite_none(tmp_path: Path) -> None:
    key = PrivateKey.make()
    settings, there = with_keys(tmp_path / "home"), settings_for(tmp_path / "other")
    (tmp_path / "home" / "keys" / "access-token-1.retired.pem").write_text("retired")
    content = keys.pack(settings, Recipients.parse(key.public))
    written = keys.unpack(content, key, there)
    assert {path.name: path.read_bytes() for path in written} == {
        path.name: path.read_bytes() for path in (tmp_path / "home" / "keys").iterdir()
    }
    assert keys.unpack(content, key, there) == []
    (tmp_path / "other" / "keys" / "credit.json").write_text("another's")
    with pytest.raises(BackupFailed, match="é outra chave"):
        keys.unpack(content, key, there)
    with pytest.raises(BackupDamaged):
        keys.unpack(content, PrivateKey.make(), there)
    (tmp_path / "home" / "keys" / "identity.key").unlink()
    with pytest.raises(BackupFailed, match="não existe"):
        keys.pack(settings, Recipients.parse(key.public))


def test_keys_are_not_put_beside_the_backups_by_another_name_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys(tmp_path / "home")
    (tmp_path / "place").mkdir()
    (tmp_path / "disk").symlink_to(tmp_path / "place")
    for name, value in installed(tmp_path, PrivateKey.make()).items():
        monkeypatch.setenv(name, value)
    for path in ("place/keys.age", "disk/keys.age", "home/../place/keys.age"):
        refused = CliRunner().invoke(backup, ["keys", str(tmp_path / path)])
        assert (refused.exit_code, "chaves nunca ficam ao lado" in refused.stderr.replace("\n", " ")) == (1, True)
    assert CliRunner().invoke(backup, ["keys", str(tmp_path / "keys.age")]).exit_code == 0
    assert (tmp_path / "keys.age").stat().st_mode & 0o777 == 0o600


def installed(tmp_path: Path, key: PrivateKey) -> dict[str, str]:
    """Return the environment of an installation with a place for backups."""
    return {
        "CARTEIRA_HOME": str(tmp_path / "home"),
        "BACKUP_URL": (tmp_path / "place").as_uri(),
        "BACKUP_RECIPIENTS": key.public,
    }


def test_a_restore_is_only_continued_for_the_same_backup_and_of_no_later_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, settings, folder = PrivateKey.make(), with_keys(tmp_path / "home"), tmp_path / "new"
    (tmp_path / "backup.key").write_text(key.text())
    for name, value in installed(tmp_path, key).items():
        monkeypatch.setenv(name, value)
    at = "2026-01-01T00:00:00+00:00"
    for set_id, revision in (("one", schema.head()), ("two", schema.head()), ("later", "9999")):
        manifest = Manifest(set_id, at, at, "99.0", revision, "18", "carteira", "carteira", "7", None)
        signing.sign(manifest, settings)
        path = tmp_path / "place" / "sets" / set_id / "manifest.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(manifest.to_json())

    def tried(set_id: str, *more: str) -> str:
        arguments = ["home", str(folder), f"--identity={tmp_path}/backup.key", f"--set={set_id}", "--yes", *more]
        done = CliRunner().invoke(restore, arguments)
        return f"{done.stderr} {done.exception}".replace("\n", " ")

    assert "o backup é da Carteira 99.0" in tried("later")
    assert not folder.exists()
    assert "não tem uma cópia lógica" in tried("one", "--form=logical")
    assert "já recebe one (logical)" in tried("two", "--form=logical")
    assert "não tem uma cópia lógica" in tried("one", "--form=logical")


@pytest.mark.parametrize("command", [["home", "new"], ["postgresql", "new"], ["dump"], ["stores"]], ids=lambda c: c[0])
def test_production_restores_nothing_without_the_journal_of_erasures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (key := tmp_path / "backup.key").write_text(PrivateKey.make().text())
    for name, value in (PRODUCTION | {"carteira_home": tmp_path / "home"}).items():
        monkeypatch.setenv(name.upper(), str(value).lower() if isinstance(value, bool) else str(value))
    refused = CliRunner().invoke(restore, [*command, f"--identity={key}", "--yes"])
    assert (refused.exit_code, "desfaria eliminações de pessoas" in refused.stderr) == (1, True), refused.output
    monkeypatch.setenv("BACKUP_URL", (tmp_path / "place").as_uri())
    monkeypatch.setenv("BACKUP_RECIPIENTS", PrivateKey.make().public)
    with pytest.raises(ValidationError, match="ERASURE_JOURNAL_URL precisa ser definida"):
        CliRunner().invoke(restore, [*command, f"--identity={key}", "--yes"], catch_exceptions=False)
    assert [*tmp_path.iterdir()] == [key]


DRILL = """
import os, sys, time
from pathlib import Path
from carteira.cli.restoring import drill_home
with drill_home(Path(sys.argv[1])) as folder:
    (folder / "everybody").write_text("their data")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_stopped_drill_leaves_nothing_and_the_next_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    def begun() -> "tuple[subprocess.Popen[str], Path]":
        drill = subprocess.Popen([sys.executable, "-c", DRILL, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert drill.stdout is not None
        return drill, Path(drill.stdout.readline().strip())

    living, kept = begun()
    killed, left = begun()
    killed.kill()
    killed.communicate()
    for folder in (kept, left):
        os.utime(folder, (0, 0))
    stopped, folder = begun()
    assert (kept.exists(), left.exists(), folder.exists()) == (True, False, True)
    assert folder.stat().st_mode & 0o777 == 0o700
    for drill, number in ((stopped, signal.SIGTERM), (living, signal.SIGHUP)):
        drill.send_signal(number)
        drill.communicate()
    assert [*tmp_path.iterdir()] == []


def test_key_files_of_other_names_are_unpacked_to_the_settings_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secrets = PrivateKey.make(), tmp_path / "secrets"
    (tmp_path / "backup.key").write_text(key.text())
    named = {ring.setting.lower(): secrets / f"our-{ring.name}.key" for ring in RINGS.values()}
    settings = settings_for(tmp_path / "home", **named)
    for ring in rings_on(settings):
        ring.make(ring.path(settings))
    (secrets / "our-tokens-1.retired.pem").write_text("retired")
    (tmp_path / "keys.age").write_bytes(content := keys.pack(settings, Recipients.parse(key.public)))
    assert signing.ring_in(content, key, settings) == signing.ring_of(settings)

    monkeypatch.setenv("CARTEIRA_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("ACCESS_TOKEN_KEY_FILE", str(tmp_path / "other" / "tokens.pem"))
    arguments = ["keys", str(tmp_path / "keys.age"), f"--identity={tmp_path}/backup.key"]
    assert CliRunner().invoke(restore, arguments).exit_code == 0
    there, names = tmp_path / "other", ("identity.key", "documents.json", "credit.json")
    for name in names:
        assert (there / "keys" / name).read_bytes() == (secrets / f"our-{Path(name).stem}.key").read_bytes()
    assert (there / "tokens.pem").read_bytes() == (secrets / "our-tokens.key").read_bytes()
    assert (there / "tokens-1.retired.pem").read_text() == "retired"
    assert "0 arquivo(s)" in CliRunner().invoke(restore, arguments).stdout


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"backup_url": "file:///b"}, "BACKUP_RECIPIENTS precisa ser definida com BACKUP_URL"),
        ({"erasure_journal_url": "file:///b"}, "BACKUP_RECIPIENTS precisa ser definida com ERASURE_JOURNAL_URL"),
        ({"backup_url": "ftp://b", "backup_recipients": "KEY"}, "deve ser file:///pasta ou s3://bucket/prefixo"),
        ({"backup_recipients": "age1nope"}, "não é uma chave pública age"),
        (
            {"backup_url": "file:///b", "erasure_journal_url": "file:///b/", "backup_recipients": "KEY"},
            "precisa ser um lugar diferente de BACKUP_URL",
        ),
    ],
)
def test_incomplete_settings_are_reported(tmp_path: Path, values: dict[str, str], said: str) -> None:
    key = PrivateKey.make().public
    with pytest.raises(ValidationError, match=said):
        settings_for(tmp_path, **{name: value.replace("KEY", key) for name, value in values.items()})


async def seen(settings: Settings) -> list[Diagnosis]:
    return [finding async for finding in backups.check(settings)]


async def test_the_doctor_reports_the_newest_backups_age_and_the_roles_missing_rights(
    endpoints: Endpoints, database_url: str, private_key: PrivateKey, tmp_path: Path
) -> None:
    assert await seen(settings_for(tmp_path)) == [], "development needs no backup"
    name = database_url.rpartition("/")[2]
    settings = settings_for(
        tmp_path / "home",
        backup_url=(tmp_path / "place").as_uri(),
        erasure_journal_url=(tmp_path / "journal").as_uri(),
        backup_recipients=private_key.public,
        backup_database_url=on_server(endpoints.backup_url, name),
    )
    journal, age, role = await seen(settings)
    assert (journal.level, age.level, "nenhum backup" in age.text, role.level) == ("ok", "fail", True, "ok")
    old, fast = "2020-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"
    manifest = Manifest("20200101T000000000000Z", old, old, "1", "0001", "18", "carteira", "carteira", "7", None)
    await backup_config(settings).place.put(f"sets/{manifest.id}/manifest.json", manifest.to_json())
    changes = {"backup_database_url": SecretStr(database_url), "erasure_journal_url": None}
    journal, age, role = await seen(settings.model_copy(update=changes))
    assert (journal.level, age.level, "01/01/2020" in age.text) == ("warn", "fail", True)
    assert (role.level, "não replica" in role.text) == ("fail", True)
    by_a_fast_clock = Manifest("20990101T000000000000Z", fast, fast, "1", "0001", "18", "c", "c", "7", None)
    await backup_config(settings).place.put(f"sets/{by_a_fast_clock.id}/manifest.json", by_a_fast_clock.to_json())
    assert [finding.level for finding in (await seen(settings))[1:2]] == ["fail"]
    assert (await ages.of_backup(settings, backup_config(settings))).said == "com data errada"
