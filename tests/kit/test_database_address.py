"""`DATABASE_URL` is read once, as libpq reads it; an option that a driver cannot honour is refused by name."""

from pathlib import Path

import pytest

from carteira.kit.db.address import AddressRefused, DatabaseAddress, DatabaseHost


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_plain_address_names_itself_and_gives_up_in_time() -> None:
    address = DatabaseAddress.parse("postgresql://maria:s%40o@127.0.0.1:5433/carteira")
    assert address.variables == {
        "PGHOST": "127.0.0.1",
        "PGPORT": "5433",
        "PGUSER": "maria",
        "PGPASSWORD": "s@o",
        "PGDATABASE": "carteira",
        "PGAPPNAME": "carteira",
        "PGCONNECT_TIMEOUT": "5",
    }
    assert address.place == "127.0.0.1:5433/carteira"
    assert "s@o" not in repr(address)
    assert "s@o" in address.conninfo


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
def test_the_schemes_of_others_are_understood(scheme: str) -> None:
    assert DatabaseAddress.parse(f"{scheme}://maria@db/carteira").hosts == (DatabaseHost("db", 5432),)


def test_several_hosts_have_a_port_each_or_one_for_all() -> None:
    url = "postgresql://a,b:5433,%2Frun%2Fpg:5434/carteira?target_session_attrs=read-write"
    assert [str(host) for host in DatabaseAddress.parse(url).hosts] == ["a:5432", "b:5433", "/run/pg:5434"]
    assert [str(host) for host in DatabaseAddress.parse("postgresql:///x?host=a,b&port=6432").hosts] == [
        "a:6432",
        "b:6432",
    ]


def test_variables_complete_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGUSER", "ana")
    monkeypatch.setenv("PGSSLMODE", "require")
    address = DatabaseAddress.parse("postgresql://db/carteira")
    assert (address.hosts[0].name, address.user, address.demands_tls) == ("db", "ana", True)


def test_a_service_file_completes_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    file.write_text("# ours\n[wallet]\nhost=db\nport=6000\nuser=ana\npassword=50%\n[broken]\nhots=db\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("PGPORT", "7000")
    address = DatabaseAddress.parse("postgresql://maria@/carteira?service=wallet")
    assert address.place == "db:6000/carteira"
    assert (address.user, address.options["password"]) == ("maria", "50%")
    assert "service" not in address.options
    with pytest.raises(AddressRefused, match="hots, do serviço broken"):
        DatabaseAddress.parse("postgresql:///carteira?service=broken")
    with pytest.raises(AddressRefused, match="o serviço other não está"):
        DatabaseAddress.parse("postgresql:///carteira?service=other")


def test_options_of_the_address_are_known() -> None:
    address = DatabaseAddress.parse("postgresql://db/x?options=-c%20statement_timeout%3D5s%20--lock-timeout%3D1s")
    assert address.settings == {"statement_timeout", "lock_timeout"}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("ssl_mode=require", "ssl_mode não existe"),
        ("prepared_statement_cache_size=0", "prepared_statement_cache_size não existe"),
        ("channel_binding=require", "channel_binding=require não é atendida"),
        ("gssencmode=require", "gssencmode=require não é atendida"),
        ("require_auth=scram-sha-256", "require_auth não é atendida"),
        ("hostaddr=127.0.0.1", "hostaddr não é atendida"),
        ("sslcrldir=/tmp", "sslcrldir não é atendida"),
        ("replication=database", "replication não é atendida"),
        ("client_encoding=latin1", "client_encoding=latin1 não é atendida"),
        ("sslmode=always", "sslmode é um de disable, allow, prefer, require, verify-ca, verify-full"),
        ("target_session_attrs=master", "target_session_attrs é um de"),
        ("connect_timeout=soon", "connect_timeout é um número"),
        ("sslmode=require&sslrootcert=/nao/existe.crt", "sslrootcert: o arquivo /nao/existe.crt não pôde ser lido"),
        ("sslcert=/nao/existe.crt", "sslcert: o arquivo"),
        ("sslmode=verify-full", "sslmode=verify-full pede sslrootcert"),
        ("sslmode=require&sslrootcert=system", "sslrootcert=system pede sslmode=verify-full"),
        ("host=a,b&port=1,2,3", "uma porta só, ou uma por máquina"),
        ("port=oitenta", "a porta é um número de 1 a 65535"),
        ("host=@abstract", "soquetes abstratos"),
    ],
)
def test_unsupported_options_are_refused_by_name(query: str, said: str) -> None:
    with pytest.raises(AddressRefused, match=said):
        DatabaseAddress.parse(f"postgresql:///carteira?{query}")


@pytest.mark.parametrize(
    "url", ["", "mysql://ana:segredo@db/carteira", "segredo", "postgresql://ana:segredo/x@db/carteira"]
)
def test_invalid_addresses_are_reported_without_repeating_them(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        DatabaseAddress.parse(url)
    assert "segredo" not in str(refused.value)


@pytest.mark.parametrize(
    "query",
    ["channel_binding=prefer", "gssencmode=disable", "sslsni=1", "max_protocol_version=latest", "client_encoding=UTF8"],
)
def test_plain_addresses_are_accepted(query: str) -> None:
    assert DatabaseAddress.parse(f"postgresql://db/carteira?{query}").place == "db:5432/carteira"
