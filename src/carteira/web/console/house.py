"""The installation's state: failed jobs, the settings in force, and the ages of keys and backups."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from fastapi import Response
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from carteira.kit.db import jobs
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.web import state
from carteira.kit.web.access import acts, claims, reads
from carteira.kit.web.problems import NotFound
from carteira.web.config import HouseAge
from carteira.web.console.acts import Confirmation, ask, ask_again
from carteira.web.console.cells import badge, count, instant, mono, words
from carteira.web.console.job_words import failure_name, job_name
from carteira.web.console.tables import WORDS, Filter, Listed, Table, TableAsked, TableColumn, offer_csv
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
JOBS, SETTINGS, AGES = "/console/trabalhos", "/console/configuracao", "/console/chaves-e-backups"
READS, WRITES = "house:read", "house:write"
_FRESH_SECONDS = 60.0
_AGE_ICONS = {"ok": "check", "warn": "clock", "bad": "alert"}
_NOBODYS = reads("jobs by their names, nobody's data")
_SECRET = ("secret", "token", "password", "key", "url")
"""Settings with one of these in their names are shown only as set or not: an address may hold a password."""

JOB_TABLE: Table[jobs.FailedJob] = Table(
    JOBS,
    "trabalhos abandonados",
    (
        TableColumn("Número", lambda row: count(row.id)),
        TableColumn("Trabalho", lambda row: words(job_name(row.task), row.task), "full"),
        TableColumn("Por que parou", lambda row: words(failure_name(row.failure), next(iter(row.failure), "")), "full"),
        TableColumn("Tentativas", lambda row: count(row.attempts), "end"),
        TableColumn("Abandonado", lambda row: instant(row.failed_at), "nowrap"),
    ),
    key=lambda row: row.id,
    whole=True,
    filters=(WORDS,),
    empty=("Nenhum trabalho abandonado", "O que falhar vezes demais fica aqui até alguém decidir."),
)


async def _read_jobs(_page: WebPage, tx: Tx, _asked: TableAsked, _limit: int) -> Listed[jobs.FailedJob]:
    return Listed(await jobs.failed(tx))


@router.get(JOBS, dependencies=[claims(READS), _NOBODYS])
async def show_jobs(page: SignedPage) -> Response:
    """List failed jobs, with the queue's state."""
    state = await page.read(jobs.queue_state)
    table = replace(JOB_TABLE, opens=(lambda row: f"{JOBS}/{row.id}/repetir") if page.holds(WRITES) else None)
    return await table.answer(page, partial(_read_jobs, page), template="console/jobs.html", state=state)


offer_csv(router, JOB_TABLE, _read_jobs, READS)


def _retrying(number: int) -> Confirmation:
    return Confirmation(
        title=f"Repetir o trabalho {number}?",
        says=("Ele volta à fila e é feito em instantes. O que já tinha feito não é feito duas vezes.",),
        way_back="Se falhar de novo vezes demais, volta para esta lista.",
        button="Repetir",
        path=f"{JOBS}/{number}/repetir",
        back=JOBS,
    )


@router.get(JOBS + "/{number}/repetir", dependencies=[claims(READS, WRITES), _NOBODYS])
async def ask_retry(number: int, page: SignedPage) -> Response:
    """Show what retrying a job does."""
    return ask(page, _retrying(number))


@router.post(JOBS + "/{number}/repetir", dependencies=[claims(READS, WRITES), acts("job_retried")])
async def retry(number: int, page: SignedPage) -> Response:
    """Queue a job again."""
    form = await page.form(FormBody)
    try:
        async with page.database.transaction() as tx:
            if not await jobs.retry(tx, number):
                raise NotFound("Este trabalho não está mais na lista: alguém já decidiu.")
            await audit.record(tx, "job_retried", job=number)
    except REFUSALS as error:
        return ask_again(page, _retrying(number), form, error)
    return page.go(JOBS, f"Trabalho {number} de volta à fila.")


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """A setting as this process was started with it."""

    name: str
    value: str
    is_default: bool


