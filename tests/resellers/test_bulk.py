"""Purchases from CSV: each line is accepted or refused on its own."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.people import new_cpf
from tests.support.resellers import Buyer, buyer, new_month, new_operator, new_reseller


async def send(person: Buyer, body: str | bytes, query: str = "", **headers: str) -> httpx.Response:
    return await person.call(
        "POST", f"/purchases/bulk{query}", content=body, headers={"Content-Type": "text/csv; charset=utf-8"} | headers
    )


def csv_of(lines: Iterable[tuple[object, ...]], head: str = "code,amount,date,cpf") -> str:
    return "\n".join([head, *(",".join(map(str, line)) for line in lines), ""])


def fates(response: httpx.Response) -> list[tuple[Any, ...]]:
    return [(line["line"], line["result"], line["error"]) for line in response.json()["results"]]


async def test_each_line_has_its_result(app: RunningApp) -> None:
    me, other, month, run = await new_reseller(app), await new_reseller(app), new_month(), uuid4().hex
    taken = await me.buy(5, month)
    tomorrow = clock.today() + timedelta(days=1)
    lines = [
        (f"A{run}", 1_000, month, me.cpf),
        (f"B{run}", 2_000, month, ""),
        (f"A{run}", 3_000, month, me.cpf),
        (taken["code"], 4_000, month, me.cpf),
        (f"C{run}", 0, month, me.cpf),
        (f"D{run}", "10.00", month, me.cpf),
        (f"E{run}", 1_000, tomorrow, me.cpf),
        (f"F{run}", 1_000, month, other.cpf),
        (f"G{run}", 1_000, month, new_cpf()),
        (f"H{run}", 1_000, "30/06/2026", me.cpf),
        ("", 1_000, month, me.cpf),
        (f"I{run}", 1_000, month, me.cpf, "mais"),
        (f"J{run}", 1_000, month, f"{me.cpf[:3]}.{me.cpf[3:6]}.{me.cpf[6:9]}-{me.cpf[9:]}"),
    ]
    response = await send(me, csv_of(lines))
    assert response.status_code == 200, response.text
    assert fates(response) == [
        (1, "registered", None),
        (2, "registered", None),
        (3, "failed", "purchase_code_taken"),
        (4, "failed", "purchase_code_taken"),
        (5, "failed", "invalid_input"),
        (6, "failed", "invalid_input"),
        (7, "failed", "invalid_input"),
        (8, "failed", "forbidden"),
        (9, "failed", "unknown_reseller"),
        (10, "failed", "invalid_input"),
        (11, "failed", "invalid_input"),
        (12, "failed", "invalid_input"),
        (13, "registered", None),
    ]
    content = response.json()
    assert (content["registered"], content["failed"], content["amount"]) == (3, 10, 4_000)
    assert content["results"][6]["detail"] == "date: A data não pode estar no futuro."
    listed = (await me.read("/purchases"))["items"]
    assert {item["code"]: item["amount"] for item in listed} == {
        taken["code"]: 5,
        f"A{run}": 1_000,
        f"B{run}": 2_000,
        f"J{run}": 1_000,
    }


async def test_all_or_nothing_when_asked(app: RunningApp) -> None:
    me, month, run = await new_reseller(app), new_month(), uuid4().hex
    good, bad = (f"A{run}", 1_000, month, me.cpf), (f"B{run}", -1, month, me.cpf)
    response = await send(me, csv_of([good, bad]), "?atomic=true")
    assert (response.status_code, response.json()["code"]) == (422, "bulk_rejected")
    assert fates(response) == [(1, "not_registered", None), (2, "failed", "invalid_input")]
    assert (await me.read("/purchases"))["items"] == []
    assert (await send(me, csv_of([good]), "?atomic=true")).json()["registered"] == 1


async def test_operators_send_for_everybody_and_spreadsheets_write_as_they_do(app: RunningApp) -> None:
    me, operator, month, run = await new_reseller(app), new_operator(app), new_month(), uuid4().hex
    body = f'\ufeffCode;Amount;Date;CPF\r\nA{run};1000;{month};{me.cpf}\r\n"B;{run}";2000;{month};{me.cpf}\r\n'
    assert (await send(operator, body)).json()["registered"] == 2
    nobody = await send(operator, csv_of([(f"C{run}", 1, month)], "code,amount,date"))
    assert fates(nobody) == [(1, "failed", "unknown_reseller")]
    assert (await send(buyer(app, "reseller"), body)).status_code == 403
    assert (await send(buyer(app), body)).status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"code,amount\n1,2\n", 422),
        (b"code,amount,date,color\n1,2,3,4\n", 422),
        (b"code,amount,date,date\n1,2,3,4\n", 422),
        (b"code,amount,date,cpf\n", 422),
        (b"code,amount,date\n\x81,1,2026-01-01\n", 422),
        (b'code,amount,date\n"a,1,2026-01-01\n', 422),
        (b"code,amount,date\n" + b"x" * 200_000 + b",1,2026-01-01\n", 422),
        (b"code,amount,date\n" + b"a,1,2026-01-01\n" * 10_001, 422),
        (b"code,amount,date\n" + b"x" * 4_200_000, 413),
    ],
)
async def test_rubbish_is_refused_whole(app: RunningApp, body: bytes, status: int) -> None:
    response = await send(await new_reseller(app), body)
    assert response.status_code == status, response.text


async def test_only_csv(app: RunningApp) -> None:
    me = await new_reseller(app)
    assert (await me.call("POST", "/purchases/bulk", json=[])).status_code == 415


async def test_two_files_with_the_same_codes_at_once(app: RunningApp) -> None:
    me, month, run = await new_reseller(app), new_month(), uuid4().hex
    lines = [(f"{run}-{index}", 100, month) for index in range(300)]
    head = "code,amount,date"
    answers = await asyncio.gather(
        send(me, csv_of(lines, head)), send(me, csv_of(lines[::-1], head)), send(me, csv_of(lines[100:], head))
    )
    assert [answer.status_code for answer in answers] == [200] * 3
    assert sum(answer.json()["registered"] for answer in answers) == 300
    (figures,) = (await me.read("/cashback/months"))["items"]
    assert figures["total"] == 30_000


async def test_the_same_key_sends_once(app: RunningApp) -> None:
    me, month = await new_reseller(app), new_month()
    body, key = csv_of([(uuid4().hex, 100, month)], "code,amount,date"), str(uuid4())
    first, second = [await send(me, body, **{"Idempotency-Key": key}) for _ in range(2)]
    assert first.json() == second.json()
    assert first.json()["registered"] == 1
