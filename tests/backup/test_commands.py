"""`carteira backup …`: keys, missing settings, and the doctor's findings."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from carteira.app import backup_config
from carteira.backup import keys, signing
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


def test_key_files_travel_in_one_and_never_over_others(tmp_path: Path) -> None:
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


def test_key_files_of_other_names_travel_to_the_places_that_the_settings_name(
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
            {"backup_url": "file:///b", "erasure_journal_url": "file:///b", "backup_recipients": "KEY"},
            "precisa ser outro lugar que BACKUP_URL",
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
    old = "2020-01-01T00:00:00+00:00"
    manifest = Manifest("20200101T000000000000Z", old, old, "1", "0001", "18", "carteira", "carteira", "7", None)
    await backup_config(settings).place.put(f"sets/{manifest.id}/manifest.json", manifest.to_json())
    changes = {"backup_database_url": SecretStr(database_url), "erasure_journal_url": None}
    journal, age, role = await seen(settings.model_copy(update=changes))
    assert (journal.level, age.level, "01/01/2020" in age.text) == ("warn", "fail", True)
    assert (role.level, "não replica" in role.text) == ("fail", True)
