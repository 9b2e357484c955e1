"""A rotation of keys under kill -9 at each of its points: all still opens and verifies, and it can be resumed."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from carteira import demo, identity
from carteira.kit.db.engine import open_database
from carteira.kit.security import tokens
from carteira.kit.security.sealing import SealedWalk, Sealer
from tests.support.databases import NewDatabase
from tests.support.server import clean_environment

LEAST_POINTS = {"identity": 12, "tokens": 3}
"""Fewer points mean that the hooks were not reached."""


class Doomed:
    """Rotations that die at a chosen point."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def rotate(self, fatal: int, how: str = "new") -> bool:
        """Rotate, and return whether the process died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{fatal} {how}\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        assert code in {0, -9}
        return code == -9


@contextmanager
def doomed(ring: str, *arguments: str) -> Iterator[Doomed]:
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.doomed_rotation", ring, *arguments],
        env=clean_environment(Path(arguments[0]).parent) | {"PYTHONPATH": f"{root}/src:{root}"},
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Doomed(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


async def found(url: str, path: Path) -> SealedWalk:
    async with open_database(url) as database, database.transaction() as tx:
        return await identity.check_sealed(tx, Sealer(path))


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_the_key_of_identity_is_rotated_despite_kills(new_database: NewDatabase, tmp_path: Path) -> None:
    url, path = new_database("rotation"), tmp_path / "identity.key"
    asyncio.run(demo.seed(url, ()))
    ring = Sealer(path, create=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM totp")
        people = [row[0] for row in connection.execute("SELECT id FROM users ORDER BY id LIMIT 3").fetchall()]
        for person in people:
            sealed = ring.seal(person, b"secret of " + person.bytes)
            connection.execute(
                "INSERT INTO totp (user_id, secret, created_at) VALUES (%s, %s, now())", [person, sealed]
            )
    with doomed("identity", str(path), url) as rotations:
        for point in count(1):
            died = rotations.rotate(point)
            amid = asyncio.run(found(url, path))
            assert (amid.on_active + amid.on_former, amid.unreadable) == (len(people), 0), f"killed at point {point}"
            if not died:
                break
            assert not rotations.rotate(0, "old")
            after = asyncio.run(found(url, path))
            assert (after.on_active, after.on_former, after.unreadable) == (len(people), 0, 0), f"point {point}"
    assert point > LEAST_POINTS["identity"]
    with psycopg.connect(url) as connection:
        kept = connection.execute("SELECT user_id, secret FROM totp").fetchall()
    assert {person: Sealer(path).open(person, sealed) for person, sealed in kept} == {
        person: b"secret of " + person.bytes for person in people
    }


@pytest.mark.parametrize("key", ["fresh", "prepared"])
def test_the_key_of_tokens_is_rotated_despite_kills(tmp_path: Path, key: str) -> None:
    path = tmp_path / "keys" / "access-token.pem"
    tokens.create_key(path)
    with doomed("tokens", str(path)) as rotations:
        for point in count(1):
            token = tokens.sign(tokens.load_key(path), subject="x", ttl_seconds=60, claims={})
            if key == "prepared":
                tokens.prepare(path)
            died = rotations.rotate(point)
            keys = tokens.SigningKeys(path)
            assert keys.verify(token)["sub"] == "x", f"killed at point {point}"
            assert keys.verify(tokens.sign(keys.current, subject="y", ttl_seconds=60, claims={}))["sub"] == "y"
            if not died:
                break
            assert not rotations.rotate(0)
            assert tokens.SigningKeys(path).verify(token)["sub"] == "x"
            assert tokens.waiting_keys(path) == []
    assert point > LEAST_POINTS["tokens"]
