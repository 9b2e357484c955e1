"""Traces in one process: what is sampled, what is linked, and that nothing is imported or made where they are off."""

import asyncio
import gc
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID, uuid4

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from pydantic import ValidationError
from sqlalchemy import text

from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.ops import tracing
from carteira.kit.ops.gathered import Gathered
from carteira.kit.ops.tracing import TracingConfig
from carteira.kit.outbound import redis
from carteira.kit.outbound.http import Http, ServiceDown
from carteira.kit.values.ids import uuid7
from carteira.settings import Settings
from tests.support import rude
from tests.support.otlp import Receiver, Seen, receiving
from tests.support.rude import Rude
from tests.support.source import ROOT
from tests.support.waiting import wait_until

QUEUE, BATCH = 2_048, 512
"""The SDK's own bounds."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def at(receiver: Receiver, **changes: object) -> TracingConfig:
    return TracingConfig(f"{receiver.http_url}/v1/traces", resource={"service.name": "t"}, **changes)  # type: ignore[arg-type] # any


def named(receiver: Receiver, name: str) -> Seen:
    (span,) = receiver.named(name)
    return span


def test_where_traces_are_off_nothing_of_them_is_imported() -> None:
    code = """
import sys, carteira.app, carteira.worker
from carteira.kit.ops import tracing
with tracing.root("a", "server") as root, tracing.span("b") as part:
    assert root is None and part is None and tracing.traceparent() is None and not tracing.is_on()
names = {"opentelemetry.sdk.trace", "opentelemetry.exporter", "grpc", "sentry_sdk", "google.protobuf"}
print(sorted(name for name in sys.modules if name in names))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


async def test_spans_have_their_parents_and_the_kind_of_an_error(receiver: Receiver) -> None:
    made = uuid7()
    async with tracing.running(at(receiver)):
        with tracing.root("root", "server", trace_id=made, attributes={"who": "52998224725", "n": 1}):
            told = tracing.ids()
            with pytest.raises(LookupError), tracing.span("failed", "client"):
                raise LookupError("no such CPF: 529.982.247-25")
            with pytest.raises(LookupError), tracing.span("refused"):
                raise LookupError
        assert tracing.current() is None
    root, failed, refused = (named(receiver, name) for name in ("root", "failed", "refused"))
    assert told == (made.hex, root.id) == (root.trace, made.hex[16:])
    assert root.attributes == {"who": "[cpf]", "n": "1"}, "scrubbed, whatever set it"
    assert (failed.parent, failed.failed, failed.attributes) == (root.id, True, {"error.type": "LookupError"})
    assert (refused.parent, refused.failed) == (root.id, False), "a verb's refusal is an answer"
    texts = "".join(receiver.texts)
    assert "52998224725" not in texts
    assert "529.982" not in texts


async def test_unsampled_traces_make_no_span_in_any_process(receiver: Receiver) -> None:
    ids = [uuid7() for _ in range(2_000)]
    async with tracing.running(at(receiver, ratio=0.25)):
        drawn = {number for number in ids if tracing.carried(number) is not None}
        for number in ids[:200]:
            with tracing.root("root", "server", trace_id=number) as root:
                assert (root is None) == (tracing.span("part") is tracing.span("other")) == (number not in drawn)
                assert (tracing.traceparent() is None) == (number not in drawn)
    assert 350 < len(drawn) < 650
    assert {span.trace for span in receiver.spans} == {number.hex for number in drawn & set(ids[:200])}


@pytest.mark.parametrize(("heeds_parent", "goes_on"), [(True, ["01"]), (False, ["00", "01"])])
async def test_the_caller_decides_on_sampling_by_default(
    receiver: Receiver,
    heeds_parent: bool,  # noqa: FBT001 - a parameter of pytest's
    goes_on: list[str],
) -> None:
    trace, span = uuid4().hex, uuid4().hex[:16]
    async with tracing.running(at(receiver, heeds_parent=heeds_parent)):
        for flags in ("00", "01"):
            with tracing.root(flags, "server", parent=f"00-{trace}-{span}-{flags}"):
                pass
    assert [(seen.name, seen.trace, seen.parent) for seen in receiver.spans] == [(one, trace, span) for one in goes_on]


