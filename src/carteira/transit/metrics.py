"""Metrics of transit."""

from prometheus_client import Counter, Gauge

from carteira.kit.ops.metrics import Sums

cards_issued = Counter("carteira_transit_cards_issued", "Transport cards issued")
movements = Sums(Counter("carteira_transit_movements", "Movements on cards asked for by their owners", ["type"]))
moved_centavos = Sums(Counter("carteira_transit_moved_centavos", "Centavos moved on cards by their owners", ["type"]))
refusals = Counter("carteira_transit_refusals", "Debits refused for want of balance")
taps = Counter("carteira_transit_taps", "Taps of validators, by outcome", ["result"])
taps_waiting = Gauge(
    "carteira_transit_taps_waiting",
    "Taps with an impossible clock that wait for an operator",
    multiprocess_mode="mostrecent",
)
