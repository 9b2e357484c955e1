"""Base B in DynamoDB: age, assets, address and income; one table, read by one key, scanned in parallel for training.

There is one item per person: `pk` is `P#` and a keyed hash of the CPF, `sk` is the kind of item (`PROFILE`), so that
other kinds of item can join a person's partition. No CPF is in the table. Every write is conditional on the version.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from carteira.credit.aws import Aws
from carteira.credit.errors import BaseBDown, CreditRecordNotFound
from carteira.credit.keys import Keyring
from carteira.credit.schemas import BaseBIn, BaseBOut, age_on
from carteira.kit.values.clock import business_day, clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.preconditions import Precondition, PreconditionRequired, RecordChanged

PARTITION = "base-b partition"
PROFILE = "PROFILE"
CALL_SECONDS = 4.0
"""Time for one call with its retries; after that base B counts as down."""
SCAN_SECONDS = 180.0
FED_AT_ONCE = 32
"""Items that are written back at the same time."""

_CONTENT = ("birth_date", "age", "age_on", "address", "assets", "income_sources")
_ABSENT = "ConditionalCheckFailedException"
_NO_TABLE = "ResourceNotFoundException"
_DAYS_A_YEAR: Final = 365.2425

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StoredB:
    """A record of base B and the version that a change of it must name."""

    content: BaseBOut
    version: str


def to_attribute(value: object) -> dict[str, Any]:
    """Write a JSON-like value as a DynamoDB attribute."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case list():
            return {"L": [to_attribute(item) for item in value]}
        case dict():
            return {"M": {name: to_attribute(item) for name, item in value.items()}}
    raise TypeError(f"no attribute for {type(value).__name__}")


