"""Employers' bulk work over HTTP: accounts from an HR file, and scheduled top-ups."""

from operator import attrgetter
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter, ValidationError, WithJsonSchema

from carteira.benefits import imports, invitations, operations, scheduled
from carteira.benefits.routes import BULK_BODY, CreditLines, Writer, shape_of
from carteira.benefits.schemas import (
    ImportLine,
    ImportLineOut,
    ImportOut,
    ImportPreviewOut,
    InvitationsIn,
    InvitationsOut,
    ScheduledOut,
)
from carteira.identity import IdentityDep
from carteira.kit.values.clock import clock
from carteira.kit.values.csv_lines import BulkLines
from carteira.kit.values.days import Day, schema_of_days
from carteira.kit.values.exact_json import parse_strict_json
from carteira.kit.web.access import acts, looks, reads
from carteira.kit.web.approvals import MAY_WAIT, DeskDep
from carteira.kit.web.csv_bodies import csv_content, is_csv, media_type, read_csv_body, unfit
from carteira.kit.web.idempotency import idempotent
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.problems import UnsupportedMediaType
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/benefits", tags=["benefits"])
_raw_list = TypeAdapter(list[Any])
_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            **csv_content(
                "accounts", "cpf;nome;contato;valor FOOD\n529.982.247-25;Maria da Silva;(11) 98765-4321;500,00\n"
            ),
            "application/json": {
                "schema": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": imports.MAX_LINES,
                    "items": shape_of(ImportLine),
                },
                "example": [{"cpf": "52998224725", "contact": "maria@exemplo.com.br", "balances": {"FOOD": 50_000}}],
            },
        },
    }
}
Employer = Annotated[UUID | None, Query(description="A empresa; sem ela, a de quem envia ou a primeira")]
_THIS_YEAR = clock.today().year
ScheduledDay = Annotated[
    Day,
    WithJsonSchema(schema_of_days(_THIS_YEAR, _THIS_YEAR + 1)),
    Query(description="O dia, em São Paulo: depois de hoje, em até um ano"),
]
"""Its schema has the years of the process's start."""
_own_files = reads("the outcome of the sender's own lines, by number; no data of the people in them")
_own_orders = reads("what was scheduled, by reference of accounts of the caller's employers")


async def _account_lines(request: Request, tx: TxDep, _who: Writer) -> BulkLines:
    """Read the raw lines of a file of accounts, after the caller is authenticated.

    Raises:
        UnsupportedMediaType: neither JSON nor CSV.
        InvalidInput: it does not match its media type.
    """
    if is_csv(request):
        sent = await read_csv_body(await request.body(), await imports.columns(tx), most=imports.MAX_LINES)
        return BulkLines([imports.folded(line) for line in sent.lines], sent.numbers, sent.wrong, sent.titles)
    if media_type(request) != "application/json":
        raise UnsupportedMediaType("Envie text/csv ou application/json.")
    try:
        return BulkLines(_raw_list.validate_python(parse_strict_json(await request.body()), strict=True))
    except (ValueError, ValidationError) as error:
        raise unfit("Envie uma lista JSON de contas.") from error


AccountLines = Annotated[BulkLines, Depends(_account_lines)]


@router.post(
    "/accounts/bulk",
    status_code=201,
    summary="Abrir contas a partir do arquivo do RH",
    openapi_extra=_FILE,
    response_model=ImportOut,
    responses=MAY_WAIT,
    dependencies=[acts("benefit_accounts_imported")],
)
@idempotent(status=201, payload=lambda arguments: arguments["lines"].lines)
async def import_accounts(
    lines: AccountLines,
    tx: TxDep,
    who: Writer,
    desk: DeskDep,
    employer_id: Employer = None,
    invite: Annotated[bool, Query(description="Manda o convite a cada contato")] = True,
) -> object:
    """Abre até 10.000 contas em segundo plano, em ordem; o resultado de cada linha fica em `…/imports/{id}/lines`.

    Um CPF que já tem conta na empresa é `exists` e não recebe nada: o arquivo pode ser enviado de novo. Acima do limite
    de saldos iniciais, espera uma segunda pessoa.
    """
    order = operations.ImportOrder(
        lines=lines.lines,
        numbers=lines.numbers,
        wrong=lines.wrong,
        titles=lines.titles,
        employer_id=employer_id,
        invite=invite,
    )
    return await desk.carry_out(tx, operations.IMPORT, order, who)


