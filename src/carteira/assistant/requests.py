"""Requests: whether a first message wants something done, what, and what it says about it. Pure, no I/O.

Acts with an effect are not left to likeness alone: "não bloqueia meu cartão" is nearer to "bloqueia meu cartão" than
most ways of asking for it. A clause is read for an act's verb or noun with its object, and then for what makes it no
request: a negation before it, a question about it, a condition, a doubt, the past.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from carteira.assistant.amounts import amount
from carteira.assistant.text import MAX_UNDERSTOOD, expand, plain
from carteira.documents import DocumentType

EFFECTS = frozenset({"recharge", "cancel_card", "block_card", "unblock_card", "save_document", "human"})
"""The intents that change something."""


class Mood(Enum):
    """How a message speaks of an act."""

    WANTED = "wanted"
    DENIED = "denied"
    ASKED = "asked"
    """Asked about, supposed, doubted, or told as done."""


@dataclass(frozen=True, slots=True)
class SpokenAct:
    """An act that a message speaks of, how, and what it says about it."""

    intent: str
    mood: Mood
    slots: Mapping[str, Any] = field(default_factory=dict)


_SHORT = 4
"""Words up to which "bloqueia por favor" needs no card to be named."""
_END = r"(?:ar|a|e|em|am|ue|uem|ando|amento|o)?"
_CARD = r"\b(?:cartao|cartaum|cartaozinho|bilhete|biliete|passe|onibus|passagem|transporte|metro)\b"
_OTHER_CARD = r"\b(?:beneficios?|alimentacao|refeicao|credito do|conta|cadastro|compra|recarga|viagem|revenda|senha)\b"
_PUT = r"por(?! (?:favor|que|gentileza|isso|aqui|causa|enquanto|engano)\b)"
"""The verb "pôr", which without its accent is a preposition as well."""
_VERBS = {
    "block_card": rf"\b(?:blo(?:qu|k|c)e?i?{_END}|trav(?:a|ar|e|em)|suspend(?:a|e|er|am))\b",
    "cancel_card": rf"\b(?:can[cs]el{_END}|encerr(?:a|ar|e|em)|dar baixa|de baixa|da baixa)\b",
    "recharge": r"\b(?:re?car+eg(?:a|ar|ue|uem)|recarga|car+eg(?:a|ar|ue|uem))\b",
    "put": rf"\b(?:colo[ck](?:a|ar)|coloque|bot(?:a|ar|e)|poe|poem|{_PUT}|ponha|add|adicion(?:a|ar|e)|mand(?:a|ar|e)|"
    r"inser(?:e|ir)|credit(?:a|ar|e))\b",
    "save_document": r"\b(?:guard(?:a|ar|e)|(?<!esta )(?<!ficou )(?<!foi )salv(?:a|ar|e)|"
    r"cadastr(?:a|ar|e)|adicion(?:a|ar|e)|colo[ck](?:a|ar)|"
    rf"coloque|bot(?:a|ar|e)|{_PUT}|poe|envi(?:a|ar|e)|(?<!me )mand(?:a|ar|e)|add|"
    r"inser(?:e|ir)|arquiv(?:a|ar|e)|registr(?:a|ar|e))\b",
    "human": r"\b(?:fal(?:a|ar)|convers(?:a|ar)|cham(?:a|ar|e)|me passa|passa (?:para|a)|transfere|"
    r"quero|bota|coloca|preciso)\b",
}
_UNBLOCK = r"\bdesblo"
"""Begun by its name only: a card that was stolen is not made good by likeness."""
_PAST = re.compile(
    r"\b(?:re)?(?:car+eg|blo(?:qu|k)e|can[cs]el|colo[ck]|coloqu|guard|salv|encerr|trav|mand|envi)[a-z]*"
    r"(?:uei|ei|ou|aram|ad[oa]s?|amos)\b"
)
_MONEY_OBJECT = r"\b(?:creditos?|dinheiro|passagem|passagens|reais)\b"
_HAS = re.compile(r"\b(?:tenho|tem|tinha|sumiram|perdi|gastei|faltam|ficou)\b")
_CREDIT_OF = re.compile(r"\breais (?=de (?:credito|recarga|passagem)\b)")
_ELSEWHERE = re.compile(r"\b(?:celular|alimentacao|refeicao|beneficio|pagina|site|aplicativo)\b")
_NOBODYS_WISH = re.compile(
    r"\b(?:aplicativo|tela|site|pagina|celular|validador|catraca|banco|toda hora|sempre|outra pessoa)\b"
)
_PEOPLE = r"\b(?:atendente|atendentes|humano|humana|pessoa|gente|alguem|moca|moco|suporte|funcionario|ser humano)\b"
_KINDS = {
    DocumentType.CNH: r"\b(?:cnh|habilitacao|carteira de motorista|carta de motorista)\b",
    DocumentType.RG: r"\b(?:rg|identidade)\b",
    DocumentType.PASSPORT: r"\bpas+aporte\b",
    DocumentType.VOTER: r"\btitulo\b",
    DocumentType.VACCINATION: r"\bvacin[a-z]*\b",
    DocumentType.CPF: r"\bcpf\b",
}
_DOCUMENT = r"\b(?:documentos?|docs?)\b|" + "|".join(_KINDS.values())
_NEGATION = r"(?:nao|nem|nunca|jamais|ninguem|num|sem)"
_LINK = (
    r"(?:eu|e|eh|me|quero|queria|quis|para|precisa|preciso|mais|vou|va|vai|pode|pedi|pediu|mandou|mandei|pense|pensa|"
    r"em|o|a|de|tem|que|fazer|faz|faca|quer|deixa|deixe|nenhuma?|isso|era|foi|voces?|gostaria|deve|devia)"
)
_POLITE = re.compile(
    r"\b(?:pode|poderia|podem|podia|consegue|tem como voces?|tem jeito de voces?|queria saber se pode|ve se|"
    r"sera que pode)\b"
)
_INQUIRY = re.compile(
    r"^(?:e |mas |oi |ola |bom dia |boa tarde |boa noite |entao )*(?:como|onde|aonde|quando|qual|quais|quantos?|"
    r"quantas?|por que|quem|o que|que|posso|consigo|tem como|da para|e possivel|sera|preciso pagar|"
    r"vale a pena|existe|ha)\b"
)
_SUPPOSED = re.compile(
    r"\b(?:(?<!ve )se eu|(?<!ve )se a gente|caso eu|e se|acho que|talvez|duvida|nao sei se|pensando em)\b"
)
_PROBLEM = re.compile(
    r"\b(?:caiu|cai|entrou|apareceu|aparece|paguei|fiz|estorn\w*|devolv\w*|desfaz\w*|errad[oa]|minim[oa]|maxim[oa]|cobr\w*|ontem|"
    r"recus\w*|negad\w*|sumiu|demora\w*|pix|boleto|duas vezes|falhou|deu erro|limite)\b"
)
_CLAUSES = re.compile(r"(?<!\d)[.,](?!\d)|[.,](?!\d)|[;!?\n:]")
_TURNS = re.compile(
    r"(?<=\w) (?=(?:mas|so|e sim)\b)|(?<!nao)(?<!nunca)(?<!num) (?=(?:quero|e para)\b)(?<=\w )",
)


def read(text: str) -> SpokenAct | None:
    """Find the act that a message speaks of: the one that it wants done, else the one that it denies or asks about."""
    text = text[:MAX_UNDERSTOOD]
    whole = _normal(text)
    found: list[SpokenAct] = []
    for raw in _CLAUSES.split(text):
        for clause in _TURNS.split(_normal(raw)):
            request = _read_clause(clause.strip(), whole, text)
            if request is not None:
                found.append(request)
    ranked = sorted(found, key=lambda one: [Mood.WANTED, Mood.DENIED, Mood.ASKED].index(one.mood))
    if not ranked:
        return SpokenAct("", Mood.ASKED) if _PAST.search(whole) or re.search(_UNBLOCK, whole) else None
    if ranked[0].mood is Mood.WANTED and _taken_back(found):
        return SpokenAct(ranked[0].intent, Mood.DENIED)
    return ranked[0]


def _taken_back(found: list[SpokenAct]) -> bool:
    """Tell whether a message wants an act and denies or doubts the same."""
    wanted = {one.intent for one in found if one.mood is Mood.WANTED}
    return any(one.mood is Mood.DENIED and one.intent in wanted for one in found)


def _normal(text: str) -> str:
    return plain(expand(text))


def _read_clause(clause: str, whole: str, text: str) -> SpokenAct | None:
    spoken_of = _act_of(clause, whole)
    if spoken_of is None:
        return None
    intent, verb = spoken_of
    mood = _mood(clause, verb, whole)
    return SpokenAct(intent, mood, _slots(intent, text) if mood is Mood.WANTED else {})


def _act_of(clause: str, whole: str) -> tuple[str, re.Match[str]] | None:
    """Find the act of a clause and its verb or noun."""
    if re.search(_UNBLOCK, clause) or _NOBODYS_WISH.search(clause):
        return None
    is_card = re.search(_CARD, whole) is not None or len(clause.split()) <= _SHORT
    is_card = is_card and re.search(_OTHER_CARD, clause) is None
    verbs = {
        "block_card": re.search(_VERBS["block_card"], clause) if is_card else None,
        "cancel_card": re.search(_VERBS["cancel_card"], clause) if is_card else None,
        "recharge": _recharging(clause, whole),
        "save_document": re.search(_VERBS["save_document"], clause) if re.search(_DOCUMENT, whole) else None,
        "human": re.search(_VERBS["human"], clause) if re.search(_PEOPLE, clause) else None,
    }
    return next(((intent, verb) for intent, verb in verbs.items() if verb), None)


def _recharging(clause: str, whole: str) -> re.Match[str] | None:
    """Find the verb or noun of a recharge: that itself, or putting money on a card."""
    if _ELSEWHERE.search(clause) or _PROBLEM.search(clause):
        return None
    if verb := re.search(_VERBS["recharge"], clause):
        return verb
    verb = re.search(_VERBS["put"], clause) or (None if _HAS.search(clause) else _CREDIT_OF.search(clause))
    if verb is None:
        return None
    has_money = re.search(_MONEY_OBJECT, clause) or amount(clause) is not None
    is_credit = re.search(r"\bcreditos?\b", clause) and re.search(_CARD, whole)
    return verb if is_credit or (has_money and re.search(_CARD, clause)) else None


def _mood(clause: str, verb: re.Match[str], whole: str) -> Mood:
    before = clause[: verb.start()]
    if re.search(rf"\b{_NEGATION}(?: {_LINK})* $", before) or re.search(r"\b(?:nao|nada)$", clause):
        return Mood.DENIED
    if _SUPPOSED.search(before) or re.search(r"\bem duvida|acho que|talvez\b", whole):
        return Mood.ASKED
    if _INQUIRY.search(clause) and not _POLITE.search(before):
        can_be = re.search(r"^(?:da para|tem como)\b", clause)
        is_for_me = can_be and (amount(clause) is not None or re.search(r"\bpara mim\b", clause))
        return Mood.WANTED if is_for_me else Mood.ASKED
    return Mood.WANTED


def _slots(intent: str, text: str) -> dict[str, Any]:
    if intent == "recharge":
        centavos = amount(text)
        return {} if centavos is None else {"amount": centavos}
    if intent == "save_document":
        said = _normal(text)
        kind = next((kind for kind, pattern in _KINDS.items() if re.search(pattern, said)), None)
        return {} if kind is None else {"type": kind.value}
    return {}


_DESPAIR = re.compile(
    r"\b(?:me matar|me mato|suicid\w*|tirar (?:a )?minha (?:propria )?vida|acabar com (?:a )?(?:minha vida|tudo)|"
    r"(?:quero|vou|queria|vontade de|prefiro|melhor) morrer|(?:nao|sem) (?:aguento|quero|vontade de|tenho vontade de)"
    r"(?: mais)? viver|nao (?:tem|ha|vejo) (?:mais )?sentido (?:na|em|para) (?:minha )?(?:vida|viver)|minha vida "
    r"(?:nao (?:tem|faz) (?:mais )?sentido|acabou)|sumir d[eo]s[st]e? mundo|cansei de viver|me cortar|me machucar|"
    r"desistir da vida|nao (?:quero|queria) (?:mais )?(?:existir|acordar)|ninguem sentiria minha falta)\b"
)
_INSULT = re.compile(
    r"\b(?:lad(?:rao|rona|roes)|burr[oa]s?|idiotas?|imbec\w*|inutil|inuteis|incompetent\w*|estupid[oa]s?|lixo|porcaria|"
    r"merda|bosta|droga de|vsf|vtnc|tnc|pqp|fdp|se ferrar|se f[ou]der|va se catar|palhacada|palhacos?|anta|"
    r"otari[oa]s?|babaca|cretin[oa]s?|jument[oa]|vagabund[oa]s?|desgraca\w*|arrombad[oa]s?|"
    r"filh[oa]s? da puta|caralho|puta que pariu)\b"
)


def despairs(text: str) -> bool:
    """Tell whether somebody speaks of not wanting to live."""
    return _DESPAIR.search(_normal(text)) is not None


def insults(text: str) -> bool:
    """Tell whether a message insults."""
    return _INSULT.search(_normal(text)) is not None


def asks_how(text: str) -> bool:
    """Tell whether a message asks how, where or when, which an article answers, and not for one's own things."""
    return re.search(r"\b(?:como|onde|aonde|quando|o que e|posso|aceita|funciona)\b", _normal(text)) is not None
