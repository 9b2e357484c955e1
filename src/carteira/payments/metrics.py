"""Metrics of payments. Counted at the decision, so that a transaction that fails afterwards counts too."""

from prometheus_client import Counter, Gauge

charges_total = Counter("carteira_payments_charges", "Charges made, by purpose", ["purpose"])
refused_total = Counter("carteira_payments_charges_refused", "Charges that the provider refused")
received_total = Counter(
    "carteira_payments_received", "Payments received, by how they were found and by outcome", ["by", "outcome"]
)
received_centavos = Counter("carteira_payments_received_centavos", "Centavos received by payments")
told_total = Counter(
    "carteira_payments_webhook_calls", "Calls of the provider: `taken`, `refused` (no proof), `malformed`", ["outcome"]
)
unknown_total = Counter(
    "carteira_payments_told_unknown", "Payments that a call announced and that the provider does not have"
)
returns_total = Counter("carteira_payments_returns", "Returns, by outcome", ["outcome"])
lost_centavos = Counter(
    "carteira_payments_lost_centavos", "Centavos returned at the provider of payments that were already spent"
)
to_return = Gauge(
    "carteira_payments_to_return", "Payments that wait to be returned by an operator", multiprocess_mode="mostrecent"
)
returns_waiting_seconds = Gauge(
    "carteira_payments_return_oldest_seconds",
    "Age of the oldest return that waits for the provider; 0 if none waits",
    multiprocess_mode="mostrecent",
)
taken_back = Gauge(
    "carteira_payments_taken_back",
    "Returns of the last three days that were made at the provider and not requested here",
    multiprocess_mode="mostrecent",
)
read_until = Gauge(
    "carteira_payments_read_until_timestamp_seconds",
    "Time up to which the provider's list was read",
    multiprocess_mode="mostrecent",
)
unreconciled = Gauge(
    "carteira_payments_unreconciled",
    "Payments of the last days that differ between the provider's list and ours, by kind of difference",
    ["kind"],
    multiprocess_mode="mostrecent",
)
reconciled_at = Gauge(
    "carteira_payments_reconciled_timestamp_seconds",
    "Time of the last comparison of a day with the provider's list",
    multiprocess_mode="mostrecent",
)
