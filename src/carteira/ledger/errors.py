"""Errors of the ledger.

Indentation shows inheritance; numbers are HTTP statuses:

    Refusal                                 400
      InsufficientFunds
    NotFound                                404
      AccountNotFound
      EntryNotFound
      HoldNotFound
    Conflict                                409
      HoldNotActive
      EntryAlreadyReversed
      EntryNotReversible
      StaleBook
      MoneyRemains
    InvalidInput                            422
      CaptureTooLarge
      EntryKeyReused
    ValueError
      UnbalancedEntry
"""

from uuid import UUID

from carteira.kit.web.problems import Conflict, InvalidInput, NotFound, Refusal


class InsufficientFunds(Refusal):
    """A customer's available balance is too small."""

    code = "insufficient_funds"
    title = "Saldo insuficiente"
    detail = "Saldo insuficiente."

    def __init__(self, account_id: UUID, short_by: int, detail: str | None = None) -> None:
        super().__init__(detail)
        self.account_id = account_id
        self.short_by = short_by
        """The missing amount, in centavos."""


class AccountNotFound(NotFound):
    """There is no such ledger account, or it is another person's."""

    code = "ledger_account_not_found"
    detail = "Conta não encontrada."


class EntryNotFound(NotFound):
    """There is no such entry."""

    code = "ledger_entry_not_found"
    detail = "Lançamento não encontrado."


class HoldNotFound(NotFound):
    """There is no such hold."""

    code = "hold_not_found"
    detail = "Reserva não encontrada."


class HoldNotActive(Conflict):
    """The hold was captured or released, or has expired."""

    code = "hold_not_active"
    detail = "Esta reserva já foi concluída ou expirou."


class CaptureTooLarge(InvalidInput):
    """The capture exceeds the hold."""

    code = "capture_too_large"
    detail = "O valor é maior que o reservado."


class EntryAlreadyReversed(Conflict):
    """The entry is reversed already."""

    code = "entry_already_reversed"
    detail = "Este lançamento já foi estornado."


class EntryNotReversible(Conflict):
    """The entry is a reversal, which cannot be reversed: post a new entry instead."""

    code = "entry_not_reversible"
    detail = "Um estorno não pode ser estornado."


class EntryKeyReused(InvalidInput):
    """The key belongs to an entry with other content."""

    code = "idempotency_key_reused"
    title = "Chave de idempotência já usada"
    detail = "Esta chave já foi usada em um lançamento com outro conteúdo."


class StaleBook(Conflict):
    """An account changed between an unlocked read and the write: read and decide again."""

    code = "ledger_stale"
    detail = "O saldo mudou enquanto a operação era decidida. Tente de novo."


class UnbalancedEntry(ValueError):
    """A programming error: fewer than two postings, a zero amount, or a sum that is not zero."""


class MoneyRemains(Conflict):
    """The person cannot be erased while they have money."""

    code = "money_remains"
    detail = "Ainda há saldo ou reserva. Use ou transfira o valor antes de apagar a conta."
