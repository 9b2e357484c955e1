"""The comparison for ordinary routes: the least that FastAPI and asyncpg can do, and what a beginner writes.

`/cards/…` is the floor: one statement a request, no sign-in, no ledger, no key, no event; a history is 20 movements.
`/toy/…` is the toy: an ORM session a request that reads, changes and writes, and loses updates. Neither is part of the
product.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

import asyncpg
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import BigInteger, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CARDS, LINES = 10_000, 20
_TABLES = """
    CREATE TABLE IF NOT EXISTS floor_cards (number text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
    CREATE TABLE IF NOT EXISTS floor_moves (id uuid PRIMARY KEY, number text, amount bigint, at timestamptz);
    CREATE TABLE IF NOT EXISTS floor_lines (
        number text, at timestamptz, id uuid, kind text, amount bigint, balance_after bigint, PRIMARY KEY (number, at)
    )
"""
_FILL_LINES = """
    INSERT INTO floor_lines
    SELECT number, clock_timestamp() - make_interval(mins => line), gen_random_uuid(), 'recharge', 50000, 50000 * line
    FROM floor_cards, generate_series(1, $1::int) line
    WHERE NOT EXISTS (SELECT FROM floor_lines)
"""
_HISTORY = "SELECT id, kind, amount, balance_after, at FROM floor_lines WHERE number = $1 ORDER BY at DESC LIMIT 21"
_DEBIT = """
    WITH taken AS (
        UPDATE floor_cards SET balance = balance - $2 WHERE number = $1 AND balance >= $2 RETURNING balance
    ), moved AS (INSERT INTO floor_moves SELECT $3, $1, -$2, clock_timestamp() FROM taken)
    SELECT balance FROM taken
"""


class _Base(DeclarativeBase):
    pass


class FloorCard(_Base):
    """A card of the toy."""

    __tablename__ = "floor_cards"
    number: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)


class FloorMove(_Base):
    """A movement of the toy."""

    __tablename__ = "floor_moves"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)


class Amount(BaseModel):
    """Centavos."""

    amount: int


class Line(BaseModel):
    """A movement of a card, in centavos."""

    id: UUID
    kind: str
    amount: int
    balance_after: int
    at: datetime


class Balance(BaseModel):
    """A card's balance in centavos."""

    card_number: str
    balance: int


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["DATABASE_URL"]
    engine = create_async_engine("postgresql+asyncpg://" + url.partition("://")[2], pool_size=10, max_overflow=0)
    app.state.sessions = async_sessionmaker(engine)
    async with asyncpg.create_pool(url, min_size=8, max_size=10) as pool:
        app.state.pool = pool
        await pool.execute(_TABLES)
        rows = [(f"{number:016d}",) for number in range(CARDS)]
        await pool.executemany("INSERT INTO floor_cards VALUES ($1, 1000000000000) ON CONFLICT DO NOTHING", rows)
        await pool.execute(_FILL_LINES, LINES)
        yield
    await engine.dispose()


app = FastAPI(lifespan=_lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer that it is alive."""
    return {"status": "ok"}


@app.get("/cards/{number}/balance")
async def balance(number: str, request: Request) -> Balance:
    """Return a balance, read by one statement."""
    found = await request.app.state.pool.fetchval("SELECT balance FROM floor_cards WHERE number = $1", number)
    if found is None:
        raise HTTPException(404)
    return Balance(card_number=number, balance=found)


@app.get("/cards/{number}/history")
async def history(number: str, request: Request) -> list[Line]:
    """Return a card's movements, read by one statement."""
    return [Line(**line) for line in await request.app.state.pool.fetch(_HISTORY, number)]


@app.post("/cards/{number}/debit")
async def debit(number: str, body: Amount, request: Request) -> Balance:
    """Debit a card by one statement."""
    left = await request.app.state.pool.fetchval(_DEBIT, number, body.amount, uuid4())
    if left is None:
        raise HTTPException(400)
    return Balance(card_number=number, balance=left)


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions.begin() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session, scope="function")]


@app.get("/toy/{number}/balance")
async def toy_balance(number: str, session: Session) -> Balance:
    """Return a balance, read by an ORM session."""
    card = await session.scalar(select(FloorCard).where(FloorCard.number == number))
    if card is None:
        raise HTTPException(404)
    return Balance(card_number=card.number, balance=card.balance)


@app.post("/toy/{number}/debit")
async def toy_debit(number: str, body: Amount, session: Session) -> Balance:
    """Read a card, change it, write it."""
    card = await session.scalar(select(FloorCard).where(FloorCard.number == number))
    if card is None or card.balance < body.amount:
        raise HTTPException(400)
    card.balance -= body.amount
    session.add(FloorMove(id=uuid4(), number=number, amount=-body.amount))
    return Balance(card_number=number, balance=card.balance)
