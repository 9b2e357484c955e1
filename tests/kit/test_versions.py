"""A client names the version that it was written for, and the answer names the version that served it."""

import pytest
from fastapi import APIRouter

from carteira.kit.web.access import public
from carteira.kit.web.problems import Conflict
from tests.support.client import client_of
from tests.support.kit_app import application

router = APIRouter()


@router.get("/people/{number}", dependencies=[public("a test")])
async def get(number: int) -> int:
    if number == 409:
        raise Conflict
    return number


PICKED = {
    None: "2026-11-27",
    "2026-11-22": "2026-11-22",
    "2026-11-26": "2026-11-22",
    "2026-11-27": "2026-11-27",
    "2099-01-01": "2026-11-27",
}


@pytest.mark.parametrize("version", PICKED)
@pytest.mark.parametrize(("path", "status"), [("/people/1", 200), ("/people/409", 409), ("/elsewhere", 404)])
async def test_every_answer_names_its_version(version: str | None, path: str, status: int) -> None:
    headers = {"API-Version": version} if version else {}
    async with client_of(application(router)) as client:
        response = await client.get(path, headers=headers)
    assert (response.status_code, response.headers["api-version"]) == (status, PICKED[version])


@pytest.mark.parametrize("version", ["", "1", "latest", "2026-11-21", "0001-01-01", "2026-13-01", "2027-02-30", "é"])
async def test_an_unknown_version_is_400(version: str) -> None:
    async with client_of(application(router)) as client:
        response = await client.get("/people/1", headers={b"API-Version": version.encode("latin-1")})
    assert (response.status_code, response.json()["code"]) == (400, "unknown_api_version")
    assert response.json()["request_id"] == response.headers["x-request-id"]