async def test_shared_work_is_in_the_first_trace_and_linked_with_the_others(
    receiver: Receiver,
) -> None:
    async with tracing.running(at(receiver)):
        first, second = tracing.begin("first", "server"), tracing.begin("second", "server")
        assert first is not None and second is not None  # noqa: PT018 - Hypothesis draws both
        with tracing.together("batch", [first, second]):
            pass
        for span in (first, second):
            tracing.end(span)
    batch, one, two = (named(receiver, name) for name in ("batch", "first", "second"))
    assert (batch.trace, batch.parent, batch.links) == (one.trace, one.id, ((two.trace, two.id),))
    assert two.links == ((batch.trace, batch.id),), "the second trace links to the one that did the work"


async def test_a_shared_trip_is_in_no_single_trace(receiver: Receiver) -> None:
    let = asyncio.Event()

    async def ask_all(questions: Sequence[int]) -> Sequence[int]:
        await let.wait()
        with tracing.span("trip", "client"):
            return questions

    async with tracing.running(at(receiver)):
        gathered = Gathered(ask_all)
        with tracing.root("first", "server"):
            first = gathered.put(1)
        await asyncio.sleep(0)
        with tracing.root("second", "server"):
            second = gathered.put(2)
        third = gathered.put(3)
        let.set()
        assert [await first, await second, await third] == [1, 2, 3]
    trips = {span.trace for span in receiver.named("trip")}
    assert trips == {named(receiver, name).trace for name in ("first", "second")}, "not two in the first one's trace"


async def test_statements_have_spans_for_every_sender_without_values(receiver: Receiver, endpoints: Endpoints) -> None:
    async with tracing.running(at(receiver)):
        database = Database(endpoints.database_url, pool_size=2)
        try:
            with tracing.root("verb", "server"):
                async with database.transaction() as tx:
                    await tx.execute(text("SELECT name FROM pg_settings WHERE name = :name"), {"name": "segredo"})
                await database.reads.fetch("SELECT 1 FROM pg_class WHERE relname = $1", ["segredo"])
                with pytest.raises(Exception, match="does not exist"):
                    await database.reads.fetch("SELECT 1 FROM nothing_there", [])
            await database.reads.fetch("SELECT 2", [])
        finally:
            await database.close()
    root = named(receiver, "verb")
    parts = [span for span in receiver.spans if span.parent == root.id]
    by_name = {span.name: span for span in parts}
    assert {"SELECT pg_settings", "SELECT pg_class", "BEGIN", "COMMIT"} <= by_name.keys()
    assert {span.attributes["db.system.name"] for span in parts} == {"postgresql"}
    assert by_name["SELECT nothing_there"].attributes["error.type"] == "UndefinedTableError"
    assert "segredo" not in "".join(receiver.texts)
    assert len(parts) == len(receiver.spans) - 1, "a call outside of a trace makes none"


async def test_redis_commands_and_pipelines_are_spans_without_keys(receiver: Receiver, endpoints: Endpoints) -> None:
    async with tracing.running(at(receiver)):
        client = redis.connect(endpoints.redis_url)
        with tracing.root("verb", "server"):
            await client.set("segredo", "segredo", ex=5)
            async with client.pipeline() as pipeline:
                pipeline.get("segredo")
                pipeline.delete("segredo")
                assert await pipeline.execute() == [b"segredo", 1]
        await client.aclose()
    assert [span.name for span in receiver.spans if span.kind == "client"] == ["SET", "MULTI"]
    assert "segredo" not in "".join(receiver.texts)


