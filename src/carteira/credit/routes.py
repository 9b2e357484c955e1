"""Credit over HTTP. Reads of base A name their purpose; changes of A and B name the version that the caller saw."""

from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from carteira.credit import access_log, base_a, outcomes, score
from carteira.credit.base_a import Reader
from carteira.credit.base_c import BaseCEvent, BureauQuery, Movement
from carteira.credit.outcomes import OutcomeIn, OutcomesOut
from carteira.credit.schemas import (
    AccessOut,
    BaseAIn,
    BaseAOut,
    BaseBIn,
    BaseBOut,
    BaseCEventIn,
    BaseCEventOut,
    BaseCOut,
    BureauQueryIn,
    CardPurchaseIn,
    MovementIn,
    ProfileOut,
    Purpose,
    ScoreOut,
)
from carteira.credit.stores import STORES, Stores
from carteira.kit.security import audit
from carteira.kit.security.audit_trail import AuditTrail
from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.csv_lines import BulkLines
from carteira.kit.web.access import Principal, Who, acts, claims, looks
from carteira.kit.web.csv_bodies import csv_content, is_csv
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import Page, PageRequest, page_of
from carteira.kit.web.period import PeriodDep
from carteira.kit.web.preconditions import PreconditionDep, etag
from carteira.kit.web.problems import UnsupportedMediaType
from carteira.kit.web.state import AUDIT_TRAIL, DATABASE
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/credit/{cpf}", tags=["credit"])
bulk_router = APIRouter(route_class=JsonRoute, prefix="/credit", tags=["credit"])

PathCpf = Annotated[Cpf, Path()]
PurposeHeader = Annotated[Purpose, Header(alias="X-Purpose", description="Para que se consulta; fica registrado")]
ReadsA = Annotated[Principal, claims("credit:a:read")]
ReadsB = Annotated[Principal, claims("credit:b:read")]
ReadsAll = Annotated[Principal, claims("credit:a:read", "credit:b:read", "credit:c:read")]
WritesC = Annotated[Principal, claims("credit:c:write")]


def _stores(request: Request) -> Stores:
    return STORES.of(request.app)


def _trail(request: Request) -> AuditTrail:
    return AUDIT_TRAIL.of(request.app)


def _person(request: Request, cpf: str) -> UUID:
    return base_a.person_id(_stores(request).keyring, cpf)


@router.get("", summary="Perfil completo", dependencies=[looks("credit_profile_read")])
async def get_profile(request: Request, cpf: PathCpf, who: ReadsAll, purpose: PurposeHeader) -> ProfileOut:
    """Junta as três bases, consultadas ao mesmo tempo; `unavailable` diz qual está fora do ar."""
    return await _stores(request).profile(DATABASE.of(request.app), _trail(request), cpf, who, purpose)


@router.get("/base-a", summary="Ler a base A", dependencies=[looks("credit_base_a_read")])
async def get_base_a(
    request: Request, response: Response, cpf: PathCpf, who: ReadsA, purpose: PurposeHeader
) -> BaseAOut:
    """Mostra nome, endereço e dívidas. A leitura fica registrada, com a finalidade, antes da resposta."""
    stores = _stores(request)
    rows = audit.look_rows("credit_base_a_read", [base_a.person_id(stores.keyring, cpf)], purpose=purpose)
    reader = Reader(who.id, "base_a", purpose, rows)
    stored = await base_a.read(DATABASE.of(request.app), stores.keyring, cpf, reader)
    await stores.note_query(cpf, who, purpose)
    response.headers["ETag"] = etag(stored.version)
    return stored.content


@router.put(
    "/base-a",
    summary="Gravar a base A",
    dependencies=[claims("credit:a:write"), acts("credit_base_a_written")],
    responses={201: {"model": BaseAOut, "description": "Criado"}},
)
async def put_base_a(
    request: Request, response: Response, cpf: PathCpf, body: BaseAIn, precondition: PreconditionDep
) -> BaseAOut:
    """Grava a base A por inteiro, criptografada por campo. Para mudar, envie `If-Match` com o ETag da leitura."""
    stored, new = await base_a.put(DATABASE.of(request.app), _stores(request).keyring, cpf, body, precondition)
    response.status_code = 201 if new else 200
    response.headers["ETag"] = etag(stored.version)
    return stored.content


