"""Compares the values that all machines of an installation must share: keys, secrets, Redis, documents' storage.

Each serving process writes marks into the `application_name` of its connections to PostgreSQL: six hexadecimal digits
of a hash of each key and place in use. A starting process and `carteira doctor` compare them with their own. This works
even if the processes share neither Redis nor a disk, and discloses nothing else about keys.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from urllib.parse import unquote, urlsplit

from carteira import credit
from carteira.key_rings import RINGS, rings_on
from carteira.kit.db.engine import Database
from carteira.kit.db.session import fetch
from carteira.kit.outbound import redis
from carteira.kit.outbound.redis_address import RedisAddress
from carteira.kit.security import tokens
from carteira.kit.security.key_ring import KeyRing
from carteira.settings import Settings

_NAMES = ("tokens", "identity", "documents", "credit", "jwt", "redis", "storage")
_DIGITS = 6
_NONE = "-" * _DIGITS
_MARKED = re.compile(rf" ([0-9a-f-]{{{_DIGITS * len(_NAMES)}}})$")
_NAME_OF_DATA = "carteira:data"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_OTHERS = """
    SELECT DISTINCT application_name, coalesce(host(client_addr), 'local'),
           extract(epoch FROM clock_timestamp() - backend_start)::float8
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Shared:
    """The secrets and places that a machine uses.

    Attributes:
        marks: The marks of the values in use, by name: the active key, the secret that signs, the place.
        known: The marks that others may have, by name; waiting and retired keys are included.
        redis_up_seconds: How long its Redis has been running; older marks may be of a former run.
    """

    marks: Mapping[str, str]
    known: Mapping[str, frozenset[str]]
    redis_up_seconds: float = 0.0

    def __str__(self) -> str:
        """Write the marks, as `application_name` holds them."""
        return "".join(self.marks.get(name, _NONE) for name in _NAMES)


@dataclass(frozen=True)
class Other:
    """Another serving process: the address that it connects to PostgreSQL from, its marks, and the connection's age."""

    address: str
    marks: Mapping[str, str]
    seconds: float


async def here(settings: Settings) -> Shared:
    """Return this machine's values; an unreadable one has no mark here."""
    known: dict[str, list[str]] = {}
    for ring in rings_on(settings):
        path = ring.path(settings)
        try:
            known[ring.name] = [_mark(key) for key in _keys(ring.name, path)]
        except (OSError, ValueError):  # `carteira keys check` reports the fault
            continue
    known["jwt"] = [_mark(secret) for secret in settings.jwt_secrets]
    if "documents" in settings.modules and (place := _place(settings)) is not None:
        known["storage"] = [_mark(place)]
    up_seconds = 0.0
    if (url := settings.redis()) is not None:
        histories, up_seconds = await _redis(url)
        known["redis"] = [_mark(history) for history in histories]
    marks = {name: those[0] for name, those in known.items() if those}
    return Shared(marks, {name: frozenset(those) for name, those in known.items() if those}, up_seconds)


def _mark(what: str) -> str:
    return sha256(b"carteira\0" + what.encode()).hexdigest()[:_DIGITS]


def _keys(name: str, path: Path) -> list[str]:
    """Return the ids of the keys in a ring's file, the active one first. Raises as the ring's `look`."""
    if name == "tokens":
        beside = [*tokens.waiting_keys(path), *tokens.retired_keys(path)]
        return [str(tokens.load_key(file).kid) for file in (path, *beside)]
    if name == "credit":
        file = credit.read_key_file(path)
        names = sorted(file.keys, key=lambda one: one != file.active)
        return [f"{one}:{file.keys[one].hex()}" for one in names]
    active = RINGS[name].look(path).active
    names = [key.id for key in KeyRing(path).keys()]  # noqa: SIM118 - a method of the ring, which is no dictionary
    return sorted(names, key=lambda one: one != active)


def _place(settings: Settings) -> str | None:
    """Return a name for the documents' storage; a folder's is unique by its disk and this boot of the machine."""
    url = settings.documents_url or (settings.carteira_home / "documents").as_uri()
    if not url.startswith("file:"):
        return f"{settings.aws_endpoint_url or ''} {url.rstrip('/')}"
    folder = Path(unquote(urlsplit(url).path))
    try:
        found = folder.stat()
        boot = _BOOT.read_text()
    except OSError:  # the folder is not created yet, or the system has no boot id
        return None
    return f"{boot} {found.st_dev} {found.st_ino}"


async def _redis(url: str) -> tuple[list[str], float]:
    """Return the ids of Redis's data, which its replicas share, and its uptime in seconds.

    Redis keeps the ids of two histories at most, so that two failovers would change both. With Sentinel the data
    therefore get an id of our own.
    """
    client = redis.connect(url)
    try:
        up = await client.info("server")
        if RedisAddress.parse(url).service is not None:
            await client.set(_NAME_OF_DATA, token_hex(8), nx=True)
            return [str(await client.get(_NAME_OF_DATA))], float(up.get("uptime_in_seconds", 0))
        replication = await client.info("replication")
    except redis.AWAY:
        return [], 0.0
    finally:
        await client.aclose()
    histories = [str(replication[name]) for name in ("master_replid", "master_replid2") if replication.get(name)]
    return histories, float(up.get("uptime_in_seconds", 0))


async def others(database: Database) -> list[Other]:
    """Return the processes that serve from the same database at present. Raises as `Database.transaction`."""
    async with database.transaction() as tx:
        rows = await fetch(tx, _OTHERS)
    found = []
    for name, address, seconds in rows:
        if marked := _MARKED.search(str(name)):
            parts = [marked[1][at : at + _DIGITS] for at in range(0, len(marked[1]), _DIGITS)]
            marks = {what: mark for what, mark in zip(_NAMES, parts, strict=True) if mark != _NONE}
            found.append(Other(str(address), marks, float(seconds)))
    return found


def differing(settings: Settings, mine: Shared, found: list[Other]) -> Iterator[str]:
    """Yield a Portuguese sentence for each value that others use and this machine does not know."""
    for name in _NAMES:
        known = mine.known.get(name)
        strangers = {
            other.address
            for other in found
            if known and name in other.marks and other.marks[name] not in known and _counts(name, mine, other)
        }
        if strangers:
            yield _sentence(settings, name, ", ".join(sorted(strangers)))


def _counts(name: str, mine: Shared, other: Other) -> bool:
    """Return whether another's mark counts; a mark of Redis that is older than this run of Redis does not."""
    return name != "redis" or other.seconds < mine.redis_up_seconds


def _sentence(settings: Settings, name: str, where: str) -> str:
    if name == "jwt":
        return f"JWT_SECRET: o processo em {where} assina com outro segredo: dê os mesmos a todas as máquinas"
    if name == "redis":
        return f"REDIS_URL: o processo em {where} usa outro Redis: dê o mesmo a todas as máquinas"
    if name == "storage":
        return (
            f"DOCUMENTS_URL: o processo em {where} guarda documentos em outro lugar: com várias máquinas use s3://, o "
            "mesmo em todas"
        )
    ring = RINGS[name]
    path = ring.path(settings)
    return (
        f"{ring.setting}: o processo em {where} usa uma chave que não está em {path}: copie {path.parent} da máquina "
        "que tem a certa"
    )
