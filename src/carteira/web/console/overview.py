"""The panel: whether money is flowing, and the work that waits for the operator.

Each part needs its claim; no personal data.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import Response
from sqlalchemy import Select

from carteira import assistant, benefits, documents, identity, ledger, payments, resellers, webhooks
from carteira.kit.db import jobs
from carteira.kit.db.one_row import OneRow, ask_together
from carteira.kit.db.session import Tx
from carteira.kit.ops import metrics
from carteira.kit.security import audit_checks
from carteira.kit.values.clock import clock
from carteira.kit.values.texts import counted
from carteira.kit.web.access import Principal, reads
from carteira.kit.web.approvals import DESK
from carteira.kit.web.problems import NotFound
from carteira.kit.web.state import BACKLOG
from carteira.web.console.house import ages_of
from carteira.web.console.proofs import BEHIND_SECONDS, EVENTS, NAMES, PROOFS
from carteira.web.console.screens import HOME, ConsoleNavigation, opens_console
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
_MINUTES = 15
_WIDTH, _FLOOR, _TALLEST = 720, 160, 140
_LATENCY_WIDTH, _LATENCY_TALLEST = 320, 110
_STALE = timedelta(hours=30)
_HEAD_SIGNS = 12
"""The number of shown digits of a chain's head: enough to compare it by eye."""
_LATENCY = "carteira_authorization_seconds"
_AGES, _DECISIONS = "/console/chaves-e-backups", "/console/autorizacoes"
_FILE_SECONDS = 3_600.0
"""A file of accounts that takes longer is an alert."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Figures of recent authorizations."""

    totals: benefits.DecisionTotals
    per_second: float
    approved_percent: float | None
    usual_ms: float | None
    slow_ms: float | None
    """The response times of 50 % and 99 % since this server started."""
    latencies: "list[LatencyBar]"
    bars: "list[MinuteBar]"
    reasons: "list[CountedReason]"


@dataclass(frozen=True, slots=True)
class CountedReason:
    """A reason of declines: its name, its count, and the list of them."""

    name: str
    count: int
    path: str


@dataclass(frozen=True, slots=True)
class MinuteBar:
    """A minute's bar: approvals below, declines above."""

    at: datetime
    passed: int
    declined: int
    x: int
    width: int
    passed_height: int
    declined_height: int


@dataclass(frozen=True, slots=True)
class Todo:
    """Work that waits for the operator."""

    path: str
    icon: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HouseProof:
    """A health check of the installation: its name, its result, and since when."""

    what: str
    tone: str
    icon: str
    said: str
    at: datetime | None = None
    path: str = ""
    """The screen where it is looked into, for those who see it."""


@dataclass(frozen=True, slots=True)
class LatencyBar:
    """The number of answers in one bucket; None: those beyond all bounds."""

    up_to_ms: float | None
    count: int
    x: int
    width: int
    height: int


async def _flow(page: WebPage) -> Flow | None:
    if not (page.has("benefits") and page.holds("benefits:read") and page.who.scopes is None):
        return None
    totals = await page.read(lambda tx: benefits.decision_totals(tx, minutes=_MINUTES))
    buckets = await asyncio.to_thread(metrics.buckets_of, _LATENCY)
    usual, slow = (metrics.seconds_within(buckets, share) for share in (0.5, 0.99))
    seconds = max(1.0, (clock.now() - totals.since).total_seconds())
    approved = totals.by_code.get("00", 0)
    reasons = sorted(totals.by_reason.items(), key=lambda pair: -pair[1])[:6]
    return Flow(
        totals,
        totals.total / seconds,
        100 * approved / totals.total if totals.total else None,
        None if usual is None else usual * 1000,
        None if slow is None else slow * 1000,
        latency_bars_of(buckets),
        bars_of(totals.by_minute),
        [_counted_reason(reason, count) for reason, count in reasons],
    )


def _counted_reason(reason: str, count: int) -> CountedReason:
    known = reason in benefits.desk.DECLINES
    path = f"{_DECISIONS}?motivo={reason}" if known else f"{_DECISIONS}?resposta=recusadas"
    return CountedReason(benefits.desk.reason_name(reason), count, path)


