"""Problems of identity. Codes never change.

Indentation shows inheritance; numbers are HTTP statuses:

    NotFound                                404
      UserNotFound
      CpfProofNotFound
      CpfDisputeNotFound
      DataRequestNotFound
      RoleNotFound
      ClaimNotFound
      ContactNotFound
      SessionNotFound
      TotpNotFound
      PasskeyNotFound
      SignInUnavailable
      SocialAccountNotFound
      ClientNotFound
      CredentialNotFound
    Conflict                                409
      EmailTaken
      CpfTaken
      CpfDiffers
      CpfDisputed
      DataRequestAnswered
      TooManyDataRequests
      ClaimIsFixed
      RoleIsFixed
      RoleInUse
      LastAdministrator
      NoSecondFactor
      SuspendsThemself
      DescriptionTaken
      ContactConfirmed
      TotpAlreadyOn
      PasskeyTaken
      TooManyPasskeys
      SocialAccountTaken
      TooManyCredentials
    Forbidden                               403
      CpfIsFixed
      CpfNotProven
      OwnCpfProof
      OwnDataRequest
      ClaimReserved
      ClaimsBeyondYours
      PasswordChangeRequired
      AccountSuspended
      DemoAccount
      GovBrLevelTooLow
      ClaimForPeopleOnly
    NotAuthenticated                        401
      InvitationOver
      WrongCredentials
      WrongCode
      SessionOver
      PasskeyRefused
      SocialAttemptOver
      SocialRefused
      RegistrationOver
    InvalidInput                            422
      ContactLinkRefused
      UnknownFilter
      WeakPassword
      WrongCurrentPassword
      InvalidCode
      CodeNeeded
      InvalidPasskey
      MissingFields
    DependencyDown                          503
      ProviderDown
      ErasureJournalDown
"""

from carteira.kit.web.problems import Conflict, DependencyDown, Forbidden, InvalidInput, NotAuthenticated, NotFound


class UserNotFound(NotFound):
    """There is no such person, or they were erased."""

    code = "user_not_found"
    detail = "Usuário não encontrado."


class EmailTaken(Conflict):
    """Another person has this e-mail address."""

    code = "email_taken"
    detail = "Este e-mail já está cadastrado."


class CpfTaken(Conflict):
    """Another person has this CPF."""

    code = "cpf_taken"
    detail = (
        "Este CPF já está cadastrado em outra conta. Se o CPF é seu, você não precisa dela para entrar: entre com a "
        "sua conta gov.br (prata ou ouro), pelo convite da sua empresa, ou procure o atendimento com um documento."
    )

    def __init__(self) -> None:
        super().__init__(ways=["govbr", "employer_invitation", "operator"])


class CpfIsFixed(Forbidden):
    """A person does not change their CPF; an operator does."""

    code = "cpf_is_fixed"
    detail = "O CPF não pode ser trocado por aqui. Fale com o atendimento."


class CpfNotProven(Forbidden):
    """The request needs a proven CPF, and this one is only declared."""

    code = "cpf_not_proven"
    title = "CPF não comprovado"
    detail = (
        "O CPF ainda não foi comprovado. Para comprovar, entre com uma conta gov.br prata ou ouro, ou apresente um "
        "documento com foto a um operador."
    )

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, ways=["govbr", "operator"])


class OwnCpfProof(Forbidden):
    """An operator may not prove their own CPF."""

    code = "own_cpf_proof"
    detail = "Ninguém comprova o próprio CPF: peça a outro operador."


class CpfDiffers(Conflict):
    """The person's CPF is proven, and it is another one."""

    code = "cpf_differs"
    detail = "Esta conta tem outro CPF comprovado. Confira se a conta é a sua."


class CpfDisputed(Conflict):
    """Another person has proven this CPF too; an operator decides."""

    code = "cpf_disputed"
    detail = "Outra pessoa já comprovou este CPF. O caso foi registrado, e o atendimento vai decidir com os dois."


class CpfProofNotFound(NotFound):
    """The person's CPF is not proven."""

    code = "cpf_proof_not_found"
    detail = "O CPF desta pessoa não está comprovado."


class CpfDisputeNotFound(NotFound):
    """There is no such open case."""

    code = "cpf_dispute_not_found"
    detail = "Não há um caso aberto com este número."


class DataRequestNotFound(NotFound):
    """There is no such request."""

    code = "data_request_not_found"
    detail = "Pedido não encontrado."


class DataRequestAnswered(Conflict):
    """A request is answered once."""

    code = "data_request_answered"
    detail = "Este pedido já foi respondido."


class TooManyDataRequests(Conflict):
    """The person has too many open requests."""

    code = "too_many_data_requests"
    detail = "Já há 5 pedidos desta pessoa à espera de resposta."


class OwnDataRequest(Forbidden):
    """An operator may not answer their own request."""

    code = "own_data_request"
    detail = "Ninguém responde o próprio pedido: outro operador responde."


