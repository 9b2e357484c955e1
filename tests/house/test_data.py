"""Every table has a class of data that fits what it holds."""

import re

from carteira import schema
from carteira.kit.db.base import Base
from tests.support.source import ROOT

PAGE = (ROOT / "docs" / "reference" / "data.md").read_text()
CLASSES = re.findall(r"^\| ([a-z]+) \| (?:[^|\n]+\|){6}$", PAGE, re.MULTILINE)
SECRETS = re.compile(r"(token|code|secret|password|reset|jti|state|challenge|browser)_hash|secret|public_key")
PERSONAL = {
    "full_name",
    "email",
    "phone",
    "cpf",
    "contact",
    "former",
    "device",
    "gaining_cpfs",
    "owner_id",
    "reseller_id",
}
"""Columns that identify a person or hold their data."""


def classes() -> dict[str, str]:
    """Return the class of each table that the page names."""
    schema.load_models()
    rows = re.findall(r"^\| `([a-z_]+)` \| ([a-z]+) \|", PAGE, re.MULTILINE)
    assert len(dict(rows)) == len(rows), "a table is listed twice"
    return dict(rows)


def test_each_table_has_a_class() -> None:
    found = classes()
    assert set(found) == set(Base.metadata.tables)
    assert set(found.values()) <= set(CLASSES[1:])
    assert CLASSES[0] == "class"


def test_credentials_are_secret_and_peoples_data_at_least_personal() -> None:
    found = classes()
    columns = {name: {column.name for column in table.columns} for name, table in Base.metadata.tables.items()}
    lets_in = {name for name, held in columns.items() if any(SECRETS.fullmatch(column) for column in held)}
    assert {name for name in lets_in if found[name] != "secret"} == set()
    persons = {name for name, held in columns.items() if held & PERSONAL}
    assert {name for name in persons if found[name] not in {"secret", "sealed", "personal"}} == set()
