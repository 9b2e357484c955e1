"""Outcomes of people who were granted credit, recorded one by one or from a CSV: the model is trained on them."""

from typing import Literal

from pydantic import BaseModel, Field, TypeAdapter

from carteira.credit import base_a
from carteira.credit.errors import CreditRecordNotFound
from carteira.credit.stores import Stores
from carteira.kit.security.audit_trail import AuditTrail
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.csv_lines import BulkLines, Column, WrongCell, cpf_column
from carteira.kit.web.bodies import Body
from carteira.kit.web.csv_bodies import Faults, check_line, read_csv_body

CLAIM = "credit:outcomes:write"
RECORDED = "credit_outcome_recorded"
MAX_LINES = 1_000
_YES, _NO = frozenset({"sim", "s", "1", "true"}), frozenset({"não", "nao", "n", "0", "false"})


class OutcomeIn(Body):
    """A person's outcome within twelve months of a decision."""

    defaulted: bool = Field(strict=True, description="Ficou inadimplente em doze meses", examples=[False])


class OutcomeLine(BaseModel):
    """A line of a file of outcomes."""

    cpf: Cpf
    defaulted: bool


class OutcomeResultOut(BaseModel):
    """The result of a line."""

    line: int
    status: Literal["recorded", "failed"]
    detail: str | None = None
    column: str | None = None


class OutcomesOut(BaseModel):
    """The result of a file of outcomes."""

    recorded: int
    failed: int
    results: list[OutcomeResultOut]


def _defaulted(cell: str) -> bool:
    answer = cell.strip().casefold()
    if answer in _YES or answer in _NO:
        return answer in _YES
    raise WrongCell("Escreva sim ou não.")


COLUMNS = (cpf_column(), Column("defaulted", ("inadimplente", "defaulted"), _defaulted))
_shape = TypeAdapter(OutcomeLine)


async def read(text: bytes) -> BulkLines:
    """Read a file of outcomes.

    Raises:
        InvalidInput: it is not CSV, its titles are not those expected, or it has too many lines.
    """
    return await read_csv_body(text, COLUMNS, most=MAX_LINES)


async def record(stores: Stores, trail: AuditTrail, cpf: str, *, defaulted: bool) -> None:
    """Record the outcome of a person whose base B is known; recording it again replaces it.

    Raises:
        CreditRecordNotFound, BaseBDown.
    """
    await stores.b.record_outcome(cpf, defaulted=defaulted)
    await trail.act(RECORDED, base_a.person_id(stores.keyring, cpf), defaulted=defaulted)


async def record_many(stores: Stores, trail: AuditTrail, sent: BulkLines) -> OutcomesOut:
    """Record a file's outcomes, each by itself; a line that fails has the reason.

    Raises:
        BaseBDown: DynamoDB does not answer; what was recorded stays, and the file can be sent again.
    """
    results: list[OutcomeResultOut] = []
    for number, raw in sent.numbered():
        line = check_line(_shape, sent, number, raw)
        if isinstance(line, Faults):
            result = OutcomeResultOut(line=number, status="failed", detail=line.detail, column=line.column or None)
        else:
            try:
                await record(stores, trail, line.cpf, defaulted=line.defaulted)
                result = OutcomeResultOut(line=number, status="recorded")
            except CreditRecordNotFound as error:
                result = OutcomeResultOut(line=number, status="failed", detail=error.detail)
        results.append(result)
    recorded = sum(one.status == "recorded" for one in results)
    return OutcomesOut(recorded=recorded, failed=len(results) - recorded, results=results)
