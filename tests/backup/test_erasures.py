"""Erased people stay erased: the journal of erasures is applied to a restored database."""

from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from carteira import identity
from carteira.app import backup_config
from carteira.backup import making
from carteira.backup.erasures import confirmed_of, erase_again, open_of, unknown_to
from carteira.cli.erasures import app as erasures
from carteira.cli.restore import app as restore
from carteira.embedded import Endpoints
from carteira.kit.db.engine import open_database
from carteira.kit.security.age import CannotOpen, PrivateKey
from carteira.settings import Settings
from tests.support.app import RunningApp, running_app
from tests.support.benefits import open_benefit_account
from tests.support.commands import set_environment, typed
from tests.support.credit import analyst_of, fill_bases
from tests.support.databases import on_server
from tests.support.people import Person, register


def journal_of(app: RunningApp) -> identity.ErasureJournal:
    journal: identity.ErasureJournal = app.api.state.identity.journal
    return journal


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def proven(app: RunningApp, **balances: int) -> Person:
    """Return a person with a proven CPF, records in bases A and B, and a benefit account."""
    person = await register(app)
    async with app.database.transaction() as tx:
        await tx.execute(
            text("UPDATE users SET cpf_proven_at = now(), cpf_proven_by = 'operator' WHERE id = :id"),
            {"id": person.id},
        )
    await fill_bases(analyst_of(app, "*"), person.cpf)
    await open_benefit_account(app.operator(), user_id=person.id, **balances)
    return person


async def intended(app: RunningApp, person: Person) -> identity.JournalEntry:
    """Write into the journal that a person is about to be erased, and leave the database as it is."""
    async with app.database.transaction() as tx:
        traces = {name: await trace(tx, person.id) for name, trace in app.api.state.identity.tracers.items()}
    return await journal_of(app).intend(person.id, traces)


async def test_an_erasure_is_written_down_before_it_is_answered(
    app: RunningApp, journal_folder: Path, private_key: PrivateKey
) -> None:
    person = await proven(app)
    assert (await person.call("DELETE", f"/users/{person.id}")).status_code == 204
    (entry,) = await journal_of(app).entries()
    assert (entry.user_id, entry.confirmed) == (person.id, True)
    assert person.cpf.encode() not in all_bytes(journal_folder)
    traces = await journal_of(app).traces_of(entry, private_key)
    assert set(traces["credit"]) == {"a", "b", "c"}
    assert person.cpf not in str(traces)
    with pytest.raises(CannotOpen):
        await journal_of(app).traces_of(entry, PrivateKey.make())


async def test_without_the_journal_nobody_is_erased(app: RunningApp, journal_folder: Path) -> None:
    person = await register(app)
    (journal_folder / "erasures").write_bytes(b"in the way")
    refused = await person.call("DELETE", f"/users/{person.id}")
    assert (refused.status_code, refused.json()["code"]) == (503, "erasure_journal_down")
    assert (await person.get("/users/me")).json()["cpf"] == person.cpf
    (journal_folder / "erasures").unlink()
    assert (await person.call("DELETE", f"/users/{person.id}")).status_code == 204


