"""The client of a payment provider, over mutual TLS: exact when the provider is well, a clear error when it is not."""

import asyncio
import gc
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis
from starlette.responses import Response

from carteira.kit.outbound.breaker import BreakerRules
from carteira.kit.security.sandbox_authority import is_of_sandbox, make_certificates
from carteira.kit.values.clock import clock
from carteira.payments import brcode, sandbox
from carteira.payments import provider as client
from carteira.payments.provider import (
    PaymentProviderDown,
    PixProvider,
    ProviderConfig,
    ProviderRefused,
    connected,
    read_pix,
)
from carteira.payments.sandbox import ApiMode
from carteira.payments.sandbox_books import SandboxCharge, SandboxPayment
from tests.support.metric_values import value_of
from tests.support.pix import StandIn, standing_in


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("pix")) as there:
        yield there


@pytest.fixture(autouse=True)
def _well(stand_in: StandIn) -> Iterator[None]:
    stand_in.behave()
    yield
    stand_in.behave()


@asynccontextmanager
async def asking(config: ProviderConfig, redis: Redis | None = None) -> AsyncIterator[PixProvider]:
    async with connected(config, redis) as provider:
        yield provider


def new_txid() -> str:
    return uuid4().hex


async def listed(provider: PixProvider, minutes: int = 5) -> list[client.Pix]:
    now = clock.now()
    pages = provider.payments(now - timedelta(minutes=minutes), now + timedelta(minutes=minutes))
    return [pix async for page in pages for pix in page]


async def test_a_charge_is_made_paid_and_returned(stand_in: StandIn) -> None:
    async with asking(stand_in.config()) as provider:
        txid = new_txid()
        assert await provider.charged(txid) is None
        made = await provider.charge(txid, 1_050, seconds=600, text="Recarga")
        assert (made.txid, made.amount, made.status) == (txid, 1_050, "ATIVA")
        assert made.location.startswith(stand_in.pages.removeprefix("http://"))
        assert await provider.charge(txid, 1_050, seconds=600, text="Recarga") == made, (
            "a repeated request gets the same one"
        )
        e2eid = stand_in.pay(txid)
        paid = await provider.payment(e2eid)
        assert paid is not None
        assert (paid.txid, paid.amount, paid.returns) == (txid, 1_050, ())
        assert paid in await listed(provider)
        back = await provider.give_back(e2eid, "d1", 50)
        assert (back.id, back.amount, back.status) == ("d1", 50, "DEVOLVIDO")
        assert await provider.give_back(e2eid, "d1", 50) == back, "a repeated request gets the same one"
        with pytest.raises(ProviderRefused, match="PixDevolucaoInvalida"):
            await provider.give_back(e2eid, "d2", 1_001)
        assert (await provider.payment(e2eid)).returns == (back,)  # type: ignore[union-attr] # it is there
        assert await provider.payment("E" + "0" * 31) is None


