"""Stories on real servers: two workers, and a restart in the middle."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx

from carteira.app import access_key_path
from carteira.kit import tokens
from tests.server import Server, running_server


def sign_in(server: Server) -> dict[str, str]:
    key = tokens.load_or_create_key(access_key_path(server.home))
    token = tokens.sign(key, subject=str(uuid4()), ttl_seconds=600, claims={"claims": []})
    return {"authorization": f"Bearer {token}"}


def say(server: Server, headers: dict[str, str], message: str) -> dict[str, object]:
    # A connection each, so that the kernel gives them to both workers.
    answer = httpx.post(server.url + "/chatbot/chat", json={"message": message}, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    body: dict[str, object] = answer.json()
    return body


def cards(server: Server, headers: dict[str, str]) -> list[dict[str, object]]:
    items: list[dict[str, object]] = httpx.get(server.url + "/transport-cards", headers=headers).json()["items"]
    return items


def test_stories_go_on_after_a_restart_and_on_any_worker(database_url: str, tmp_path: Path) -> None:
    settings = {
        "database_url": database_url,
        "carteira_modules": "assistant,documents,transit",
        "assistant_vectors": "false",
    }
    with running_server(tmp_path, workers=2, **settings) as server:
        anna, bento, carla = (sign_in(server) for _ in range(3))
        for person in (anna, bento):
            cards(server, person)
        say(server, anna, "2")
        for message in ("recarregar", "10,00"):
            say(server, bento, message)
        for message in ("3", "2", "529.982.247-25"):
            say(server, carla, message)
    with running_server(tmp_path, workers=2, **settings) as server:
        assert "cancelado" in str(say(server, anna, "sim")["message"])
        assert [card["status"] for card in cards(server, anna)] == ["cancelled"]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: say(server, bento, "sim"), range(16)))
        assert [card["balance"] for card in cards(server, bento)] == [1000]
        assert "guardado sem arquivo" in str(say(server, carla, "sem arquivo")["message"])
