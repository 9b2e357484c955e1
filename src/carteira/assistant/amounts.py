"""Amounts of reais as people say and write them: "R$ 1.234,56", "20 conto", "vinte e cinco", "dez e cinquenta"."""

import re
import unicodedata
from collections.abc import Iterator

from carteira.assistant.text import plain
from carteira.kit.values.money import MAX_AMOUNT, InvalidAmount, read_reais

_UNITS = {
    word: value
    for value, words in enumerate(
        ("zero", "um", "dois", "tres", "quatro", "cinco", "seis", "sete", "oito", "nove", "dez dezinho", "onze", "doze",
         "treze", "quatorze catorze", "quinze", "dezesseis", "dezessete", "dezoito", "dezenove")
    )
    for word in words.split()
}  # fmt: skip
_TENS = {
    word: 10 * value
    for value, words in enumerate(
        ("vinte vinti vintao vintinho", "trinta trita trintao trintinha", "quarenta corenta quarentinha",
         "cinquenta cincoenta sincoenta sinquenta cinquentao cinquentinha", "sessenta secenta", "setenta",
         "oitenta", "noventa"), 2
    )
    for word in words.split()
}  # fmt: skip
_HUNDREDS = {
    word: 100 * value
    for value, words in enumerate(
        ("cem cento cenzinho", "duzentos duzento", "trezentos trezento", "quatrocentos", "quinhentos", "seiscentos",
         "setecentos", "oitocentos", "novecentos"), 1
    )
    for word in words.split()
}  # fmt: skip
_SPOKEN = _UNITS | _TENS | _HUNDREDS
_MONEY = r"(?:rea(?:l|is|s|u|us)|reai|conto|contos|pila|pilas|mango|mangos|prata|pratas|dinheiros)"
_NOTES = r"(?:zinho|zao|tao|inho|ao)"
_NUMBER = r"(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]{1,13})(?:,[0-9]{1,2}|\.[0-9]{2}(?![0-9]))?"
_FIGURES = re.compile(_NUMBER)
_TOKEN = re.compile(
    rf"(?P<sign>r\$)|(?P<number>[0-9](?:[.,]?[0-9])*)(?:{_NOTES}\b)?|(?P<word>[a-z]+)|(?P<minus>[-\u2212])(?=\s*[0-9])"
)
"""Figures are matched to their end: the end of "0,005 reais" is not five reais."""
_CLAUSE = re.compile(r"(?<![0-9]),|,(?![0-9])|[;!?\n]| mas ")
_NEGATED = frozenset({"nao", "n", "nem", "nunca", "num", "menos", "sem"})
_LACKS = re.compile(r"\bsem (?:passage(?:m|ns)|creditos?|saldo|dinheiro|grana|nada)\b")
"""Words after which a negation does not deny the amount ("sem 20 reais")."""
_CARD_DIGITS = re.compile(
    r"\b(?:(?:final|linha|numero|terminado em)\s+[0-9 ]+|(?:cartao|bilhete)\s+[0-9](?: ?[0-9]){3,})"
)
_TOO_MUCH = MAX_AMOUNT + 1
"""The value of figures that are no valid amount, so that they are not ignored."""
_CENTS = 100
_THOUSAND = 1000


def amount(text: str) -> int | None:
    """Return the one amount of reais in a text, in centavos; None if there is none, several, or too large a one.

    Denied amounts do not count ("vinte não, trinta reais"), nor do a card's digits.
    """
    if any(unicodedata.category(char) == "No" for char in text):  # "10½" and "10²" are no figures
        return None
    clauses = [_LACKS.sub(" ", _CARD_DIGITS.sub(" ", clause)) for clause in _CLAUSE.split(_plain_signs(text))]
    found = [hit for clause in clauses if _NEGATED.isdisjoint(clause.split()) for hit in _amounts(clause)]
    sure = {centavos for centavos, is_money in found if is_money}
    meant = sure or {centavos for centavos, _ in found}
    centavos = meant.pop() if len(meant) == 1 else 0
    return centavos if 1 <= centavos <= MAX_AMOUNT else None