async def test_pages_are_read_to_their_end(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    told = {stand_in.pay(amount=100 + number) for number in range(5)}
    async with asking(stand_in.config()) as provider:
        assert told <= {pix.e2eid for pix in await listed(provider)}


@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
@pytest.mark.parametrize("mode", sorted(set(get_args(ApiMode)) - {"ok"}))
async def test_any_fault_counts_as_down_in_time(stand_in: StandIn, mode: Any) -> None:  # noqa: ANN401 - any mode
    async with asking(stand_in.config()) as provider:
        await provider.charged(new_txid())  # it has a token
        provider.config = replace(provider.config, attempt_seconds=0.2, budget_seconds=0.5)
        stand_in.behave(api=mode, seconds=3)
        async with asyncio.timeout(5):
            with pytest.raises(PaymentProviderDown):
                await provider.charge(new_txid(), 100, seconds=600, text="x")
            with pytest.raises(PaymentProviderDown):
                await listed(provider)
    gc.collect()  # asyncio leaves a connection whose handshake was cut off to the garbage collector, which closes it


async def test_a_failure_that_passes_is_not_seen(stand_in: StandIn) -> None:
    async with asking(stand_in.config()) as provider:
        stand_in.behave(api="error", times=2)
        assert (await provider.charge(new_txid(), 100, seconds=600, text="x")).amount == 100


async def test_a_charge_whose_answer_was_lost_is_found(stand_in: StandIn) -> None:
    txid = new_txid()
    async with asking(stand_in.config()) as provider:
        await provider.charge(txid, 100, seconds=600, text="x")
    async with asking(stand_in.config()) as another:
        assert (await another.charge(txid, 100, seconds=600, text="x")).txid == txid


async def test_a_token_that_is_not_taken_any_more_is_renewed(stand_in: StandIn) -> None:
    async with asking(stand_in.config()) as provider:
        provider._token, provider._token_until = "of yesterday", float("inf")  # noqa: SLF001 - the provider has forgotten the token
        assert await provider.charged(new_txid()) is None


async def test_callers_without_the_right_certificate_are_refused(stand_in: StandIn, tmp_path: Path) -> None:
    stranger = make_certificates(tmp_path)
    for change in (
        {"certificate": None, "certificate_key": None},
        {"certificate": stranger.ours.certificate, "certificate_key": stranger.ours.key},
        {"authority": stranger.authority},
    ):
        async with asking(stand_in.config(**change)) as provider:
            with pytest.raises(PaymentProviderDown):
                await provider.charged(new_txid())
    trusting = ssl.create_default_context(cafile=stand_in.certificates.authority)
    async with httpx.AsyncClient(verify=trusting, trust_env=False) as nobody:
        with pytest.raises(httpx.HTTPError):
            await nobody.post(f"{stand_in.url}/oauth/token")


async def test_a_file_that_is_missing_is_named(stand_in: StandIn, tmp_path: Path) -> None:
    for setting in ("certificate", "certificate_key", "authority"):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.pem"):
            client.tls_of(stand_in.config(**{setting: tmp_path / "nowhere.pem"}))


async def test_the_breaker_is_shared_and_lets_nothing_through(stand_in: StandIn, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.delete("carteira:payments:breaker")
        config = stand_in.config(attempts=1, breaker=BreakerRules(threshold=2, open_for=timedelta(seconds=10)))
        async with asking(config, redis) as one, asking(config, redis) as two:
            clock.set(clock.now())
            for provider in (one, two):
                await provider.charged(new_txid())
            stand_in.behave(api="unavailable")
            for provider in (one, two):
                with pytest.raises(PaymentProviderDown):
                    await provider.charged(new_txid())
            stand_in.behave()
            for provider in (one, two):
                with pytest.raises(PaymentProviderDown):
                    await provider.charged(new_txid())
            clock.advance(timedelta(seconds=11))
            for provider in (two, one):
                assert await provider.charged(new_txid()) is None
        await redis.delete("carteira:payments:breaker")


PIX = {"endToEndId": "E" + "1" * 31, "txid": "abc", "valor": "10.50", "horario": "2026-11-27T12:00:00.000Z"}


def test_a_payment_is_read() -> None:
    read = read_pix(PIX | {"infoPagador": "segredo", "pagador": {"nome": "Ana", "cpf": "1"}})
    assert (read.amount, read.paid_at.isoformat()) == (1_050, "2026-11-27T12:00:00+00:00")
    assert "segredo" not in repr(read)
    for none in ({}, {"txid": None}, {"txid": ""}):
        assert read_pix({name: value for name, value in PIX.items() if name != "txid"} | none).txid is None


async def test_one_payment_of_the_list_that_cannot_be_read_hides_no_other(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A payment carries a text that its payer wrote, and a provider may cut one of its characters in two."""
    odd, cut, plain = (stand_in.pay(amount=amount) for amount in (101, 102, 103))
    told = SandboxPayment.as_json

    def tell(payment: SandboxPayment) -> dict[str, Any]:
        changes = {odd: {"horario": "ontem"}, cut: {"infoPagador": "\ud83d"}}
        return told(payment) | changes.get(payment.e2eid, {})

    monkeypatch.setattr(SandboxPayment, "as_json", tell)
    monkeypatch.setattr(sandbox, "JSONResponse", _in_escapes)
    before = value_of(client.unreadable_total)
    async with asking(stand_in.config()) as provider:
        found = {pix.e2eid for pix in await listed(provider)}
        assert {cut, plain} <= found
        assert odd not in found
        assert value_of(client.unreadable_total) == before + 1
        assert (await provider.payment(cut)).amount == 102  # type: ignore[union-attr] # it is there
        with pytest.raises(PaymentProviderDown):
            await provider.payment(odd)


def _in_escapes(content: object, status: int = 200, **_more: object) -> Response:
    """Answer JSON as some providers do, with half of a surrogate pair as an escape."""
    return Response(json.dumps(content), status, media_type="application/json")


@pytest.mark.parametrize("location", ["pix.example/" + "a" * 80, "pix.example/é", "", 1])
async def test_a_charge_whose_code_cannot_be_written_counts_as_no_answer(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, location: object
) -> None:
    told = SandboxCharge.as_json
    monkeypatch.setattr(
        SandboxCharge, "as_json", lambda charge: told(charge) | {"location": location, "loc": {"location": location}}
    )
    async with asking(stand_in.config()) as provider:
        with pytest.raises(PaymentProviderDown):
            await provider.charge(new_txid(), 100, seconds=600, text="x")


@pytest.mark.parametrize(
    "change",
    [{"endToEndId": value} for value in (None, 1, "", "E1", "E" + "é" * 31, "E" + "1" * 32)]
    + [{"valor": value} for value in (None, 10.5, 1050, "", "-1.00", "0.00", "1,00", "1.005", "1e2", "NaN")]
    + [{"horario": value} for value in (None, 0, "", "ontem", "2026-11-27T12:00:00")]
    + [{"txid": value} for value in (1, "é", "x" * 36)]
    + [{"devolucoes": value} for value in ("?", [1], [{"id": "1", "valor": "1.00", "status": "?"}])],
)
def test_invalid_payments_are_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_pix(PIX | change)


def test_secrets_are_in_no_text_and_the_authority_is_known(stand_in: StandIn) -> None:
    assert "the-secret" not in repr(stand_in.config(client_secret="the-secret"))
    assert is_of_sandbox(stand_in.certificates.ours.certificate)
    assert is_of_sandbox(stand_in.certificates.authority)


async def test_the_payers_page_reads_a_code_and_pays_once(stand_in: StandIn) -> None:
    async with asking(stand_in.config()) as provider:
        made = await provider.charge(new_txid(), 2_000, seconds=600, text="x")
        code = brcode.dynamic(made.location, name="Cidade", city="Recife")
        async with httpx.AsyncClient(base_url=stand_in.pages, trust_env=False, follow_redirects=True) as payer:
            assert "não é um Pix" in (await payer.post("/pagar", data={"codigo": code[:-1]})).text
            page = await payer.post("/pagar", data={"codigo": code})
            assert "R$ 20,00" in page.text.replace("\xa0", " ")
            assert "<button>Pagar</button>" in page.text
            assert "Pago." in (await payer.post(str(page.url))).text
            assert (await payer.post(str(page.url))).status_code == 409
        assert [pix.amount for pix in await listed(provider) if pix.txid == made.txid] == [2_000]