@router.delete(
    "/base-a",
    status_code=204,
    summary="Apagar a base A",
    dependencies=[claims("credit:a:write"), acts("credit_base_a_removed")],
)
async def delete_base_a(request: Request, cpf: PathCpf, tx: TxDep, precondition: PreconditionDep) -> Response:
    """Apaga a base A de um CPF; o registro de quem a leu permanece."""
    await base_a.remove(tx, _stores(request).keyring, cpf, precondition)
    return Response(status_code=204)


@router.get("/base-b", summary="Ler a base B", dependencies=[looks("credit_base_b_read")])
async def get_base_b(request: Request, response: Response, cpf: PathCpf, who: ReadsB) -> BaseBOut:
    """Mostra idade, endereço, bens e fontes de renda."""
    stores = _stores(request)
    stored = await stores.b.read(cpf)
    await _trail(request).look("credit_base_b_read", _person(request, cpf))
    await stores.note_query(cpf, who, None)
    response.headers["ETag"] = etag(stored.version)
    return stored.content


@router.put(
    "/base-b",
    summary="Gravar a base B",
    dependencies=[claims("credit:b:write"), acts("credit_base_b_written")],
    responses={201: {"model": BaseBOut, "description": "Criado"}},
)
async def put_base_b(
    request: Request, response: Response, cpf: PathCpf, body: BaseBIn, precondition: PreconditionDep
) -> BaseBOut:
    """Grava a base B por inteiro. Para mudar, envie `If-Match` com o ETag da leitura."""
    stored, new = await _stores(request).b.put(cpf, body, precondition)
    await _trail(request).act("credit_base_b_written", _person(request, cpf))
    response.status_code = 201 if new else 200
    response.headers["ETag"] = etag(stored.version)
    return stored.content


@router.delete(
    "/base-b",
    status_code=204,
    summary="Apagar a base B",
    dependencies=[claims("credit:b:write"), acts("credit_base_b_removed")],
)
async def delete_base_b(request: Request, cpf: PathCpf, precondition: PreconditionDep) -> Response:
    """Apaga a base B de um CPF."""
    await _stores(request).b.remove(cpf, precondition)
    await _trail(request).act("credit_base_b_removed", _person(request, cpf))
    return Response(status_code=204)


@router.get(
    "/base-c",
    summary="Ler a base C",
    response_model=BaseCOut,
    dependencies=[claims("credit:c:read"), looks("credit_base_c_read")],
)
async def get_base_c(request: Request, cpf: PathCpf) -> Response:
    """Mostra a última consulta, a movimentação financeira e a última compra com cartão."""
    content = await _stores(request).c.read_json(cpf)
    await _trail(request).look("credit_base_c_read", _person(request, cpf))
    return Response(content, media_type="application/json")


@router.post(
    "/base-c/events",
    status_code=201,
    summary="Registrar um evento na base C",
    dependencies=[acts("credit_base_c_event_added")],
)
async def post_base_c_event(request: Request, cpf: PathCpf, body: BaseCEventIn, who: WritesC) -> BaseCEventOut:
    """Registra uma consulta, um movimento ou uma compra com cartão. O mesmo `id` não soma de novo."""
    happening = _event_of(body, who)
    applied = await _stores(request).c.apply(cpf, happening)
    await _trail(request).act("credit_base_c_event_added", _person(request, cpf), applied=applied)
    return BaseCEventOut(id=happening.id, applied=applied)


