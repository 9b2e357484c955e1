"""People over HTTP: registration, one's own data, and others' by claim."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, StreamingResponse

from carteira.identity.roles import service as roles
from carteira.identity.roles.schemas import ClaimOut, GiveClaimsIn, GiveRoleIn, RoleOut
from carteira.identity.runtime import IdentityDep, Runtime
from carteira.identity.sessions import service as sessions
from carteira.identity.sessions.client import ClientDep
from carteira.identity.sessions.schemas import UserSessionOut
from carteira.identity.sessions.service import Client
from carteira.identity.signin import factor_reset
from carteira.identity.trail import queries as trail
from carteira.identity.trail.schemas import DataAccessOut
from carteira.identity.users import by_operator, export, queries, suspension
from carteira.identity.users import service as people
from carteira.identity.users.purposes import Purpose
from carteira.identity.users.schemas import (
    ConsentIn,
    ConsentOut,
    FactorResetIn,
    NewUserIn,
    NewUserOut,
    PasswordIn,
    RegisterIn,
    ReportLine,
    SuspensionIn,
    SuspensionOut,
    UserOut,
    UserPatch,
    UserPut,
)
from carteira.identity.users.service import NewPerson, may_see_cpf, require_self_or
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal, Who, acts, claims, looks, public, step_up
from carteira.kit.web.approvals import Desk, DeskDep, WaitingOut
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.json_route import JsonRoute, send_version, versioned
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.preconditions import Precondition, PreconditionDep
from carteira.kit.web.transaction import ReadsDep, ReadTxDep, TxDep

TWO_FOR_CONTACTS: dict[int | str, dict[str, Any]] = {
    202: {"model": WaitingOut, "description": "Contato de outra pessoa, em produção: espera um segundo operador"}
}

router = APIRouter(route_class=JsonRoute, prefix="/users", tags=["identity"])

Reader = Annotated[Principal, claims("users:read")]
Writer = Annotated[Principal, claims("users:write")]
Suspender = Annotated[Principal, claims("users:suspend")]
ClaimId = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.post(
    "/register",
    status_code=201,
    operation_id="register_user",
    summary="Criar a própria conta",
    dependencies=[public("anyone may register")],
)
async def register(body: RegisterIn, identity: IdentityDep, client: ClientDep) -> UserOut:
    """Cria uma conta com o papel "cidadão"."""
    person = NewPerson(body.full_name, body.email, body.cpf, body.birth_date, body.phone)
    view = await people.register_person(identity, client.address, person, body.password, queries.person)
    return UserOut.of(view, show_cpf=True)


@router.post(
    "",
    status_code=201,
    summary="Criar um usuário",
    response_model_exclude_none=False,
    dependencies=[acts("user_added")],
)
async def add_user(body: NewUserIn, who: Writer, identity: IdentityDep) -> NewUserOut:
    """Cria um usuário com um papel. Sem senha, uma forte é gerada, mostrada uma única vez.

    Um papel que dá permissões pede que quem cria as tenha, e uma entrada recente.
    """
    view, generated = await by_operator.add(identity, who, body)
    shown = UserOut.of(view, show_cpf=may_see_cpf(who, view.id))
    return NewUserOut(**shown.model_dump(), generated_password=generated)


async def _filters(
    q: Annotated[
        str | None,
        Query(
            max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="Parte do nome ou do e-mail, ou o CPF inteiro"
        ),
    ] = None,
    role: Annotated[str | None, Query(max_length=100, description="O papel, pela descrição ou pelo id")] = None,
    claim: Annotated[str | None, Query(max_length=100, description="Uma permissão que a pessoa tem")] = None,
    suspended: Annotated[bool | None, Query(description="Só quem está suspenso, ou só quem não está")] = None,
) -> queries.Filters:
    return queries.Filters(q, role, claim, suspended)


FiltersDep = Annotated[queries.Filters, Depends(_filters)]


@router.get("", summary="Procurar usuários", dependencies=[looks("user_listed")])
async def list_users(
    tx: ReadTxDep,
    who: Reader,
    filters: FiltersDep,
    asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True),
) -> Page[UserOut]:
    """Lista usuários, do mais antigo ao mais novo. Cada pessoa listada vê que foi consultada."""
    wanted = await queries.resolve(tx, filters)
    rows = await queries.search(tx, wanted, limit=asked.limit + 1, after=asked.after)
    page = asked.page(rows, lambda row: row.id)
    await audit.record_looks(tx, "user_listed", [item.id for item in page.items])
    return page.map(lambda item: UserOut.of(item, show_cpf=may_see_cpf(who, item.id)))


@router.get("/me", summary="Meus dados")
async def get_me(reads: ReadsDep, who: Who) -> UserOut:
    """Mostra os dados de quem está autenticado."""
    return UserOut.of(await queries.person(reads, who.user_id), show_cpf=True)


@router.put("/me/password", status_code=204, summary="Trocar a minha senha")
async def put_password(body: PasswordIn, who: Who, identity: IdentityDep) -> None:
    """Troca a senha e encerra as outras sessões."""
    await people.change_password(identity, who, body.current_password, body.new_password)


@router.get("/me/data", summary="Tudo o que há sobre mim", response_model=dict[str, Any])
async def get_data(tx: TxDep, who: Who, identity: IdentityDep) -> JSONResponse:
    """Baixa tudo o que a plataforma guarda sobre a pessoa (LGPD, art. 18, II e V). Pede uma entrada recente."""
    who.require_step_up()
    content = jsonable_encoder(await people.everything_about(tx, identity, who.user_id))
    return JSONResponse(content, headers={"Content-Disposition": 'attachment; filename="meus-dados.json"'})


@router.get("/me/accesses", summary="Quem consultou os meus dados")
async def get_accesses(
    tx: ReadTxDep, who: Who, identity: IdentityDep, asked: PageRequest[UUID] = page_of(BY_ID)
) -> Page[DataAccessOut]:
    """Lista as consultas de outras pessoas aos dados de quem pergunta, da mais nova à mais antiga."""
    rows = await trail.accesses_to(tx, who.user_id, identity.ids_of, limit=asked.limit + 1, before=asked.after)

    def to_out(row: trail.DataAccessView) -> DataAccessOut:
        return DataAccessOut(**asdict(row), what=identity.looks.get(row.action, "Seus dados"))

    return asked.page(rows, lambda row: row.id).map(to_out)


async def _consents(tx: TxDep, who: Principal) -> Page[ConsentOut]:
    rows = await queries.consents_of(tx, who.user_id)
    return Page(items=[ConsentOut(purpose=purpose, granted=granted, created_at=at) for purpose, granted, at in rows])


@router.get("/me/consents", summary="Meus consentimentos")
async def get_consents(tx: ReadTxDep, who: Who) -> Page[ConsentOut]:
    """Lista a resposta que vale para cada finalidade já perguntada (LGPD, art. 8º)."""
    return await _consents(tx, who)


@router.put("/me/consents/{purpose}", summary="Dar ou retirar um consentimento")
async def put_consent(purpose: Purpose, body: ConsentIn, tx: TxDep, who: Who) -> Page[ConsentOut]:
    """Registra a resposta; retirar é tão fácil quanto dar."""
    await queries.person(tx, who.user_id)
    await people.record_consent(tx, who.user_id, purpose, granted=body.granted)
    return await _consents(tx, who)


@router.get("/report", summary="Relatório de papéis e permissões", dependencies=[looks("users_reported")])
async def get_report(
    tx: ReadTxDep, _who: Reader, asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True)
) -> Page[ReportLine]:
    """Nome, e-mail, papel e permissões de cada usuário."""
    rows = await queries.report(tx, limit=asked.limit + 1, after=asked.after)
    page = asked.page(rows, lambda row: row.id)
    await audit.record_looks(tx, "users_reported", [item.id for item in page.items])
    return page.map(ReportLine.model_validate)


@router.get(
    "/export",
    summary="Exportar usuários",
    dependencies=[step_up(), looks("users_exported")],
    response_class=StreamingResponse,
    responses={200: {"content": {media: {} for media in export.MEDIA_TYPES.values()}, "description": "O arquivo"}},
)
async def get_export(
    who: Annotated[Principal, claims("users:export")],
    identity: IdentityDep,
    form: Annotated[export.Format, Query(alias="format")] = "xlsx",
) -> StreamingResponse:
    """Exporta todos os usuários, sem senhas; o CPF sai inteiro só com a permissão `users:cpf`. Pede entrada recente."""
    show_cpf = who.may("users:cpf")
    look = audit.look("users_exported", format=form, cpf=show_cpf)
    make = export.csv_chunks if form == "csv" else export.xlsx_chunks
    name = f"usuarios-{clock.today().isoformat()}.{form}"
    return StreamingResponse(
        make(identity.database, look, show_cpf=show_cpf),
        media_type=export.MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/{user_id}", summary="Dados de um usuário", dependencies=[versioned(), looks("user_read")])
async def get_user(request: Request, user_id: UUID, tx: ReadTxDep, who: Who) -> UserOut:
    """Mostra um usuário: a si mesmo, ou outro com a permissão `users:read`."""
    require_self_or(who, user_id, "users:read")
    view = await queries.person(tx, user_id)
    await audit.record_looks(tx, "user_read", [user_id])
    send_version(request, view.version)
    return UserOut.of(view, show_cpf=may_see_cpf(who, user_id))


async def _change(
    identity: Runtime,
    desk: Desk,
    client: Client,
    who: Principal,
    user_id: UUID,
    body: UserPut | UserPatch,
    seen: Precondition,
) -> object:
    done = await by_operator.change(identity, desk, client.address, who, user_id, body, seen)
    if isinstance(done, Answered):
        return JSONResponse(jsonable_encoder(done.body), done.status)
    return UserOut.of(done, show_cpf=may_see_cpf(who, user_id))


@router.put(
    "/{user_id}",
    summary="Alterar um usuário",
    response_model=UserOut,
    responses=TWO_FOR_CONTACTS,
    dependencies=[acts("user_changed")],
)
async def put_user(
    user_id: UUID,
    body: UserPut,
    who: Who,
    identity: IdentityDep,
    client: ClientDep,
    desk: DeskDep,
    seen: PreconditionDep,
) -> object:
    """Altera os dados de si mesmo, ou de outro com a permissão `users:write`. E-mail e telefone: como em PATCH.

    Com `If-Match`, só muda se o cadastro ainda está na versão lida, também quando espera uma segunda pessoa.
    """
    return await _change(identity, desk, client, who, user_id, body, seen)


@router.patch(
    "/{user_id}",
    summary="Alterar parte dos dados de um usuário",
    response_model=UserOut,
    responses=TWO_FOR_CONTACTS,
    dependencies=[acts("user_changed")],
)
async def patch_user(
    user_id: UUID,
    body: UserPatch,
    who: Who,
    identity: IdentityDep,
    client: ClientDep,
    desk: DeskDep,
    seen: PreconditionDep,
) -> object:
    """Altera só os campos enviados.

    O próprio e-mail ou telefone pede uma entrada recente. O contato anterior é avisado, pode desfazer a troca e ainda
    recupera a conta até o novo ser confirmado e o prazo passar: veja `contacts`. O contato de outra pessoa, em
    produção, espera a aprovação de um segundo operador (202).
    """
    return await _change(identity, desk, client, who, user_id, body, seen)


@router.delete("/{user_id}", status_code=204, summary="Apagar um usuário", dependencies=[acts("user_erased")])
async def delete_user(user_id: UUID, tx: TxDep, who: Who, identity: IdentityDep) -> None:
    """Apaga os dados pessoais em todos os módulos (LGPD, art. 18, VI). 409 enquanto houver saldo ou reserva.

    Pede uma entrada recente.
    """
    await people.erase_user(tx, identity, who, user_id)


@router.get(
    "/{user_id}/sessions",
    operation_id="list_user_sessions",
    summary="Sessões de um usuário",
    dependencies=[looks("sessions_listed")],
)
async def list_sessions(
    user_id: UUID, tx: ReadTxDep, _who: Reader, asked: PageRequest[UUID] = page_of(BY_ID)
) -> Page[UserSessionOut]:
    """Lista as sessões abertas do usuário, da mais nova à mais antiga, com aparelho, rede e último uso."""
    return (await sessions.sessions_of(tx, user_id, asked)).map(UserSessionOut.model_validate)


@router.delete(
    "/{user_id}/sessions",
    status_code=204,
    operation_id="delete_user_sessions",
    summary="Encerrar as sessões de um usuário",
    dependencies=[acts("signed_out_everywhere")],
)
async def delete_sessions(user_id: UUID, tx: TxDep, who: Writer, identity: IdentityDep) -> None:
    """Encerra todas as sessões do usuário, na hora."""
    await sessions.sign_out_everywhere(tx, identity.access, user_id, actor=who.id)


@router.delete(
    "/{user_id}/sessions/{session_id}",
    status_code=204,
    operation_id="delete_user_session",
    summary="Encerrar uma sessão de um usuário",
    dependencies=[acts("session_ended")],
)
async def delete_session(user_id: UUID, session_id: UUID, tx: TxDep, who: Writer, identity: IdentityDep) -> None:
    """Encerra uma sessão do usuário, na hora; a pessoa recebe um aviso."""
    await sessions.end_one(tx, identity.access, user_id, session_id, actor=who.id)


@router.post(
    "/{user_id}/second-factor/reset",
    status_code=202,
    summary="Apagar o segundo fator perdido de um usuário",
    response_model=WaitingOut,
    dependencies=[step_up(), acts("second_factor_reset")],
)
async def reset_second_factor(
    user_id: UUID, body: FactorResetIn, tx: TxDep, who: Writer, identity: IdentityDep, desk: DeskDep
) -> object:
    """Pede quem viu a pessoa e o documento dela. Espera um segundo operador.

    Aprovado, apaga autenticador e chaves de acesso e encerra todas as sessões.
    """
    waiting = await factor_reset.propose(tx, desk, identity.access, who, user_id, body.paper)
    return JSONResponse(jsonable_encoder(waiting.body), waiting.status)


@router.put("/{user_id}/suspension", summary="Suspender um usuário", dependencies=[acts("user_suspended")])
async def put_suspension(
    user_id: UUID, body: SuspensionIn, tx: TxDep, who: Suspender, identity: IdentityDep
) -> SuspensionOut:
    """Impede a entrada e encerra todas as sessões, na hora; o saldo fica e as compras com cartão continuam."""
    await suspension.suspend(tx, identity.access, who, user_id, body.reason)
    return SuspensionOut(suspended_at=(await queries.person(tx, user_id)).suspended_at)


@router.delete(
    "/{user_id}/suspension",
    status_code=204,
    summary="Acabar com a suspensão de um usuário",
    dependencies=[acts("user_unsuspended")],
)
async def delete_suspension(user_id: UUID, tx: TxDep, who: Suspender, identity: IdentityDep) -> None:
    """A pessoa volta a poder entrar; as sessões encerradas continuam encerradas."""
    await suspension.unsuspend(tx, identity.access, who, user_id)


@router.get(
    "/{user_id}/role",
    operation_id="get_user_role",
    summary="Papel de um usuário",
    dependencies=[versioned(), looks("role_read")],
)
async def get_role(request: Request, user_id: UUID, tx: ReadTxDep, who: Who) -> RoleOut:
    """Mostra o papel pelo id do usuário."""
    require_self_or(who, user_id, "users:read")
    role = await roles.role_of(tx, user_id)
    await audit.record_looks(tx, "role_read", [user_id])
    send_version(request, str(role.id))
    return RoleOut.model_validate(role)


@router.put("/{user_id}/role", summary="Dar um papel a um usuário", dependencies=[step_up(), acts("role_given")])
async def put_role(
    user_id: UUID, body: GiveRoleIn, tx: TxDep, who: Writer, identity: IdentityDep, seen: PreconditionDep
) -> RoleOut:
    """Troca o papel: as permissões do anterior saem, as do novo entram, na hora. Só quem tem todas elas o dá.

    Com `If-Match`, só se a pessoa ainda tem o papel que foi lido.
    """
    role = await roles.give_role(tx, identity.access, who, user_id, body.role_id, seen)
    return RoleOut.model_validate(role)


async def _claims(tx: TxDep, user_id: UUID) -> Page[ClaimOut]:
    held = await roles.claims_of(tx, user_id)
    return Page(items=[ClaimOut.model_validate(claim) for claim in held])


@router.get(
    "/{user_id}/claims",
    operation_id="get_user_claims",
    summary="Permissões de um usuário",
    dependencies=[looks("claims_read")],
)
async def get_claims(user_id: UUID, tx: ReadTxDep, _who: Writer) -> Page[ClaimOut]:
    """Lista as permissões que o usuário tem."""
    held = await _claims(tx, user_id)
    await audit.record_looks(tx, "claims_read", [user_id])
    return held


@router.put(
    "/{user_id}/claims",
    operation_id="put_user_claims",
    summary="Dar permissões a um usuário",
    dependencies=[step_up(), acts("claims_given")],
)
async def put_claims(
    user_id: UUID, body: GiveClaimsIn, tx: TxDep, who: Writer, identity: IdentityDep
) -> Page[ClaimOut]:
    """Dá permissões, além das que o usuário já tem: só as que quem dá também tem."""
    await roles.grant_claims(tx, identity.access, who, user_id, body.claim_ids)
    return await _claims(tx, user_id)


@router.put(
    "/{user_id}/claims/{claim_id}",
    summary="Dar uma permissão a um usuário",
    dependencies=[step_up(), acts("claims_given")],
)
async def put_claim(user_id: UUID, claim_id: ClaimId, tx: TxDep, who: Writer, identity: IdentityDep) -> Page[ClaimOut]:
    """Dá uma permissão que quem dá também tem; vale na hora."""
    await roles.grant_claims(tx, identity.access, who, user_id, [claim_id])
    return await _claims(tx, user_id)


@router.delete(
    "/{user_id}/claims",
    status_code=204,
    summary="Tirar todas as permissões de um usuário",
    dependencies=[step_up(), acts("claims_taken")],
)
async def delete_claims(user_id: UUID, tx: TxDep, who: Writer, identity: IdentityDep) -> None:
    """Tira todas as permissões; vale na hora."""
    await roles.revoke_claims(tx, identity.access, who, user_id)


@router.delete(
    "/{user_id}/claims/{claim_id}",
    status_code=204,
    summary="Tirar uma permissão de um usuário",
    dependencies=[step_up(), acts("claims_taken")],
)
async def delete_claim(user_id: UUID, claim_id: ClaimId, tx: TxDep, who: Writer, identity: IdentityDep) -> Response:
    """Tira uma permissão; vale na hora."""
    await roles.revoke_claims(tx, identity.access, who, user_id, claim_id=claim_id)
    return Response(status_code=204)