async def test_calls_to_other_services_carry_the_trace_and_name_the_host(receiver: Receiver) -> None:
    async with tracing.running(at(receiver)):
        http = Http()
        with tracing.root("verb", "server") as root:
            assert root is not None
            await http.post_form(f"{receiver.http_url}/segredo?cpf=52998224725", {})
            with pytest.raises(ServiceDown):
                await http.get("http://127.0.0.1:9/segredo")
        await http.post_form(f"{receiver.http_url}/later", {})
        await http.close()
    answered, refused = receiver.named("POST"), receiver.named("GET")
    assert [span.attributes for span in answered] == [
        {"server.address": "127.0.0.1", "http.response.status_code": "200"}
    ]
    assert [(span.failed, span.attributes["error.type"]) for span in refused] == [(True, "ConnectError")]
    carried = [headers["traceparent"] for headers in receiver.headers if "traceparent" in headers]
    assert carried == [f"00-{answered[0].trace}-{answered[0].id}-01"]
    assert "segredo" not in "".join(receiver.texts)


def tracing_of(**values: object) -> TracingConfig | None:
    return Settings(_env_file=None, **values).tracing("staging")  # type: ignore[arg-type] # settings of any kind


def test_the_settings_are_those_of_the_standard_and_elastics_are_aliases() -> None:
    assert tracing_of() is None
    assert tracing_of(otel_exporter_otlp_endpoint="http://x:4318", otel_sdk_disabled=True) is None
    assert tracing_of(otel_exporter_otlp_endpoint="http://x:4318", otel_traces_exporter="none") is None
    whole = tracing_of(
        otel_exporter_otlp_endpoint="http://x:4318/",
        otel_exporter_otlp_headers="X-Key=a%2Cb, other=c",
        otel_resource_attributes="team=carteira,service.name=no",
        otel_service_name="wallet",
        otel_traces_sampler="traceidratio",
        otel_traces_sampler_arg="0.5",
    )
    assert whole is not None
    assert (whole.endpoint, whole.protocol, whole.ratio) == ("http://x:4318/v1/traces", "http/protobuf", 0.5)
    assert (whole.headers, whole.heeds_parent) == ({"x-key": "a,b", "other": "c"}, False)
    assert whole.resource["service.name"] == "wallet"
    assert (whole.resource["team"], whole.resource["deployment.environment.name"]) == ("carteira", "staging")
    elastic = tracing_of(elastic_server_url="http://apm:8200", elastic_service_name="o", elastic_secret_token="t")
    assert elastic is not None
    assert (elastic.endpoint, elastic.headers) == ("http://apm:8200/v1/traces", {"authorization": "Bearer t"})
    assert elastic.resource["service.name"] == "o"
    known = tracing_of(elastic_server_url="http://apm:8200", elastic_user="elastic", elastic_password="changeme")
    assert known is not None
    assert known.headers == {"authorization": "Basic ZWxhc3RpYzpjaGFuZ2VtZQ=="}
    assert "changeme" not in repr(known)
    over_grpc = tracing_of(
        otel_exporter_otlp_endpoint="http://x:4317",
        otel_exporter_otlp_protocol="grpc",
        otel_traces_sampler="always_off",
    )
    assert over_grpc is not None
    assert (over_grpc.endpoint, over_grpc.ratio) == ("http://x:4317", 0.0)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_the_signals_own_protocol_and_headers_win(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """They are in the environment, where the SDK reads some of them, too."""
    general = {"http/protobuf": "grpc", "grpc": "http/protobuf"}[protocol]
    given = {
        "ENDPOINT": receiver.grpc_url if protocol == "grpc" else receiver.http_url,
        "PROTOCOL": general,
        "TRACES_PROTOCOL": protocol,
        "HEADERS": "x-general=1,x-both=2,authorization=Bearer%20general",
        "TRACES_HEADERS": "X-Own=a%2Cb,x-both=3",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    monkeypatch.setenv("ELASTIC_SECRET_TOKEN", "secret")
    config = Settings(_env_file=None).tracing("staging")
    assert config is not None
    async with tracing.running(config):
        with tracing.root("root", "server"):
            pass
    named(receiver, "root")
    (headers,) = receiver.headers
    assert (":path" in headers) == (protocol == "http/protobuf")
    assert (headers["x-own"], headers["x-both"], headers["authorization"]) == ("a,b", "3", "Bearer secret")
    assert "x-general" not in headers


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_general_headers_of_the_environment_do_not_join_the_settings_own(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-general=1")
    config = tracing_of(
        otel_exporter_otlp_endpoint=receiver.grpc_url if protocol == "grpc" else receiver.http_url,
        otel_exporter_otlp_protocol=protocol,
        otel_exporter_otlp_traces_headers="x-own=2",
    )
    assert config is not None
    async with tracing.running(config):
        with tracing.root("root", "server"):
            pass
    named(receiver, "root")
    (headers,) = receiver.headers
    assert headers["x-own"] == "2"
    assert "x-general" not in headers


@pytest.mark.parametrize(
    "given",
    [
        {"otel_exporter_otlp_headers": '"authorization=Bearer hidden"'},
        {"otel_exporter_otlp_traces_headers": "authorization=Bearer%20hidden%0A"},
        {"otel_exporter_otlp_headers": "authorization=%20hidden"},
        {"elastic_secret_token": "hidden\nhidden"},
    ],
)
def test_a_header_that_a_library_would_log_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="cabeçalho") as refused:
        tracing_of(elastic_server_url="http://apm:8200", **given)
    assert "hidden" not in str([error["msg"] for error in refused.value.errors()])


def test_a_token_loses_the_blanks_around_it() -> None:
    spaced = tracing_of(elastic_server_url="http://apm:8200", elastic_secret_token="t\n")
    assert spaced is not None
    assert spaced.headers == {"authorization": "Bearer t"}


async def test_a_collector_that_is_down_holds_nobody_up() -> None:
    down = TracingConfig("http://127.0.0.1:9/v1/traces", resource={"service.name": "t"})
    async with tracing.running(down):
        with tracing.root("lost", "server", trace_id=UUID(int=uuid7().int)):
            pass
    assert not tracing.is_on()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("badly", [rude.silent, rude.garbled, rude.dripping, rude.endless])
async def test_a_collector_that_answers_badly_costs_neither_time_nor_memory(
    badly: Callable[[Rude, socket.socket], None], protocol: str
) -> None:
    with rude.answering(badly) as collector:
        config = TracingConfig(collector.url, protocol, resource={"service.name": "t"})  # type: ignore[arg-type] # one of the two
        async with asyncio.timeout(20):  # by itself the SDK waits for 30 s at the end
            async with tracing.running(config):
                for _ in range(3 * QUEUE):
                    with tracing.root("root", "server"):
                        pass
                await asyncio.to_thread(wait_until, lambda: collector.asked > 0, "the collector is asked")
                assert sum(isinstance(one, ReadableSpan) for one in gc.get_objects()) <= QUEUE + 2 * BATCH
        assert collector.sent < 16_000_000 * collector.asked, "no more than sockets hold is taken of what has no end"


async def test_a_redirect_takes_traces_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    with rude.answering(rude.redirecting) as collector:
        async with tracing.running(TracingConfig(collector.url, resource={"service.name": "t"})):
            with tracing.root("root", "server"):
                pass
        assert collector.asked
    assert not [line for line in collector.lines if "elsewhere" in line]
    assert "Exceeded 0 redirects" in caplog.text


async def test_the_standards_limits_are_kept_to(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "1")
    others = [f"00-{uuid4().hex}-{uuid4().hex[:16]}-01" for _ in range(4)]
    async with tracing.running(at(receiver)):
        with tracing.together("span", others, attributes={"a": "long enough", "b": 12345, "c": "x"}) as span:
            assert span is not None
            span.add_event("first", {"a": "long enough"})
            span.add_event("second", {})
    seen = named(receiver, "span")
    assert (seen.attributes, len(seen.links), seen.events) == ({"a": "long", "b": "12345"}, 1, ('{"a": "long"}',))


async def test_httpx_is_as_it_was_where_traces_are_off() -> None:
    with receiving() as receiver:
        http = Http()
        assert isinstance(http._client, httpx.AsyncClient)  # noqa: SLF001 - the test is about its class
        await http.post_form(receiver.http_url, {})
        await http.close()
        assert "traceparent" not in receiver.headers[0]