def _plain_signs(text: str) -> str:
    return "".join(plain(char) or char for char in text.lower())


def _amounts(clause: str) -> Iterator[tuple[int, bool]]:
    """Yield each amount of a clause, and whether a word or sign of money stands with it."""
    tokens = [(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(clause)]
    place = 0
    while place < len(tokens):
        signed = place > 0 and tokens[place - 1][0] == "sign"
        if tokens[place][0] == "minus":
            yield 0, True
        read = _number(tokens, place)
        if read is None:
            place += 1
            continue
        centavos, after = read
        if after < len(tokens) and tokens[after][1] not in {"um", "uma"} and _number(tokens, after) is not None:
            yield _TOO_MUCH, True  # "novecentos mil mil": figures that follow each other are no amount
        is_alone = tokens[place][1] in {"um", "uma"} and after == place + 1
        is_money = after < len(tokens) and re.fullmatch(_MONEY, tokens[after][1]) is not None
        if is_money:
            centavos, after = _with_cents(tokens, centavos, after + 1)
        elif after + 1 < len(tokens) and tokens[after][1] == "e" and tokens[after + 1][1] in {"meio", "meia"}:
            centavos, after = _with_cents(tokens, centavos, after)
        if is_money or signed or not is_alone:
            yield centavos, is_money or signed
        place = after


def _with_cents(tokens: list[tuple[str, str]], centavos: int, place: int) -> tuple[int, int]:
    """Add a following "e cinquenta (centavos)" or "e meio" to "dez reais"."""
    if [token for _, token in tokens[place : place + 2]] in (["e", "meio"], ["e", "meia"]):
        return centavos + _CENTS // 2, place + 2
    if place + 1 < len(tokens) and tokens[place][1] in {"e", "com"}:
        read = _number(tokens, place + 1)
        if read is not None and read[0] < _CENTS * _CENTS:
            cents, after = read[0] // _CENTS, read[1]
            if after < len(tokens) and tokens[after][1].startswith("centavo"):
                after += 1
            return centavos + cents, after
    return centavos, place


def _number(tokens: list[tuple[str, str]], place: int) -> tuple[int, int] | None:
    """Parse a number in figures or words at a position: its centavos, and the position after it."""
    kind, written = tokens[place]
    if kind == "number":
        figures = written.rstrip("abcdefghijklmnopqrstuvwxyz")
        try:
            whole = _FIGURES.fullmatch(figures) is not None
            centavos: int = read_reais(re.sub(r"\.([0-9]{2})$", r",\1", figures), least=0) if whole else _TOO_MUCH
        except InvalidAmount:
            centavos = _TOO_MUCH
        is_thousands = place + 1 < len(tokens) and tokens[place + 1][1] == "mil"
        return (centavos * _THOUSAND, place + 2) if is_thousands else (centavos, place + 1)
    if written not in _SPOKEN and written != "mil":
        return None
    reais, cents, after = _spoken(tokens, place)
    return reais * _CENTS + cents, after


def _spoken(tokens: list[tuple[str, str]], place: int) -> tuple[int, int, int]:
    """Parse a number in words: its reais, the centavos of "dez e cinquenta", and the position after it."""
    total, part, room = 0, 0, _THOUSAND
    while place < len(tokens):
        word = tokens[place][1]
        if word == "mil" and total == 0:
            total, part, room = (part or 1) * _THOUSAND, 0, _THOUSAND
        elif word in _SPOKEN and _SPOKEN[word] < room:
            value = _SPOKEN[word]
            part += value
            room = 100 if word in _HUNDREDS else 10 if word in _TENS else 1
        elif word in _SPOKEN and tokens[place - 1][1] == "e":
            cents, after = 0, place
            while after < len(tokens) and (tokens[after][1] in _SPOKEN or tokens[after][1] == "e"):
                cents += _SPOKEN.get(tokens[after][1], 0)
                after += 1
            return total + part, cents if cents < _CENTS else 0, after
        elif word != "e" or place + 1 >= len(tokens) or tokens[place + 1][1] not in _SPOKEN:
            break
        place += 1
    return total + part, 0, place
