"""Metrics of resellers. Counted at the decision, so that a transaction that fails afterwards counts too."""

from prometheus_client import Counter, Gauge

purchases_total = Counter("carteira_resellers_purchases", "Purchases registered, by their first status", ["status"])
decisions_total = Counter("carteira_resellers_decisions", "Purchases approved and rejected", ["status"])
spent_total = Counter("carteira_resellers_cashback_spent_centavos", "Cashback spent on purchases")
given_back_total = Counter("carteira_resellers_cashback_given_back_centavos", "Spent cashback that was given back")
months_closed_total = Counter("carteira_resellers_months_closed", "Months closed")
credited_total = Counter("carteira_resellers_cashback_credited_centavos", "Cashback credited at closings")
adjusted_total = Counter(
    "carteira_resellers_cashback_adjusted_centavos", "Adjustments included in closings", ["direction"]
)
overdue_months = Gauge(
    "carteira_resellers_overdue_months",
    "Months past their closing day that still hold pending purchases",
    multiprocess_mode="mostrecent",
)
