"""Base C in Redis: the last bureau query, the movement and the last card purchase of a CPF, in one round trip.

Four keys a person, in one slot, named by a keyed hash of the CPF: a hash (`q` last query, `p` last purchase, and the
totals of each day), a stream of the newest movements (capped), the ids already seen (so that an event that comes again
changes nothing), and the view of it all as one JSON text, so that a read is one GET and costs hardly more than a bare
one. One script applies an event whole, view included. What is older than 30 days is not movement any more.
"""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from carteira.credit.errors import BaseCDown
from carteira.credit.keys import Keyring
from carteira.credit.schemas import BaseCOut
from carteira.kit.clock import business_day, clock

PERSON = "base-c person"
WINDOW = timedelta(days=30)
STREAM_LENGTH = 200
LISTED = 20
KEPT = timedelta(days=400)
"""A person of whom nothing is heard for so long is forgotten."""
TIMEOUT_SECONDS = 1.0

# KEYS: hash, stream, seen, view. ARGV: id, instant (ms), now (ms), window (ms), day, oldest day, direction, amount,
# movement, purchase, query, stream length, seconds that the hash is kept, seconds that the movement is kept, listed.
# Empty texts are parts that the event does not have. Gives 1 if the event changed anything.
APPLY = """
local changed = 0
local at, now, window = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local stamp = string.format('%015d|%s|', at, ARGV[1])
for field, value in pairs({p = ARGV[10], q = ARGV[11]}) do
  if value ~= '' then
    local new, old = stamp .. value, redis.call('HGET', KEYS[1], field)
    if not old or new > old then
      redis.call('HSET', KEYS[1], field, new)
      changed = 1
    end
  end
end
if ARGV[9] ~= '' and at > now - window then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - window)
  if redis.call('ZADD', KEYS[3], 'NX', at, ARGV[1]) == 1 then
    local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
    local id = at .. '-0'
    if newest then
      local ms, seq = string.match(newest[1], '(%d+)-(%d+)')
      if at <= tonumber(ms) then id = ms .. '-' .. (tonumber(seq) + 1) end
    end
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[12], id, 'm', ARGV[9])
    local day = 'd' .. ARGV[5]
    redis.call('HINCRBY', KEYS[1], day .. ARGV[7], ARGV[8])
    if redis.call('HINCRBY', KEYS[1], day .. 'n', 1) == 1 then
      for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
        if string.sub(field, 1, 1) == 'd' and field < 'd' .. ARGV[6] then redis.call('HDEL', KEYS[1], field) end
      end
    end
    redis.call('EXPIRE', KEYS[2], ARGV[14])
    redis.call('EXPIRE', KEYS[3], ARGV[14])
    changed = 1
  end
end
if changed == 1 then
  local days, q, p, movements = {}, 'null', 'null', {}
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local kind = string.sub(all[i], 1, 1)
    if kind == 'd' then days[#days + 1] = '"' .. all[i] .. '":' .. all[i + 1]
    elseif kind == 'q' then q = string.match(all[i + 1], '^%d+|[^|]*|(.*)$')
    elseif kind == 'p' then p = string.match(all[i + 1], '^%d+|[^|]*|(.*)$') end
  end
  for i, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[15])) do
    movements[i] = entry[2][2]
  end
  local view = '{"q":' .. q .. ',"p":' .. p .. ',"d":{' .. table.concat(days, ',') .. '},"m":['
    .. table.concat(movements, ',') .. ']}'
  redis.call('SET', KEYS[4], view, 'EX', ARGV[13])
  redis.call('EXPIRE', KEYS[1], ARGV[13])
end
return changed
"""


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that came in or went out; a card purchase is also the last one of its kind. Centavos."""

    id: str
    occurred_at: datetime
    direction: Literal["in", "out"]
    amount: int
    kind: str
    description: str | None = None
    card_purchase: bool = False
    mcc: str | None = None


@dataclass(frozen=True, slots=True)
class BureauQuery:
    """A look-up of a CPF."""

    id: str
    occurred_at: datetime
    source: str
    purpose: str | None = None
    by: str | None = None


Happening = Movement | BureauQuery


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _without_none(**fields: object) -> str:
    return orjson.dumps({name: value for name, value in fields.items() if value is not None}).decode()


class BaseC:
    """Redis, as one process sees it."""

    def __init__(self, url: str | None, keyring: Keyring) -> None:
        self._url = url
        self._keyring = keyring
        self._client: Redis | None = None

    async def open(self) -> None:
        """Keep a client from now on."""
        if self._url is not None:
            self._client = self._create()

    async def close(self) -> None:
        """Close what was kept."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _create(self) -> Redis:
        if self._url is None:
            raise BaseCDown
        return Redis.from_url(
            self._url,
            decode_responses=True,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[Redis]:
        try:
            if self._client is not None:
                yield self._client
                return
            client = self._create()
            try:
                yield client
            finally:
                await client.aclose()
        except (RedisError, OSError, TimeoutError) as error:
            raise BaseCDown from error

    def keys_of(self, cpf: str) -> tuple[str, str, str, str]:
        """Give a person's four keys; the braces keep them in one slot of a cluster."""
        name = base64.urlsafe_b64encode(self._keyring.hash(PERSON, cpf)[:18]).decode()
        return f"credit:{{{name}}}", f"credit:{{{name}}}:m", f"credit:{{{name}}}:s", f"credit:{{{name}}}:v"

    async def read(self, cpf: str) -> BaseCOut:
        """Give a person's base C, in one round trip; nothing known is an empty answer.

        Raises:
            BaseCDown: Redis does not answer.
        """
        view = self.keys_of(cpf)[3]
        async with self._calling() as redis:
            text = await redis.get(view)
        return _view(orjson.loads(text)) if text is not None else BaseCOut()

    async def apply(self, cpf: str, happening: Happening) -> bool:
        """Apply one event; False when it was applied before or is older than the window.

        Raises:
            BaseCDown: Redis does not answer.
        """
        return (await self.apply_many([(cpf, happening)]))[0]

    async def apply_many(self, happenings: Sequence[tuple[str, Happening]]) -> list[bool]:
        """Apply events in order, in one round trip. Applying any of them again changes nothing.

        Raises:
            BaseCDown: Redis does not answer; some may have been applied.
        """
        now = clock.now()
        async with self._calling() as redis:
            script = redis.register_script(APPLY)
            async with redis.pipeline(transaction=False) as pipeline:
                for cpf, happening in happenings:
                    await script(keys=self.keys_of(cpf), args=_arguments(happening, now), client=pipeline)
                return [bool(changed) for changed in await pipeline.execute()]

    async def erase(self, cpf: str) -> None:
        """Forget a person."""
        async with self._calling() as redis:
            await redis.unlink(*self.keys_of(cpf))


def _arguments(happening: Happening, now: datetime) -> list[str | int]:
    at = happening.occurred_at.astimezone(UTC)
    movement = purchase = query = ""
    direction, amount = "", 0
    if isinstance(happening, Movement):
        direction, amount = happening.direction, happening.amount
        movement = _without_none(
            id=happening.id,
            kind=happening.kind,
            direction=direction,
            amount=amount,
            description=happening.description,
            occurred_at=at.isoformat(),
        )
        if happening.card_purchase:
            purchase = _without_none(
                id=happening.id,
                amount=amount,
                merchant=happening.description,
                mcc=happening.mcc,
                at=at.isoformat(),
            )
    else:
        query = _without_none(at=at.isoformat(), source=happening.source, purpose=happening.purpose, by=happening.by)
    return [
        happening.id,
        _milliseconds(at),
        _milliseconds(now),
        int(WINDOW.total_seconds() * 1000),
        business_day(at).isoformat(),
        _oldest_day(now),
        direction,
        amount,
        movement,
        purchase,
        query,
        STREAM_LENGTH,
        int(KEPT.total_seconds()),
        int(WINDOW.total_seconds()),
        LISTED,
    ]


def _oldest_day(now: datetime) -> str:
    """Name the first of the 30 business days that end today."""
    return (business_day(now) - WINDOW + timedelta(days=1)).isoformat()


def _view(view: dict[str, Any]) -> BaseCOut:
    now = clock.now()
    first_day, first_instant = "d" + _oldest_day(now), (now - WINDOW).isoformat()
    totals = {"in": 0, "out": 0, "n": 0}
    for name, value in view["d"].items():
        if name >= first_day:
            totals[name[11:]] += value
    movements = [movement for movement in view["m"] if movement["occurred_at"] > first_instant]
    movements.sort(key=lambda movement: (movement["occurred_at"], movement["id"]), reverse=True)
    return BaseCOut.model_validate(
        {
            "last_bureau_query": view["q"],
            "financial_movement": {
                "last_30_days": {"incoming": totals["in"], "outgoing": totals["out"], "count": totals["n"]},
                "items": movements,
            },
            "last_card_purchase": view["p"],
        }
    )
