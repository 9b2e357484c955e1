"""Older clients are spoken to in their version: a demonstration change, both ways."""

import re
from datetime import date
from typing import Any

import pytest
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from carteira.kit.web.access import public
from carteira.kit.web.problems import Conflict
from carteira.kit.web.versions import FIRST, Change, UnknownVersion, newest, parse
from tests.support.client import client_of
from tests.support.kit_app import application

router = APIRouter()


class Person(BaseModel):
    """The newest shape: `name` became `full_name`, and then a list of `names`."""

    model_config = ConfigDict(extra="forbid")

    names: list[str]


@router.post("/people/{number}", status_code=201, dependencies=[public("a test")])
async def add(number: int, person: Person) -> Person:
    if number == 409:
        raise Conflict
    return person


@router.get("/people/{number}", dependencies=[public("a test")])
async def get(number: int) -> Person:
    return Person(names=["Ana", str(number)])


def renamed(old: str, new: str) -> Any:  # noqa: ANN401 - a conversion of any JSON
    return lambda body: {new if name == old else name: value for name, value in body.items()}


PEOPLE = re.compile(r"/people/[0-9]+")
SECOND, THIRD = date(2027, 1, 10), date(2027, 6, 1)
CHANGES = [
    Change(
        THIRD,
        "POST",
        PEOPLE,
        upgrade_request=lambda body: {"names": body["full_name"].split()},
        downgrade_response=lambda body: {"full_name": " ".join(body["names"])},
    ),
    Change(
        SECOND,
        "POST",
        PEOPLE,
        upgrade_request=renamed("name", "full_name"),
        downgrade_response=renamed("full_name", "name"),
    ),
    Change(THIRD, "GET", PEOPLE, downgrade_response=lambda body: {"full_name": " ".join(body["names"])}),
]


@pytest.mark.parametrize(
    ("version", "body", "spoken"),
    [
        ("2026-11-22", {"name": "Ana Sá"}, FIRST),
        ("2027-01-09", {"name": "Ana Sá"}, FIRST),
        ("2027-01-10", {"full_name": "Ana Sá"}, SECOND),
        ("2027-05-31", {"full_name": "Ana Sá"}, SECOND),
        ("2027-06-01", {"names": ["Ana", "Sá"]}, THIRD),
        ("2099-01-01", {"names": ["Ana", "Sá"]}, THIRD),
        (None, {"names": ["Ana", "Sá"]}, THIRD),
    ],
)
async def test_each_version_sends_and_gets_its_own_shape(version: str | None, body: object, spoken: date) -> None:
    headers = {"API-Version": version} if version else {}
    async with client_of(application(router, changes=CHANGES)) as client:
        response = await client.post("/people/1", json=body, headers=headers)
    assert (response.status_code, response.json()) == (201, body)
    assert response.headers["api-version"] == spoken.isoformat()
    assert int(response.headers["content-length"]) == len(response.content)


async def test_only_what_changed_is_converted() -> None:
    async with client_of(application(router, changes=CHANGES), token=None) as client:
        old = {"API-Version": "2026-11-22"}
        assert (await client.get("/people/7", headers=old)).json() == {"full_name": "Ana 7"}
        assert (await client.get("/people/7")).json() == {"names": ["Ana", "7"]}
        assert (await client.get("/elsewhere", headers=old)).status_code == 404


async def test_problems_stay_as_they_are() -> None:
    async with client_of(application(router, changes=CHANGES)) as client:
        old = {"API-Version": "2026-11-22"}
        refused = await client.post("/people/409", json={"name": "Ana"}, headers=old)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        unread = await client.post("/people/1", content=b"{", headers=old | {"Content-Type": "application/json"})
        assert (unread.status_code, unread.json()["code"]) == (422, "invalid_input")


@pytest.mark.parametrize("body", [b"[]", b"null", b"3", b"{}", b'{"name": 3}', b'{"name": null}'])
async def test_a_body_of_another_shape_is_invalid_in_every_version(body: bytes) -> None:
    headers = {"API-Version": "2026-11-22", "Content-Type": "application/json"}
    async with client_of(application(router, changes=CHANGES)) as client:
        response = await client.post("/people/1", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")


@pytest.mark.parametrize("version", ["", "1", "latest", "2026-11-21", "0001-01-01", "2026-13-01", "2027-02-30", "é"])
async def test_an_unknown_version_is_400(version: str) -> None:
    async with client_of(application(router)) as client:
        response = await client.get("/people/1", headers={b"API-Version": version.encode("latin-1")})
    assert (response.status_code, response.json()["code"]) == (400, "unknown_api_version")
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_the_first_version_is_the_newest_until_something_changes() -> None:
    assert newest(()) == parse(b"2026-11-22", ()) == parse(b"2030-01-01", ()) == FIRST
    with pytest.raises(UnknownVersion):
        parse(b"\xff")
