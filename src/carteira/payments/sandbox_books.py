"""The stand-in provider's charges, payments and returns, in a SQLite file."""

import secrets
import sqlite3
import string
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from carteira.payments.provider import reais

_ISPB = "99999999"
"""A number that no institution has."""
_LETTERS = string.ascii_letters + string.digits
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS charges (
        txid TEXT PRIMARY KEY, amount INTEGER NOT NULL, location TEXT NOT NULL, created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS payments (
        e2eid TEXT PRIMARY KEY, txid TEXT, amount INTEGER NOT NULL, paid_at TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS payments_paid_at ON payments (paid_at);
    CREATE INDEX IF NOT EXISTS payments_txid ON payments (txid);
    CREATE TABLE IF NOT EXISTS returns (
        e2eid TEXT NOT NULL, id TEXT NOT NULL, amount INTEGER NOT NULL, status TEXT NOT NULL, asked_at TEXT NOT NULL,
        nature TEXT NOT NULL DEFAULT 'ORIGINAL', PRIMARY KEY (e2eid, id)
    );
    CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
"""


class NoSuchCharge(LookupError):
    """There is no charge with the `txid`."""


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class SandboxCharge:
    """A charge, and whether it was paid; `amount` in centavos."""

    txid: str
    amount: int
    location: str
    created_at: str
    expires_at: str
    is_paid: int
    """0 or 1, as SQLite has it."""

    def is_open(self, now: datetime) -> bool:
        """Return whether a bank would let it be paid."""
        return not self.is_paid and _written(now) <= self.expires_at

    def as_json(self) -> dict[str, Any]:
        """Return it in the contract's form."""
        lasts = datetime.fromisoformat(self.expires_at) - datetime.fromisoformat(self.created_at)
        return {
            "txid": self.txid,
            "revisao": 0,
            "status": "CONCLUIDA" if self.is_paid else "ATIVA",
            "calendario": {"criacao": self.created_at, "expiracao": int(lasts.total_seconds())},
            "valor": {"original": reais(self.amount)},
            "location": self.location,
            "loc": {"id": 1, "location": self.location, "tipoCob": "cob"},
        }


@dataclass(frozen=True, slots=True)
class SandboxPayment:
    """A payment, with its returns as the contract writes them; `amount` in centavos."""

    e2eid: str
    txid: str | None
    amount: int
    paid_at: str
    returns: tuple[dict[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it in the contract's form."""
        content: dict[str, Any] = {
            "endToEndId": self.e2eid,
            "valor": reais(self.amount),
            "horario": self.paid_at,
            "infoPagador": "simulação",
        }
        return (
            content
            | ({"txid": self.txid} if self.txid else {})
            | ({"devolucoes": list(self.returns)} if self.returns else {})
        )


class Books:
    """The stand-in's books. Each change is on disk when its call ends."""

    def __init__(self, file: Path | None = None) -> None:
        self._db = sqlite3.connect(file or ":memory:", isolation_level=None)
        self._db.executescript(_SCHEMA)
        # Files of earlier releases lack the column.
        if not self._db.execute("SELECT 1 FROM pragma_table_info('returns') WHERE name = 'nature'").fetchone():
            self._db.execute("ALTER TABLE returns ADD COLUMN nature TEXT NOT NULL DEFAULT 'ORIGINAL'")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def webhook(self) -> str | None:
        """The webhook's address."""
        row = self._db.execute("SELECT value FROM settings WHERE name = 'webhook'").fetchone()
        return row[0] if row else None

    @webhook.setter
    def webhook(self, url: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO settings VALUES ('webhook', ?)", (url,))

    def add_charge(self, txid: str, amount: int, location: str, now: datetime, lasts: timedelta) -> bool:
        """Add a charge; False: there is one of this `txid`."""
        values = (txid, amount, location, _written(now), _written(now + lasts))
        return self._db.execute("INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?, ?)", values).rowcount == 1

    def charge(self, txid: str) -> SandboxCharge:
        """Return a charge.

        Raises:
            NoSuchCharge: there is none.
        """
        row = self._db.execute(_CHARGES + " WHERE txid = ?", (txid,)).fetchone()
        if row is None:
            raise NoSuchCharge
        return SandboxCharge(*row)

    def charge_at(self, location: str) -> SandboxCharge | None:
        """Return the charge by the end of its payload's address."""
        row = self._db.execute("SELECT txid FROM charges WHERE location LIKE '%/' || ?", (location,)).fetchone()
        return self.charge(row[0]) if row else None

    def add_payment(self, txid: str | None, amount: int, paid_at: datetime) -> SandboxPayment:
        """Receive a payment."""
        drawn = "".join(secrets.choice(_LETTERS) for _ in range(11))
        e2eid = f"E{_ISPB}{paid_at.astimezone(UTC):%Y%m%d%H%M}{drawn}"
        self._db.execute("INSERT INTO payments VALUES (?, ?, ?, ?)", (e2eid, txid, amount, _written(paid_at)))
        return SandboxPayment(e2eid, txid, amount, _written(paid_at))

    def payment(self, e2eid: str) -> SandboxPayment | None:
        """Return a payment with its returns."""
        row = self._db.execute("SELECT * FROM payments WHERE e2eid = ?", (e2eid,)).fetchone()
        return self._with_returns(row) if row else None

    def payments(self, begin: str, end: str, *, returned: bool = False) -> list[SandboxPayment]:
        """Return the payments between two instants, the oldest first; with `returned` only those with a return."""
        bounds = tuple(_written(datetime.fromisoformat(instant)) for instant in (begin, end))
        rows = self._db.execute("SELECT * FROM payments WHERE paid_at BETWEEN ? AND ? ORDER BY paid_at, e2eid", bounds)
        found = [self._with_returns(row) for row in rows.fetchall()]
        return [payment for payment in found if payment.returns or not returned]

    def _with_returns(self, row: tuple[Any, ...]) -> SandboxPayment:
        rows = self._db.execute(_RETURNS + " WHERE e2eid = ? ORDER BY asked_at", (row[0],)).fetchall()
        e2eid, txid, amount, paid_at = row
        return SandboxPayment(e2eid, txid, amount, paid_at, tuple(_return_json(*found) for found in rows))

    def add_return(  # noqa: PLR0913, PLR0917 - the columns of a row
        self, e2eid: str, return_id: str, amount: int, status: str, now: datetime, nature: str = "ORIGINAL"
    ) -> bool:
        """Record a payment's full or partial return; False: no such payment, a used id, or too little left."""
        row = self._db.execute("SELECT amount FROM payments WHERE e2eid = ?", (e2eid,)).fetchone()
        gone = self._db.execute(
            "SELECT coalesce(sum(amount), 0) FROM returns WHERE e2eid = ? AND status <> 'NAO_REALIZADO'", (e2eid,)
        ).fetchone()[0]
        if row is None or gone + amount > row[0]:
            return False
        values = (e2eid, return_id, amount, status, _written(now), nature)
        return self._db.execute("INSERT OR IGNORE INTO returns VALUES (?, ?, ?, ?, ?, ?)", values).rowcount == 1

    def settle_return(self, e2eid: str, return_id: str) -> None:
        """Complete a return that is under way."""
        self._db.execute(
            "UPDATE returns SET status = 'DEVOLVIDO' WHERE e2eid = ? AND id = ? AND status = 'EM_PROCESSAMENTO'",
            (e2eid, return_id),
        )

    def return_json(self, e2eid: str, return_id: str) -> dict[str, Any] | None:
        """Return a return in the contract's form."""
        row = self._db.execute(_RETURNS + " WHERE e2eid = ? AND id = ?", (e2eid, return_id)).fetchone()
        return _return_json(*row) if row else None

    def account(self) -> dict[str, int]:
        """Return the received, the returned and the present amount, in centavos; and the number of payments."""
        received, count = self._db.execute("SELECT coalesce(sum(amount), 0), count(*) FROM payments").fetchone()
        returned = self._db.execute(
            "SELECT coalesce(sum(amount), 0) FROM returns WHERE status = 'DEVOLVIDO'"
        ).fetchone()[0]
        return {"received": received, "returned": returned, "balance": received - returned, "payments": count}


_CHARGES = """
    SELECT txid, amount, location, created_at, expires_at,
           EXISTS (SELECT 1 FROM payments WHERE payments.txid = charges.txid) FROM charges
"""
_RETURNS = "SELECT id, amount, status, asked_at, nature FROM returns"


def _return_json(return_id: str, amount: int, status: str, asked_at: str, nature: str) -> dict[str, Any]:
    times = {"solicitacao": asked_at} | ({"liquidacao": asked_at} if status == "DEVOLVIDO" else {})
    return {
        "id": return_id,
        "rtrId": f"D{_ISPB}{return_id[:23]:0<23}",
        "valor": reais(amount),
        "natureza": nature,
        "horario": times,
        "status": status,
    }