class RoleNotFound(NotFound):
    """There is no such role."""

    code = "role_not_found"
    detail = "Papel não encontrado."


class ClaimNotFound(NotFound):
    """There is no such claim, or the person does not hold it."""

    code = "claim_not_found"
    detail = "Permissão não encontrada."


class ClaimReserved(Forbidden):
    """`*` stands for every claim; nobody creates, names or grants it."""

    code = "claim_reserved"
    detail = "A permissão `*` não pode ser criada, usada como nome nem dada a ninguém."


class ClaimsBeyondYours(Forbidden):
    """The caller would grant a claim that they do not hold, or act on a person or role that holds more than they do."""

    code = "claims_beyond_yours"
    detail = "Ninguém dá permissões que não tem, nem muda quem tem mais permissões. Peça a quem tem estas."

    def __init__(self, claims: list[str]) -> None:
        super().__init__(claims=claims)


class ClaimIsFixed(Conflict):
    """The product uses this claim's name, so it cannot be renamed; the claim for granting cannot be turned off."""

    code = "claim_is_fixed"
    detail = "Esta permissão é do produto: o nome dela não muda, e a que administra usuários não se desliga."


class RoleIsFixed(Conflict):
    """The product uses this role's name; the administrator's role keeps every claim of the product."""

    code = "role_is_fixed"
    detail = "Este papel é do produto: não muda de nome, não é apagado, e o de administrador não perde permissões."


class RoleInUse(Conflict):
    """A person has the role."""

    code = "role_in_use"
    detail = "Há pessoas com este papel. Dê outro papel a elas (veja GET /users?role=) e apague depois."


class LastAdministrator(Conflict):
    """No administrator would be left."""

    code = "last_administrator"
    detail = "Esta é a última pessoa com o papel de administrador. Dê esse papel a outra antes."


class InvitationOver(NotAuthenticated):
    """The invitation's link is unknown, used or too old."""

    code = "invitation_over"
    detail = "Este convite não vale mais. Peça outro a quem administra o servidor."


class NoSecondFactor(Conflict):
    """The person has no second factor to reset."""

    code = "no_second_factor"
    detail = "Esta pessoa não tem um segundo fator."


class SuspendsThemself(Conflict):
    """An operator may not suspend themself."""

    code = "suspends_themself"
    detail = "Ninguém suspende o próprio acesso. Peça a outra pessoa."


class DescriptionTaken(Conflict):
    """A role or claim of this description exists."""

    code = "description_taken"
    detail = "Já existe um item com esta descrição."


class ContactLinkRefused(InvalidInput):
    """A link about a contact point is foreign or too old, or its change is final."""

    code = "contact_link_refused"
    title = "Link recusado"
    detail = "Este link não vale mais. Se ainda precisar, peça outro ou fale com o atendimento."


class ContactNotFound(NotFound):
    """The person has no contact point of that kind."""

    code = "contact_not_found"
    detail = "Não há contato deste tipo no seu cadastro."


class ContactConfirmed(Conflict):
    """The contact point is confirmed already."""

    code = "contact_confirmed"
    detail = "Este contato já está confirmado."


class UnknownFilter(InvalidInput):
    """A list's filter names something that does not exist."""

    code = "unknown_filter"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(errors=[{"field": field, "message": message}])


class WeakPassword(InvalidInput):
    """The password breaks the rules; each broken one is named."""

    code = "weak_password"
    title = "Senha fraca"

    def __init__(self, messages: list[str], *, field: str = "password") -> None:
        super().__init__(errors=[{"field": field, "message": message} for message in messages])


class WrongCurrentPassword(InvalidInput):
    """The current password is not the one given."""

    code = "wrong_current_password"
    detail = "A senha atual não confere."

    def __init__(self, *, field: str = "current_password") -> None:
        super().__init__(errors=[{"field": field, "message": self.detail}])


class WrongCredentials(NotAuthenticated):
    """The name or the password is wrong; the answer does not say which."""

    code = "wrong_credentials"
    detail = "CPF ou senha inválidos."


class WrongCode(NotAuthenticated):
    """A code of a second factor or of a recovery is wrong, used or too late."""

    code = "wrong_code"
    detail = "Código inválido ou expirado."


class InvalidCode(InvalidInput):
    """A code typed to confirm something is wrong (the person is signed in, so this is no 401)."""

    code = "invalid_code"
    detail = "Código inválido ou expirado."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "code", "message": self.detail}])


class CodeNeeded(InvalidInput):
    """A password was given where an authenticator is on: only its code verifies the person."""

    code = "code_needed"
    detail = "O seu autenticador está ativado: informe um código dele."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "code", "message": self.detail}])


class SessionOver(NotAuthenticated):
    """The session was ended, has expired, or its refresh token was used before."""

    code = "session_over"
    detail = "Sua sessão terminou. Entre de novo."


class SessionNotFound(NotFound):
    """There is no such session of this person."""

    code = "session_not_found"
    detail = "Sessão não encontrada."


