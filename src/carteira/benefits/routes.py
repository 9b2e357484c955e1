"""Benefits over HTTP: the authorizer's documentation (`asgi` answers it), and all other routes."""

from operator import itemgetter
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, TypeAdapter, ValidationError, WithJsonSchema

from carteira import ledger
from carteira.benefits import (
    accounts,
    catalog,
    finding,
    invitations,
    lifecycle,
    operations,
    queries,
    returns,
    routes_at_once,
    topups,
)
from carteira.benefits import claims as claiming
from carteira.benefits.authorizer.asgi import PATH, QUERY_PATH, REVERSAL_PATH
from carteira.benefits.authorizer.rules import normalise_merchant
from carteira.benefits.errors import CatalogIsEverybodys
from carteira.benefits.schemas import (
    AccountIn,
    AccountSearchIn,
    AccountStateOut,
    AuthorizationIn,
    AuthorizationOut,
    BenefitAccountOut,
    BenefitStatementLineOut,
    BlockIn,
    BulkCreditIn,
    BulkCreditOut,
    BulkCreditPreviewOut,
    CategoryIn,
    CategoryName,
    CategoryOut,
    ClaimCodeIn,
    CreditIn,
    CreditOut,
    InvitationIn,
    ListedAccountOut,
    MerchantIn,
    MerchantName,
    MerchantOut,
    NamedMerchantIn,
    OwnAccountOut,
    ProcessorQueryIn,
    ProcessorQueryOut,
    ProcessorReversalIn,
    RefundIn,
    ReturnOut,
    SimulationOut,
    TransactionOut,
    WaitingAccountOut,
)
from carteira.identity import ClientDep, IdentityDep
from carteira.kit.values.csv_lines import BulkLines
from carteira.kit.values.exact_json import parse_strict_json
from carteira.kit.web.access import Principal, Who, acts, claims, looks, public, reads
from carteira.kit.web.approvals import MAY_WAIT, DeskDep
from carteira.kit.web.csv_bodies import csv_content, is_csv, media_type, read_csv_body, unfit
from carteira.kit.web.idempotency import TRIED_AT_ONCE, idempotent
from carteira.kit.web.json_route import JsonRoute, polled, send_version, versioned
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.preconditions import PreconditionDep
from carteira.kit.web.problems import InvalidInput, UnsupportedMediaType
from carteira.kit.web.transaction import ReadTxDep, TxDep

transactions = APIRouter(route_class=JsonRoute, prefix="/transactions", tags=["benefits"])
router = APIRouter(route_class=JsonRoute, prefix="/benefits", tags=["benefits"])

Writer = Annotated[Principal, claims("benefits:write")]
_nobodys = reads("the catalog is nobody's")


async def _not_bound(who: Writer) -> None:
    """Refuse callers who are bound to an employer: this belongs to all employers."""
    if who.scopes is not None:
        raise CatalogIsEverybodys


_unbound = Depends(_not_bound)
Reference = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="Referência da processadora")]


