"""The models of the score over HTTP: the versions with their figures, and which one is in force."""

from typing import Annotated

from fastapi import APIRouter, Path

from carteira.credit import versions
from carteira.credit.versions import CreditModelOut, ModelChoiceIn, Version
from carteira.kit.web.access import Principal, acts, claims, reads, step_up
from carteira.kit.web.approvals import MAY_WAIT, DeskDep
from carteira.kit.web.idempotency import idempotent
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.transaction import ReadTxDep, TxDep

models_router = APIRouter(route_class=JsonRoute, prefix="/credit/models", tags=["credit"])

PathVersion = Annotated[Version, Path()]
_reader = claims(versions.READS)
_kind = reads("models are nobody's")


@models_router.get("", summary="Modelos de crédito", dependencies=[_reader, _kind])
async def list_credit_models(tx: ReadTxDep) -> list[CreditModelOut]:
    """Lista os modelos guardados, do mais novo ao mais antigo, com o que foi medido, e diz qual está em vigor."""
    return await versions.list_models(tx)


@models_router.get("/{version}", summary="Um modelo de crédito", dependencies=[_reader, _kind])
async def get_credit_model(version: PathVersion, tx: ReadTxDep) -> CreditModelOut:
    """Mostra um modelo, as suas medidas e quando esteve em vigor."""
    return await versions.model(tx, version)


@models_router.post(
    "/{version}/choose",
    summary="Pôr um modelo em vigor",
    response_model=CreditModelOut,
    responses=MAY_WAIT,
    dependencies=[step_up(), acts(versions.CHOSEN)],
)
@idempotent(payload=lambda arguments: [arguments["version"], arguments["body"]])
async def choose_credit_model(
    version: PathVersion,
    body: ModelChoiceIn,
    tx: TxDep,
    who: Annotated[Principal, claims(versions.CHOOSES)],
    desk: DeskDep,
) -> object:
    """Faz o modelo pontuar. Um que nunca valeu espera uma segunda pessoa; voltar a um que já valeu é na hora."""
    return await versions.choose(tx, desk, who, version, body)
