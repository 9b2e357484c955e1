"""The models of the score as versions, stored as they were trained. One is in force; a choice can be undone.

A version never changes. The last row of `credit_model_choices` names the one in force; each score reads it, so that all
processes follow at once. Until somebody chooses, the card that came with the product scores.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import structlog
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from carteira.credit.errors import ModelInForce, ModelNotFound, ModelOvertaken
from carteira.credit.models import CreditModel, CreditModelChoice
from carteira.credit.score import Scorecard, load, shipped, shipped_figures, shipped_text
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.reads import Query, Reads, first
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.values.actor import Actor, ActorKind
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk, Operation, OrderChange
from carteira.kit.web.bodies import Body

READS: Final = "credit:models:read"
CHOOSES: Final = "credit:models:write"
STORED, CHOSEN = "credit_model_stored", "credit_model_chosen"
PATIENCE_SECONDS = 0.5
"""The longest wait for PostgreSQL in a process that has read the model in force before."""
_LOCK = 7_246_053
"""The advisory lock that serialises choices."""
_SHIPPED_BY = Actor("command", "carteira")
_APPROVED_BANDS = ("A", "B", "C")

Origin = Literal["outcomes", "synthetic", "shipped"]
Version = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", examples=["scorecard-1-7db61cbf8e"])]
ChoiceReason = Annotated[
    str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*\S[^\x00]*$", examples=["Treinado com 12 meses"])
]
log = structlog.get_logger(__name__)


class ModelBandOut(BaseModel):
    """A band's figures, of the people that the training held out."""

    share: float = Field(description="Parte das pessoas que cai na faixa, de 0 a 1")
    default_rate: float = Field(description="Parte delas que ficou inadimplente, de 0 a 1")


class ModelFiguresOut(BaseModel):
    """Figures measured on people who were left out of the training."""

    learnt_from: int = Field(description="Pessoas com que o modelo aprendeu")
    held_out: int = Field(description="Pessoas em que foi medido")
    auc: float
    ks: float
    brier: float
    psi: float
    default_rate: float
    approval: float = Field(description="Parte das pessoas nas faixas A, B e C, de 0 a 1")
    approved_default_rate: float = Field(description="Parte destas que ficou inadimplente, de 0 a 1")
    bands: dict[str, ModelBandOut]


class ModelChoiceOut(BaseModel):
    """A model's entry into force: the instant, who chose it, and the reason."""

    at: datetime
    by_kind: ActorKind
    by: str
    approved_by: UUID | None
    reason: str


class CreditModelOut(BaseModel):
    """A version of the score's model."""

    version: str = Field(examples=["scorecard-1-7db61cbf8e"])
    in_force: bool
    former: bool = Field(description="É o que valia antes do que vale: uma pessoa volta a ele; a outro, duas")
    origin: Origin = Field(
        description="`outcomes`: desfechos reais; `synthetic`: pessoas fictícias; `shipped`: a inicial"
    )
    digest: str = Field(description="SHA-256 do arquivo do modelo")
    people: int | None = Field(description="Desfechos com que foi treinado e medido")
    outcomes_from: date | None
    outcomes_until: date | None
    figures: ModelFiguresOut | None
    made_by_kind: ActorKind
    made_by: str
    created_at: datetime | None = Field(description="Nulo para o que veio com o produto e nunca foi guardado")
    choices: list[ModelChoiceOut] = Field(description="As vezes em que entrou em vigor, a última primeiro")


class ModelChoiceIn(Body):
    """The reason for choosing a model, and the model that it replaces."""

    reason: ChoiceReason
    instead_of: Version | None = Field(
        None, description="O modelo que vale, como foi lido; se já for outro, 409 `credit_model_overtaken`"
    )


class ModelChoiceOrder(BaseModel):
    """A model that is to score from now on."""

    version: str
    reason: str
    instead_of: str


_IN_FORCE = Query(
    select(CreditModel.card)
    .join(CreditModelChoice, CreditModelChoice.version == CreditModel.version)
    .order_by(CreditModelChoice.seq.desc())
    .limit(1)
)