class PasswordChangeRequired(Forbidden):
    """The session may only change the generated password."""

    code = "password_change_required"
    detail = "Troque a senha gerada para continuar."


class AccountSuspended(Forbidden):
    """An operator suspended the person; reported only after a successful authentication."""

    code = "account_suspended"
    detail = "O seu acesso está suspenso. Fale com o atendimento."


class DemoAccount(Forbidden):
    """A demo person, whose password is public, tries to sign in to production."""

    code = "demo_account"
    detail = "Esta conta é de demonstração e não entra em produção."


class TotpAlreadyOn(Conflict):
    """The authenticator is on already."""

    code = "totp_already_on"
    detail = "O autenticador já está ativado."


class TotpNotFound(NotFound):
    """No authenticator is on, or none waits for confirmation."""

    code = "totp_not_found"
    detail = "Nenhum autenticador para esta operação."


class PasskeyRefused(NotAuthenticated):
    """The passkey's answer is wrong, late or repeated, or the passkey is unknown."""

    code = "passkey_refused"
    detail = "Não foi possível entrar com esta chave de acesso. Tente de novo."


class InvalidPasskey(InvalidInput):
    """A new passkey's answer is wrong (the person is signed in, so this is no 401)."""

    code = "invalid_passkey"
    detail = "Não foi possível guardar esta chave de acesso. Comece de novo."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "credential", "message": self.detail}])


class PasskeyTaken(Conflict):
    """The passkey is registered already."""

    code = "passkey_taken"
    detail = "Esta chave de acesso já está cadastrada."


class TooManyPasskeys(Conflict):
    """The person has reached the limit of passkeys."""

    code = "too_many_passkeys"
    detail = "Você já tem o máximo de chaves de acesso. Apague uma para guardar outra."


class PasskeyNotFound(NotFound):
    """There is no such passkey of this person."""

    code = "passkey_not_found"
    detail = "Chave de acesso não encontrada."


class SignInUnavailable(NotFound):
    """This way of signing in is not set up on this server."""

    code = "sign_in_unavailable"
    detail = "Esta forma de entrar não está disponível."


class SocialAttemptOver(NotAuthenticated):
    """The state is unknown, used, too old, or belongs to another browser."""

    code = "social_attempt_over"
    detail = "Esta entrada expirou ou não começou neste navegador. Comece de novo."


class SocialRefused(NotAuthenticated):
    """The provider or the person there refused, or the provider's answer proves nothing."""

    code = "social_refused"
    detail = "O provedor não confirmou a sua entrada. Tente de novo."


class GovBrLevelTooLow(Forbidden):
    """The gov.br account is below the level that proves a CPF here."""

    code = "govbr_level_too_low"
    title = "Nível da conta gov.br"
    detail = "O nível da sua conta gov.br não comprova o CPF. Aumente o nível no aplicativo gov.br e entre de novo."

    def __init__(self, level: str | None = None, wanted: str | None = None) -> None:
        super().__init__(level=level, wanted=wanted)


class ProviderDown(DependencyDown):
    """The provider is unreachable."""

    code = "provider_down"
    detail = "O provedor de entrada não respondeu. Tente de novo em instantes ou entre de outra forma."


class RegistrationOver(NotAuthenticated):
    """The registration token is unknown, used or too old."""

    code = "registration_over"
    detail = "O seu cadastro expirou. Entre com o provedor de novo."


class SocialAccountTaken(Conflict):
    """The provider's account is linked to somebody already."""

    code = "social_account_taken"
    detail = "Esta conta já está ligada a um cadastro."


class SocialAccountNotFound(NotFound):
    """There is no such linked account of this person."""

    code = "social_account_not_found"
    detail = "Conta ligada não encontrada."


class MissingFields(InvalidInput):
    """The provider lacks data that the sign-up needs, so the person must give them."""

    code = "missing_fields"

    def __init__(self, fields: list[str]) -> None:
        super().__init__(errors=[{"field": field, "message": "Campo obrigatório."} for field in fields])


class ClientNotFound(NotFound):
    """There is no such client, or it was revoked."""

    code = "client_not_found"
    detail = "Cliente não encontrado."


class CredentialNotFound(NotFound):
    """The client has no such credential, or it has ended."""

    code = "credential_not_found"
    detail = "Credencial não encontrada."


class TooManyCredentials(Conflict):
    """Two credentials of the client are valid already."""

    code = "too_many_credentials"
    detail = "O cliente já tem duas credenciais válidas. Encerre uma antes, ou crie a nova com overlap_hours 0."


class ClaimForPeopleOnly(Forbidden):
    """The claim stands for a person's own judgement and cannot be granted to a machine."""

    code = "claim_for_people_only"
    detail = "Esta permissão é só para pessoas: um cliente (máquina) não pode tê-la."


class ErasureJournalDown(DependencyDown):
    """The journal of erasures does not answer."""

    code = "erasure_journal_down"
    detail = "O diário de eliminações está fora do ar. Tente de novo em instantes."
