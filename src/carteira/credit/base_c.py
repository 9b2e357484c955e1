"""Base C in Redis: the last bureau query, the movement and the last card purchase of a CPF, in one round trip.

A person has four keys in one slot, named by a keyed hash of the CPF: a hash (`q` last query, `p` last purchase, and the
totals of each day), a stream of the newest movements (capped), the ids already seen (so that an event that comes again
changes nothing), and the view of it all as one JSON text, so that a read is one GET and costs hardly more than a bare
one. One script applies an event whole, view included. Events older than 30 days are dropped.
"""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from carteira.credit.errors import BaseCDown
from carteira.credit.keys import Keyring
from carteira.credit.schemas import BaseCOut
from carteira.kit.outbound.redis import AWAY, connect
from carteira.kit.values.clock import business_day, clock

PERSON = "base-c person"
WINDOW = timedelta(days=30)
STREAM_LENGTH = 200
LISTED = 20
KEPT = timedelta(days=400)
"""A person without events for so long is deleted."""

log = structlog.get_logger(__name__)

# KEYS: hash, stream, seen, view. ARGV: id, instant (ms), when ids may be forgotten (ms), day, today, oldest day of the
# window, direction, amount, movement, purchase, query, stream length, seconds that the person is kept, seconds that the
# movement is kept, how many are listed. Empty texts are parts that the event does not have; without an id there is no
# event, and the view is rebuilt and returned. Otherwise returns 1 if the event changed anything.
APPLY = """
local id, at, day, oldest = ARGV[1], ARGV[2], ARGV[4], ARGV[6]
local changed = id == ''
local stamp = string.format('%015.0f|%s|', at, id)
for field, value in pairs({p = ARGV[10], q = ARGV[11]}) do
  if value ~= '' then
    local new, old = stamp .. value, redis.call('HGET', KEYS[1], field)
    if not old or new > old then
      redis.call('HSET', KEYS[1], field, new)
      changed = true
    end
  end
end
if ARGV[9] ~= '' and day >= oldest then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[3])
  if redis.call('ZADD', KEYS[3], 'NX', at, id) == 1 then
    local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
    local entry = at .. '-0'
    if newest then
      local ms, seq = string.match(newest[1], '(%d+)-(%d+)')
      if tonumber(at) <= tonumber(ms) then entry = ms .. '-' .. (tonumber(seq) + 1) end
    end
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[12], entry, 'm', ARGV[9], 't', stamp, 'd', day)
    local incoming, outgoing, count = 0, 0, 0
    local totals = redis.call('HGET', KEYS[1], 'd' .. day)
    if totals then incoming, outgoing, count = string.match(totals, '(%d+),(%d+),(%d+)') end
    if ARGV[7] == 'in' then incoming = incoming + ARGV[8] else outgoing = outgoing + ARGV[8] end
    redis.call('HSET', KEYS[1], 'd' .. day, string.format('%.0f,%.0f,%.0f', incoming, outgoing, count + 1))
    redis.call('EXPIRE', KEYS[2], ARGV[14])
    redis.call('EXPIRE', KEYS[3], ARGV[14])
    changed = true
  end
end
if not changed then return 0 end
local incoming, outgoing, count, last, listed = 0, 0, 0, {p = 'null', q = 'null'}, {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local field, value = all[i], all[i + 1]
  if last[field] then
    last[field] = string.match(value, '^%d+|[^|]*|(.*)$')
  elseif field < 'd' .. oldest then
    redis.call('HDEL', KEYS[1], field)
  else
    local day_in, day_out, number = string.match(value, '(%d+),(%d+),(%d+)')
    incoming, outgoing, count = incoming + day_in, outgoing + day_out, count + number
  end
end
local entries = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[15])
table.sort(entries, function(a, b) return a[2][4] > b[2][4] end)
for _, entry in ipairs(entries) do
  if entry[2][6] >= oldest then listed[#listed + 1] = entry[2][2] end
end
local view = string.format('%s{"last_bureau_query":%s,"financial_movement":{"last_30_days":'
  .. '{"incoming":%.0f,"outgoing":%.0f,"count":%.0f},"items":[%s]},"last_card_purchase":%s}',
  ARGV[5], last.q, incoming, outgoing, count, table.concat(listed, ','), last.p)
redis.call('SET', KEYS[4], view, 'EX', ARGV[13])
redis.call('EXPIRE', KEYS[1], ARGV[13])
if id == '' then return view end
return 1
"""
DAY_LENGTH = len("2026-11-22")
NOTHING_KNOWN = BaseCOut().model_dump_json().encode()


