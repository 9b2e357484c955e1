"""The details of the audit's rows in words."""

from typing import Any

import pytest

from carteira.web.console.audit_details import details_said


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"methods": ["password", "totp"]}, "por: senha, autenticador"),
        ({"amount": 9_900, "status": "rejected"}, "valor: R$\N{NO-BREAK SPACE}99,00; situação: reprovada"),
        ({"fields": ["cnpj", "name"]}, "campos: CNPJ, nome"),
        ({"paper": "cnh", "lost": True}, "documento visto: CNH; perdeu: sim"),
        ({"paper": "passport"}, "documento visto: passaporte"),
        (
            {"operation": "benefits.credit", "purpose": "credit_analysis"},
            "operação: Crédito em uma conta; para quê: análise de crédito",
        ),
        ({"filters": {}, "filters_": {"cpf": "•"}}, "filtros: nenhum; filters_: cpf •"),
        ({"parts": ["account", "look", "benefits"]}, "partes: avisos da conta, quem viu os dados, benefícios"),
        (
            {"tiers": [{"above": 0, "percentage": 5}, {"above": 100_000, "percentage": 7}]},
            "faixas: 5%, 7% acima de R$\N{NO-BREAK SPACE}1.000,00",
        ),
        ({"category": "FOOD", "regime": "pat"}, "saldo: Alimentação; regime: PAT"),
        ({"category": "MINE", "origin": "outcomes"}, "saldo: Mine; origem: desfechos reais"),
        (
            {"reason": "lost_or_stolen", "kind": "erasure"},
            "motivo: cartão perdido ou roubado; tipo: exclusão dos dados",
        ),
        ({"nature": "MED_FRAUDE"}, "natureza: o banco de quem pagou o contestou, por fraude"),
        ({"nature": "NEW_ONE"}, "natureza: NEW_ONE"),
        ({"never_seen": 1}, "never_seen: 1"),
    ],
)
def test_details_are_in_words_and_unknown_ones_stay(details: dict[str, Any], told: str) -> None:
    assert details_said(details) == told