def shape_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a body that the route itself does not read, for its documentation."""
    return {key: part for key, part in model.model_json_schema().items() if key != "description"}


def _body_of(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": shape_of(model)}}}}


_authorization_body = _body_of(AuthorizationIn)
_FALLBACK = "Se falta saldo na categoria, usa o saldo livre (CASH)"
SimulatedFallback = Annotated[
    Annotated[str, WithJsonSchema({"type": "boolean", "default": True})] | None, Query(description=_FALLBACK)
]
_processor_bearer = HTTPBearer(
    scheme_name="Processor", bearerFormat="JWT HS256", description="Assinado com JWT_SECRET; só `exp` é exigido"
)


@transactions.post(
    PATH.removeprefix("/transactions"),
    operation_id="authorize",
    summary="Autorizar uma compra",
    openapi_extra=_authorization_body,
    dependencies=[
        public("answered by the lean endpoint, which checks the processor's own token"),
        Depends(_processor_bearer),  # documents it
    ],
)
async def authorizer(
    fallback: Annotated[bool, Query(description=_FALLBACK)] = True,
) -> AuthorizationOut:
    """Responde sempre 200: `00` aprovada, `51` saldo insuficiente, `07` qualquer outra coisa que a impeça.

    A mesma transação (`id`) com o mesmo conteúdo recebe a primeira resposta de novo, sem mover nada.
    """
    raise NotImplementedError("the lean endpoint answers this path before FastAPI sees it")


@transactions.post(
    QUERY_PATH.removeprefix("/transactions"),
    summary="Consultar uma transação da processadora",
    openapi_extra=_body_of(ProcessorQueryIn),
    dependencies=[
        public("answered by the lean endpoint, which checks the processor's own token"),
        Depends(_processor_bearer),
    ],
)
async def query_authorization(
    detail: Annotated[bool, Query(description="Diz também o que houve, em vez de só o código")] = False,
) -> AuthorizationOut | ProcessorQueryOut:
    """Responde sempre 200, com o código da primeira resposta; `07` se a transação não é conhecida.

    Serve a quem perdeu a resposta: o `id` é o da própria processadora.
    """
    raise NotImplementedError("the lean endpoint answers this path before FastAPI sees it")


@transactions.post(
    REVERSAL_PATH.removeprefix("/transactions"),
    summary="Desfazer uma transação da processadora",
    openapi_extra=_body_of(ProcessorReversalIn),
    dependencies=[
        public("answered by the lean endpoint, which checks the processor's own token"),
        Depends(_processor_bearer),
    ],
)
async def reverse_authorization() -> AuthorizationOut:
    """Responde sempre 200: `00` desfeita (ou nunca será feita), `07` qualquer outra coisa que a impeça.

    Sem valor, desfaz tudo o que resta, uma vez por `id`; com `totalAmount`, uma parte, uma vez por `reversalId`. Se
    chega antes da autorização, esta será recusada.
    """
    raise NotImplementedError("the lean endpoint answers this path before FastAPI sees it")


@transactions.post(
    "/simulate",
    operation_id="simulate_transaction",
    summary="Simular uma compra",
    openapi_extra=_authorization_body,
    dependencies=[looks("transaction_simulated")],
)
async def simulate(
    request: Request,
    tx: TxDep,
    who: Who,
    fallback: SimulatedFallback = None,  # noqa: ARG001 - read as the authorizer reads it
) -> SimulationOut:
    """Diz o que o autorizador responderia e por quê. Não move nada."""
    return await queries.simulate(tx, await request.body(), request.scope["query_string"], who)


async def _filter(
    account: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._:-]{1,64}$")] = None,
    code: Literal["00", "51", "07"] | None = None,
    reference: Annotated[
        str | None, Query(pattern=r"^[!-~]{1,64}$", description="O `id` da transação na processadora")
    ] = None,
) -> queries.TransactionFilter:
    return queries.TransactionFilter(account, code, reference)


@transactions.get("", summary="Transações", dependencies=[polled(), looks("transactions_listed")])
async def list_transactions(
    tx: ReadTxDep,
    who: Who,
    wanted: Annotated[queries.TransactionFilter, Depends(_filter)],
    asked: PageRequest[UUID] = page_of(BY_ID),
) -> Page[TransactionOut]:
    """Lista as transações do autorizador, da mais nova à mais antiga, com a explicação de cada uma."""
    return await queries.transactions(tx, who, wanted, asked)


@transactions.get("/{transaction_id}", summary="Uma transação", dependencies=[polled(), looks("transaction_read")])
async def get_transaction(transaction_id: UUID, tx: ReadTxDep, who: Who) -> TransactionOut:
    """Mostra uma transação do autorizador e a sua explicação."""
    return await queries.transaction(tx, transaction_id, who)


@transactions.post(
    "/{transaction_id}/reversal",
    status_code=201,
    operation_id="reverse_transaction",
    summary="Estornar",
    response_model=ReturnOut,
    responses=MAY_WAIT,
    dependencies=[acts(returns.REVERSED), TRIED_AT_ONCE],
)
@idempotent(status=201, at_once=routes_at_once.reverse)
async def reverse(transaction_id: UUID, tx: TxDep, who: Writer, desk: DeskDep) -> object:
    """Desfaz uma transação aprovada por inteiro, uma única vez. Acima do limite, espera uma segunda pessoa."""
    order = operations.ReversalOrder(transaction_id=transaction_id)
    return await desk.carry_out(tx, operations.REVERSE, order, who)


@transactions.post(
    "/{transaction_id}/refund",
    status_code=201,
    operation_id="refund_transaction",
    summary="Devolver",
    response_model=ReturnOut,
    responses=MAY_WAIT,
    dependencies=[acts(returns.REFUNDED), TRIED_AT_ONCE],
)
@idempotent(status=201, at_once=routes_at_once.refund)
async def refund(transaction_id: UUID, tx: TxDep, who: Writer, desk: DeskDep, body: RefundIn | None = None) -> object:
    """Devolve uma parte de uma transação aprovada (ou tudo o que resta) à categoria que pagou.

    Acima do limite, espera uma segunda pessoa.
    """
    order = operations.RefundOrder(transaction_id=transaction_id, amount=body.amount if body else None)
    return await desk.carry_out(tx, operations.REFUND, order, who)


@router.post(
    "/accounts",
    status_code=201,
    operation_id="open_benefit_account",
    summary="Abrir uma conta",
    response_model=BenefitAccountOut,
    responses=MAY_WAIT,
    dependencies=[acts("benefit_account_opened")],
)
@idempotent(status=201)
async def open_account(body: AccountIn, tx: TxDep, who: Writer, desk: DeskDep) -> object:
    """Abre uma conta de benefícios para um CPF (que pode ainda não ter cadastro) ou para uma pessoa.

    Com saldo inicial acima do limite, espera uma segunda pessoa.
    """
    return await desk.carry_out(tx, operations.OPEN_ACCOUNT, body, who)


@router.get("/accounts", operation_id="list_own_benefit_accounts", summary="Minhas contas de benefícios")
async def list_accounts(
    tx: ReadTxDep, who: Who, asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True)
) -> Page[OwnAccountOut]:
    """Lista as contas da pessoa, com a empresa, o estado e os saldos em centavos."""
    rows = await finding.own(tx, who.user_id, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, itemgetter(0)).map(itemgetter(1))


@router.post(
    "/accounts/search",
    operation_id="search_benefit_accounts",
    summary="Procurar contas",
    dependencies=[claims("benefits:read"), looks("benefit_accounts_listed")],
)
async def search_accounts(
    body: AccountSearchIn, tx: TxDep, who: Who, asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True)
) -> Page[ListedAccountOut]:
    """Lista as contas da empresa, por CPF, referência, pessoa ou estado. O CPF vai no corpo, nunca no endereço."""
    rows = await finding.search(tx, who, body, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, itemgetter(0)).map(itemgetter(1))


@router.post(
    "/accounts/{account}/block",
    operation_id="block_benefit_account",
    summary="Bloquear uma conta",
    dependencies=[acts("benefit_account_blocked")],
)
async def block(account: Reference, body: BlockIn, tx: TxDep, who: Writer) -> AccountStateOut:
    """Para as compras da conta na hora; o que chega a ela continua chegando. Demissão não é motivo."""
    state = await lifecycle.block(tx, account, body.reason, who.actor)
    return AccountStateOut(account=account, state=state)


@router.post(
    "/accounts/{account}/unblock",
    operation_id="unblock_benefit_account",
    summary="Reativar uma conta",
    dependencies=[acts("benefit_account_unblocked")],
)
async def unblock(account: Reference, tx: TxDep, who: Writer) -> AccountStateOut:
    """Reativa uma conta bloqueada ou encerrada."""
    return AccountStateOut(account=account, state=await lifecycle.unblock(tx, account, who.actor))


@router.post(
    "/accounts/{account}/close",
    operation_id="close_benefit_account",
    summary="Encerrar uma conta",
    dependencies=[acts("benefit_account_closed")],
)
async def close(account: Reference, tx: TxDep, who: Writer) -> AccountStateOut:
    """Encerra uma conta sem saldo: nada mais se credita a ela. O saldo é do trabalhador, também depois da demissão."""
    return AccountStateOut(account=account, state=await lifecycle.close(tx, account, who.actor))


@router.get(
    "/accounts/{account}",
    operation_id="get_benefit_account",
    summary="Conta e saldos",
    dependencies=[polled(), looks("benefit_account_read")],
)
async def get_account(account: Reference, tx: ReadTxDep, who: Who) -> BenefitAccountOut:
    """Mostra os saldos por categoria, em centavos. Para o dono, ou com a permissão `benefits:read`."""
    view = await accounts.visible(tx, account, who, look="benefit_account_read")
    return BenefitAccountOut(
        account=view.reference, employer_id=view.employer_id, balances=await accounts.balances(tx, view.id)
    )


@router.get(
    "/accounts/{account}/statement",
    operation_id="get_benefit_statement",
    summary="Extrato",
    dependencies=[polled(), looks("benefit_statement_read")],
)
async def get_statement(
    account: Reference,
    tx: ReadTxDep,
    who: Who,
    asked: PageRequest[ledger.LineKey] = page_of(ledger.STATEMENT),
) -> Page[BenefitStatementLineOut]:
    """Lista os movimentos de todas as categorias, do mais novo ao mais antigo."""
    view = await accounts.visible(tx, account, who, look="benefit_statement_read")
    return await queries.statement(tx, view.id, asked, who)


@router.post("/accounts/{account}/claim", status_code=202, summary="Pedir o código para ligar a conta")
async def ask_claim(account: Reference, who: Who, runtime: IdentityDep) -> Response:
    """Manda um código ao contato que a empresa cadastrou, se a conta é do seu CPF e ainda não tem dono."""
    await claiming.ask(runtime, who.user_id, account)
    return Response(status_code=202)


@router.get("/waiting-accounts", summary="Contas abertas para o meu CPF")
async def list_waiting(
    tx: ReadTxDep, who: Who, asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True)
) -> Page[WaitingAccountOut]:
    """Lista as contas que empresas abriram para o CPF e ainda não têm dono; só para quem tem o CPF comprovado."""
    rows = await claiming.waiting(tx, who.user_id, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, lambda row: row.id).map(WaitingAccountOut.model_validate)


@router.post(
    "/accounts/{account}/invite",
    status_code=202,
    operation_id="invite_holder",
    summary="Convidar o titular",
    dependencies=[acts("benefit_invited")],
)
async def invite(account: Reference, who: Writer, runtime: IdentityDep) -> Response:
    """Manda um convite ao contato cadastrado: para quem não tem CPF no cadastro, ou cujo CPF está em outra conta."""
    await invitations.invite(runtime, account, who.actor)
    return Response(status_code=202)


@router.post("/invitations/accept", operation_id="accept_benefit_invitation", summary="Usar um convite")
async def accept_invitation(body: InvitationIn, tx: TxDep, who: Who) -> BenefitAccountOut:
    """Com o convite recebido (7 dias, um só uso), a conta e o saldo passam a ser seus. Não comprova o CPF."""
    return await invitations.accept(tx, who.user_id, body.token)


@router.post("/accounts/{account}/claim/confirm", summary="Ligar a conta")
async def confirm_claim(
    account: Reference, body: ClaimCodeIn, who: Who, runtime: IdentityDep, client: ClientDep
) -> BenefitAccountOut:
    """Com o código recebido (10 minutos, um uso, cinco tentativas), ou o do link, a conta e o saldo são seus.

    Quem tem o CPF comprovado não precisa do código.
    """
    return await claiming.confirm(runtime, who.user_id, client.address, account, body.code)


@router.post(
    "/accounts/{account}/credits",
    status_code=201,
    operation_id="credit_account",
    summary="Creditar",
    response_model=CreditOut,
    responses=MAY_WAIT,
    dependencies=[acts(topups.CREDITED_ONE), TRIED_AT_ONCE],
)
@idempotent(status=201, at_once=routes_at_once.credit)
async def credit(account: Reference, body: CreditIn, tx: TxDep, who: Writer, desk: DeskDep) -> object:
    """Credita uma categoria de uma conta. Acima do limite, espera uma segunda pessoa."""
    return await desk.carry_out(
        tx, operations.CREDIT, operations.CreditOrder(account=account, **body.model_dump()), who
    )


BULK_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": topups.MAX_BULK_LINES,
                    "items": shape_of(BulkCreditIn),
                },
                "example": [{"account": "123", "category": "FOOD", "amount": 50_000}],
            },
            **csv_content("credits", "account;category;valor\n123;FOOD;500,00\n"),
        },
    }
}
_raw_list = TypeAdapter(list[Any])


async def _credit_lines(request: Request, _who: Writer) -> BulkLines:
    """Read the raw lines of a bulk top-up, after the caller is authenticated.

    Raises:
        UnsupportedMediaType: neither JSON nor CSV.
        InvalidInput: it does not match its media type.
    """
    if is_csv(request):
        return await read_csv_body(await request.body(), topups.CSV_COLUMNS, most=topups.MAX_BULK_LINES)
    if media_type(request) != "application/json":
        raise UnsupportedMediaType("Envie application/json ou text/csv.")
    try:
        return BulkLines(_raw_list.validate_python(parse_strict_json(await request.body()), strict=True))
    except (ValueError, ValidationError) as error:
        raise unfit("Envie uma lista JSON de créditos.") from error


CreditLines = Annotated[BulkLines, Depends(_credit_lines)]


@router.post(
    "/credits",
    operation_id="credit_accounts",
    summary="Creditar em lote",
    openapi_extra=BULK_BODY,
    response_model=BulkCreditOut,
    responses=MAY_WAIT,
    dependencies=[acts(topups.CREDITED_IN_BULK), TRIED_AT_ONCE],
)
@idempotent(at_once=routes_at_once.credit_many, payload=lambda arguments: arguments["lines"].lines)
async def credit_many(
    lines: CreditLines,
    tx: TxDep,
    who: Writer,
    desk: DeskDep,
    atomic: Annotated[bool, Query(description="Tudo ou nada")] = False,
) -> object:
    """Credita muitas contas de uma vez, em JSON ou CSV (`account;category;valor`), com um resultado por linha.

    No CSV, a coluna `amount` é em centavos e a coluna `valor` é em reais (`10`, `10,50`, `1.234,56`).

    Um lote é uma só operação: se a soma das suas linhas passa do limite, ele todo espera uma segunda pessoa.
    """
    return await desk.carry_out(tx, operations.CREDIT_MANY, operations.BulkCreditOrder.of(lines, atomic=atomic), who)


@router.post(
    "/credits/preview",
    summary="Conferir um lote de créditos",
    openapi_extra=BULK_BODY,
    dependencies=[looks("benefit_credits_previewed")],
)
async def preview_credits(lines: CreditLines, tx: TxDep, who: Writer) -> BulkCreditPreviewOut:
    """Diz linha por linha o que `POST /benefits/credits` faria com o mesmo corpo, em reais. Nada se move."""
    return await topups.preview_many(tx, lines, who.actor)


@router.get("/categories", summary="Categorias", dependencies=[polled(), claims("benefits:write"), _nobodys])
async def list_categories(tx: ReadTxDep) -> list[CategoryOut]:
    """Lista as categorias, os seus MCCs e o regime de cada uma."""
    return await catalog.list_categories(tx)


@router.get(
    "/categories/{category}",
    summary="Uma categoria",
    dependencies=[versioned(), claims("benefits:write"), _nobodys],
)
async def get_category(request: Request, category: Annotated[CategoryName, Path()], tx: ReadTxDep) -> CategoryOut:
    """Mostra uma categoria."""
    found = await catalog.get_category(tx, category)
    send_version(request, found.version)
    return found


@router.put(
    "/categories/{category}",
    summary="Criar ou mudar uma categoria",
    dependencies=[_unbound, acts("benefit_category_set")],
)
async def put_category(
    category: Annotated[CategoryName, Path()], body: CategoryIn, tx: TxDep, seen: PreconditionDep
) -> CategoryOut:
    """Define os MCCs e o regime (`pat` ou `free`) de uma categoria. Um MCC pertence a uma só categoria.

    Com `If-Match`, só muda se a categoria ainda está na versão lida.
    """
    return await catalog.put_category(tx, category, body.mccs, body.regime, seen)


@router.get("/merchants", summary="Estabelecimentos", dependencies=[polled(), claims("benefits:write"), _nobodys])
async def list_merchants(tx: ReadTxDep) -> list[MerchantOut]:
    """Lista os estabelecimentos cujo nome prevalece sobre o MCC."""
    return await catalog.list_merchants(tx)


@router.put(
    "/merchants",
    summary="Criar ou mudar um estabelecimento",
    dependencies=[_unbound, acts("benefit_merchant_set")],
)
async def put_merchant(body: MerchantIn, tx: TxDep, seen: PreconditionDep) -> MerchantOut:
    """Define o MCC de um estabelecimento pelo nome; caixa e espaços repetidos não importam."""
    return await catalog.put_merchant(tx, body.name, body.mcc, seen)


@router.get(
    "/merchants/{name:rest}",
    summary="Um estabelecimento",
    dependencies=[versioned(), claims("benefits:write"), _nobodys],
)
async def get_merchant(request: Request, name: str, tx: ReadTxDep) -> MerchantOut:
    """Mostra um estabelecimento."""
    found = await catalog.get_merchant(tx, name)
    send_version(request, found.version)
    return found


@router.put(
    "/merchants/{name:rest}",
    summary="Criar ou mudar um estabelecimento",
    dependencies=[_unbound, acts("benefit_merchant_set")],
)
async def put_named_merchant(
    name: Annotated[MerchantName, Path()], body: NamedMerchantIn, tx: TxDep, seen: PreconditionDep
) -> MerchantOut:
    """Define o MCC do estabelecimento do endereço."""
    if body.name is not None and normalise_merchant(body.name) != normalise_merchant(name):
        raise InvalidInput(errors=[{"field": "name", "message": "O nome difere do que está no endereço."}])
    return await catalog.put_merchant(tx, body.name or name, body.mcc, seen)


@router.delete(
    "/merchants/{name:rest}",
    status_code=204,
    summary="Tirar",
    dependencies=[_unbound, acts("benefit_merchant_removed")],
)
async def delete_merchant(name: str, tx: TxDep, seen: PreconditionDep) -> Response:
    """Tira um estabelecimento da lista."""
    await catalog.delete_merchant(tx, name, seen)
    return Response(status_code=204)
