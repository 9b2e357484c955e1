"""Problems of benefits.

Indentation shows inheritance; numbers are HTTP statuses:

    NotFound                                404
      BenefitAccountNotFound
      CategoryNotFound
      MerchantNotFound
      TransactionNotFound
      BenefitInvitationOver
      EmployerNotFound
      MemberNotFound
      ImportNotFound
      ScheduledNotFound
    Conflict                                409
      BenefitAccountExists
      CategoryRegimeFixed
      MccTaken
      TransactionNotApproved
      ReturnNotReversible
      NoContact
      AlreadyClaimed
      CnpjTaken
      OwnBinding
      BenefitAccountClosed
      BalanceLeft
      ScheduledOver
      FundSpent
      NotPrefunded
    InvalidInput                            422
      UnknownCategory
      WrongClaimCode
      BulkTopUpRejected
      EmployerRequired
      ScheduledDayUnfit
    Refusal                                 400
      AlreadyReturned                       409
      InsufficientFund                      409
    Forbidden                               403
      CatalogIsEverybodys
"""

from carteira.kit.web.problems import Conflict, Forbidden, InvalidInput, NotFound, Refusal


class BenefitAccountNotFound(NotFound):
    """There is no such benefit account, or it is another person's."""

    code = "benefit_account_not_found"
    detail = "Conta de benefícios não encontrada."


class BenefitAccountExists(Conflict):
    """The processor's reference is taken."""

    code = "benefit_account_exists"
    detail = "Já existe uma conta com esta referência."


class CategoryNotFound(NotFound):
    """There is no such category."""

    code = "category_not_found"
    detail = "Categoria não encontrada."


class UnknownCategory(InvalidInput):
    """A category that is not configured was named in a body."""

    code = "unknown_category"
    detail = "Categoria desconhecida."


class CategoryRegimeFixed(Conflict):
    """FOOD and MEAL follow the PAT, CASH is free, by law and by contract."""

    code = "category_regime_fixed"
    detail = "O regime desta categoria não pode mudar."


class MccTaken(Conflict):
    """An MCC belongs to one category."""

    code = "mcc_taken"
    detail = "Um dos MCCs já pertence a outra categoria."


class MerchantNotFound(NotFound):
    """There is no such merchant."""

    code = "merchant_not_found"
    detail = "Estabelecimento não encontrado."


class TransactionNotFound(NotFound):
    """There is no such transaction, or it is another person's."""

    code = "transaction_not_found"
    detail = "Transação não encontrada."


class TransactionNotApproved(Conflict):
    """Only an approved transaction can be refunded."""

    code = "transaction_not_approved"
    detail = "Só uma transação aprovada pode ser estornada ou devolvida."


class AlreadyReturned(Refusal):
    """The transaction was reversed, or refunds leave less than requested."""

    status = 409
    code = "already_returned"
    title = "Valor já devolvido"
    detail = "Esta transação já foi estornada ou devolvida."


class ReturnNotReversible(Conflict):
    """A refund cannot be reversed in the ledger, since the purchase would not know of it."""

    code = "return_not_reversible"
    detail = "A devolução de uma compra não pode ser estornada."


class NoContact(Conflict):
    """The employer recorded no contact to send the code to."""

    code = "no_contact"
    detail = "Esta conta não tem um contato cadastrado. Fale com a empresa que a criou."


class AlreadyClaimed(Conflict):
    """The account is claimed already."""

    code = "already_claimed"
    detail = "Esta conta já tem dono."


class BenefitInvitationOver(NotFound):
    """The invitation is unknown, used, replaced by a newer one or too old."""

    code = "benefit_invitation_over"
    detail = "Este convite não vale mais. Peça outro à sua empresa."


class WrongClaimCode(InvalidInput):
    """The code is wrong, expired, or was tried too often."""

    code = "wrong_claim_code"
    detail = "Código inválido ou expirado."


class BulkTopUpRejected(InvalidInput):
    """With `atomic=true`, one wrong line refuses all."""

    code = "bulk_rejected"
    detail = "Nenhum crédito foi feito: há linhas com erro."


class EmployerNotFound(NotFound):
    """There is no such employer, or the caller is not bound to it."""

    code = "employer_not_found"
    detail = "Empresa não encontrada."


class CnpjTaken(Conflict):
    """An employer of this CNPJ exists."""

    code = "cnpj_taken"
    detail = "Já existe uma empresa com este CNPJ."


class EmployerRequired(InvalidInput):
    """The caller is bound to several employers and named none."""

    code = "employer_required"

    def __init__(self) -> None:
        message = "Você está vinculado a mais de uma empresa: diga qual."
        super().__init__(errors=[{"field": "employer_id", "message": message}])


class MemberNotFound(NotFound):
    """There is no such person or client, or they are not bound to this employer."""

    code = "member_not_found"
    detail = "Pessoa ou cliente não encontrado, ou sem vínculo com esta empresa."


class OwnBinding(Conflict):
    """The caller may not bind themselves."""

    code = "own_binding"
    detail = "Outra pessoa precisa fazer o seu vínculo."


class CatalogIsEverybodys(Forbidden):
    """Categories and merchants belong to all employers; bound callers may not change them."""

    code = "catalog_is_everybodys"
    detail = "Categorias e estabelecimentos valem para todas as empresas: quem está vinculado a uma não os muda."


class BenefitAccountClosed(Conflict):
    """The account is closed: it cannot be credited or blocked."""

    code = "benefit_account_closed"
    detail = "Esta conta está encerrada. Reative-a antes."


class BalanceLeft(Conflict):
    """The account has a balance, which the worker may spend even after dismissal (Decreto 10.854/2021, art.

    174, III).
    """

    code = "balance_left"
    detail = "Ainda há saldo nesta conta, e ele é do trabalhador: só uma conta sem saldo é encerrada."


class ImportNotFound(NotFound):
    """There is no such file, or it is another employer's."""

    code = "import_not_found"
    detail = "Arquivo não encontrado."


class ScheduledNotFound(NotFound):
    """There is no such scheduled top-up, or it is another employer's."""

    code = "scheduled_not_found"
    detail = "Agendamento não encontrado."


class ScheduledOver(Conflict):
    """It was carried out or cancelled already."""

    code = "scheduled_over"
    detail = "Este agendamento já foi feito ou cancelado."


class ScheduledDayUnfit(InvalidInput):
    """The scheduled day must lie in the future, within a year."""

    code = "scheduled_day_unfit"

    def __init__(self) -> None:
        message = "Escolha um dia depois de hoje, em até um ano."
        super().__init__(errors=[{"field": "day", "message": message}])


class InsufficientFund(Refusal):
    """The employer's fund does not cover the top-ups."""

    status = 409
    code = "insufficient_fund"
    title = "Depósito insuficiente"
    detail = "A empresa é pré-paga e o que depositou não cobre este crédito."


class FundSpent(Conflict):
    """The paid-in money was credited to people meanwhile and cannot be returned."""

    code = "fund_spent"
    detail = "O depósito já foi usado em créditos: não cobre a devolução."


class NotPrefunded(Conflict):
    """Only a pre-funded employer has a fund to pay into."""

    code = "not_prefunded"
    detail = "Esta empresa não é pré-paga."
