"""Every setting is documented and has an example, and production refuses values that are for development."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from carteira.cli.errors import faults_of_settings, sentence_of
from carteira.cli.terminal import misspelt_names, where_to_set
from carteira.identity.users import export
from carteira.kit.security.sandbox_authority import make_certificates
from carteira.settings import Settings, exports, production
from tests.support.source import ROOT

DOCUMENT = ROOT / "docs" / "reference" / "settings.md"
EXAMPLE = ROOT / ".env.example"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def written(value: object) -> str:
    """Return a default as a person would write it; secrets and unset values are empty."""
    if value is None or isinstance(value, SecretStr):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_setting_is_documented_with_its_default_and_meaning() -> None:
    rows = re.findall(r"^\| `([A-Z_0-9]+)` \| (?:`([^`]*)`)? ?\| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    documented = {name: (default, meaning) for name, default, meaning in rows}
    assert len(documented) == len(rows), "one is documented twice"
    assert documented == {
        name.upper(): (written(field.default), field.description) for name, field in Settings.model_fields.items()
    }


def test_the_example_lists_every_setting_and_changes_none() -> None:
    lines = re.findall(r"^([A-Z_0-9]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert len(dict(lines)) == len(lines), "one is listed twice"
    assert dict(lines) == {name.upper(): written(field.default) for name, field in Settings.model_fields.items()}
    assert Settings(_env_file=EXAMPLE) == Settings(_env_file=None)


PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "jwt_secret": "0123456789abcdef0123456789abcdef",
    "database_url": "postgresql://carteira@db/carteira?sslmode=verify-full&sslrootcert=system",
    "redis_url": "rediss://cache/0",
    "metrics_token": "a-token-of-prometheus",
    "docs_open": False,
    "access_token_key_file": "/run/secrets/access.pem",
    "identity_key_file": "/run/secrets/identity.key",
    "smtp_url": "smtps://carteira@mail",
    "sms_url": "https://sms.example/send",
    "trusted_proxies": "none",
    "public_url": "https://carteira.exemplo.com.br",
    "documents_url": "s3://documents",
    "documents_key_file": "/run/secrets/documents.json",
    "malware_scan": "off",
    "credit_key_file": "/run/secrets/credit.json",
    "limit_top_ups": "none",
    "limit_opening_balances": "none",
    "limit_refunds": "none",
    "limit_reversals": "none",
    "limit_corrections": "none",
    "limit_purchase_approvals": "none",
    "limit_cash_recharges": "none",
    "limit_payment_returns": "none",
    "limit_tiers": "none",
    "daily_top_ups": "none",
    "daily_opening_balances": "none",
    "daily_refunds": "none",
    "daily_reversals": "none",
    "daily_corrections": "none",
    "daily_purchase_approvals": "none",
    "daily_cash_recharges": "none",
    "daily_payment_returns": "none",
    "recharge_without_payment": False,
}


def test_production_starts_when_everything_is_set() -> None:
    assert Settings.model_validate(PRODUCTION).environment == "production"


@pytest.mark.parametrize("missing", sorted(set(PRODUCTION) - {"environment"}))
def test_production_refuses_unset_settings(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing.upper()) as caught:
        Settings.model_validate({name: value for name, value in PRODUCTION.items() if name != missing})
    assert not [fault for fault in faults_of_settings(caught.value) if fault.endswith("definida")], (
        "nor the value to write"
    )


MISREAD = {
    "limit_top_ups": ("100.000", "1.5", "1e3", "1_000", "R$ 10", "NONE"),
    "workers": ("1.0", "1_0", "\u0663"),
    "trusted_proxies": (",", "none,none", "*", "localhost", "10.0.0.1/8", "10.0.0.0/8;172.16.0.0/12"),
    "public_url": ("https://x:99999", "https://[::1", "https://-", "https://user:p@x", "https://x/?a"),
    "smtp_url": (
        *("mail", "smtps://", "smtps://mail:abc", "smtps://mail:99999", "ftp://127.0.0.1", "http://mail"),
        *(f"smtp://mail?{query}" for query in ("starttls=1", "starttls=yes", "STARTTLS=true", "tls", "a=b")),
        "smtp://mail?starttls=true&starttls=false",
    ),
    "sms_url": ("sms.example", "https://", "file:///etc/passwd", "https://s m s/", "https://sms:99999/x"),
    "documents_url": ("/srv/docs", "file:docs", "file://host/a", "file:///a?b", "s3://", "gs://b", "https://x"),
    "aws_endpoint_url": ("dynamo", "ftp://x"),
    "google_issuer": ("accounts.google.com", "javascript:alert(1)"),
    "mail_from": ("x", "a@b\r\nBcc: x@y", "a@b, c@d"),
    "carteira_modules": (",", "all,benefits", "none,benefits", "Benefits"),
    "redis_url": (
        "rediss://cache:99999",
        "http://cache",
        "rediss://cache/x",
        "rediss://cache/0/1",
        "rediss+sentinel://a,b/0",
    ),
    "limit_tiers": ("101", "-1", "10%"),
    "database_url": ("postgresql://ana:se@nha@db/banco", "postgresql://ana:se/nha@db/banco", "postgresql://ana:#@db/b"),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in MISREAD.items() for text in texts])
def test_ambiguous_values_are_refused_by_the_name_of_their_setting(name: str, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(PRODUCTION | {name: text})
    faults = [fault for fault in faults_of_settings(caught.value) if fault.startswith(f"{name.upper()}")]
    assert len(faults) == 1, "one sentence, in Portuguese"
    assert not re.search(r"[Ii]nvalid|should|must|CONSTRAINED", faults[0])


def test_a_setting_with_its_own_format_is_explained_with_an_example() -> None:
    for name, field in Settings.model_fields.items():
        if [rule for rule in field.metadata if getattr(rule, "pattern", None)] or name == "redis_url":
            with pytest.raises(ValidationError) as caught:
                Settings.model_validate({name: "sem forma?"})
            assert [fault.partition(": ")[0] for fault in faults_of_settings(caught.value)] == [name.upper()]
            assert "como em" in faults_of_settings(caught.value)[0], name


def test_switches_are_written_as_they_are_read() -> None:
    for name, field in Settings.model_fields.items():
        if field.annotation in {bool, bool | None}:
            with pytest.raises(ValidationError) as caught:
                Settings.model_validate({name: "verdadeiro"})
            assert faults_of_settings(caught.value) == [f"{name.upper()}: Escreva true ou false."]


@pytest.mark.parametrize(
    "change",
    [
        {"trusted_proxies": "10.0.0.0/8, 2001:db8::/32"},
        {"trusted_proxies": " none "},
        {"mail_from": "Carteira <nao-responda@exemplo.com.br>"},
        {"documents_url": "file:///srv/documents"},
        {"redis_url": "rediss://cache/0?ssl_cert_reqs=required"},
        {"redis_url": "rediss://cache/0?ssl_cert_reqs=none", "redis_insecure": True},
        {"redis_url": "rediss+sentinel://:s@a,b:26380,c/0?service=carteira"},
        {"database_url": "postgresql://c@a,b/carteira?target_session_attrs=read-write", "database_insecure": True},
        {"limit_top_ups": " 100000 "},
        {"sms_url": "https://[2001:db8::1]:8443/send"},
    ],
    ids=str,
)
def test_unambiguous_values_are_accepted(change: dict[str, object]) -> None:
    Settings.model_validate(PRODUCTION | change)


@pytest.mark.parametrize(
    "change",
    [
        {"jwt_secret": "short"},
        {"metrics_token": "token"},
        {"metrics_token": "a token of Prometheus"},
        {"metrics_token": "\u00e1" * 20},
        {"trusted_proxies": "0.0.0.0/0"},
        {"trusted_proxies": "10.0.0.0/8,::/0"},
        {"trusted_proxies": "0.0.0.0/1,128.0.0.0/1"},
        {"redis_url": "rediss://cache/0?ssl_cert_reqs=none"},
        {"redis_url": "rediss://cache/0?a=b&ssl_check_hostname=false"},
        {"jwt_secret": "0123456789abcdef0123456789abcdef,short"},
        {"jwt_secret": "a" * 32},
        {"debug": True},
        {"operators_second_factor": "off"},
        {"database_url": "postgresql://carteira@db/carteira"},
        {"database_url": "postgresql://carteira@db/carteira?sslmode=prefer"},
        {"database_url": "postgresql://carteira@127.0.0.1,db/carteira"},
        {"database_url": "postgresql://carteira@a,b/carteira", "database_insecure": True},
        {"database_url": "postgresql://c@a,b/carteira?target_session_attrs=prefer-standby", "database_insecure": True},
        {"database_read_url": "postgresql://carteira@db/carteira"},
        {"redis_url": "redis://cache/0"},
        {"redis_url": "redis+sentinel://:s@127.0.0.1,b/0?service=carteira"},
        {"redis_url": "rediss+sentinel://:s@a/0?service=carteira&ssl_cert_reqs=none"},
        {"smtp_url": "smtp://carteira@mail"},
        {"sms_url": "http://sms.example/send"},
        {"public_url": "http://carteira.exemplo.com.br"},
        {"base_url_cashback": "http://cashback.example"},
        {"google_issuer": "http://accounts.example"},
        {"govbr_issuer": "http://sso.example"},
        {"govbr_api_url": "http://api.example"},
        {"meta_authorize_url": "http://www.example/oauth"},
        {"meta_token_url": "http://graph.example/token"},
        {"meta_user_url": "http://graph.example/me"},
        {"token_cashback": "sandbox"},
        {"govbr_issuer": "https://sso.staging.acesso.gov.br", "govbr_client_id": "id", "govbr_client_secret": "s"},
        {"govbr_api_url": "https://api.staging.acesso.gov.br", "govbr_client_id": "id", "govbr_client_secret": "s"},
    ],
    ids=str,
)
def test_production_refuses_weak_and_unencrypted_settings(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change)).upper()):
        Settings.model_validate(PRODUCTION | change)


@pytest.mark.parametrize(
    "change",
    [
        {"database_url": "postgresql://carteira@db/carteira", "database_insecure": True},
        {"database_url": "postgresql://carteira@127.0.0.1/carteira"},
        {"database_url": "postgresql://carteira@%2Frun%2Fpostgresql/carteira"},
        {"redis_url": "redis://cache/0", "redis_insecure": True},
        {"redis_url": "redis://localhost/0"},
        {"smtp_url": "smtp://mail?starttls=true"},
        {"smtp_url": "smtp://mail", "smtp_insecure": True},
        {"smtp_url": "smtp://mail?starttls=false", "smtp_insecure": True},
        {"public_url": "http://localhost:8000"},
        {"metrics_token": None, "metrics_open": True},
    ],
    ids=str,
)
def test_production_accepts_local_and_explicitly_insecure_addresses(change: dict[str, object]) -> None:
    assert Settings.model_validate(PRODUCTION | change).environment == "production"


STAGING = PRODUCTION | {"environment": "staging", "mail_only_to": "exemplo.com.br", "sms_url": None}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"token_cashback": "sandbox"},
        {"govbr_issuer": "https://sso.staging.acesso.gov.br", "govbr_client_id": "id", "govbr_client_secret": "s"},
        {"sms_url": "https://sms.example/send", "sms_only_to": "11987654321"},
        {"docs_open": True},
    ],
    ids=str,
)
def test_staging_takes_sandboxes(change: dict[str, object]) -> None:
    settings = Settings.model_validate(STAGING | change)
    assert (settings.needs_second_factor, settings.unproven_cpf_policy) == (True, "refuse")
    assert not settings.recharges_are_free


def test_production_refuses_the_stand_in_payment_provider(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    ours = Path("/run/secrets/pix.pem")
    real = {
        "pix_url": "https://pix.example/v2",
        "pix_token_url": "https://pix.example/oauth/token",
        "pix_client_id": "id",
        "pix_client_secret": "s",
        "pix_key": "pix@cidade.example",
        "pix_certificate_file": ours,
        "pix_certificate_key_file": ours,
    }
    assert Settings.model_validate(PRODUCTION | real).pix_key == "pix@cidade.example"
    for change in (
        {"pix_key": "simulacao@carteira.localhost"},
        {"pix_client_id": "sandbox"},
        {"pix_url": "https://127.0.0.1:8191/v2"},
        {"pix_token_url": "https://localhost:8191/oauth/token"},
        {"pix_certificate_file": made.ours.certificate},
        {"pix_authority_file": made.authority},
        {"pix_webhook_authority_file": made.authority},
    ):
        with pytest.raises(ValidationError, match=rf"{next(iter(change)).upper()}.* (substituto|máquina)"):
            Settings.model_validate(PRODUCTION | real | change)
        assert Settings.model_validate(STAGING | real | change).environment == "staging"
    for missing in sorted(set(real) - {"pix_url"}):
        with pytest.raises(ValidationError, match=f"{missing.upper()} precisa ser definida com PIX_URL"):
            Settings.model_validate({name: value for name, value in real.items() if name != missing})


@pytest.mark.parametrize("missing", sorted(set(STAGING) - {"environment", "sms_url"}))
def test_staging_refuses_the_same_as_production(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing.upper()):
        Settings.model_validate({name: value for name, value in STAGING.items() if name != missing})


@pytest.mark.parametrize("change", [{"sms_url": "https://sms.example/send"}, {"debug": True}, {"jwt_secret": "a" * 32}])
def test_staging_reaches_nobody_by_mistake_and_is_no_weaker(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"SMS_ONLY_TO|DEBUG|JWT_SECRET"):
        Settings.model_validate(STAGING | change)


def test_recipients_of_messages_are_a_list() -> None:
    settings = Settings(mail_only_to="Exemplo.com.br, casa.example", sms_only_to="11987654321,1133334444")
    assert settings.mail_domains == frozenset({"exemplo.com.br", "casa.example"})
    assert settings.sms_phones == frozenset({"11987654321", "1133334444"})
    assert Settings().mail_domains is None
    for wrong in ({"mail_only_to": "ana@exemplo.com.br"}, {"sms_only_to": "+55 11"}):
        with pytest.raises(ValidationError):
            Settings.model_validate(wrong)


def test_misspelt_settings_are_found_and_others_left_alone() -> None:
    known = {name.upper() for name in Settings.model_fields}
    names = ["ENVIROMENT", "database_ulr", "PATH", "HOSTNAME", "HOME", "PGHOST", "PORT", "port", "LANG", "SHLVL"]
    assert production.misspelt(names, known) == {"ENVIROMENT": "ENVIRONMENT", "database_ulr": "DATABASE_URL"}


def test_limits_are_numbers_or_none_and_only_of_modules_that_are_on() -> None:
    limits = {limit.name: limit for limit in Settings.model_validate(PRODUCTION | {"limit_refunds": "1000"}).limits}
    assert (limits["refunds"].alone, limits["refunds"].daily) == (1000, None)
    without_transit = {key: value for key, value in PRODUCTION.items() if "recharge" not in key}
    without_transit["carteira_modules"] = "benefits,resellers,documents,credit"
    assert Settings.model_validate(without_transit).recharge_without_payment is None
    for wrong in ("-1", "much", "0.5"):
        with pytest.raises(ValidationError, match="limit_refunds"):
            Settings.model_validate(PRODUCTION | {"limit_refunds": wrong})


@pytest.mark.parametrize("name", ["google", "meta", "govbr"])
def test_a_provider_in_production_wants_its_secret(name: str) -> None:
    whole = {f"{name}_client_id": "id", f"{name}_client_secret": "s"}
    assert Settings.model_validate(PRODUCTION | whole).environment == "production"
    with pytest.raises(ValidationError, match="precisa ser definida com"):
        Settings.model_validate(PRODUCTION | {f"{name}_client_id": "id"})


def test_settings_do_not_change_and_do_not_show_secrets() -> None:
    settings = Settings.model_validate(PRODUCTION)
    assert PRODUCTION["jwt_secret"] not in repr(settings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.__setattr__("port", 1)


@pytest.mark.parametrize(
    ("text", "modules"), [("all", {"benefits"}), ("none", set()), ("", set()), (" benefits ", {"benefits"})]
)
def test_modules_are_chosen_by_name(text: str, modules: set[str]) -> None:
    assert modules <= Settings(carteira_modules=text).modules
    if text != "all":
        assert Settings(carteira_modules=text).modules == modules
    with pytest.raises(ValidationError, match="módulos desconhecidos"):
        Settings(carteira_modules="benefits,casino")


def test_settings_are_read_from_files_that_the_environment_overrides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("SECRETS_FOLDER", str(folder))
    (folder / "METRICS_TOKEN").write_text("of-a-file-of-a-secret\n")
    (folder / "port").write_text("8123")
    (folder / "log_level").write_text("warning")
    (tmp_path / ".env").write_text("LOG_LEVEL=error\n")
    monkeypatch.setenv("PORT", "8124")
    settings = Settings()
    assert (settings.metrics_bearer(), settings.port, settings.log_level) == ("of-a-file-of-a-secret", 8124, "error")

    (folder / "databse_url").write_text("postgresql://carteira@db/carteira")
    assert ("databse_url", "DATABASE_URL") in misspelt_names()
    (folder / "workers").write_text("nenhum")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert where_to_set(faults_of_settings(refused.value)[0]) == f"corrija o arquivo workers de {folder}"


def test_a_folder_of_files_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRETS_FOLDER", str(tmp_path / "none"))
    with pytest.raises(NotADirectoryError) as refused:
        Settings()
    assert sentence_of(refused.value, None) == f"{tmp_path / 'none'}: não é uma pasta."


def test_the_columns_of_an_export_are_those_that_identity_writes() -> None:
    assert exports.COLUMNS == export.COLUMNS
    assert Settings(users_export_columns="e-mail, nome,e-mail").export_columns == ("e-mail", "nome")
    with pytest.raises(ValidationError, match="não há a coluna senha"):
        Settings(users_export_columns="nome,senha")
