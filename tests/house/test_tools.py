"""The developers' tools name the next migration, hide passwords, read e-mails, and drop only what is Carteira's."""

import mailbox
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import pytest

from carteira.embedded import HomeInUse
from carteira.embedded.home import Home
from tests.support.source import ROOT
from tools import letter, migration, psql, reset, shares


def test_the_next_migration_has_the_next_number() -> None:
    numbers = sorted(path.name[:4] for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    assert migration.next_revision() == f"{int(numbers[-1]) + 1:04}"


def test_psql_is_there() -> None:
    assert psql.find_psql()


def test_an_email_is_read_once_and_found_by_its_text(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "Maildir")
    for at, (to, text) in enumerate(
        (("ana@x.br", "Olá"), ("rui@x.br", "Código: 12345678"), ("ana@x.br", "Código: 87654321"))
    ):
        message = EmailMessage()
        message["To"] = to
        message.set_content(text)
        kept = mailbox.MaildirMessage(message)
        kept.set_date(at)
        box.add(kept)
    read = partial(letter.read_letter, tmp_path / "Maildir", "ana@x.br")
    assert read("[0-9]{8}") == "87654321"
    assert read("[0-9]{8}") is None
    assert read() == "Olá\n"
    assert read() is None
    assert letter.read_letter(tmp_path / "Maildir", "rui@x.br", "[0-9]{8}") == "12345678"


def test_reset_deletes_an_unused_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "home"
    monkeypatch.setenv("CARTEIRA_HOME", str(folder))
    monkeypatch.setenv("YES", "1")
    folder.mkdir()
    (folder / "thesis.txt").touch()
    with pytest.raises(SystemExit, match="no home of Carteira"):
        reset.main()
    home = Home(folder)
    home.acquire()
    home.password("carteira")
    home.subfolder("postgres")
    with pytest.raises(SystemExit, match="is up"):
        reset.main()
    assert home.password("carteira")
    home.release()
    reset.main()
    assert [path.name for path in folder.iterdir()] == ["lock"]
    with pytest.raises(HomeInUse):
        reset_while_used(folder)


def reset_while_used(folder: Path) -> None:
    home = Home(folder)
    home.acquire()
    try:
        reset.reset(folder)
    finally:
        home.release()


@pytest.mark.parametrize(("least", "enough"), [(50, True), (75, False)])
def test_lines_and_branches_have_a_share_each(least: int, enough: bool) -> None:  # noqa: FBT001 - a row of the table above
    nothing = {"missing_lines": 0, "missing_branches": 0}
    measured = {
        "totals": {"covered_lines": 9, "num_statements": 10, "covered_branches": 2, "num_branches": 4},
        "files": {
            "whole.py": {"summary": nothing},
            "a.py": {"summary": {"missing_lines": 0, "missing_branches": 1}},
            "b.py": {"summary": {"missing_lines": 1, "missing_branches": 1}},
        },
    }
    said, is_enough = shares.report(measured, least)
    assert said[0].startswith("lines 90.0 %, branches 50.0 %")
    assert [line.split()[-1] for line in said[1:]] == ["b.py", "a.py"]
    assert is_enough is enough
