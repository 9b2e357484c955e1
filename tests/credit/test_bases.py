"""The contract of each base over HTTP: create, read, change, delete, and refusals."""

from uuid import uuid4

import pytest

from tests.support.app import RunningApp
from tests.support.credit import BASE_A, BASE_B, PURPOSE, analyst_of
from tests.support.people import Person, new_cpf


@pytest.mark.parametrize(("base", "content"), [("base-a", BASE_A), ("base-b", BASE_B)])
async def test_a_record_is_made_read_changed_and_deleted_by_version(
    analyst: Person, base: str, content: dict[str, object]
) -> None:
    cpf = new_cpf()
    path = f"/credit/{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}/{base}"
    assert (await analyst.call("GET", path)).status_code == 404
    assert (await analyst.call("DELETE", path)).status_code == 404
    early = await analyst.call("PUT", path, json=content, headers={"If-Match": f'"{uuid4()}"'})
    assert (early.status_code, early.json()["code"]) == (412, "record_changed")
    made = await analyst.call("PUT", path, json=content, headers={"If-None-Match": "*"})
    assert made.status_code == 201, made.text
    read = await analyst.call("GET", path)
    assert read.headers["etag"] == made.headers["etag"]
    assert {name: read.json()[name] for name in ("address",)} == {"address": made.json()["address"]}
    for headers, status in (
        ({}, 428),
        ({"If-Match": f'"{uuid4()}"'}, 412),
        ({"If-None-Match": "*"}, 412),
        ({"If-Match": "rubbish"}, 422),
        ({"If-Match": "*", "If-None-Match": "*"}, 422),
    ):
        assert (await analyst.call("PUT", path, json=content, headers=headers)).status_code == status, headers
    changed = await analyst.call("PUT", path, json=content, headers={"If-Match": read.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != read.headers["etag"]
    assert (await analyst.call("DELETE", path)).status_code == 428
    assert (await analyst.call("DELETE", path, headers={"If-Match": read.headers["etag"]})).status_code == 412
    assert (await analyst.call("DELETE", path, headers={"If-Match": changed.headers["etag"]})).status_code == 204
    assert (await analyst.call("GET", path)).status_code == 404


async def test_base_a_returns_the_written_record(analyst: Person) -> None:
    cpf = new_cpf()
    await analyst.call("PUT", f"/credit/{cpf}/base-a", json=BASE_A)
    answer = (await analyst.call("GET", f"/credit/{cpf}/base-a")).json()
    assert answer["cpf"] == cpf
    assert answer["name"] == BASE_A["name"]
    assert answer["debts"] == [
        {
            "creditor": "Banco Plantado S.A.",
            "amount": 123_456,
            "due_date": "2026-12-01",
            "contract": "CT-7788",
            "status": "open",
        }
    ]


async def test_base_b_takes_an_age_or_a_birth_date(analyst: Person) -> None:
    cpf = new_cpf()
    content = {name: value for name, value in BASE_B.items() if name != "birth_date"}
    both = await analyst.call("PUT", f"/credit/{cpf}/base-b", json=BASE_B | {"age": 30})
    assert both.json()["errors"][0]["message"] == "Informe a data de nascimento ou a idade, não as duas."
    made = await analyst.call("PUT", f"/credit/{cpf}/base-b", json=content | {"age": 30})
    assert (made.json()["age"], made.json()["birth_date"]) == (30, None)
    changed = await analyst.call("PUT", f"/credit/{cpf}/base-b", json=BASE_B, headers={"If-Match": "*"})
    assert changed.json()["birth_date"] == "1985-04-12"
    assert (await analyst.call("GET", f"/credit/{cpf}/base-b")).json()["age"] >= 40


@pytest.mark.parametrize(
    ("base", "content", "field"),
    [
        ("base-a", {}, "name"),
        ("base-a", BASE_A | {"address": {"street": "x", "city": "Rio"}}, "address.state"),
        ("base-a", BASE_A | {"address": {"city": "Rio", "state": "XX"}}, "address.state"),
        ("base-a", BASE_A | {"name": "a\u0000b"}, "name"),
        ("base-a", BASE_A | {"name": "   "}, "name"),
        ("base-a", BASE_A | {"cpf": "1"}, "cpf"),
        ("base-a", BASE_A | {"debts": [{"creditor": "x", "amount": 1.5, "due_date": "2026-01-01"}]}, "debts.0.amount"),
        ("base-a", BASE_A | {"debts": [{"creditor": "x", "amount": True, "due_date": "2026-01-01"}]}, "debts.0.amount"),
        ("base-a", BASE_A | {"debts": [{"creditor": "x", "amount": 1, "due_date": "01/02/2026"}]}, "debts.0.due_date"),
        ("base-b", BASE_B | {"birth_date": "2999-01-01"}, "birth_date"),
        ("base-b", BASE_B | {"birth_date": "1700-01-01"}, "birth_date"),
        ("base-b", {"age": 131}, "age"),
        ("base-b", {"age": "30"}, "age"),
        ("base-b", {"age": 30, "assets": [{"kind": "boat", "description": "x", "amount": 1}]}, "assets.0.kind"),
        ("base-b", {"age": 30, "income_sources": [{"description": "x"}]}, "income_sources.0.monthly_amount"),
        ("base-b", [], ""),
    ],
)
async def test_a_broken_field_is_named_in_portuguese(analyst: Person, base: str, content: object, field: str) -> None:
    response = await analyst.call("PUT", f"/credit/{new_cpf()}/{base}", json=content)
    assert response.status_code == 422, response.text
    assert field in [error["field"] for error in response.json()["errors"]] or field == "", response.text


@pytest.mark.parametrize("cpf", ["1", "11111111111", "12345678900", "abc", "529982247-26", "%00"])
async def test_a_wrong_cpf_is_422(analyst: Person, cpf: str) -> None:
    for path in ("", "/base-a", "/base-b", "/base-c", "/score", "/accesses"):
        response = await analyst.call("GET", f"/credit/{cpf}{path}")
        assert response.status_code == 422, (path, response.text)
        assert response.json()["errors"][0] == {"field": "cpf", "message": "CPF inválido."}


async def test_a_read_of_base_a_needs_a_purpose_of_the_list(analyst: Person) -> None:
    cpf = new_cpf()
    for path in (f"/credit/{cpf}/base-a", f"/credit/{cpf}"):
        for headers in ({"X-Purpose": "curiosity"}, {"X-Purpose": ""}):
            response = await analyst.call("GET", path, headers=headers)
            assert response.status_code == 422
        missing = await analyst.client.get(path, headers={"Authorization": analyst.headers["Authorization"]})
        assert missing.status_code == 422
        assert missing.json()["errors"][0]["message"] == "Campo obrigatório."


ROUTES = [
    ("GET", "", ("credit:a:read", "credit:b:read", "credit:c:read")),
    ("GET", "/base-a", ("credit:a:read",)),
    ("PUT", "/base-a", ("credit:a:write",)),
    ("DELETE", "/base-a", ("credit:a:write",)),
    ("GET", "/base-b", ("credit:b:read",)),
    ("PUT", "/base-b", ("credit:b:write",)),
    ("DELETE", "/base-b", ("credit:b:write",)),
    ("GET", "/base-c", ("credit:c:read",)),
    ("POST", "/base-c/events", ("credit:c:write",)),
    ("DELETE", "/base-c", ("credit:c:write",)),
    ("GET", "/score", ("credit:b:read",)),
    ("GET", "/accesses", ("credit:audit",)),
]


@pytest.mark.parametrize(("method", "path", "needed"), ROUTES)
async def test_every_route_needs_its_claims_and_no_other_opens_it(
    app: RunningApp, method: str, path: str, needed: tuple[str, ...]
) -> None:
    url = f"/credit/{new_cpf()}{path}"
    all_claims = {claim for _, _, claims in ROUTES for claim in claims} | {"users:read", "ledger:write"}
    assert (await app.client.request(method, url, headers=PURPOSE)).status_code == 401
    without = analyst_of(app, *(all_claims - {needed[-1]}))
    assert (await without.call(method, url, json={})).status_code in {403, 422} - ({422} if method == "GET" else set())
    holder = analyst_of(app, *needed)
    assert (await holder.call(method, url, json={})).status_code not in {401, 403}
