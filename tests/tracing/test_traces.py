"""One trace from a request to its effects, by a real server and worker, to a receiver of both OTLP protocols."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from carteira.embedded import Endpoints
from carteira.kit.security import tokens
from tests.support import files
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.databases import NewDatabase
from tests.support.documents import FIELDS
from tests.support.otlp import Receiver, Seen, is_whole, receiving
from tests.support.people import new_cpf, new_person
from tests.support.server import Server, running_server
from tests.support.waiting import wait_until
from tests.support.worker import Worker, running_worker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
SECRET = "apm-secret-token"
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@dataclass
class Stage:
    """A server that sends its traces over HTTP, as to Elastic APM, and a worker that uses gRPC, as to Jaeger."""

    receiver: Receiver
    server: Server
    worker: Worker
    client: httpx.Client
    operator: dict[str, str]

    def trace(self, trace: str, what: Callable[[list[Seen]], bool]) -> list[Seen]:
        """Return the spans of a trace, once it has the expected ones."""
        wait_until(lambda: what(self.receiver.of(trace)), "the trace arrives")
        return self.receiver.of(trace)

    def account(self, cash: int, cpf: str) -> str:
        reference = f"t-{uuid4()}"
        body = {"account": reference, "cpf": cpf, "balances": {"CASH": cash}}
        answer = self.client.post("/benefits/accounts", json=body, headers=self.operator)
        assert answer.status_code == 201, answer.text
        return reference

    def person(self) -> dict[str, str]:
        """Register a person, and return the headers of their requests."""
        registered = self.client.post("/users/register", json=new_person())
        key = tokens.load_or_create_key(self.server.home / "keys" / "access-token.pem")
        token = tokens.sign(key, subject=registered.json()["id"], ttl_seconds=600, claims={"claims": []})
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def stage(endpoints: Endpoints, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("traced")
    common = {
        "database_url": new_database("traces"),
        "redis_url": endpoints.redis_url,
        "aws_endpoint_url": endpoints.aws_endpoint_url,
        "smtp_url": endpoints.smtp_url,
        "documents_url": f"s3://traces-{uuid4().hex[:8]}",
        "credit_table": f"traces-{uuid4().hex[:8]}",
        "trusted_proxies": "127.0.0.1",
        **FAST,
    }
    with ExitStack() as stack:
        receiver = stack.enter_context(receiving())
        as_elastic = {
            "elastic_server_url": receiver.http_url,
            "elastic_service_name": "o-boticario-service",
            "elastic_secret_token": SECRET,
        }
        server = stack.enter_context(running_server(home, workers=1, **common, **as_elastic))
        as_jaeger = {"otel_exporter_otlp_endpoint": receiver.grpc_url, "otel_exporter_otlp_protocol": "grpc"}
        worker = stack.enter_context(running_worker(home, **common, **as_jaeger))
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
        key = tokens.load_or_create_key(home / "keys" / "access-token.pem")
        token = tokens.sign(key, subject=str(uuid4()), ttl_seconds=6000, claims={"claims": ["*"]})
        yield Stage(receiver, server, worker, client, {"Authorization": f"Bearer {token}"})


def names(spans: list[Seen], kind: str) -> list[str]:
    return [span.name for span in spans if span.kind == kind]


def test_the_trace_of_a_purchase_arrives_whole_with_the_follower_that_it_caused(stage: Stage) -> None:
    account = stage.account(10_000, new_cpf())
    answer = stage.client.post(AUTHORIZER, content=purchase(account), headers=processor_headers())
    assert answer.json() == {"code": "00"}
    trace = answer.headers["x-request-id"].replace("-", "")
    followers = {"follower credit.benefits"}
    spans = stage.trace(trace, lambda found: followers <= set(names(found, "consumer")) and is_whole(found))
    (served,) = [span for span in spans if span.kind == "server"]
    assert served.name == "POST /transactions/authorizer"
    assert (served.attributes["authorizer.code"], served.service) == ("00", "o-boticario-service")
    (batch,) = [span for span in spans if span.name == "batch"]
    assert (batch.parent, batch.attributes["batch.size"]) == (served.id, "1")
    statements = [span for span in spans if span.parent == batch.id]
    assert any("ledger_post" in span.attributes.get("db.query.text", "") for span in statements)
    (follower,) = [span for span in spans if span.name == "follower credit.benefits"]
    assert follower.service == "carteira", "another process, over gRPC"
    assert [span for span in spans if span.parent == follower.id and "redis" in span.attributes.values()]


def test_the_trace_of_a_recharge_continues_in_its_events_followers(stage: Stage) -> None:
    own = stage.person()
    card = stage.client.post("/transport-cards", json={}, headers=own).json()["card_number"]
    followers = {"follower credit.transit", "follower notices"}
    for _ in range(2):  # the first event opens the account alone; both together would be followed in one round
        answer = stage.client.post(f"/transport-cards/{card}/recharge", json={"amount": 500}, headers=own)
        assert answer.status_code == 200, answer.text
        trace = answer.headers["x-request-id"].replace("-", "")
        spans = stage.trace(trace, lambda found: followers <= set(names(found, "consumer")) and is_whole(found))
    (batch,) = [span for span in spans if span.name == "batch"]
    assert any("ledger_post" in span.attributes.get("db.query.text", "") for span in spans if span.parent == batch.id)


def test_the_trace_of_an_upload_arrives_whole_with_its_job(stage: Stage) -> None:
    lines = "account;cpf;valor CASH\n" + "".join(f"u-{uuid4()};{new_cpf()};1,00\n" for _ in range(3))
    answer = stage.client.post(
        "/benefits/accounts/bulk", content=lines, headers=stage.operator | {"Content-Type": "text/csv"}
    )
    assert answer.status_code == 201, answer.text
    trace = answer.headers["x-request-id"].replace("-", "")
    job = "job benefits:import_accounts"
    spans = stage.trace(trace, lambda found: job in names(found, "consumer") and is_whole(found))
    (served,) = [span for span in spans if span.kind == "server"]
    (verb,) = [span for span in spans if span.parent == served.id and span.kind == "internal"]
    assert verb.name.startswith("benefits.routes_bulk.")
    (deferred,) = [span for span in spans if span.name == "SELECT" and "procrastinate" in str(span.attributes)]
    assert deferred.parent == verb.id
    (run,) = [span for span in spans if span.name == job]
    assert run.parent == verb.id
    assert any(span.name == "INSERT ledger_entries" or "ledger_post" in str(span.attributes) for span in spans)


def test_a_document_goes_to_s3_and_comes_from_there(stage: Stage) -> None:
    own = stage.person()
    sent = {"file": ("cnh.pdf", files.pdf(2_000), "application/pdf")}
    answer = stage.client.post("/documents", data=FIELDS, files=sent, headers=own)
    assert answer.status_code == 201, answer.text
    trace = answer.headers["x-request-id"].replace("-", "")
    stage.trace(trace, lambda found: "PUT segment" in names(found, "client") and is_whole(found))
    link = stage.client.post(f"/documents/{answer.json()['id']}/link", headers=own).json()["url"]
    trace = stage.client.get(link).headers["x-request-id"].replace("-", "")
    spans = stage.trace(trace, lambda found: "GET segment" in names(found, "client") and is_whole(found))
    assert link.rpartition("/")[2] not in str(spans), "a link contains a secret"


def test_mail_dynamodb_and_redis_have_spans_in_their_requests_trace(stage: Stage) -> None:
    own = stage.person()
    asked = stage.client.post("/users/me/contacts/email/confirmation", headers=own)
    assert asked.status_code == 202, asked.text
    trace = asked.headers["x-request-id"].replace("-", "")
    stage.trace(trace, lambda found: "SMTP send" in names(found, "client") and is_whole(found))
    cpf = new_cpf()
    answer = stage.client.get(f"/credit/{cpf}/base-b", headers=stage.operator)
    trace = answer.headers["x-request-id"].replace("-", "")
    spans = stage.trace(trace, lambda found: "dynamodb GetItem" in names(found, "client") and is_whole(found))
    (served,) = [span for span in spans if span.kind == "server"]
    assert served.name == "GET /credit/{cpf}/base-b"
    assert cpf not in str(stage.receiver.texts)
    assert [span for span in stage.receiver.spans if span.attributes.get("db.system.name") == "redis"]


def test_a_trusted_proxy_chooses_a_requests_trace(stage: Stage) -> None:
    outer, span = uuid4().hex, uuid4().hex[:16]
    stage.client.get("/health", headers={"traceparent": f"00-{outer}-{span}-01"})
    spans = stage.trace(outer, lambda found: names(found, "server") == ["GET /health"])
    assert [one.parent for one in spans if one.kind == "server"] == [span]
    unsampled = uuid4().hex
    stage.client.get("/health", headers={"traceparent": f"00-{unsampled}-{span}-00"})
    for broken in ("", "00-x-y-01", f"00-{'0' * 32}-{span}-01", f"01-{outer}-{span}-01", "é" * 40):
        answer = stage.client.get("/health", headers=[(b"traceparent", broken.encode())])
        own = answer.headers["x-request-id"].replace("-", "")
        stage.trace(own, lambda found: names(found, "server") == ["GET /health"])
    after = stage.client.get("/health").headers["x-request-id"].replace("-", "")
    stage.trace(after, lambda found: len(found) > 0)
    assert not stage.receiver.of(unsampled)


def test_the_secret_token_goes_with_each_export_and_lines_have_the_trace(stage: Stage) -> None:
    answer = stage.client.get("/health")
    trace = answer.headers["x-request-id"].replace("-", "")
    stage.trace(trace, lambda found: names(found, "server") == ["GET /health"])
    over_http = [headers for headers in stage.receiver.headers if ":path" in headers]
    assert {(one["authorization"], one[":path"]) for one in over_http} == {(f"Bearer {SECRET}", "/v1/traces")}
    assert f'"trace_id":"{trace}"' in stage.server.log.read_text()


def test_nothing_personal_is_in_a_trace(stage: Stage) -> None:
    body = new_person()
    stage.client.post("/users/register", json=body)
    login = {"username": body["cpf"], "password": body["password"]}
    signed_in = stage.client.post("/auth/login", data=login)
    token = signed_in.json()["access_token"]
    own = {"Authorization": f"Bearer {token}"}
    stage.client.get("/users", params={"q": body["full_name"]}, headers=stage.operator)
    stage.client.get(f"/credit/{body['cpf']}/score", headers=stage.operator)
    stage.client.post("/users/register", json=body | {"email": "nenhum"})
    stage.client.get(f"/{body['cpf']}/{body['email']}")
    account = stage.account(10_000, body["cpf"])
    bought = purchase(account, merchant="PADARIA SECRETA    SAO PAULO BR")
    stage.client.post(AUTHORIZER, content=bought, headers=processor_headers())
    last = stage.client.get("/users/me", headers=own).headers["x-request-id"].replace("-", "")
    stage.trace(last, lambda found: bool(names(found, "server")) and bool(names(found, "client")))
    told = "\n".join(stage.receiver.texts)
    for secret in (*body.values(), "PADARIA SECRETA", account, token, SECRET, str(Path(stage.server.home))):
        assert secret not in told, "a span tells names of the code, and no values"