async def test_a_journal_that_goes_away_after_the_commit_is_reported_and_made_up_for(
    app: RunningApp, journal_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, journal = await register(app), journal_of(app)
    intend = journal.intend

    async def intend_and_lose(user_id: UUID, traces: dict[str, object]) -> identity.JournalEntry:
        entry = await intend(user_id, traces)
        (journal_folder / "erasures" / str(user_id) / f"{entry.id}.confirmed").mkdir()
        return entry

    monkeypatch.setattr(journal, "intend", intend_and_lose)
    told = await person.call("DELETE", f"/users/{person.id}")
    assert (told.status_code, told.json()["code"]) == (503, "erasure_journal_down")
    assert (await person.get("/users/me")).status_code in {401, 404}
    (open_entry,) = open_of(await journal.entries())
    (journal_folder / "erasures" / str(person.id) / f"{open_entry.id}.confirmed").rmdir()
    await identity.confirm_erasures(app.database, journal)
    assert [entry.confirmed for entry in await journal.entries()] == [True]


async def test_a_restored_database_erases_again_whatever_balance_it_has(
    app: RunningApp, private_key: PrivateKey
) -> None:
    """The journal is later than the backup: the person had since spent the balance that they have here."""
    person, analyst = await proven(app, FOOD=700), analyst_of(app, "*")
    runtime, journal = app.api.state.identity, journal_of(app)
    await journal.confirm(await intended(app, person))
    entries = confirmed_of(await journal.entries())
    done = await erase_again(app.database, runtime, journal, private_key, entries)
    assert (done.erased, done.absent) == (1, 0)
    assert [(left.user_id, left.balance) for left in done.money] == [(person.id, 700)]
    profile = (await analyst.call("GET", f"/credit/{person.cpf}")).json()
    assert (profile["base_a"], profile["base_b"]) == (None, None)
    async with app.database.transaction() as tx:
        row = (
            await tx.execute(text("SELECT cpf, email, erased_at FROM users WHERE id = :id"), {"id": person.id})
        ).one()
    assert (row.cpf, row.email, row.erased_at is None) == (None, None, False)
    await fill_bases(analyst, person.cpf)  # what an export of base B from before brings back
    assert [await unknown_to(app.database, known) for known in (entries, [])] == [0, 1]
    again = await erase_again(app.database, runtime, journal, private_key, entries)
    assert (again.erased, again.absent, again.money) == (0, 1, [])
    profile = (await analyst.call("GET", f"/credit/{person.cpf}")).json()
    assert (profile["base_a"], profile["base_b"]) == (None, None)


@pytest.fixture
def placed(settings: Settings, endpoints: Endpoints, tmp_path: Path) -> Settings:
    """Return the settings of an installation that has a place for dumps."""
    database = settings.database().rpartition("/")[2]
    return settings.model_copy(
        update={
            "backup_url": (tmp_path / "place").as_uri(),
            "backup_database_url": SecretStr(on_server(endpoints.backup_url, database)),
            "backup_form": "logical",
        }
    )


@pytest.mark.timeout(400)
@pytest.mark.parametrize("command", ["apply", "stores"])
@pytest.mark.parametrize(
    ("intents", "answer", "is_erased"),
    [
        pytest.param("ask", "s\n", True, id="yes"),
        pytest.param("ask", "n\n", False, id="no"),
        pytest.param("apply", "", True, id="apply"),
        pytest.param("leave", "", False, id="leave"),
    ],
)
async def test_an_erasure_that_may_not_be_committed_is_repeated_or_left_as_told(  # noqa: PLR0917 - fixtures, parameters
    placed: Settings,
    private_key: PrivateKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    intents: str,
    answer: str,
    is_erased: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The confirmed one is repeated in each case, and nobody is asked about it, though it was also begun in vain."""
    async with running_app(placed) as app:
        certain, doubtful = await register(app), await proven(app, FOOD=700)
        await intended(app, certain)
        await journal_of(app).confirm(await intended(app, certain))
        await intended(app, doubtful)
    (key := tmp_path / "backup.key").write_text(private_key.text())
    set_environment(monkeypatch, placed, tmp_path)
    if command == "apply":
        done = await typed(erasures, "apply", f"--identity={key}", f"--intents={intents}", answer=answer)
    else:
        await making.make(backup_config(placed))
        options = (f"--identity={key}", f"--intents={intents}", "--again", "--yes")
        done = await typed(restore, "stores", *options, answer=answer)
    assert done.exit_code == 0, (done.output, done.exception)
    assert ("Tudo confere." in done.output) == (command == "stores"), done.output
    assert done.output.count("Apagar?") == (intents == "ask"), done.output
    assert done.output.count(f"A eliminação de {doubtful.id}") == (intents == "ask"), done.output
    assert f"{1 + is_erased} pessoa(s) apagada(s) de novo, 0 já não estava(m) lá." in done.output
    assert ("700 centavos" in done.output) == is_erased, done.output
    async with open_database(placed.database()) as database, database.transaction() as tx:
        rows = await tx.execute(text("SELECT CAST(id AS text), cpf FROM users WHERE erased_at IS NULL"))
        left = {row.id: row.cpf for row in rows}
    assert (str(certain.id) in left, left.get(str(doubtful.id))) == (False, None if is_erased else doubtful.cpf)
