"""Adds people from an operator's CSV, each by itself; they set a password by “Esqueci a senha”."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import select

from carteira.identity.errors import EmailTaken
from carteira.identity.fields import FullName
from carteira.identity.models import Role, User
from carteira.identity.roles.grants import require_may_grant_role
from carteira.identity.roles.shipped import CITIZEN
from carteira.identity.users import service as people
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.csv_lines import BulkLines, cpf_column, text_column
from carteira.kit.values.email import Email
from carteira.kit.values.phone import Phone
from carteira.kit.web.access import Principal, RecentSignInRequired, SecondFactorRequired
from carteira.kit.web.csv_bodies import Faults, check_line, read_csv_body
from carteira.kit.web.problems import Problem

MAX_LINES = 500
COLUMNS = (
    text_column("full_name", "nome"),
    text_column("email", "e-mail"),
    text_column("role", "papel", required=False),
    cpf_column(required=False),
    text_column("phone", "telefone", required=False),
)


class PersonLine(BaseModel):
    """A line of a file of people; without a role they are citizens."""

    full_name: FullName
    email: Email
    role: str = CITIZEN
    cpf: Cpf | None = None
    phone: Phone | None = None


@dataclass(frozen=True, slots=True)
class PersonLineOut:
    """The expected or actual result of a line."""

    line: int
    status: Literal["ready", "added", "failed"]
    detail: str = ""


_shape = TypeAdapter(PersonLine)
Read = tuple[int, PersonLine | Faults, int]
"""A line's number, its content or its error, and the id of its role (0: unknown)."""


async def read(text: bytes) -> BulkLines:
    """Read a file of people.

    Raises:
        InvalidInput: it is not CSV, its titles are not those expected, or it has too many lines.
    """
    return await read_csv_body(text, COLUMNS, most=MAX_LINES)


async def _checked(tx: Tx, who: Principal, sent: BulkLines) -> list[Read]:
    """Check each line; a role that is unknown, or grants claims that the caller lacks, is an error.

    Raises:
        SecondFactorRequired, RecentSignInRequired: a role demands them of the caller.
    """
    roles: Mapping[str, int] = {row.description: row.id for row in await tx.execute(select(Role.description, Role.id))}
    refused: dict[str, str] = {}
    checked: list[Read] = []
    for number, raw in sent.numbered():
        line = check_line(_shape, sent, number, raw)
        if isinstance(line, Faults):
            checked.append((number, line, 0))
            continue
        if line.role not in refused:
            refused[line.role] = await _refusal(tx, who, roles.get(line.role))
        fault = refused[line.role]
        checked.append((number, Faults("papel", fault) if fault else line, roles.get(line.role, 0)))
    return checked


async def _refusal(tx: Tx, who: Principal, role_id: int | None) -> str:
    """Return why a caller may not give a role; empty: they may."""
    if role_id is None:
        return "papel: Não há este papel."
    try:
        await require_may_grant_role(tx, who, role_id)
    except Problem as problem:
        if isinstance(problem, SecondFactorRequired | RecentSignInRequired):
            raise
        return f"papel: {problem.detail}"
    return ""


async def preview(tx: Tx, who: Principal, sent: BulkLines) -> list[PersonLineOut]:
    """Return line by line whether a file's people could be added, without adding them.

    Looks at existing people are recorded.
    """
    checked = await _checked(tx, who, sent)
    emails = {line.email for _, line, _ in checked if isinstance(line, PersonLine)}
    there = {
        row.email: row.id
        for row in await tx.execute(select(User.email, User.id).where(User.email.in_(emails), User.erased_at.is_(None)))
    }
    await audit.record_looks(tx, "users_previewed", there.values())
    results = []
    for number, line, _ in checked:
        if isinstance(line, Faults):
            results.append(PersonLineOut(number, "failed", line.detail))
        elif line.email in there:
            results.append(PersonLineOut(number, "failed", EmailTaken().detail))
        else:
            results.append(PersonLineOut(number, "ready"))
    return results


async def add_many(database: Database, who: Principal, sent: BulkLines) -> list[PersonLineOut]:
    """Add a file's people, each in a transaction of its own, so that a conflict affects only its line."""
    async with database.transaction() as tx:
        checked = await _checked(tx, who, sent)
    results = []
    for number, line, role_id in checked:
        if isinstance(line, Faults):
            results.append(PersonLineOut(number, "failed", line.detail))
            continue
        person = people.NewPerson(line.full_name, line.email, line.cpf, None, line.phone)
        try:
            async with database.transaction() as tx:
                await people.add_person(tx, person, password_hash=None, role_id=role_id, actor=who.id)
            results.append(PersonLineOut(number, "added"))
        except Problem as problem:
            results.append(PersonLineOut(number, "failed", problem.detail))
    return results
