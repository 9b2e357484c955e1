"""Problems of transit.

Indentation shows inheritance; numbers are HTTP statuses:

    Refusal                                 400
      InsufficientBalance
      CardNotActive                         409
      CardCancelled                         409
    Conflict                                409
      PaymentRequired
      RechargePaid
      RechargeSpent
      TooManyCards
      BalanceRemains
      TapDecided
      RideSettled
    NotFound                                404
      CardNotFound
      TapNotFound
    Forbidden                               403
      CardOfAnother
    InvalidInput                            422
      SameCard
"""

from carteira.kit.web.problems import Conflict, Forbidden, InvalidInput, NotFound, Refusal


class InsufficientBalance(Refusal):
    """The card's balance does not cover the debit (rules.md, transit)."""

    code = "insufficient_funds"
    title = "Saldo insuficiente"
    detail = "Saldo insuficiente para realizar o débito"


class CardNotActive(Refusal):
    """The card is blocked or cancelled: recharges, debits and transfers of a balance to it are refused."""

    status = 409
    code = "card_not_active"
    title = "Cartão não está ativo"
    detail = "Este cartão está bloqueado ou cancelado."


class CardCancelled(Refusal):
    """The card is cancelled, for good."""

    status = 409
    code = "card_cancelled"
    title = "Cartão cancelado"
    detail = "Este cartão já foi cancelado."


class PaymentRequired(Conflict):
    """The recharge needs a payment, at a counter or by Pix (`RECHARGE_WITHOUT_PAYMENT` is off)."""

    code = "payment_required"
    title = "Pagamento necessário"
    detail = "Para recarregar é preciso pagar. Procure um posto de atendimento."


class RechargePaid(Conflict):
    """The recharge was paid: it is undone by returning the payment, not by a reversal alone."""

    code = "recharge_was_paid"
    detail = "Esta recarga foi paga. Para desfazê-la, devolva o pagamento."


class RechargeSpent(Conflict):
    """The paid recharge was spent and cannot be returned."""

    code = "recharge_spent"
    detail = "O saldo do cartão não cobre a devolução: a recarga já foi usada."


class CardNotFound(NotFound):
    """There is no card with the number."""

    code = "card_not_found"
    detail = "Cartão não encontrado."


class CardOfAnother(Forbidden):
    """The card is another person's (rules.md, transit: 403)."""

    code = "card_of_another"
    detail = "Este cartão é de outra pessoa."


class SameCard(InvalidInput):
    """The target is the card itself."""

    code = "same_card"
    detail = "Escolha outro cartão para receber o saldo."


class TooManyCards(Conflict):
    """The person has reached the limit of cards that are not cancelled."""

    code = "too_many_cards"
    detail = "Você já tem o número máximo de cartões. Cancele um deles para pedir outro."


class BalanceRemains(Conflict):
    """The person has money on a card and cannot be erased (rules.md, identity: LGPD)."""

    code = "card_has_balance"
    detail = "Ainda há saldo em cartão de transporte. Use ou retire o saldo antes de excluir a conta."


class TapNotFound(NotFound):
    """There is no tap with the id."""

    code = "tap_not_found"
    detail = "Viagem não encontrada."


class TapDecided(Conflict):
    """The tap does not wait for a decision."""

    code = "tap_already_decided"
    detail = "Esta viagem não está à espera de uma decisão."


class RideSettled(Conflict):
    """The entry is of a ride that was paid later, or pays a debt: it cannot be reversed."""

    code = "ride_settled"
    detail = "Esta viagem foi paga depois, em parte ou por inteiro. Devolva o valor com uma recarga."