class CardInForce:
    """A process's cache of the card in force. While PostgreSQL is away the last card that was read stays valid."""

    def __init__(self) -> None:
        self._known: Scorecard | None = None

    async def card(self, reads: Reads) -> Scorecard:
        """Return the card of the model that was chosen last.

        Raises:
            DatabaseDown: PostgreSQL is away, and this process has not read the choice yet.
        """
        try:
            async with asyncio.timeout(None if self._known is None else PATIENCE_SECONDS):
                row = await first(reads, _IN_FORCE)
        except (DatabaseDown, TimeoutError):
            if self._known is None:
                raise
            log.warning("model in force not read", model=self._known.model_version)
            return self._known
        self._known = shipped() if row is None else load(row[0])
        return self._known


def figures_of(measures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored part of a training's measures; `approval` is the share of the bands A, B and C."""
    bands: Mapping[str, Mapping[str, float]] = measures["bands"]
    approval = sum(bands[band]["share"] for band in _APPROVED_BANDS)
    lost = sum(bands[band]["share"] * bands[band]["default_rate"] for band in _APPROVED_BANDS)
    kept = ("learnt_from", "held_out", "auc", "ks", "brier", "psi", "default_rate")
    return {
        **{name: measures[name] for name in kept},
        "approval": approval,
        "approved_default_rate": lost / approval if approval else 0.0,
        "bands": {band: dict(rates) for band, rates in bands.items()},
    }


async def store(tx: Tx, values: Mapping[str, Any], *, actor: Actor) -> bool:
    """Store a trained model as a version; return whether it is new. The same people result in the same version."""
    now = clock.now()
    text: str = values["card"]
    added = await tx.scalar(
        insert(CreditModel)
        .values(
            version=load(text).model_version,
            digest=hashlib.sha256(text.encode()).digest(),
            made_by_kind=actor.kind,
            made_by=actor.id,
            created_at=now,
            **values,
        )
        .on_conflict_do_nothing(index_elements=["version"])
        .returning(CreditModel.version)
    )
    if added is None:
        return False
    await audit.record(tx, STORED, actor=actor, model=added, origin=values["origin"], people=values["people"])
    return True


async def _last_two(tx: Tx) -> tuple[str, str | None]:
    """Return the version in force, and the version that it replaced, if there is one."""
    last = select(CreditModelChoice.version).order_by(CreditModelChoice.seq.desc()).limit(2)
    found = [*await tx.scalars(last)]
    return (found[0] if found else shipped().model_version), (found[1] if len(found) > 1 else None)


async def _in_force(tx: Tx) -> str:
    return (await _last_two(tx))[0]


async def list_models(tx: Tx) -> list[CreditModelOut]:
    """List the models, the newest first; the one that came with the product is the last."""
    rows = (await tx.scalars(select(CreditModel).order_by(CreditModel.created_at.desc(), CreditModel.version))).all()
    made = (await tx.scalars(select(CreditModelChoice).order_by(CreditModelChoice.seq.desc()))).all()
    choices: dict[str, list[ModelChoiceOut]] = {}
    for one in made:
        choices.setdefault(one.version, []).append(_choice(one))
    last_two = (made[0].version if made else shipped().model_version), (made[1].version if len(made) > 1 else None)
    found = [_out(row, last_two, choices.get(row.version, [])) for row in rows]
    if shipped().model_version not in {row.version for row in rows}:
        found.append(_out(_shipped_row(None), last_two, []))
    return found


async def model(tx: Tx, version: str) -> CreditModelOut:
    """Return a model.

    Raises:
        ModelNotFound: there is none of this version.
    """
    found = next((one for one in await list_models(tx) if one.version == version), None)
    if found is None:
        raise ModelNotFound
    return found


def _choice(row: CreditModelChoice) -> ModelChoiceOut:
    kind: ActorKind = row.chosen_by_kind  # type: ignore[assignment] # it was written from an `Actor.kind`
    return ModelChoiceOut(at=row.at, by_kind=kind, by=row.chosen_by, approved_by=row.approved_by, reason=row.reason)


def _out(row: CreditModel, last_two: tuple[str, str | None], choices: Sequence[ModelChoiceOut]) -> CreditModelOut:
    kind: ActorKind = row.made_by_kind  # type: ignore[assignment] # the column holds one of these
    figures = shipped_figures() if row.version == shipped().model_version else row.figures
    origin: Origin = row.origin  # type: ignore[assignment] # a constraint allows no other
    return CreditModelOut(
        version=row.version,
        in_force=row.version == last_two[0],
        former=row.version == last_two[1],
        origin=origin,
        digest=row.digest.hex(),
        people=row.people,
        outcomes_from=row.outcomes_from,
        outcomes_until=row.outcomes_until,
        figures=None if figures is None else ModelFiguresOut.model_validate(figures),
        made_by_kind=kind,
        made_by=row.made_by,
        created_at=row.created_at,
        choices=list(choices),
    )


def _shipped_row(at: datetime | None) -> CreditModel:
    row = CreditModel(
        version=shipped().model_version,
        card=shipped_text(),
        digest=hashlib.sha256(shipped_text().encode()).digest(),
        origin="shipped",
        made_by_kind=_SHIPPED_BY.kind,
        made_by=_SHIPPED_BY.id,
    )
    if at is not None:
        row.created_at = at
    return row


async def _add_choice(tx: Tx, version: str, reason: str, actor: Actor, approved_by: UUID | None) -> None:
    last = await tx.scalar(select(func.coalesce(func.max(CreditModelChoice.seq), 0)))
    tx.add(
        CreditModelChoice(
            seq=(last or 0) + 1,
            version=version,
            reason=reason,
            chosen_by_kind=actor.kind,
            chosen_by=actor.id,
            approved_by=approved_by,
            at=clock.now(),
        )
    )
    await tx.flush()


async def _store_shipped(tx: Tx, *, was_in_force: bool) -> None:
    """Store the card that came with the product, so that it outlives a release without it."""
    if await tx.get(CreditModel, shipped().model_version) is None:
        tx.add(_shipped_row(clock.now()))
        await tx.flush()
    if was_in_force:
        await _add_choice(tx, shipped().model_version, "Veio com o produto.", _SHIPPED_BY, None)


async def _choose(tx: Tx, order: ModelChoiceOrder, act: Act) -> CreditModelOut:
    """Put a model in force from the commit on.

    Raises:
        ModelNotFound: there is none of this version.
        ModelInForce: it scores already.
        ModelOvertaken: another model than the expected one is in force.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    in_force = await _check(tx, order)
    if act.approved_by is None and (await _last_two(tx))[1] != order.version:
        raise ModelOvertaken(in_force=in_force)  # other models were in force meanwhile
    await act.weigh(tx, amount=0, summary=_summary(order.version), gains=Gains())
    first_choice = await tx.scalar(select(func.count()).select_from(CreditModelChoice)) == 0
    await _store_shipped(tx, was_in_force=first_choice)
    await _add_choice(tx, order.version, order.reason, act.actor, act.approved_by)
    await audit.record(
        tx, CHOSEN, actor=act.actor, approved_by=act.approved_by, model=order.version, instead_of=in_force
    )
    return await model(tx, order.version)


def _summary(version: str) -> str:
    return f"Pôr em vigor o modelo de crédito {version}"


async def _check(tx: Tx, order: ModelChoiceOrder) -> str:
    """Check an order against the stored models, and return the version in force."""
    await model(tx, order.version)
    in_force = await _in_force(tx)
    if in_force == order.version:
        raise ModelInForce
    if in_force != order.instead_of:
        raise ModelOvertaken(in_force=in_force)
    return in_force


async def _changes(tx: Tx, order: ModelChoiceOrder) -> list[OrderChange]:
    return [OrderChange("version", await _in_force(tx), order.version)]


CHOOSE = Operation("credit.model_choice", ModelChoiceOrder, _choose, CHOOSES, claim=CHOOSES, changes=_changes)


async def choose(tx: Tx, desk: Desk, who: Principal, version: str, asked: ModelChoiceIn) -> object:
    """Put a model in force: at once, if the one in force replaced it; otherwise after a second person's approval.

    Raises:
        ModelNotFound, ModelInForce, ModelOvertaken: as for the choice itself.
    """
    order = ModelChoiceOrder(version=version, reason=asked.reason, instead_of=asked.instead_of or await _in_force(tx))
    await _check(tx, order)
    if version == (await _last_two(tx))[1]:
        return await desk.carry_out(tx, CHOOSE, order, who)
    return await desk.propose(tx, CHOOSE, order, who.actor, summary=_summary(version), gains=Gains())