@router.post(
    "/accounts/bulk/preview",
    summary="Conferir o arquivo do RH",
    openapi_extra=_FILE,
    dependencies=[looks("benefit_accounts_previewed")],
)
async def preview_accounts(
    lines: AccountLines, tx: TxDep, who: Writer, employer_id: Employer = None
) -> ImportPreviewOut:
    """Diz linha por linha o que o arquivo abriria, em reais. Nada é aberto."""
    return await imports.preview(tx, lines, who.actor, employer_id)


@router.get("/accounts/imports/{import_id}", summary="Um arquivo do RH", dependencies=[_own_files])
async def get_import(import_id: UUID, tx: ReadTxDep, who: Writer) -> ImportOut:
    """Diz quantas linhas já foram abertas, já existiam, falharam ou esperam."""
    return await imports.find(tx, who, import_id)


@router.get("/accounts/imports/{import_id}/lines", summary="As linhas de um arquivo do RH", dependencies=[_own_files])
async def get_import_lines(
    import_id: UUID,
    tx: ReadTxDep,
    who: Writer,
    status: Literal["waiting", "opened", "exists", "failed"] | None = None,
    asked: PageRequest[imports.ImportLineKey] = page_of(imports.LINES),
) -> Page[ImportLineOut]:
    """Lista o que foi feito de cada linha, na ordem do arquivo."""
    return await imports.lines_of(tx, who, import_id, status, asked)


@router.post(
    "/scheduled-credits",
    status_code=201,
    summary="Agendar créditos",
    openapi_extra=BULK_BODY,
    response_model=ScheduledOut,
    responses=MAY_WAIT,
    dependencies=[acts("benefit_credits_scheduled")],
)
@idempotent(status=201, payload=lambda arguments: [arguments["lines"].lines, str(arguments["day"])])
async def schedule_credits(
    lines: CreditLines,
    tx: TxDep,
    who: Writer,
    desk: DeskDep,
    day: ScheduledDay,
    atomic: Annotated[bool, Query(description="Tudo ou nada")] = False,
) -> object:
    """Guarda um lote de créditos para um dia. Nesse dia, ou depois se algo o impediu, é feito uma única vez.

    O limite vale na hora de agendar: acima dele, espera uma segunda pessoa.
    """
    order = operations.ScheduleOrder(
        lines=lines.lines, numbers=lines.numbers, wrong=lines.wrong, titles=lines.titles, atomic=atomic, day=day
    )
    return await desk.carry_out(tx, operations.SCHEDULE, order, who)


@router.get("/scheduled-credits", summary="Créditos agendados", dependencies=[_own_orders])
async def list_scheduled(tx: ReadTxDep, who: Writer, asked: PageRequest[UUID] = page_of(BY_ID)) -> Page[ScheduledOut]:
    """Lista o que foi agendado para as contas da empresa, do mais novo ao mais antigo."""
    rows = await scheduled.listed(tx, who, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, attrgetter("id"))


@router.get("/scheduled-credits/{scheduled_id}", summary="Um agendamento", dependencies=[_own_orders])
async def get_scheduled(scheduled_id: UUID, tx: ReadTxDep, who: Writer) -> ScheduledOut:
    """Mostra um agendamento e, depois do dia, o resultado de cada linha."""
    return await scheduled.find(tx, who, scheduled_id)


@router.delete(
    "/scheduled-credits/{scheduled_id}",
    status_code=204,
    summary="Cancelar um agendamento",
    dependencies=[acts("benefit_credits_unscheduled")],
)
async def cancel_scheduled(scheduled_id: UUID, tx: TxDep, who: Writer) -> None:
    """Cancela créditos que ainda não foram feitos."""
    await scheduled.cancel(tx, who, scheduled_id)


@router.post(
    "/accounts/invitations",
    operation_id="invite_holders",
    summary="Convidar os titulares de várias contas",
    dependencies=[acts("benefit_invited", each=True)],
)
async def invite_holders(body: InvitationsIn, who: Writer, runtime: IdentityDep) -> InvitationsOut:
    """Manda, ou reenvia, o convite ao contato cadastrado de cada conta, e diz de cada uma se foi.

    O que impede uma conta (já tem dono, não tem contato, convites demais) não impede as outras.
    """
    return await invitations.invite_many(runtime, body.accounts, who.actor)