@router.delete(
    "/base-c",
    status_code=204,
    summary="Apagar a base C",
    dependencies=[claims("credit:c:write"), acts("credit_base_c_erased")],
)
async def delete_base_c(request: Request, cpf: PathCpf) -> Response:
    """Esquece o que a base C sabe de um CPF."""
    stores = _stores(request)
    await stores.c.erase(stores.c.keys_of(cpf))
    await _trail(request).act("credit_base_c_erased", _person(request, cpf))
    return Response(status_code=204)


def _event_of(event: BureauQueryIn | MovementIn | CardPurchaseIn, who: Principal) -> BaseCEvent:
    event_id, at = event.id or str(uuid4()), event.occurred_at or clock.now()
    match event:
        case BureauQueryIn():
            return BureauQuery(event_id, at, event.source, event.purpose, str(who.id))
        case MovementIn():
            return Movement(event_id, at, event.direction, event.amount, "movement", event.description)
        case CardPurchaseIn():
            return Movement(
                event_id, at, "out", event.amount, "card_purchase", event.merchant, card_purchase=True, mcc=event.mcc
            )


@router.get("/score", summary="Pontuação de crédito", dependencies=[looks("credit_score_read")])
async def get_score(request: Request, cpf: PathCpf, who: ReadsB) -> ScoreOut:
    """Calcula a pontuação (0 a 1000) com a base B e diz os três motivos que mais pesam. Nunca adivinha."""
    stores = _stores(request)
    stored = await stores.b.read(cpf)
    card = await stores.model.card(DATABASE.of(request.app).reads)
    result = score.of_person(stored.content, card)
    await _trail(request).look(
        "credit_score_read", _person(request, cpf), purpose="credit_analysis", model=card.model_version
    )
    await stores.note_query(cpf, who, "credit_analysis")
    return result


@router.get(
    "/accesses",
    operation_id="get_credit_accesses",
    summary="Quem leu a base A",
    dependencies=[looks("credit_accesses_read")],
)
async def get_accesses(
    request: Request,
    cpf: PathCpf,
    tx: ReadTxDep,
    who: Who,
    period: PeriodDep,
    asked: PageRequest[int] = page_of(access_log.ACCESSES),
) -> Page[AccessOut]:
    """Lista quem leu, quando e para quê, do mais novo ao mais antigo. Para a própria pessoa, ou `credit:audit`."""
    rows = await _stores(request).accesses_of(tx, cpf, who, period, limit=asked.limit + 1, before=asked.after)
    return asked.page(rows, lambda row: row.seq)


Recorder = Annotated[Principal, claims(outcomes.CLAIM)]


@router.put(
    "/outcome",
    status_code=204,
    summary="Registrar o desfecho",
    dependencies=[claims(outcomes.CLAIM), acts(outcomes.RECORDED)],
)
async def put_outcome(request: Request, cpf: PathCpf, body: OutcomeIn) -> Response:
    """Diz se a pessoa ficou inadimplente em doze meses; de novo, muda. É com isto que a pontuação aprende."""
    await outcomes.record(_stores(request), _trail(request), cpf, defaulted=body.defaulted)
    return Response(status_code=204)


async def _outcome_lines(request: Request, _who: Recorder) -> BulkLines:
    """Read the lines of a file of outcomes, after the caller is authenticated.

    Raises:
        UnsupportedMediaType: it is not said to be CSV.
        InvalidInput: it cannot be read as one.
    """
    if not is_csv(request):
        raise UnsupportedMediaType("Envie text/csv.")
    return await outcomes.read(await request.body())


@bulk_router.post(
    "/outcomes",
    summary="Registrar desfechos de um CSV",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": csv_content("outcomes", "cpf;inadimplente\n529.982.247-25;não\n111.444.777-35;sim\n"),
        }
    },
    dependencies=[acts(outcomes.RECORDED, each=True)],
)
async def post_outcomes(request: Request, lines: Annotated[BulkLines, Depends(_outcome_lines)]) -> OutcomesOut:
    """Registra até 1.000 desfechos (`cpf;inadimplente`, sim ou não), com um resultado por linha; pode ser repetido."""
    return await outcomes.record_many(_stores(request), _trail(request), lines)
