"""Recognises requests in a first message: the act and its details. Pure, no I/O.

Similarity alone must not start acts with an effect: "não bloqueia meu cartão" is nearer to "bloqueia meu cartão" than
most ways of asking for it. A clause is searched for an act's verb or noun with its object, and then for signs that it
is no request: a negation, a question, a condition, a doubt, another day, the past.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from carteira.assistant import lexicon
from carteira.assistant.amounts import amount
from carteira.assistant.text import MAX_UNDERSTOOD, expand, plain, words

EFFECTS = frozenset({"recharge", "cancel_card", "block_card", "unblock_card", "save_document", "human"})
"""The intents that change something."""


class Mood(Enum):
    """The way in which a message mentions an act."""

    WANTED = "wanted"
    DENIED = "denied"
    ASKED = "asked"
    """Asked about, supposed, doubted, postponed, or reported."""


@dataclass(frozen=True, slots=True)
class SpokenAct:
    """An act that a message mentions, how, and with which details."""

    intent: str
    mood: Mood
    slots: Mapping[str, Any] = field(default_factory=dict)


_OF_CARDS = tuple((intent, re.compile(pattern)) for intent, pattern in lexicon.OF_CARDS.items())
_RECHARGE, _NOUN, _PUT = map(re.compile, (lexicon.RECHARGE, lexicon.RECHARGE_NOUN, lexicon.PUT))
_SAVE, _PEOPLE = map(re.compile, (lexicon.SAVE, lexicon.PEOPLE))
_CARD, _OTHER_CARD, _MONEY = map(re.compile, (lexicon.CARD, lexicon.OTHER_CARD, lexicon.MONEY))
_DOCUMENT = re.compile(lexicon.DOCUMENT)
_TOLD = re.compile(
    r"\b(?:re|des)?(?:car+eg|blo(?:qu|k)e|can[cs]el|colo[ck]|coloqu|guard|salv|encerr|trav|mand|envi|pag|deposit)[a-z]*"
    r"(?:uei|ei|ou|aram|ad[oa]s?|amos|arei|aria)\b|\b(?:recarrego|cancelo|bloqueio|guardo|boto|coloco|chamo)\b"
)
"""An act reported as done or as planned, which is no request."""
_HAS = re.compile(r"\b(?:tenho|tem|tinha|sumiram|perdi|gastei|faltam|ficou|sobrou|sumiu)\b")
_CREDIT_OF = re.compile(r"\breais (?:a mais )?(?=de (?:credito|recarga|passagem|carga|saldo)\b)")
_FILLER = (
    r"(?:eu|ai|oi|ola|bom|boa|dia|tarde|noite|por|favor|moca|moco|me|ve|mais|so|uns|umas|quero|queria|preciso|"
    r"gostaria|de|r|mano|oxe|uai|bah|tche|egua|visse|para|mim|meu|minha|filho|filha|agora|hoje|entao|e|o|a|um|uma)"
)
_SMALL = words(
    """
    pensa pense pensei penso pensar sonhe sonha desisti desisto quase mudei ideia
    eu ai oi ola ei bom boa dia tarde noite por favor favo po moca moco me ve mais so uns umas quero queria quer
    preciso precisando gostaria vou vai va de r mano mana oxe oxente uai bah tche egua visse para mim meu minha
    meus filho filha agora hoje logo ja entao e o a os as um uma pode poderia podia consegue tem como da dar dando
    faz fazer fazendo faca vim bora vamos vamo nao num nada ninguem nem tudo ele ela isso pfvr pfv la deixa quieto
    esquece credito creditos saldo dinheiro passagem passagens crie que voce voces se possivel puder esta estou
    seria ser rapaz cara gente obrigado obrigada gentileza ligeiro rapido urgente amanha depois ainda nunca jamais
    pedi pedir efetuar realizar pare parem valor no na do em com desse dessa esse essa novo nova mes ontem vo
    guria guri fi linda querida amigo bondade
    """
)
"""Words beside an act that name no other thing than a transport card."""
_ACTS = re.compile("|".join([*lexicon.OF_CARDS.values(), lexicon.RECHARGE, lexicon.RECHARGE_NOUN]))
_WISH = re.compile(r"\b(?:faz|fazer|faca|fazendo|quero|queria|efetuar|realizar|preciso|precisando|gostaria)\b")
_NUMBER = r"(?:[0-9]+(?: [0-9]{2})?|[a-z]+(?: e [a-z]+)*)"
_MONEY_ON_CARD = re.compile(
    rf"^(?:{_FILLER} )*{_NUMBER} (?:reais |centavos |e )*(?:de \w+ )?(?=(?:no|na|para o|para meu|em|num)\b)"
)
"""An amount and where to put it, with no verb: "vinte reais no bilhete"."""
_TO_CARD = re.compile(r"\b(?:no|na|de|num) (?:meu |minha )?(?:cartao|bilhete|passe|passagem|credito)")
_WANTS = re.compile(r"\b(?:quero|queria|preciso|precisando|gostaria|vou querer|me ve|ve)\b")
_ELSEWHERE = re.compile(
    r"\b(?:celular|alimentacao|refeicao|beneficios?|pagina|site|aplicativo|empresa|outro cartao|chip|bateria)\b"
)
_NOBODYS_WISH = re.compile(
    r"\b(?:aplicativo|tela|site|pagina|celular|validador|catraca (?:nao|trav|blo)\w*|banco|toda hora|(?<!para )sempre|"
    r"outra pessoa)\b"
)
_HERE = re.compile(r"\b(?:no|nesse|neste|pelo) (?:aplicativo|celular|site)\b")
"""Places where documents are stored; for a card it may be where something happened to it."""
_NEGATION = r"(?:nao|nem|nunca|jamais|ninguem|num|sem)"
_LINK = (
    r"(?:eu|e|eh|me|quero|queria|quis|para|precisa|preciso|mais|vou|va|vai|pode|pedi|pediu|mandou|mandei|pense|pensa|"
    r"em|o|a|de|tem|que|fazer|faz|faca|quer|nenhuma?|isso|era|foi|voces?|gostaria|deve|devia|sonhe|sonha|"
    r"ainda|invent[ae]|esse|essa|este|esta|dar|da|ouse|foram?)"
)
_STOPS = re.compile(
    r"\b(?:par[ae]m? (?:de|com)|desist\w* (?:de|da|do)|esquec\w+|deixa (?:de|a|o|essa|esse)|chega de|mudei de ideia|"
    r"nada de|quase|evit[ae])\b(?: \w+){0,2} $"
)
_DENIED_BEFORE = re.compile(rf"\b{_NEGATION}(?: {_LINK})* $")
_DENIED_AFTER = re.compile(r"^(?: \w+){0,2} (?:nao|nada|para la|quieto)\b")
_DENIED_AT_THE_END = re.compile(r"\b(?:nao|nada)$")
_OF_A_MACHINE = re.compile(r"\b(?:maquina|robo|computador)\b")
"""Rejecting a machine means asking for a person."""
_DOUBT = re.compile(r"\b(?:em duvida|acho que (?:vou|devo)|talvez)\b")
_CAN_BE = re.compile(r"^(?:da para|tem como|tem jeito)\b")
_TAKEN_BACK = re.compile(
    rf"^(?:(?:mas|so que|e|ai|eu|ah|na verdade|agora|ainda|melhor) )*(?:{_NEGATION}(?: (?:eu|quero|vou|precisa|"
    rf"pode|faz|faca|"
    r"mais|agora|era|isso|nada|nao|ainda))*|desisti|desisto|esquece|deixa(?: (?:para la|quieto|assim|como \w+))?|"
    r"mudei de ideia|me arrependi)$"
)
"""A clause that only withdraws the adjacent one."""
_POLITE = re.compile(
    r"\b(?:pode|poderia|podem|podia|consegue|tem como voces?|tem jeito de voces?|queria saber se (?:pode|tem como|"
    r"da)|ve se|"
    r"sera que (?:voces? )?(?:pode|da|consegue)|queria que|quero que|tem como (?=\w+ar )(?!recarregar$))\b"
)
_INQUIRY = re.compile(
    r"^(?:e |mas |oi |ola |ei |bom dia |boa tarde |boa noite |entao )*(?:como|onde|aonde|quando|qual|quais|quantos?|"
    r"quantas?|quanto|por que|para que|quem|o que|que|posso|consigo|tem como|tem jeito|da para|e (?:possivel|"
    r"seguro|bom|melhor|caro|"
    r"preciso|obrigatorio|de graca|verdade)|sera|aceitam?|precisa|tem que|funciona|preciso pagar|vale a pena|"
    r"adianta|existe|ha|ja)\b"
)
_SUPPOSED = re.compile(
    r"\b(?:(?<!ve )se eu|(?<!ve )se a gente|caso|e se|acho que (?:vou|devo|posso|seria|prefiro)|talvez|duvida|"
    r"nao sei se|"
    r"pens(?:ando|o|ei|ava) em|pretendo|planejo|queria saber se (?!pode|tem|da)|vontade de|ia|quase)\b"
)
_LATER = re.compile(
    r"^(?:\w+ ){0,2}(?:depois|amanha|mais tarde|outro dia|semana que vem|mes que vem|um dia)\b(?!.*\b(?:que|ja)\b)"
    r"|\b(?:depois|amanha|mais tarde|outro dia|semana que vem|mes que vem)(?: se\b.*| cedo| de manha| eu \w+)?$"
)
_CONDITION = re.compile(
    r"\b(?<!ve )(?<!saber )(?<!ver )(?<!olha )(?<!veja )se (?!perdeu|foi|quebrou|acabou|estragou|puder|poder|possivel|"
    r"for possivel|quiser|vire|nao for incomodo|faz favor|importa|voces? puder|der$|da$)"
    r"|\bcaso\b|\bdesde que\b|\bcontanto\b|\ba menos que\b|\bassim que\b"
    r"|\bquando (?:\w+ ){0,3}?(?:\w+(?:ar|er|ir)|for|tiver|der|vier|quiser|puder)\b"
)
_PROBLEM = re.compile(
    r"\b(?:caiu|cai|entrou|apareceu|aparece|paguei|fiz|estorn\w*|devolv\w*|desfaz\w*|errad[oa]|minim[oa]|"
    r"maxim[oa]|cobr\w*|"
    r"ontem|recus\w*|negad\w*|sumiu|demora\w*|pix|boleto|duas vezes|falhou|deu erro|limite|cade|taxa|custa)\b"
)
_IN_VAIN = re.compile(
    r"\b(?:tent(?:ei|ando|o)|nao (?:deixa|consigo|consegui|da|foi|vai)|(?:da|deu) (?:erro|falha|problema)|"
    r"fica (?:\w+ando))\b"
)
"""An act that failed: the message reports a problem and requests nothing."""
_CLAUSES = re.compile(r"(?<!\d)[.,](?!\d)|[.,](?!\d)|(?<!\d)[.,](?=\d)|[;!?\n:]")
_TURNS = re.compile(
    r"(?<=\w) (?=(?:mas|so (?:quero|queria|preciso)|e sim)\b)|(?<!nao)(?<!nunca)(?<!num) (?=(?:quero|"
    r"e para)\b)(?<=\w )",
)
_UNPLAIN = re.compile(rf"\b(?:{_NEGATION}|quase|desist\w*|par[ae]m? de|talvez|ja|depois|amanha)\b")
_ORDER = (Mood.WANTED, Mood.DENIED, Mood.ASKED)


def read(text: str) -> SpokenAct | None:
    """Return the act that a message mentions: a requested one, else a denied one or one that is asked about."""
    text = text[:MAX_UNDERSTOOD]
    whole = _normal(text)
    clauses = [clause.strip() for raw in _CLAUSES.split(text) for clause in _TURNS.split(_normal(raw))]
    found = [spoken for clause in clauses if (spoken := _read_clause(clause, whole, text)) is not None]
    if not found:
        return SpokenAct("", Mood.ASKED) if _TOLD.search(whole) else None
    first = min(found, key=lambda one: _ORDER.index(one.mood))
    if first.mood is not Mood.WANTED:
        return first
    if _denied_as_well(found) or any(_TAKEN_BACK.search(clause) for clause in clauses[1:]):
        return SpokenAct(first.intent, Mood.DENIED)
    if any(_CONDITION.search(clause) for clause in clauses):
        return SpokenAct(first.intent, Mood.ASKED)
    return first


def is_plain(text: str) -> bool:
    """Return whether a message neither denies nor supposes nor reports anything.

    The assistant may begin the best match of such a message.
    """
    said = _normal(text)
    return (_UNPLAIN.search(said) or _CONDITION.search(said) or _TOLD.search(said) or read(text)) is None


def _denied_as_well(found: list[SpokenAct]) -> bool:
    """Return whether a message both requests and denies an act."""
    wanted = {one.intent for one in found if one.mood is Mood.WANTED}
    return any(one.mood is Mood.DENIED and one.intent in wanted for one in found)


def _normal(text: str) -> str:
    return plain(expand(text))


def _read_clause(clause: str, whole: str, text: str) -> SpokenAct | None:
    spoken_of = _act_of(clause, whole, text)
    if spoken_of is None:
        return None
    intent, verb = spoken_of
    mood = _mood(clause, verb, whole)
    return SpokenAct(intent, mood, _slots(intent, clause, text) if mood is Mood.WANTED else {})


def _act_of(clause: str, whole: str, text: str) -> tuple[str, re.Match[str]] | None:
    """Find the act of a clause and its verb or noun."""
    if _NOBODYS_WISH.search(clause):
        saved = _SAVE.search(clause) if _DOCUMENT.search(clause) else None
        return ("save_document", saved) if saved and not _NOBODYS_WISH.search(_HERE.sub(" ", clause)) else None
    is_card = _CARD.search(whole) is not None or _names_nothing_else(clause)
    is_card = is_card and _OTHER_CARD.search(clause) is None
    for intent, pattern in _OF_CARDS if is_card else ():
        if verb := pattern.search(clause):
            return intent, verb
    if verb := _recharging(clause, whole, text):
        return "recharge", verb
    if _DOCUMENT.search(whole) and (verb := _SAVE.search(clause)):
        return "save_document", verb
    return ("human", verb) if (verb := _PEOPLE.search(clause)) else None


def _recharging(clause: str, whole: str, text: str) -> re.Match[str] | None:
    """Find the verb or noun of a recharge: that itself, or putting money on a card."""
    if _ELSEWHERE.search(clause) or _PROBLEM.search(clause):
        return None
    has_amount = amount(clause) is not None or (any(map(str.isdigit, clause)) and amount(text) is not None)
    verb = _RECHARGE.search(clause) or _NOUN.search(clause)
    if verb and (has_amount or _MONEY.search(clause) or _names_nothing_else(clause) or _CARD.search(whole)):
        return verb
    has_card = _CARD.search(clause) is not None
    if verb := _PUT.search(clause):
        is_credit = "credito" in clause and (_CARD.search(whole) or "quero" in whole)
        has_money = _MONEY.search(clause) is not None or has_amount
        return verb if is_credit or (has_money and has_card) else None
    if _HAS.search(clause) or not has_amount:
        return None
    return (
        _CREDIT_OF.search(clause)
        or (_MONEY_ON_CARD.search(clause) if has_card else None)
        or (_WANTS.search(clause) if _TO_CARD.search(clause) else None)
    )


def _names_nothing_else(clause: str) -> bool:
    return all(word in _SMALL for word in _ACTS.sub(" ", clause).split())


def _wishes(before: str) -> bool:
    """Return whether the words before "recarga" ask for one, as "quero fazer uma" and "vinte reais de" do."""
    words = [word for word in before.split() if word not in _SMALL]
    is_told = re.search(r"\b(?:d?a|essa|minha|aquela|proxima|ja foi) $", before) and not _WISH.search(before)
    return not is_told and (not words or amount(before) is not None)


def _mood(clause: str, verb: re.Match[str], whole: str) -> Mood:
    before, after = clause[: verb.start()], clause[verb.end() :]
    if not _OF_A_MACHINE.search(verb[0]) and _is_denied(clause, before, after):
        return Mood.DENIED
    is_supposed = _SUPPOSED.search(before) or _DOUBT.search(whole)
    is_put_off = _CONDITION.search(clause) or _LATER.search(clause) or _IN_VAIN.search(before)
    is_nothing_to_do = _NOUN.fullmatch(verb[0]) and not _wishes(before)
    if is_supposed or is_put_off or is_nothing_to_do:
        return Mood.ASKED
    if _INQUIRY.search(clause) and not _POLITE.search(before):
        can_be = _CAN_BE.search(clause)
        is_for_me = can_be and (amount(clause) is not None or re.search(r"\bpara mim\b", clause))
        return Mood.WANTED if is_for_me else Mood.ASKED
    return Mood.WANTED


def _is_denied(clause: str, before: str, after: str) -> bool:
    found = _DENIED_BEFORE.search(before) or _DENIED_AT_THE_END.search(clause) or _STOPS.search(before)
    return found is not None or (_DENIED_AFTER.search(after) is not None and clause.startswith(("deixa ", "nao ")))


def _slots(intent: str, clause: str, text: str) -> dict[str, Any]:
    if intent == "recharge":
        centavos = amount(text)
        centavos = amount(clause) if centavos is None else centavos
        return {} if centavos is None else {"amount": centavos}
    if intent == "save_document":
        said = _normal(text)
        kinds = lexicon.DOCUMENT_KINDS.items()
        kind = next((kind for kind, pattern in kinds if re.search(pattern, said)), None)
        return {} if kind is None else {"type": kind.value}
    return {}


def asks_how(text: str) -> bool:
    """Return whether a message asks how, where or when in general, which a topic answers."""
    return re.search(r"\b(?:como|onde|aonde|quando|o que e|posso|aceita|funciona)\b", _normal(text)) is not None
