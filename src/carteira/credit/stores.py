"""The three bases of one process, and the operations on more than one of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from sqlalchemy import SelectBase, Uuid, cast, select

from carteira import identity
from carteira.credit import access_log, base_a
from carteira.credit.aws import Aws, AwsAccess
from carteira.credit.base_a import Reader
from carteira.credit.base_b import BaseB, partition_of
from carteira.credit.base_c import BaseC, BureauQuery
from carteira.credit.errors import BaseCDown, CreditRecordNotFound, RecordUnreadable
from carteira.credit.keys import Keyring
from carteira.credit.schemas import AccessOut, Base, ProfileOut
from carteira.credit.versions import CardInForce
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.audit_trail import AuditTrail
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.period import Period
from carteira.kit.web.problems import DependencyDown, Forbidden
from carteira.kit.web.state import StateKey

T = TypeVar("T")
ProvenCpf = Callable[[Tx, UUID], Awaitable[str | None]]
"""Returns a user's proven CPF; the composition root passes identity's."""

NOTE_SECONDS = 0.25
"""The seconds for recording a look-up in base C, which is not critical and never delays an answer."""

unavailable_total = Counter("carteira_credit_unavailable", "Parts that were missing from credit profiles", ["base"])
log = structlog.get_logger(__name__)


async def no_proven_cpf(_tx: Tx, _user_id: UUID) -> str | None:
    """Return no proven CPF, for an installation without identity."""
    return None


@dataclass(frozen=True)
class CreditConfig:
    """Settings of credit.

    Attributes:
        key_file: The key file; made when missing only where `development`.
        kms_key_id: The KMS key that wraps data keys instead of the file's; empty: the file's.
        redis_url: Base C; None: it counts as down.
        aws: The addresses of DynamoDB and KMS.
        table: The name of base B's table.
        development: Whether a missing key file or table is created.
        makes_people_up: Whether there may be synthetic people, in a table of their own.
        budgets: Seconds that each base has to answer within a combined profile.
    """

    key_file: Path
    kms_key_id: str | None = None
    redis_url: str | None = None
    aws: AwsAccess = field(default_factory=AwsAccess)
    table: str = "carteira-credit"
    development: bool = False
    makes_people_up: bool = False
    budgets: Mapping[Base, float] = field(default_factory=lambda: {"base_a": 1.0, "base_b": 0.8, "base_c": 0.3})


_ALWAYS = Period()


class Stores:
    """Keys and clients of the three bases; cheap to create, since nothing is opened or read before it is needed."""

    def __init__(self, config: CreditConfig, *, proven_cpf: ProvenCpf = no_proven_cpf) -> None:
        self.config = config
        self.proven_cpf = proven_cpf
        self.aws = Aws(config.aws)
        self.keyring = Keyring(
            config.key_file, kms_key_id=config.kms_key_id, aws=self.aws, may_create=config.development
        )
        self.b = BaseB(self.aws, self.keyring, config.table, create=config.development)
        self.c = BaseC(config.redis_url, self.keyring)
        self.model = CardInForce()

    @asynccontextmanager
    async def opened(self, redis: Redis | None = None) -> AsyncIterator["Stores"]:
        """Keep the clients open for a server's or a command's life; `redis` is the server's.

        A base may be down at start.
        """
        _ = self.keyring.file  # a wrong or missing key file stops the start, not the first request
        await self.aws.open()
        try:
            async with self.c.opened(redis):
                if self.config.development and self.aws.access.endpoint_url:
                    await self._prepare()
                yield self
        finally:
            await self.aws.close()

    @asynccontextmanager
    async def aws_only(self) -> AsyncIterator["Stores"]:
        """Keep the AWS clients open for a command's life."""
        await self.aws.open()
        try:
            yield self
        finally:
            await self.aws.close()

    def table(self, name: str) -> BaseB:
        """Return base B over another table."""
        return BaseB(self.aws, self.keyring, name, create=self.config.development)

    async def _prepare(self) -> None:
        """Create the table of a DynamoDB at hand before the first request, which has too little time for it.

        Nobody waits for AWS itself at start: where there is no network, that takes seconds.
        """
        try:
            async with asyncio.timeout(5):
                await self.b.ensure_table()
        except (DependencyDown, TimeoutError):
            log.warning("base b unavailable, table created later")

    async def note_query(self, cpf: str, who: Principal, purpose: str | None) -> None:
        """Record a look-up as the CPF's last bureau query; if base C is down, the caller notices nothing."""
        query = BureauQuery(str(uuid7()), clock.now(), "carteira", purpose, str(who.id))
        try:
            async with asyncio.timeout(NOTE_SECONDS):
                await self.c.apply(cpf, query)
        except (BaseCDown, TimeoutError):
            log.warning("bureau query not recorded")

    async def profile(
        self, database: Database, trail: AuditTrail, cpf: str, who: Principal, purpose: str
    ) -> ProfileOut:
        """Read the three bases concurrently, each within its budget, and report which did not answer.

        The look is in the access log and the audit before base A is opened; where base A is down, it is in the audit
        before the others are shown.

        Raises:
            AuditDown: the look could not be recorded.
        """
        looks = audit.look_rows("credit_profile_read", [base_a.person_id(self.keyring, cpf)], purpose=purpose)
        reader = Reader(who.id, "profile", purpose, looks)
        unavailable: list[Base] = []

        async def within(base: Base, asking: Awaitable[T]) -> T | None:
            try:
                async with asyncio.timeout(self.config.budgets[base]):
                    return await asking
            except CreditRecordNotFound:
                return None
            except (DatabaseDown, DependencyDown, TimeoutError, RecordUnreadable) as error:
                level = log.error if isinstance(error, RecordUnreadable) else log.warning
                level("base unavailable", base=base, error=type(error).__name__)
                unavailable_total.labels(base).inc()
                unavailable.append(base)
                return None

        a, b, c = await asyncio.gather(
            within("base_a", base_a.read(database, self.keyring, cpf, reader)),
            within("base_b", self.b.find(cpf)),
            within("base_c", self.c.read(cpf)),
        )
        if "base_a" in unavailable:
            await trail.write(looks)  # base A's transaction may or may not have written them
        if "base_c" not in unavailable:
            await self.note_query(cpf, who, purpose)
        return ProfileOut(
            cpf=cpf,
            base_a=a.content if a else None,
            base_b=b.content if b else None,
            base_c=c,
            unavailable=sorted(unavailable),
        )

    async def accesses_of(  # noqa: PLR0913 - the filters of a list, and its caller
        self,
        tx: Tx,
        cpf: str,
        who: Principal,
        period: Period = _ALWAYS,
        *,
        limit: int,
        before: int | None,
        turned: bool = False,
    ) -> list[AccessOut]:
        """List the readers of a person's base A, for that person or for an auditor, newest first.

        Raises:
            CpfNotProven: the caller's CPF, whichever it is, is not proven to be theirs.
            Forbidden: the CPF is another person's.
        """
        proven = await self.proven_cpf(tx, who.id)
        if proven != cpf and not who.may("credit:audit"):
            raise identity.CpfNotProven if proven is None else Forbidden
        await audit.record_looks(
            tx, "credit_accesses_read", [] if proven == cpf else [base_a.person_id(self.keyring, cpf)]
        )
        person = base_a.person_hash(self.keyring, cpf)
        rows = await access_log.of_person(tx, person, period, limit=limit, before=before, turned=turned)
        return [AccessOut.model_validate(row, from_attributes=True) for row in rows]

    def ids_of_person(self, _user_id: UUID, cpf: str | None) -> SelectBase | None:
        """Return the query of the pseudonym of a person's proven CPF."""
        return None if cpf is None else select(cast(base_a.person_id(self.keyring, cpf), Uuid))

    async def export_person(self, tx: Tx, user_id: UUID) -> Mapping[str, Any]:
        """Return the bases' data about a person with a proven CPF, and the readers of base A (LGPD art. 18, II).

        This is itself a look at base A, with the purpose `data_subject`.
        """
        cpf = await self.proven_cpf(tx, user_id)
        if cpf is None:
            return {}
        a, b, c = await base_a.export(tx, self.keyring, cpf, user_id), await self.b.find(cpf), await self.c.read(cpf)
        rows = await access_log.of_person(tx, base_a.person_hash(self.keyring, cpf), limit=10_000)
        return {
            "base_a": a.model_dump(mode="json") if a else None,
            "base_b": b.content.model_dump(mode="json") if b else None,
            "base_c": c.model_dump(mode="json"),
            "accesses": [AccessOut.model_validate(row, from_attributes=True).model_dump(mode="json") for row in rows],
        }

    async def erase_person(self, tx: Tx, user_id: UUID) -> None:
        """Erase a person with a proven CPF from the three bases; the log keeps the keyed hash (LGPD art. 16, I).

        B and C come first: if one of them is down nothing is erased, and all of it is retried.
        """
        await self.erase_traces(tx, await self.traces_of_person(tx, user_id))

    async def traces_of_person(self, tx: Tx, user_id: UUID) -> Mapping[str, Any]:
        """Return the keyed hashes by which the bases know a person with a proven CPF."""
        cpf = await self.proven_cpf(tx, user_id)
        if cpf is None:
            return {}
        return {
            "a": base_a.person_hash(self.keyring, cpf).hex(),
            "b": partition_of(self.keyring, cpf),
            "c": self.c.keys_of(cpf),
        }

    async def erase_traces(self, tx: Tx, traces: Mapping[str, Any]) -> None:
        """Erase a person from the three bases by these hashes; raises as `erase_person`."""
        if not traces:
            return
        await self.b.erase(traces["b"])
        await self.c.erase(traces["c"])
        await base_a.erase(tx, bytes.fromhex(traces["a"]))


STORES = StateKey[Stores]("credit")
