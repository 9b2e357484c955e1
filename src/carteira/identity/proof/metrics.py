"""Metrics of proofs."""

from prometheus_client import Counter

cpf_proofs = Counter(
    "carteira_cpf_proofs",
    "CPFs proven, by gov.br or an operator: in place, moved from another account, or disputed by two",
    ["by", "outcome"],
)
