"""Problems of resellers.

Indentation shows inheritance; numbers are HTTP statuses:

    Forbidden                               403
      NotAReseller
    Conflict                                409
      AlreadyAReseller
      NoCpf
      PurchaseCodeTaken
      PurchaseDecided
      MonthClosed
      MonthNotOver
      MonthHasPending
      MonthNotClosed
      AdjustmentTooLarge
      AdjustmentSettled
      FirstRulesStay
      CashbackOwed
    NotFound                                404
      ResellerNotFound
      PurchaseNotFound
      MonthNotFound
      AdjustmentNotFound
      TiersNotFound
      ClosingDayNotFound
      AutoApprovalNotFound
    InvalidInput                            422
      UnknownReseller
      BulkPurchasesRejected
    DependencyDown                          503
      CashbackServiceDown
"""

from datetime import date

from carteira.kit.web.problems import Conflict, DependencyDown, Forbidden, InvalidInput, NotFound


class NotAReseller(Forbidden):
    """The person has not registered as a reseller."""

    code = "not_a_reseller"
    detail = "Cadastre-se como revendedor para continuar."


class AlreadyAReseller(Conflict):
    """The person, or somebody with this CPF, is a reseller already."""

    code = "already_a_reseller"
    detail = "Já existe um revendedor com este CPF."


class NoCpf(Conflict):
    """A person without a CPF cannot become a reseller or register a purchase."""

    code = "no_cpf"
    detail = "Complete o seu cadastro com o CPF para continuar."


class ResellerNotFound(NotFound):
    """No reseller has the requested CPF."""

    code = "reseller_not_found"
    detail = "Não há revendedor com este CPF."


class UnknownReseller(InvalidInput):
    """No reseller has the purchase's CPF."""

    code = "unknown_reseller"
    detail = "Não há revendedor com este CPF."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "cpf", "message": "Não há revendedor com este CPF."}])


class PurchaseNotFound(NotFound):
    """There is no such purchase."""

    code = "purchase_not_found"
    detail = "Compra não encontrada."


class PurchaseCodeTaken(Conflict):
    """Another purchase has the code."""

    code = "purchase_code_taken"
    detail = "Já existe uma compra com este código."


class PurchaseDecided(Conflict):
    """Only a purchase "Em validação" can be edited, deleted, approved or rejected."""

    code = "purchase_decided"
    detail = "Esta compra não está mais em validação."


class MonthClosed(Conflict):
    """The month is closed: it takes no purchase, and its rules are fixed."""

    code = "month_closed"
    detail = "Este mês já foi fechado."


class MonthNotOver(Conflict):
    """The month is not over in São Paulo."""

    code = "month_not_over"
    detail = "Este mês ainda não terminou."


class MonthHasPending(Conflict):
    """The month has pending purchases."""

    code = "month_has_pending_purchases"
    detail = "Ainda há compras em validação neste mês."

    def __init__(self, pending: int) -> None:
        super().__init__(pending=pending)


class MonthNotFound(NotFound):
    """The month has no purchases."""

    code = "month_not_found"
    detail = "Não há compras neste mês."


class MonthNotClosed(Conflict):
    """The month is open: it is corrected by its purchases, not by an adjustment."""

    code = "month_not_closed"
    detail = "Este mês ainda não foi fechado."


class AdjustmentTooLarge(Conflict):
    """The adjustment deducts more than the month credited; `left` centavos are left."""

    code = "adjustment_too_large"
    detail = "O ajuste tira mais do que o mês creditou."

    def __init__(self, left: int) -> None:
        super().__init__(left=left)


class AdjustmentNotFound(NotFound):
    """There is no such adjustment."""

    code = "adjustment_not_found"
    detail = "Ajuste não encontrado."


class AdjustmentSettled(Conflict):
    """A close has settled the adjustment, or a part of it; another adjustment corrects it."""

    code = "adjustment_settled"
    detail = "Um fechamento já levou este ajuste. Para corrigir, faça outro."


class TiersNotFound(NotFound):
    """No tier table begins in the month."""

    code = "tiers_not_found"
    detail = "Nenhuma tabela de faixas começa neste mês."


class FirstRulesStay(Conflict):
    """The first tier table and closing day cannot be deleted, since older months would have no rule."""

    code = "first_rules_stay"
    detail = "A primeira regra não pode ser apagada; crie outra que comece depois."


class ClosingDayNotFound(NotFound):
    """No closing day begins in the month."""

    code = "closing_day_not_found"
    detail = "Nenhum dia de fechamento começa neste mês."


class AutoApprovalNotFound(NotFound):
    """There is no such automatic approval."""

    code = "auto_approval_not_found"
    detail = "Aprovação automática não encontrada."


class CashbackOwed(Conflict):
    """The person has cashback, or may still earn some, and cannot be erased."""

    code = "cashback_owed"
    detail = "Há cashback a usar ou a receber. Use-o, ou espere o fechamento do mês, antes de excluir a conta."


class BulkPurchasesRejected(InvalidInput):
    """With `atomic=true`, one wrong line refuses all."""

    code = "bulk_rejected"
    detail = "Nenhuma compra foi registrada: há linhas com erro."


class CashbackServiceDown(DependencyDown):
    """The external cashback service does not answer reliably."""

    code = "cashback_service_down"
    detail = "O serviço de cashback acumulado está fora do ar. Tente de novo em instantes."


def invalid_date(message: str) -> InvalidInput:
    """Return the problem of a purchase's date."""
    return InvalidInput(errors=[{"field": "date", "message": message}])


def before_the_beginning(beginning: date) -> InvalidInput:
    """Refuse a purchase from before the first tier table."""
    return invalid_date(f"O programa começou em {beginning:%d/%m/%Y}.")
