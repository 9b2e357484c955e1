"""`carteira erasures …`: the journal of erasures, and their repetition in a restored database."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carteira.cli.terminal import confirm, database_of, err, fail, out, run_quietly, settings_here
from carteira.settings import Settings

if TYPE_CHECKING:
    from carteira.backup.erasures import ErasedAgain
    from carteira.identity import ErasureJournal, JournalEntry
    from carteira.kit.security.age import PrivateKey

app = typer.Typer(no_args_is_help=True, help="Eliminações de pessoas, anotadas fora do banco de dados.")

KeyOption = Annotated[Path, typer.Option("--identity", help="Arquivo da chave privada dos backups.")]


class Intents(StrEnum):
    """The handling of erasures that may not have been committed."""

    ASK = "ask"
    APPLY = "apply"
    LEAVE = "leave"


IntentsOption = Annotated[
    Intents, typer.Option(help="O que fazer de eliminações que talvez não se completaram: perguntar, aplicar, deixar.")
]


@app.command("list")
def list_entries() -> None:
    """Lista as eliminações anotadas, da mais antiga à mais nova."""
    journal = journal_of(settings_here())
    entries = run_quietly("Lendo o diário", journal.entries)
    for entry in entries:
        state = "confirmada" if entry.confirmed else "talvez não completada"
        out.print(f"{entry.begun_at:%Y-%m-%d %H:%M} UTC  {entry.user_id}  {state}", highlight=False)
    out.print(f"{len(entries)} eliminação(ões).")


@app.command("apply")
def apply(identity: KeyOption, intents: IntentsOption = Intents.ASK) -> None:
    """Apaga de novo, num banco restaurado, quem o diário diz que foi apagado, qualquer que seja o saldo de então."""
    settings = settings_here()
    database_of(settings)
    print_result(apply_to(settings, journal_of(settings), load_key(identity), intents))


def journal_of(settings: Settings) -> "ErasureJournal":
    """Open the journal, or fail if there is none."""
    from carteira.app import erasure_journal

    open_journal = erasure_journal(settings)
    if open_journal is None:
        fail("ERASURE_JOURNAL_URL não está definida.")
    return open_journal()


def load_key(path: Path) -> "PrivateKey":
    """Read the private key, or fail with its file's fault."""
    from carteira.kit.security.age import PrivateKey

    try:
        return PrivateKey.load(path)
    except ValueError as error:
        fail(f"{error}.")


def apply_to(settings: Settings, journal: "ErasureJournal", key: "PrivateKey", intents: Intents) -> "ErasedAgain":
    """Repeat the journal's erasures in the settings' database."""
    from carteira.backup.erasures import confirmed_of, open_of

    entries = run_quietly("Lendo o diário", journal.entries)
    chosen = [*confirmed_of(entries), *(entry for entry in open_of(entries) if _is_selected(entry, intents))]
    return run_quietly("Apagando de novo", lambda: _erase_again(settings, journal, key, entries, chosen))


def _is_selected(entry: "JournalEntry", intents: Intents) -> bool:
    if intents is not Intents.ASK:
        return intents is Intents.APPLY
    return confirm(
        f"A eliminação de {entry.user_id}, de {entry.begun_at:%Y-%m-%d %H:%M} UTC, talvez não se completou. Apagar?"
    )


async def _erase_again(
    settings: Settings,
    journal: "ErasureJournal",
    key: "PrivateKey",
    entries: "Sequence[JournalEntry]",
    chosen: "Sequence[JournalEntry]",
) -> "ErasedAgain":
    """Compose the product without serving it, since each module erases its part of a person."""
    from carteira import identity
    from carteira.app import create_app
    from carteira.backup.erasures import erase_again, unknown_to
    from carteira.kit.web.state import DATABASE

    api = create_app(settings).api
    async with api.router.lifespan_context(api):
        unknown = await unknown_to(DATABASE.of(api), entries)
        done = await erase_again(DATABASE.of(api), identity.RUNTIME.of(api), journal, key, chosen)
    return replace(done, unknown=unknown)


def print_result(done: "ErasedAgain") -> None:
    """Print the result of repeated erasures, the balances left without an owner, and doubts about the journal."""
    for left in done.money:
        out.print(
            f"{left.user_id}  {left.kind}  conta {left.account_id}: {left.balance} centavos, {left.held} reservados",
            highlight=False,
            soft_wrap=True,
        )
    if done.money:
        err.print("O dinheiro acima ficou sem dono: devolva-o por fora a quem pertencia, e estorne-o no livro-razão.")
    out.print(f"{done.erased} pessoa(s) apagada(s) de novo, {done.absent} já não estava(m) lá.")
    if done.unknown:
        err.print(
            f"[yellow]Atenção:[/] o diário não tem {done.unknown} pessoa(s) que este banco já tinha apagado. Se havia "
            "diário então, ele não está completo, e quem foi apagado depois do backup pode estar de volta: confira "
            "ERASURE_JOURNAL_URL, e execute `carteira erasures apply`.",
            soft_wrap=True,
        )
