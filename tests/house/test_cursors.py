"""A crafted cursor gets the same answer from every list: 422, whatever the list is sorted by."""

import base64
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.support.app import RunningApp, running_app, settings_for

SOME = str(UUID(int=7))
INVALID = [{"field": "cursor", "message": "Cursor inválido."}]
PLACES = {"cpf": "52998224725", "account_id": SOME}
BY_TEXT = "/chatbot/topics"


def packed(*parts: str) -> str:
    return base64.urlsafe_b64encode("|".join(parts).encode()).decode().rstrip("=")


TOO_LARGE = packed(str(2**70))
CRAFTED = {
    "nothing": "",
    "no base64": "rubbish!",
    "no ASCII": "é",
    "no UTF-8": base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    "NUL": "\x00",
    "packed NUL": packed("a\x00b"),
    "packed NUL at the end": packed("a\x00"),
    "no part": packed(""),
    "over-long": "A" * 301,
    "far over-long": "A" * 10_000,
    "too many parts": packed(*"123456789"),
    "too large": TOO_LARGE,
    "too large in a line": packed("2026-01-01T00:00:00+00:00", str(2**70), SOME, "1"),
    "too large a line": packed("2026-01-01T00:00:00+00:00", "1", SOME, str(2**15)),
    "naive": packed("2026-01-01T00:00:00", "1", SOME, "1"),
    "naive of a debt": packed("2026-01-01T00:00:00", SOME),
    "out of the calendar": packed("0001-01-01T00:00:00+14:00", "1", SOME, "1"),
    "too many digits": packed("2026-01-01T00:00:00+00:00", "9" * 150, SOME, "1"),
}


@pytest.fixture(scope="module")
async def app(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApp]:
    async with running_app(settings_for(tmp_path_factory.mktemp("cursors"), database_url=database_url)) as running:
        yield running


def lists_of(app: RunningApp) -> list[tuple[str, str]]:
    """Return the methods and paths of the operations that take a cursor."""
    return [
        (method.upper(), path)
        for path, item in app.api.openapi()["paths"].items()
        for method, operation in item.items()
        if any(parameter["name"] == "cursor" for parameter in operation.get("parameters", ()))
    ]


async def test_every_list_is_walked(app: RunningApp) -> None:
    assert len(lists_of(app)) >= 17
    assert ("GET", BY_TEXT) in lists_of(app)


@pytest.mark.parametrize("name", CRAFTED)
async def test_a_crafted_cursor_is_422_on_every_list(app: RunningApp, name: str) -> None:
    cursor = CRAFTED[name]
    someone = app.operator()
    for method, path in lists_of(app):
        if (path, cursor) == (BY_TEXT, TOO_LARGE):
            continue  # digits are valid text
        body: dict[str, str] | None = {} if method == "POST" else None
        answer = await someone.call(method, path.format_map(Places()), params={"cursor": cursor}, json=body)
        assert (answer.status_code, answer.json()["errors"]) == (422, INVALID), (path, answer.text)


class Places(dict[str, str]):
    """The values for a path's braces."""

    def __missing__(self, name: str) -> str:
        return PLACES.get(name, "9076123412341234")
