"""What transit refuses."""

from carteira.kit.web.problems import Conflict, Forbidden, InvalidInput, NotFound, Refusal


class InsufficientBalance(Refusal):
    """The card's balance does not cover the debit (rules.md, transit)."""

    code = "insufficient_funds"
    title = "Saldo insuficiente"
    detail = "Saldo insuficiente para realizar o débito"


class CardNotActive(Refusal):
    """A blocked or cancelled card neither recharges nor debits, and receives no other card's balance."""

    status = 409
    code = "card_not_active"
    title = "Cartão não está ativo"
    detail = "Este cartão está bloqueado ou cancelado."


class CardCancelled(Refusal):
    """A cancelled card stays so."""

    status = 409
    code = "card_cancelled"
    title = "Cartão cancelado"
    detail = "Este cartão já foi cancelado."


class PaymentRequired(Conflict):
    """A recharge is paid for: at a counter, or by a provider (`RECHARGE_WITHOUT_PAYMENT` is off)."""

    code = "payment_required"
    title = "Pagamento necessário"
    detail = "Para recarregar é preciso pagar. Procure um posto de atendimento."


class RechargePaid(Conflict):
    """A recharge that was paid for is undone by returning its payment, not by an entry alone."""

    code = "recharge_was_paid"
    detail = "Esta recarga foi paga. Para desfazê-la, devolva o pagamento."


class RechargeSpent(Conflict):
    """What a payment recharged was spent: it cannot be given back."""

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
    """A balance moves to another card, not to itself."""

    code = "same_card"
    detail = "Escolha outro cartão para receber o saldo."


class TooManyCards(Conflict):
    """A person holds a limited number of cards that are not cancelled."""

    code = "too_many_cards"
    detail = "Você já tem o número máximo de cartões. Cancele um deles para pedir outro."


class BalanceRemains(Conflict):
    """A person with money on a card is not erased (rules.md, identity: LGPD)."""

    code = "card_has_balance"
    detail = "Ainda há saldo em cartão de transporte. Use ou retire o saldo antes de excluir a conta."


class TapNotFound(NotFound):
    """There is no tap with the id."""

    code = "tap_not_found"
    detail = "Viagem não encontrada."


class TapDecided(Conflict):
    """The tap does not wait: an operator has decided it, or none had to."""

    code = "tap_already_decided"
    detail = "Esta viagem não está à espera de uma decisão."


class RideSettled(Conflict):
    """A ride that was owed and paid later, and the payment of debts, are not undone entry by entry."""

    code = "ride_settled"
    detail = "Esta viagem foi paga depois, em parte ou toda. Devolva o valor com uma recarga."
