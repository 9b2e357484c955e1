"""What identity refuses. Codes never change."""

from carteira.kit.problems import Conflict, Forbidden, InvalidInput, NotAuthenticated, NotFound


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
    detail = "Este CPF já está cadastrado."


class CpfIsFixed(Forbidden):
    """A person does not change their CPF; an operator does."""

    code = "cpf_is_fixed"
    detail = "O CPF não pode ser trocado por aqui. Fale com o atendimento."


class RoleNotFound(NotFound):
    """There is no such role."""

    code = "role_not_found"
    detail = "Papel não encontrado."


class ClaimNotFound(NotFound):
    """There is no such claim, or the person does not hold it."""

    code = "claim_not_found"
    detail = "Permissão não encontrada."


class DescriptionTaken(Conflict):
    """A role or claim of this description exists."""

    code = "description_taken"
    detail = "Já existe um item com esta descrição."


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

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "current_password", "message": self.detail}])


class WrongCredentials(NotAuthenticated):
    """The pair does not fit; never says which half."""

    code = "wrong_credentials"
    detail = "CPF ou senha inválidos."


class WrongCode(NotAuthenticated):
    """A second factor's or a recovery's code is wrong, used or too late."""

    code = "wrong_code"
    detail = "Código inválido ou expirado."


class InvalidCode(InvalidInput):
    """A code typed to confirm something is wrong (the person is signed in, so this is no 401)."""

    code = "invalid_code"
    detail = "Código inválido ou expirado."

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
    """The session can do nothing but change the generated password."""

    code = "password_change_required"
    detail = "Troque a senha gerada para continuar."


class RecentSignInRequired(Forbidden):
    """The action wants a sign-in of the last few minutes."""

    code = "recent_sign_in_required"
    detail = "Entre de novo para confirmar que é você e repita a operação."


class TotpAlreadyOn(Conflict):
    """The authenticator is on already."""

    code = "totp_already_on"
    detail = "O autenticador já está ativado."


class TotpNotFound(NotFound):
    """No authenticator is on, or none waits for its confirmation."""

    code = "totp_not_found"
    detail = "Nenhum autenticador para esta operação."