SETTING_TABLE: Table[SettingInForce] = Table(
    SETTINGS,
    "configuração",
    (
        TableColumn("Variável", lambda row: mono(row.name)),
        TableColumn("Valor", lambda row: mono(row.value), "full"),
        TableColumn(
            "De onde", lambda row: badge("Padrão") if row.is_default else badge("Definida", "info"), "stack-end"
        ),
    ),
    key=lambda row: row.name,
    whole=True,
    filters=(
        Filter("nome", "Parte do nome", pattern=r"[A-Za-z_]{1,60}", wrong="Letras e _", grows=True),
        Filter("origem", "De onde", "choice", (("definida", "Definidas"), ("padrao", "Padrão"))),
    ),
)


def settings_in_force(settings: BaseSettings) -> list[SettingInForce]:
    """List the settings by name; possible secrets are shown as set or not."""
    return [
        SettingInForce(name.upper(), _told(name, getattr(settings, name)), name not in settings.model_fields_set)
        for name in sorted(type(settings).model_fields)
    ]


def _told(name: str, value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, SecretStr) or any(part in name for part in _SECRET):
        return "••••"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(sorted(map(str, value))) if isinstance(value, frozenset) else str(value)


@router.get(SETTINGS, dependencies=[claims(READS), reads("settings, nobody's data; secrets are not shown")])
async def show_settings(page: SignedPage) -> Response:
    """List the settings that this server was started with."""
    return await SETTING_TABLE.answer(page, partial(_read_settings, page), template="console/settings.html")


async def _read_settings(page: WebPage, _tx: Tx, asked: TableAsked, _limit: int) -> Listed[SettingInForce]:
    part, origin = (asked.get("nome") or "").upper(), asked.get("origem")
    everything = settings_in_force(state.SETTINGS.of(page.request.app))
    return Listed(
        [one for one in everything if part in one.name and (origin is None or (origin == "padrao") == one.is_default)]
    )


offer_csv(router, SETTING_TABLE, _read_settings, READS)


AGE_TABLE: Table[HouseAge] = Table(
    AGES,
    "chaves e backups",
    (
        TableColumn("O que", lambda row: words(row.what), "full"),
        TableColumn("Desde", lambda row: instant(row.at), "nowrap"),
        TableColumn("O que fazer", lambda row: words(row.advice), "full"),
        TableColumn("Situação", lambda row: badge(row.said, row.tone, _AGE_ICONS[row.tone]), "stack-end"),
    ),
    key=lambda row: row.what,
    filters=(WORDS, Filter("atencao", "Atenção", "choice", (("sim", "Pede atenção"), ("nao", "Em ordem")))),
    whole=True,
    empty=("Nada a ver aqui", "Neste servidor não há chaves nem backups a olhar."),
)


_KNOWN_AGES = state.StateKey[tuple[float, Sequence[HouseAge]]]("house_ages")
"""The last ages, and when they were read."""


async def ages_of(page: WebPage) -> Sequence[HouseAge]:
    """Return the ages of keys and backups, read at most once a minute, since backups may be far away."""
    known = _KNOWN_AGES.get(page.request.app)
    if known is None or time.monotonic() - known[0] > _FRESH_SECONDS:
        known = (time.monotonic(), await page.renderer.config.ages())
        _KNOWN_AGES.set(page.request.app, known)
    return known[1]


@router.get(AGES, dependencies=[claims(READS), reads("keys by their names and a backup's day, nobody's data")])
async def show_ages(page: SignedPage) -> Response:
    """List the ages of keys and backups, and what to do about old ones."""
    return await AGE_TABLE.answer(page, partial(_read_ages, page), template="console/ages.html")


async def _read_ages(page: WebPage, _tx: Tx, asked: TableAsked, _limit: int) -> Listed[HouseAge]:
    wanted = asked.get("atencao")
    return Listed([one for one in await ages_of(page) if wanted is None or (wanted == "sim") == (one.tone != "ok")])


offer_csv(router, AGE_TABLE, _read_ages, READS)
