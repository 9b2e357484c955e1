"""Metrics of payments. Counted at the decision, so that a transaction that fails afterwards counts too."""

from prometheus_client import Counter, Gauge

charges_total = Counter("carteira_payments_charges", "Charges made, by what is paid for", ["purpose"])
refused_total = Counter("carteira_payments_charges_refused", "Charges that the provider did not take")
received_total = Counter(
    "carteira_payments_received", "Payments received, by how they were found and what became of them", ["by", "outcome"]
)
received_centavos = Counter("carteira_payments_received_centavos", "What came in by payments")
told_total = Counter(
    "carteira_payments_webhook_calls", "Calls of the provider: `taken`, `refused` (no proof), `malformed`", ["outcome"]
)
unknown_total = Counter("carteira_payments_told_unknown", "Payments that were told of and that the provider has not")
returns_total = Counter("carteira_payments_returns", "Returns, by what became of them", ["outcome"])
lost_centavos = Counter(
    "carteira_payments_lost_centavos", "What was returned at the provider of payments that had been spent by then"
)
to_return = Gauge(
    "carteira_payments_to_return", "Payments that wait to be returned by an operator", multiprocess_mode="mostrecent"
)
returns_waiting_seconds = Gauge(
    "carteira_payments_return_oldest_seconds",
    "For how long the oldest return waits for the provider; 0 if none does",
    multiprocess_mode="mostrecent",
)
taken_back = Gauge(
    "carteira_payments_taken_back",
    "Returns of the last three days that were made at the provider and asked for by nobody here",
    multiprocess_mode="mostrecent",
)
read_until = Gauge(
    "carteira_payments_read_until_timestamp_seconds",
    "Up to when the provider's list was read",
    multiprocess_mode="mostrecent",
)
unreconciled = Gauge(
    "carteira_payments_unreconciled",
    "Payments of the last days on which the provider's list and ours differ, by how",
    ["kind"],
    multiprocess_mode="mostrecent",
)
reconciled_at = Gauge(
    "carteira_payments_reconciled_timestamp_seconds",
    "When a day was last compared with the provider's list",
    multiprocess_mode="mostrecent",
)