def from_attribute(attribute: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a JSON-like value
    """Read a DynamoDB attribute; numbers here are whole."""
    ((kind, value),) = attribute.items()
    if kind == "N":
        return int(value)
    if kind == "NULL":
        return None
    if kind == "L":
        return [from_attribute(item) for item in value]
    if kind == "M":
        return {name: from_attribute(item) for name, item in value.items()}
    return value


def from_item(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Read a whole item."""
    return {name: from_attribute(attribute) for name, attribute in item.items()}


def partition_of(keyring: Keyring, cpf: str) -> str:
    """Return a person's partition key: a keyed hash, never the CPF."""
    return "P#" + base64.urlsafe_b64encode(keyring.hash(PARTITION, cpf)).decode().rstrip("=")


def age_today(item: Mapping[str, Any], today: date) -> int | None:
    """Return a person's age on a day, from the birth date, or from an age and the day of its statement."""
    if item.get("birth_date"):
        return age_on(date.fromisoformat(item["birth_date"]), today)
    if item.get("age") is None:
        return None
    counted_on = date.fromisoformat(item["age_on"])
    return int(item["age"]) + int((today - counted_on).days / _DAYS_A_YEAR)


def _view(item: Mapping[str, Any]) -> StoredB:
    content = BaseBOut(
        birth_date=item.get("birth_date"),
        age=age_today(item, clock.today()),
        address=item.get("address"),
        assets=item.get("assets", []),
        income_sources=item.get("income_sources", []),
        updated_at=datetime.fromisoformat(item["updated_at"]),
    )
    return StoredB(content, item["version"])


class BaseB:
    """The table, as one process sees it."""

    def __init__(self, aws: Aws, keyring: Keyring, table: str, *, create: bool) -> None:
        self.aws = aws
        self.table = table
        self._keyring = keyring
        self._create = create

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[Any]:
        """Yield the client; errors of an unreachable DynamoDB become `BaseBDown`."""
        try:
            async with self.aws.client("dynamodb") as client:
                yield client
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == _ABSENT:
                raise
            log.warning("dynamodb refused", reason=code)
            raise BaseBDown from error
        except (BotoCoreError, OSError, TimeoutError) as error:
            raise BaseBDown from error

    async def call(
        self,
        operation: str,
        *,
        limit_seconds: float = CALL_SECONDS,
        **arguments: Any,  # noqa: ANN401 - DynamoDB's own shapes
    ) -> dict[str, Any]:
        """Make one call on the table; in development a missing table is created.

        Raises:
            BaseBDown: DynamoDB does not answer in time, or throttles after all retries.
            ClientError: the condition of a conditional write did not hold.
        """
        async with self.calling() as client:
            for last in (False, True):
                try:
                    async with asyncio.timeout(limit_seconds):
                        answer: dict[str, Any] = await getattr(client, operation)(TableName=self.table, **arguments)
                        return answer
                except ClientError as error:
                    if last or not self._create or error.response["Error"]["Code"] != _NO_TABLE:
                        raise
                await self.ensure_table()
        raise AssertionError("the second try returns or raises")

    async def table_exists(self) -> bool:
        """Return whether the table exists, without creating it.

        Raises:
            BaseBDown: DynamoDB does not answer.
        """
        async with self.calling() as client:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await client.describe_table(TableName=self.table)
            except ClientError as error:
                if error.response["Error"]["Code"] == _NO_TABLE:
                    return False
                raise
        return True

    async def ensure_table(self) -> None:
        """Create a missing table (development, tests; in production the deployment does so)."""
        async with self.calling() as client:
            try:
                await client.create_table(
                    TableName=self.table,
                    BillingMode="PAY_PER_REQUEST",
                    KeySchema=[
                        {"AttributeName": "pk", "KeyType": "HASH"},
                        {"AttributeName": "sk", "KeyType": "RANGE"},
                    ],
                    AttributeDefinitions=[
                        {"AttributeName": "pk", "AttributeType": "S"},
                        {"AttributeName": "sk", "AttributeType": "S"},
                    ],
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceInUseException":
                    raise
            await client.get_waiter("table_exists").wait(
                TableName=self.table, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
            )

    def _key(self, cpf: str) -> dict[str, Any]:
        return {"pk": {"S": partition_of(self._keyring, cpf)}, "sk": {"S": PROFILE}}

    async def find(self, cpf: str) -> StoredB | None:
        """Return a person's base B, if there is one.

        Raises:
            BaseBDown: DynamoDB does not answer.
        """
        answer = await self.call("get_item", Key=self._key(cpf), ConsistentRead=True)
        return _view(from_item(answer["Item"])) if "Item" in answer else None

    async def read(self, cpf: str) -> StoredB:
        """Return a person's base B.

        Raises:
            CreditRecordNotFound: there is none.
            BaseBDown: DynamoDB does not answer.
        """
        stored = await self.find(cpf)
        if stored is None:
            raise CreditRecordNotFound
        return stored

    async def put(self, cpf: str, content: BaseBIn, precondition: Precondition) -> tuple[StoredB, bool]:
        """Store a person's whole base B; return it and whether it is new.

        Raises:
            PreconditionRequired, RecordChanged: the caller has not seen the present version.
            BaseBDown: DynamoDB does not answer; whether it was written is not known.
        """
        now = clock.now()
        item = {name: value for name, value in content.model_dump(mode="json").items() if value is not None}
        if content.age is not None:
            item["age_on"] = business_day(now).isoformat()
        item |= {"version": str(uuid7()), "updated_at": now.isoformat()}
        names = {f"#{name}": name for name in (*_CONTENT, "version", "updated_at")}
        values = {f":{name}": to_attribute(value) for name, value in item.items()}
        update = "SET " + ", ".join(f"#{name} = :{name}" for name in item)
        gone = [name for name in _CONTENT if name not in item]
        if gone:
            update += " REMOVE " + ", ".join(f"#{name}" for name in gone)
        condition, seen = _condition(precondition)
        try:
            answer = await self.call(
                "update_item",
                Key=self._key(cpf),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values | seen,
                ReturnValues="UPDATED_OLD",
            )
        except ClientError as error:
            if precondition == Precondition():
                raise PreconditionRequired from error
            raise RecordChanged from error
        return _view(item), not answer.get("Attributes")

    async def remove(self, cpf: str, precondition: Precondition) -> None:
        """Delete a person's base B.

        Raises:
            CreditRecordNotFound: there is none.
            PreconditionRequired, RecordChanged: the caller has not seen the present version.
            BaseBDown: DynamoDB does not answer.
        """
        stored = await self.read(cpf)
        precondition.require(stored.version)
        try:
            await self.call(
                "delete_item",
                Key=self._key(cpf),
                ConditionExpression="#version = :seen",
                ExpressionAttributeNames={"#version": "version"},
                ExpressionAttributeValues={":seen": {"S": stored.version}},
            )
        except ClientError as error:
            raise RecordChanged from error

    async def scan_page(self, *, segment: int, segments: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as `call`
        """Return one page of a parallel scan, with only the fields that training may see.

        Raises:
            BaseBDown: DynamoDB does not answer.
        """
        names = ("pk", "sk", "birth_date", "age", "age_on", "assets", "income_sources", "defaulted", "outcome_on")
        return await self.call(
            "scan",
            limit_seconds=SCAN_SECONDS,
            Segment=segment,
            TotalSegments=segments,
            ProjectionExpression=", ".join(f"#{name}" for name in names),
            ExpressionAttributeNames={f"#{name}": name for name in names},
            **more,
        )

    async def items(self, page_items: int = 1_000) -> AsyncIterator[dict[str, Any]]:
        """Yield every item as the table has it.

        Raises:
            BaseBDown: DynamoDB does not answer.
        """
        more: dict[str, Any] = {}
        while True:
            page = await self.call("scan", limit_seconds=SCAN_SECONDS, ConsistentRead=True, Limit=page_items, **more)
            for item in page["Items"]:
                yield item
            if "LastEvaluatedKey" not in page:
                return
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def feed(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Store items that are missing or older in the table, concurrently.

        Raises:
            BaseBDown: DynamoDB does not answer.
        """
        await all_of(self._feed(item) for item in items)

    async def _feed(self, item: Mapping[str, Any]) -> None:
        with suppress(ClientError):  # the condition: a newer one is there
            await self.call(
                "put_item",
                Item=item,
                ConditionExpression="attribute_not_exists(pk) OR #at < :at",
                ExpressionAttributeNames={"#at": "updated_at"},
                ExpressionAttributeValues={":at": item["updated_at"]},
            )

    async def erase(self, partition: str) -> None:
        """Delete the base B of a person by their `partition_of`, whatever its version."""
        await self.call("delete_item", Key={"pk": {"S": partition}, "sk": {"S": PROFILE}})

    async def record_outcome(self, cpf: str, *, defaulted: bool) -> None:
        """Record, with today's date, whether the person defaulted within twelve months: the score's training target.

        Raises:
            CreditRecordNotFound: base B holds nothing about them.
        """
        try:
            await self.call(
                "update_item",
                Key=self._key(cpf),
                UpdateExpression="SET #outcome = :outcome, #on = :on",
                ConditionExpression="attribute_exists(#version)",
                ExpressionAttributeNames={"#outcome": "defaulted", "#on": "outcome_on", "#version": "version"},
                ExpressionAttributeValues={":outcome": {"BOOL": defaulted}, ":on": {"S": clock.today().isoformat()}},
            )
        except ClientError as error:
            raise CreditRecordNotFound from error


async def all_of(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all concurrently; if one fails, cancel the others and raise its error."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _condition(precondition: Precondition) -> tuple[str, dict[str, Any]]:
    if precondition.version is not None:
        return "#version = :seen", {":seen": {"S": precondition.version}}
    if precondition.any_version:
        return "attribute_exists(#version)", {}
    return "attribute_not_exists(#version)", {}