@dataclass(frozen=True, slots=True)
class Movement:
    """Incoming or outgoing money; a card purchase is also stored as the last one. Centavos."""

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


BaseCEvent = Movement | BureauQuery


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(**fields: object) -> str:
    return orjson.dumps(fields).decode()


class BaseC:
    """Redis, as one process sees it."""

    def __init__(self, url: str | None, keyring: Keyring) -> None:
        self._url = url
        self._keyring = keyring
        self._client: Redis | None = None

    @asynccontextmanager
    async def opened(self, client: Redis | None = None) -> AsyncIterator[None]:
        """Yield a client for the block: the process's, or else a new one."""
        async with AsyncExitStack() as stack:
            if client is None and self._url is not None:
                client = await stack.enter_async_context(connect(self._url))
            self._client = client
            try:
                yield
            finally:
                self._client = None

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[Redis]:
        try:
            if self._client is not None:
                yield self._client
                return
            if self._url is None:
                raise BaseCDown
            async with connect(self._url) as client:
                yield client
        except AWAY as error:
            if isinstance(error, ResponseError):  # it answers with an error: full, read-only, or our own fault
                log.exception("redis refused", error=type(error).__name__, detail=str(error)[:200])
            raise BaseCDown from error

    def keys_of(self, cpf: str) -> tuple[str, str, str, str]:
        """Return a person's four keys; the braces keep them in one slot of a cluster."""
        name = base64.urlsafe_b64encode(self._keyring.hash(PERSON, cpf)[:18]).decode()
        return f"credit:{{{name}}}", f"credit:{{{name}}}:m", f"credit:{{{name}}}:s", f"credit:{{{name}}}:v"

    async def read_json(self, cpf: str) -> bytes:
        """Return a person's base C as the JSON of `BaseCOut`, in one round trip; nothing known is an empty answer.

        The view is of the last event's day. The first read of another day rebuilds it (one trip more).

        Raises:
            BaseCDown: Redis does not answer.
        """
        keys, now = self.keys_of(cpf), clock.now()
        async with self._calling() as redis:
            view = await redis.get(keys[3])
            if view is None:
                return NOTHING_KNOWN
            if view[:DAY_LENGTH] != business_day(now).isoformat().encode():
                view = await redis.register_script(APPLY)(keys=keys, args=_arguments(None, now))
        assert isinstance(view, bytes), "the client does not decode"
        return view[DAY_LENGTH:]

    async def read(self, cpf: str) -> BaseCOut:
        """Return a person's base C.

        Raises:
            BaseCDown: Redis does not answer.
        """
        return BaseCOut.model_validate_json(await self.read_json(cpf))

    async def apply(self, cpf: str, happening: BaseCEvent) -> bool:
        """Apply one event; False when it was applied before or is older than the window.

        Raises:
            BaseCDown: Redis does not answer.
        """
        return (await self.apply_many([(cpf, happening)]))[0]

    async def apply_many(self, happenings: Sequence[tuple[str, BaseCEvent]]) -> list[bool]:
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

    async def erase(self, keys: Sequence[str]) -> None:
        """Delete a person by the keys of `keys_of`."""
        async with self._calling() as redis:
            await redis.unlink(*keys)


def _arguments(happening: BaseCEvent | None, now: datetime) -> list[str | int]:
    """Return the script's arguments."""
    at = happening.occurred_at if happening else now
    movement = purchase = query = ""
    if isinstance(happening, Movement):
        movement = _json(
            id=happening.id,
            kind=happening.kind,
            direction=happening.direction,
            amount=happening.amount,
            description=happening.description,
            occurred_at=_instant(at),
        )
        if happening.card_purchase:
            purchase = _json(
                id=happening.id,
                amount=happening.amount,
                merchant=happening.description,
                mcc=happening.mcc,
                at=_instant(at),
            )
    elif happening:
        query = _json(at=_instant(at), source=happening.source, purpose=happening.purpose, by=happening.by)
    today = business_day(now)
    return [
        happening.id if happening else "",
        _milliseconds(at),
        _milliseconds(now - WINDOW - timedelta(days=1)),
        business_day(at).isoformat(),
        today.isoformat(),
        (today - WINDOW + timedelta(days=1)).isoformat(),
        happening.direction if isinstance(happening, Movement) else "",
        happening.amount if isinstance(happening, Movement) else 0,
        movement,
        purchase,
        query,
        STREAM_LENGTH,
        int(KEPT.total_seconds()),
        int((WINDOW + timedelta(days=1)).total_seconds()),
        LISTED,
    ]
