"""Recognises messages of despair and of anger. Pure, no I/O."""

import re

from carteira.assistant.text import expand, plain

_LIFE = r"(?:minha |a |minha propria |a propria |a minha )?vida"
_DESPAIR = re.compile(
    r"\b(?:me matar|me mato|mi matar|suicid\w*|me enforcar|me jogar (?:d[aeo]|n[ao])|me cortar|me machucar|"
    rf"(?:tirar|acabar com|dar (?:um )?fim (?:n|em )?|por (?:um )?fim (?:n|em )?|terminar com)\s?a?\s?{_LIFE}|"
    r"(?:acabar com|por um fim (?:em|a)|dar um fim (?:em|a)) tudo|"
    r"(?:quero|vou|queria|quis|vontade de|prefiro|preferia|melhor|melhor eu|pensando em|penso em|penso so em) morrer|"
    r"(?:quero|queria|preferia|melhor|se eu) (?:\w+ )?(?:estar|estivesse|tivesse|to|estava) mort[oa]|"
    r"ninguem (?:\w+ ){0,5}se eu (?:morr|sum|desaparec)\w+|"
    r"(?:nao|sem) (?:aguento|quero|vontade de|tenho vontade de|da vontade de|consigo)(?: mais)? viver|"
    r"(?:cansei|cansad[oa]|farto|farta|desisti|desistir|desisto) (?:de viver|da vida)|"
    rf"{_LIFE} (?:nao|ja nao) (?:tem|faz|vale|presta)(?: mais)?(?: a pena| sentido| nada)?|{_LIFE} (?:acabou|"
    rf"perdeu o sentido)|"
    rf"(?:nao|sem) (?:tem|ha|vejo|acho)?\s?(?:mais )?sentido (?:na|em|para) (?:{_LIFE}|viver)|"
    r"sumir d[eo]s[st]e? mundo|(?:quero|queria|vontade de|vou) (?:sumir|desaparecer|dormir) (?:para|pra) sempre|"
    r"nao (?:quero|queria) (?:mais )?(?:existir|acordar|estar aqui)|(?:queria |preferia )?nao ter nascido|"
    r"ninguem (?:ia |vai )?(?:sentir|sentiria) (?:minha )?falta|(?:ponto de fazer|pensando em|"
    r"vontade de fazer) (?:uma )?besteira)\b"
)
_INSULT = re.compile(
    r"\b(?:lad(?:rao|rona|roes)|burr[oa]s?|idiotas?|imbec\w*|inutil|inuteis|incompetent\w*|estupid[oa]s?|lixo|porcaria|"
    r"merda|bosta|droga de|vsf|vtnc|tnc|pqp|fdp|se (?:ferrar|lascar|danar|catar|f[ou]der)|va se catar|palhacada|"
    r"palhacos?|"
    r"anta|otari[oa]s?|babaca|cretin[oa]s?|jument[oa]|vagabund[oa]s?|desgraca\w*|arrombad[oa]s?|safad[oa]s?|"
    r"sem vergonha|"
    r"canalhas?|picareta\w*|nojent[oa]s?|tomar (?:no|nesse) cu|toma no cu|porra|cacete|corno|trouxas?|"
    r"filh[oa]s? da puta|caralho|puta que pariu)\b"
)


def _normal(text: str) -> str:
    return plain(expand(text))


def despairs(text: str) -> bool:
    """Return whether a message speaks of not wanting to live."""
    return _DESPAIR.search(_normal(text)) is not None


def insults(text: str) -> bool:
    """Return whether a message insults."""
    return _INSULT.search(_normal(text)) is not None
