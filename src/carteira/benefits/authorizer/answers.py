"""The authorizer's answers: three codes, and the reasons."""

from enum import StrEnum


class Code(StrEnum):
    """The three answers of the authorizer."""

    APPROVED = "00"
    INSUFFICIENT = "51"
    REFUSED = "07"


class Reason(StrEnum):
    """The reason of an answer."""

    APPROVED = "approved"
    APPROVED_BY_FALLBACK = "approved_by_fallback"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    UNKNOWN_ACCOUNT = "unknown_account"
    ACCOUNT_BLOCKED = "account_blocked"
    TRANSACTION_ID_REUSED = "transaction_id_reused"
    REVERSED = "reversed"
    REVERSED_BEFORE = "reversed_before"
    NOTHING_TO_REVERSE = "nothing_to_reverse"
    MORE_THAN_LEFT = "more_than_left"
    NOT_A_PURCHASE = "not_a_purchase"
    INVALID_ACCOUNT = "invalid_account"
    INVALID_AMOUNT = "invalid_amount"
    INVALID_MCC = "invalid_mcc"
    INVALID_MERCHANT = "invalid_merchant"
    INVALID_ID = "invalid_id"
    INVALID_FALLBACK = "invalid_fallback"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    NOT_AUTHENTICATED = "not_authenticated"
    UNKNOWN_OPERATION = "unknown_operation"
    OVERLOADED = "overloaded"
    ACCOUNT_HELD_UP = "account_held_up"
    UNAVAILABLE = "unavailable"
    INTERNAL_ERROR = "internal_error"
