"""Claims in words, and the screens that each opens, by the navigation's own table."""

from collections.abc import Collection, Iterable

from carteira.kit.web.access import EVERY_CLAIM
from carteira.web.console.screens import Screen, ScreenGroup

CLAIMS = {
    "assistant:read": "Ver atendimentos, assuntos e perguntas do assistente",
    "assistant:write": "Responder atendimentos e ensinar o assistente",
    "audit:read": "Ler e conferir a auditoria",
    "benefits:fund": "Depositar para as contas da empresa, e ver o que ela depositou",
    "benefits:read": "Ver contas, compras e empresas de benefícios",
    "benefits:write": "Abrir, creditar, bloquear e encerrar contas; regras; estornos e devoluções",
    "clients:read": "Ver os clientes (máquinas)",
    "clients:write": "Criar, mudar e revogar clientes (máquinas)",
    "credit:a:read": "Consultar a base A: nome, endereço e dívidas",
    "credit:a:write": "Escrever na base A",
    "credit:audit": "Ver quem consultou o crédito de alguém",
    "credit:b:read": "Consultar a base B e a pontuação: renda e bens",
    "credit:b:write": "Escrever na base B",
    "credit:c:read": "Consultar a base C: movimento",
    "credit:c:write": "Escrever na base C",
    "credit:models:read": "Ver os modelos de crédito",
    "credit:models:write": "Pôr um modelo de crédito em vigor, ou voltar a outro",
    "credit:outcomes:write": "Registrar se quem tomou crédito pagou",
    "data_requests:write": "Anotar e responder pedidos de titulares",
    "documents:follow": "Acompanhar as decisões sobre documentos, por programa",
    "documents:review": "Ver e decidir documentos enviados",
    "employers:write": "Cadastrar empresas e dizer quem as opera",
    "house:read": "Ver trabalhos, configuração, chaves e backups",
    "house:write": "Repetir trabalhos abandonados",
    "identity:prove": "Comprovar o CPF de alguém, e resolver disputas de CPF",
    "ledger:read": "Ver contas e lançamentos do livro-razão",
    "ledger:write": "Estornar lançamentos no livro-razão",
    "lists:export": "Baixar em CSV as listas que pode ver",
    "money:approve": "Aprovar o dinheiro que outra pessoa pediu",
    "payments:read": "Ver cobranças e Pix recebidos, e a conferência",
    "payments:return": "Devolver um Pix",
    "purchases:approve": "Decidir compras, fechar meses, mudar faixas e ajustes de cashback",
    "purchases:read": "Ver compras, meses e revendedores",
    "purchases:write": "Registrar compras em nome de revendedores",
    "reseller": "Registrar as próprias compras, como revendedor",
    "transit:recharge": "Recarregar cartões de transporte em dinheiro",
    "transit:review": "Ver cartões e dívidas, e decidir viagens",
    "transit:validate": "Enviar as viagens de um validador, por programa",
    "users:cpf": "Ver CPFs inteiros",
    "users:export": "Exportar o cadastro inteiro",
    "users:read": "Procurar pessoas e ver a página de cada uma",
    "users:suspend": "Suspender e reativar pessoas, e encerrar suas sessões",
    "users:write": "Cadastrar e mudar pessoas, papéis e permissões",
    "webhooks:read": "Ver webhooks e suas entregas",
    "webhooks:write": "Criar, mudar e apagar webhooks, e repetir entregas",
}
"""The product's claims; an operator's own have no words but their name."""


def claim_name(claim: str) -> str:
    """Return a claim in words, or its own name."""
    return CLAIMS.get(claim, claim)


def claim_choice(claim: str) -> str:
    """Return a claim in words with its name, to choose from."""
    return f"{CLAIMS[claim]} ({claim})" if claim in CLAIMS else claim


def opened_by(groups: Iterable[ScreenGroup], claims: Collection[str]) -> list[Screen]:
    """Return the screens of the side bar that some claims open, beside those of every operator."""
    screens = (screen for group in groups for screen in group.screens)
    return [screen for screen in screens if screen.claims and screen.opens_for(claims)]


def opens_of(groups: Iterable[ScreenGroup], claim: str) -> list[str]:
    """Return the names of the screens that need a claim, each with the other claims that it needs."""
    screens = [screen for group in groups for screen in group.screens if screen.claims]
    if claim == EVERY_CLAIM:
        return [screen.name for screen in screens]
    needing = [
        (screen.name, [one for one in screen.claims if one != claim]) for screen in screens if claim in screen.claims
    ]
    return [f"{name} (com {' e '.join(others)})" if others else name for name, others in needing]
