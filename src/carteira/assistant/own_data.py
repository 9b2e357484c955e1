"""Recognises questions about one's own things by their words: my card's balance, my documents, a decline.

Similarity finds most of them. These patterns match the others: questions that name the thing and its owner in an order,
or with words, that no phrase has. Pure, no I/O.
"""

import re

from carteira.assistant import lexicon
from carteira.assistant.text import MAX_UNDERSTOOD, expand, plain

_BENEFIT = (
    r"\b(?:beneficios?|alimentacao|(?<!credito )refeicao|ticket|vale (?!transporte|a pena|mesmo)(?:\w+)|"
    r"(?:o|meu|no) vale(?! transporte| a pena)(?= |$))"
)
_HOW_MUCH = r"\b(?:quanto(?: e)?(?: que)?|saldo|quantos? reais|quantas passagens|sobr\w+|qual o valor)\b"
_HAVE = r"\b(?:tem|tenho|sobr\w+|resta\w*|ficou|saldo|esta com|ainda|posso gastar|da para (?:gastar|comprar|andar))\b"
_SHOW = r"\b(?:mostra\w*|ver|veja|abr[aei]\w*|exib[aei]\w*|cade|list[ae]\w*|quais|consult\w+|confere)\b"
_NOT_THIS = re.compile(
    r"\b(?:como|onde|por que|custa|custo|preco|tempo|prazo|transfer\w+|mover|passar (?:para|o)|devolv\w+|"
    r"estorn\w+|sac\w+|"
    r"vence\w*|expira\w*|venc\w+|errad[oa]|sumiu|nao|minim[oa]|maxim[oa]|limite|cancel\w+|encerr\w+|recarga|taxa|juros|"
    r"empresa ve|demora\w*|aceita\w*|se eu|quando|morr\w+|faleci\w+|negativo|dev[eo]\w*|menor|metade|descont\w+|"
    r"cobr\w+)\b"
)
_CASHBACK = r"\b(?:cash ?back|dinheiro de volta)\b"
_MY_CASHBACK = rf"{_HOW_MUCH}|{_SHOW}|\b(?:meu|do mes|desse mes|deste mes|ganhei|juntei|receb\w+)\b"
_SPENT = r"\b(?:extrato|historico|moviment\w+|gastos|gastei|ultimas compras|lancamentos|compras que (?:eu )?fiz)\b"
_REFUSED = re.compile(
    r"\b(?:recus\w+|neg(?:ad\w+|aram|ou)|rejeit\w+|nao (?:passou|passa|passava|quis passar|autoriz\w+|aceit\w+|"
    r"aprov\w+|"
    r"foi (?:aceit\w+|aprovad\w+|autorizad\w+)|funcionou|consegui (?:pagar|comprar|passar)))\b"
)
_BUYING = re.compile(
    r"\b(?:compra|vale|beneficio|alimentacao|refeicao|ticket|maquininha|caixa|supermercado|padaria|restaurante|"
    r"farmacia|"
    r"acougue|posto|almoco|pagar|paguei)\b"
)
_NO_BUYING = re.compile(
    r"\b(?:validador|catraca|onibus|metro|senha|documento|foto|arquivo|cadastro|recarga|recarregar|pix|cartao do banco|"
    r"credito|login|entrar|codigo|conta|saque|sacar|cashback|nota|cupom|proposta|emprestimo|onde|quem|posso)\b"
)


def asked_for(text: str) -> str | None:
    """Return the intent for a question about one's own things; None if a text is not clearly one."""
    said = plain(expand(text[:MAX_UNDERSTOOD]))
    if _REFUSED.search(said):
        is_mine = _BUYING.search(said) and not _NO_BUYING.search(said)
        return "declined" if is_mine else None
    if _NOT_THIS.search(said):
        return None
    if re.search(_CASHBACK, said):
        return "cashback_month" if re.search(_MY_CASHBACK, said) else None
    return _of_money(said) or _of_documents(said)


def _of_money(said: str) -> str | None:
    is_benefit = re.search(_BENEFIT, said) is not None
    if is_benefit and re.search(_SPENT, said):
        return "benefit_statement"
    if re.search(_HOW_MUCH, said) is None or re.search(_HAVE, said) is None:
        return None
    return "benefit_balance" if is_benefit else "balance" if re.search(lexicon.CARD, said) else None


def _of_documents(said: str) -> str | None:
    is_mine = re.search(r"\b(?:meus?|minhas?|guard\w+|salv\w+|aqui)\b", said)
    is_shown = re.search(lexicon.DOCUMENT, said) and re.search(_SHOW, said)
    return "my_documents" if is_mine and is_shown else None