def bars_of(minutes: Sequence[tuple[datetime, int, int]]) -> list[MinuteBar]:
    """Return a bar for each minute; the largest fills the height."""
    if minutes:
        known = {at: (passed, declined) for at, passed, declined in minutes}
        first, last = minutes[0][0], minutes[-1][0]
        whole = [first + timedelta(minutes=more) for more in range(int((last - first).total_seconds() // 60) + 1)]
        minutes = [(at, *known.get(at, (0, 0))) for at in whole]
    most = max((passed + declined for _, passed, declined in minutes), default=0) or 1
    step = _WIDTH // max(_MINUTES + 1, len(minutes))
    return [
        MinuteBar(
            at,
            passed,
            declined,
            place * step + 2,
            step - 4,
            passed * _TALLEST // most,
            declined * _TALLEST // most,
        )
        for place, (at, passed, declined) in enumerate(minutes)
    ]


def latency_bars_of(buckets: Sequence[tuple[float, int]]) -> list[LatencyBar]:
    """Return a bar for each bucket from the first to the last that has any; the largest fills the height.

    A bucket with few answers has a bar of one pixel, since slow ones are what an operator looks for.
    """
    filled = [place for place, (_, count) in enumerate(buckets) if count]
    if not filled:
        return []
    shown = buckets[filled[0] : filled[-1] + 1]
    most = max(count for _, count in shown)
    step = _LATENCY_WIDTH // max(len(shown), 4)
    return [
        LatencyBar(
            bound * 1000 if math.isfinite(bound) else None,
            count,
            place * step + 2,
            step - 4,
            max(count * _LATENCY_TALLEST // most, 1 if count else 0),
        )
        for place, (bound, count) in enumerate(shown)
    ]


@dataclass(frozen=True, slots=True)
class CountedTodo:
    """Work that is counted: its optional module, its claim, and its text."""

    module: str
    claim: str
    count: Callable[[UUID], Select[int]]
    path: str
    icon: str
    one: str
    several: str


_COUNTED = (
    CountedTodo(
        "",
        "users:write",
        identity.desk.data_requests.count_open,
        "/console/pedidos",
        "shield",
        "pedido de titular a responder",
        "pedidos de titulares a responder",
    ),
    CountedTodo(
        "",
        "identity:prove",
        identity.desk.count_disputes,
        "/console/cpfs-em-disputa",
        "finger",
        "CPF em disputa",
        "CPFs em disputa",
    ),
    CountedTodo(
        "payments",
        "payments:return",
        lambda _who: payments.office.count_to_return(),
        "/console/recebidos",
        "in",
        "Pix a devolver",
        "Pix a devolver",
    ),
    CountedTodo(
        "documents",
        "documents:review",
        documents.desk.count_waiting,
        "/console/documentos",
        "doc",
        "documento a conferir",
        "documentos a conferir",
    ),
    CountedTodo(
        "assistant",
        "assistant:read",
        assistant.desk.count_open,
        "/console/atendimentos",
        "chat",
        "atendimento aberto",
        "atendimentos abertos",
    ),
)


def _kinds(page: WebPage) -> list[CountedTodo]:
    return [kind for kind in _COUNTED if (not kind.module or page.has(kind.module)) and page.holds(kind.claim)]


def _questions(page: WebPage, parties: frozenset[UUID]) -> dict[str, OneRow[Any]]:
    """Return the queries that the operator's claims allow, for one statement."""
    asked: dict[str, OneRow[Any]] = {kind.path: OneRow(kind.count(page.user_id), int) for kind in _kinds(page)}
    if page.has("resellers") and page.holds("purchases:approve"):
        asked["purchases"] = resellers.desk.waiting(parties)
    if page.holds("ledger:read"):
        asked |= {"reconcile": ledger.last_check("reconcile"), "verify": ledger.last_check("verify")}
    if page.holds("audit:read"):
        since = clock.now() - timedelta(minutes=_MINUTES)
        asked |= {"audit": audit_checks.LAST, "sign_ins": OneRow(identity.desk.count_sign_ins(since), int)}
    if page.has("payments") and page.holds("payments:read"):
        asked["day"] = payments.office.last_day()
    if page.holds("house:read"):
        asked["queue"] = jobs.QUEUE_STATE
    if page.has("benefits") and page.holds("benefits:write") and page.who.scopes is None:
        asked["bulk"] = benefits.bulk_desk.bulk_state()
    if page.has("webhooks") and page.holds("webhooks:read"):
        asked["down"] = OneRow(webhooks.desk.count_down(), int)
    return asked


async def _facts(page: WebPage) -> Mapping[str, Any]:
    """Return all counts, without what the operator may not decide: what they or a client of theirs made or gain by."""
    desk = DESK.of(page.request.app)

    async def read(tx: Tx) -> Mapping[str, Any]:
        parties = await desk.parties(tx, page.who)
        decidable = await desk.decidable(tx, page.who, parties)
        asked = _questions(page, parties)
        return await ask_together(tx, asked if decidable is None else asked | {"pending": decidable})

    return await page.read(read)


def _waits(page: WebPage, facts: Mapping[str, Any]) -> list[Todo]:
    """List the work that the operator may do."""
    found: list[Todo] = []
    if pending := facts.get("pending"):
        found.append(_todo("/console/pendencias", "bell", pending, "pendência", "pendências", "à sua aprovação"))
    purchases: resellers.desk.WaitingPurchases | None = facts.get("purchases")
    if purchases is not None and purchases.count:
        detail = "" if purchases.oldest is None else f"a mais antiga é de {purchases.oldest:%d/%m/%Y}"
        found.append(
            _todo("/console/compras", "check", purchases.count, "compra a decidir", "compras a decidir", detail)
        )
    counted = [(kind, facts[kind.path]) for kind in _kinds(page)]
    return found + [_todo(kind.path, kind.icon, count, kind.one, kind.several) for kind, count in counted if count]


def _todo(path: str, icon: str, count: int, one: str, several: str, detail: str = "") -> Todo:  # noqa: PLR0913, PLR0917 - the parts of a line
    return Todo(path, icon, f"{count} {one if count == 1 else several}", detail)


_CHECKS = (
    ("reconcile", NAMES["reconcile"], PROOFS),
    ("verify", NAMES["verify"], PROOFS),
    ("audit", "Cadeia da auditoria", "/console/auditoria"),
)
"""The proofs, by the names of their queries."""


def _health(facts: Mapping[str, Any]) -> list[HouseProof]:
    """Return the health checks that the operator may see."""
    found = [_checked(what, facts[name], path) for name, what, path in _CHECKS if name in facts]
    if (day := facts.get("day")) is not None:
        found.append(_proof("Pix e a lista do provedor", day.checked_at, day.differences, path="/console/conferencia"))
    if (queue := facts.get("queue")) is not None:
        said = counted(queue.failed, "abandonado") if queue.failed else f"{queue.waiting} na fila"
        tone, icon = ("bad", "alert") if queue.failed else ("ok", "check")
        found.append(HouseProof("Trabalhos", tone, icon, said, path="/console/trabalhos"))
    if "sign_ins" in facts:
        said = f"{facts['sign_ins']} em {_MINUTES} minutos"
        found.append(HouseProof("Entradas", "ok", "user", said, path="/console/auditoria?acao=sign_in"))
    return found


def _checked(what: str, check: ledger.SeenCheck | audit_checks.SeenAuditCheck | None, path: str) -> HouseProof:
    """Return a proof's last result; a chain's with its head, which operators compare with a copy kept elsewhere."""
    if check is None:
        return _unproven(what, path)
    proof = _proof(what, check.checked_at, check.findings, check.whole_at, path)
    if check.height is None or check.hash is None:
        return proof
    return replace(proof, said=f"{proof.said}; cabeça: bloco {check.height}, {check.hash.hex()[:_HEAD_SIGNS]}")


async def _house(page: WebPage) -> list[HouseProof]:
    """Return the state of followers, and of keys' and backups' ages."""
    if not page.holds("house:read"):
        return []
    backlog = BACKLOG.of(page.request.app)
    lags, ages = await asyncio.gather(backlog.lags(page.database.reads), ages_of(page))
    behind = {name: lag for name, lag in lags.items() if lag.oldest_seconds > BEHIND_SECONDS}
    if behind:
        slowest, lag = max(behind.items(), key=lambda pair: pair[1].oldest_seconds)
        said = f"{slowest}: {lag.rows} à espera há {lag.oldest_seconds:.0f} s"
        found = [HouseProof("Eventos", "bad", "alert", said, path=EVENTS)]
    else:
        found = [HouseProof("Eventos", "ok", "check", "em dia", path=EVENTS)]
    wrong = [age for age in ages if age.tone != "ok"]
    return found + [HouseProof(age.what, age.tone, "alert", age.said, age.at, _AGES) for age in wrong]


def _late(facts: Mapping[str, Any]) -> list[HouseProof]:
    """Return the worker's overdue work, by the bounds of Prometheus' alerts."""
    found: list[HouseProof] = []
    if (bulk := facts.get("bulk")) is not None:
        if bulk.oldest_file is not None and bulk.file_seconds > _FILE_SECONDS:
            path = "/console/contas-em-lote"
            found.append(HouseProof("Arquivo de contas", "bad", "alert", "não termina", bulk.oldest_file, path))
        path = "/console/agendamentos"
        if bulk.overdue:
            found.append(HouseProof("Créditos agendados", "bad", "alert", counted(bulk.overdue, "atrasado"), path=path))
        if bulk.failed:
            said = f"{bulk.failed} em 7 dias não moveram nada"
            found.append(HouseProof("Créditos agendados", "warn", "alert", said, path=path))
    if down := facts.get("down"):
        said = f"{counted(down, 'endereço')} {'não responde' if down == 1 else 'não respondem'}"
        found.append(HouseProof("Webhooks", "warn", "alert", said, path="/console/webhooks"))
    return found


def _unproven(what: str, path: str = "") -> HouseProof:
    """Return a check that has not run yet, which is no proof of anything."""
    return HouseProof(what, "warn", "clock", "ainda não conferido", path=path)


def _proof(what: str, at: datetime, findings: int, whole_at: datetime | None = None, path: str = "") -> HouseProof:
    if findings:
        return HouseProof(what, "bad", "alert", counted(findings, "diferença"), at, path)
    stale = at < clock.now() - _STALE
    said = "sem diferenças" if whole_at is None else f"sem diferenças; tudo em {whole_at:%d/%m}"
    return HouseProof(what, "warn" if stale else "ok", "clock" if stale else "check", said, at, path)


@router.get(HOME, dependencies=[reads("totals and counts of the whole house, nobody's data")])
async def show_panel(page: SignedPage) -> Response:
    """Show the panel; an operator with a single screen gets that screen."""
    require_staff(page.who)
    console = console_of(page)
    first = console.first_path(page.who)
    if first != HOME:
        return page.go(first)
    flow, facts, house = await asyncio.gather(_flow(page), _facts(page), _house(page))
    proofs = [*_health(facts), *house, *_late(facts)]
    return page.show(
        "console/panel.html",
        flow=flow,
        waits=[todo for todo in _waits(page, facts) if console.opens(page.who, todo.path)],
        health=[proof for proof in proofs if proof.tone == "ok"],
        alerts=[proof for proof in proofs if proof.tone != "ok"],
        now=clock.now(),
        minutes=_MINUTES,
        floor=_FLOOR,
    )


def console_of(page: WebPage) -> ConsoleNavigation:
    """Return the console's navigation in this process."""
    console = page.renderer.templates.globals["console"]
    assert isinstance(console, ConsoleNavigation), "every process has one"
    return console


def require_staff(who: Principal) -> None:
    """Require that the caller is an operator.

    Raises:
        NotFound: they are not; the console stays hidden.
        SecondFactorRequired: they are, once their session has a second factor.
    """
    if opens_console(who):
        return
    for claim in sorted(who.withheld):
        who.require(claim)
    raise NotFound
