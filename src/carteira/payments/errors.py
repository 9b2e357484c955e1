"""Problems of payments.

Indentation shows inheritance; numbers are HTTP statuses:

    DependencyDown                          503
      PaymentRefusedByProvider
    Conflict                                409
      PaymentsOff
      ReturnTooLarge
      TooLateToReturn
      TooManyCharges
      PaymentEntryFixed
    NotFound                                404
      ChargeNotFound
      ReceivedNotFound
      DayNotReconciled
    Forbidden                               403
      WebhookRefused
    InvalidInput                            422
      WebhookMalformed
      TargetRequired
"""

from carteira.kit.web.problems import Conflict, DependencyDown, Forbidden, InvalidInput, NotFound


class PaymentRefusedByProvider(DependencyDown):
    """The payment provider refuses a charge: a setting here or there is wrong."""

    code = "payment_refused_by_provider"
    detail = "O provedor de pagamentos não aceitou a cobrança. Nada foi cobrado; já sabemos do problema."


class PaymentsOff(Conflict):
    """No provider of payments is configured."""

    code = "payments_off"
    title = "Pagamentos desligados"
    detail = "Este servidor ainda não recebe pagamentos por Pix."


class ChargeNotFound(NotFound):
    """There is no charge with the id, or it is somebody else's."""

    code = "charge_not_found"
    detail = "Cobrança não encontrada."


class ReceivedNotFound(NotFound):
    """Nothing was received under the end-to-end id."""

    code = "payment_not_found"
    detail = "Pagamento não encontrado."


class DayNotReconciled(NotFound):
    """The day was not compared with the provider's list."""

    code = "day_not_reconciled"
    detail = "Este dia ainda não foi conferido com o provedor."


class WebhookRefused(Forbidden):
    """The call is not verifiably from the payment provider."""

    code = "webhook_refused"
    detail = "Esta chamada não veio do provedor de pagamentos."


class ReturnTooLarge(Conflict):
    """The return exceeds what is left of the payment."""

    code = "return_too_large"
    title = "Devolução maior que o pagamento"
    detail = "O valor é maior que o que ainda pode ser devolvido deste pagamento."


class TooLateToReturn(Conflict):
    """A Pix is returned within 90 days."""

    code = "too_late_to_return"
    title = "Prazo de devolução encerrado"
    detail = "Um Pix só pode ser devolvido em até 90 dias depois de pago."


class TooManyCharges(Conflict):
    """The person or employer has reached the limit of unpaid charges."""

    code = "too_many_charges"
    title = "Cobranças demais"
    detail = "Você já tem cobranças à espera de pagamento. Pague uma delas, ou espere que vençam."


class PaymentEntryFixed(Conflict):
    """Entries of payments are undone only by returns at the provider, not by a reversal."""

    code = "payment_entry_fixed"
    detail = "Este lançamento é de um pagamento. Para desfazê-lo, devolva o pagamento."


class WebhookMalformed(InvalidInput):
    """A call of the provider names no payments."""

    code = "webhook_malformed"
    detail = "A chamada não traz pagamentos no formato da API Pix."


class TargetRequired(InvalidInput):
    """A recharge names its card."""

    code = "target_required"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(errors=[{"field": field, "message": message}])
