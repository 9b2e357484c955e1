"""The proofs of the ledger, and the followers of its events with their backlogs."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from fastapi import Response

from carteira import ledger
from carteira.kit.db.session import Tx
from carteira.kit.values.texts import counted
from carteira.kit.web.access import claims, reads
from carteira.kit.web.state import BACKLOG
from carteira.web.console.cells import Cell, badge, count, instant, mono, words
from carteira.web.console.tables import (
    WORDS,
    Filter,
    Listed,
    Table,
    TableAsked,
    TableColumn,
    offer_csv,
    state_filter,
)
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
PROOFS, EVENTS = "/console/livro-razao", "/console/eventos"
LEDGER, HOUSE = "ledger:read", "house:read"
BEHIND_SECONDS = 60.0
"""The longest backlog of a follower that is not slow."""
NAMES = {"reconcile": "Saldos e lançamentos batem", "verify": "Cadeia do livro-razão"}
_NOBODYS = reads("proofs and positions, nobody's data")


@dataclass(frozen=True, slots=True)
class LedgerProof:
    """The last result of a proof of the ledger."""

    name: str
    checked_at: datetime
    whole_at: datetime | None
    entries: int
    findings: int
    height: int | None
    hash: bytes | None


def _findings(row: LedgerProof) -> Cell:
    if row.findings:
        return badge(counted(row.findings, "diferença"), "bad", "alert")
    return badge("Nenhuma", "ok", "check")


PROOF_TABLE: Table[LedgerProof] = Table(
    PROOFS,
    "conferências do livro-razão",
    (
        TableColumn("O que", lambda row: words(NAMES.get(row.name, row.name)), "full"),
        TableColumn("Conferido", lambda row: instant(row.checked_at), "nowrap"),
        TableColumn("Tudo conferido", lambda row: instant(row.whole_at), "nowrap"),
        TableColumn("Lançamentos", lambda row: count(row.entries), "end"),
        TableColumn("Bloco", lambda row: words("" if row.height is None else str(row.height)), "end"),
        TableColumn("Código do bloco", lambda row: mono(row.hash.hex() if row.hash else ""), "full"),
        TableColumn("Diferenças", _findings, "stack-end"),
    ),
    key=lambda row: row.name,
    filters=(Filter("diferencas", "Diferenças", "choice", (("sim", "Com diferenças"), ("nao", "Sem diferenças"))),),
    whole=True,
    empty=("Ainda não conferido", "O trabalho que confere o livro-razão faz isso a cada dia, e tudo a cada semana."),
)


async def _read_proofs(_page: WebPage, tx: Tx, asked: TableAsked, _limit: int) -> Listed[LedgerProof]:
    wanted = asked.get("diferencas")
    return Listed(
        [
            LedgerProof(row.check, row.checked_at, row.whole_at, row.entries, row.findings, row.height, row.hash)
            for row in await ledger.last_checks(tx)
            if wanted is None or (wanted == "sim") == bool(row.findings)
        ]
    )


@router.get(PROOFS, dependencies=[claims(LEDGER), _NOBODYS])
async def show_proofs(page: SignedPage) -> Response:
    """List the last result of each proof of the ledger."""
    return await PROOF_TABLE.answer(page, partial(_read_proofs, page), template="console/proofs.html")


offer_csv(router, PROOF_TABLE, _read_proofs, LEDGER)


@dataclass(frozen=True, slots=True)
class FollowerBehind:
    """A follower of the outbox, and its backlog."""

    name: str
    rows: int
    seconds: float


def _state(row: FollowerBehind) -> Cell:
    return badge("Atrasado", "bad", "alert") if row.seconds > BEHIND_SECONDS else badge("Em dia", "ok", "check")


EVENT_TABLE: Table[FollowerBehind] = Table(
    EVENTS,
    "seguidores de eventos",
    (
        TableColumn("Quem segue", lambda row: mono(row.name), "full"),
        TableColumn("À espera", lambda row: count(row.rows), "end"),
        TableColumn("O mais antigo, em segundos", lambda row: count(round(row.seconds)), "end"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.name,
    filters=(WORDS, state_filter("Em dia", "Atrasado")),
    whole=True,
    empty=("Ninguém segue eventos", "Com os módulos que estão ligados, nada espera por eventos."),
)


async def _read_followers(page: WebPage, _tx: Tx, _asked: TableAsked, _limit: int) -> Listed[FollowerBehind]:
    lags = await BACKLOG.of(page.request.app).lags(page.database.reads)
    return Listed([FollowerBehind(name, lag.rows, lag.oldest_seconds) for name, lag in sorted(lags.items())])


@router.get(EVENTS, dependencies=[claims(HOUSE), _NOBODYS])
async def show_followers(page: SignedPage) -> Response:
    """List the followers of events, with their backlogs."""
    return await EVENT_TABLE.answer(page, partial(_read_followers, page), template="console/followers.html")


offer_csv(router, EVENT_TABLE, _read_followers, HOUSE)
