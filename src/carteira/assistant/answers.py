"""Parses answers: yes or no, and which of some options. All steps of all intents use it.

A yes is a message that says nothing but yes. Anything else in it (a doubt, a condition, a question, a "but", another
card) makes it neither yes nor no, and the step asks again, since the act may be irreversible.
"""

import re
import unicodedata
from collections.abc import Sequence

from carteira.assistant.text import plain, unnumbered, words

_MARKS = {
    "👍": " sim ",
    "✅": " sim ",
    "👌": " sim ",
    "🆗": " sim ",
    "✔": " sim ",
    "👎": " nao ",
    "❌": " nao ",
    "🚫": " nao ",
}
_KIND = frozenset("🙏😊🙂😀😃😄😁😉😘🥰❤💚💙🎉🙌👏🤝🤗✨")
"""Symbols that may accompany a yes; others, such as a thinking face, make it unclear."""
_ACCENTS = frozenset("\u0300\u0301\u0302\u0303\u0308\u0327")
"""Combining accents of Portuguese and neighbouring languages; strike-through is not among them."""
_QUESTIONS = frozenset("?¿؟‽")
_TONES = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f\u200d\u20e3]")
_KEYCAPS = re.compile("([0-9])\ufe0f?\u20e3")
_LONG = re.compile(r"([a-z])\1+")


def _set(words: str) -> frozenset[str]:
    return frozenset(_LONG.sub(r"\1", word) for word in words.split())


def _phrases(phrases: str) -> re.Pattern[str]:
    written = sorted((phrase.strip() for phrase in " ".join(phrases.split()).split("|")), key=len, reverse=True)
    return re.compile(r"\b(?:" + "|".join(_LONG.sub(r"\1", phrase) for phrase in written) + r")\b")


_YES_PHRASES = _phrases(
    """
    com certeza | com toda certeza | de acordo | sem duvida | sem duvidas | ta bom | ta bem | ta certo | ta ok | ta
    otimo | esta bom | esta bem | esta certo | tudo bem | tudo certo | ja eh | ja e | vai la | vai fundo | vai em
    frente | vai nessa | manda ver | manda bala | manda brasa | pode ir | pode mandar | pode mandar ver | pode fazer
    | pode mandar bala | pode mandar brasa | mandar bala | mandar ver
    | pode crer | pode tocar | pode prosseguir | pode seguir | pode continuar | isso ai | eh isso | por mim | vamos la
    | vamo la | mete bala | mete bronca | mete ficha | toca ficha | toca o barco | bora la | faz isso | eh claro |
    logico que sim | claro que sim | com certeza que sim | lascou | so vai | so se for agora | na hora | de boa |
    de boas | eh nois | tenho certeza | tenho toda certeza | to certo | to certa | estou certo | estou certa | quero que
    """
)
_NO_PHRASES = _phrases(
    """
    de jeito nenhum | de jeito maneira | de forma alguma | de modo algum | deixa quieto | deixa pra la | deixa pra
    depois | deixa para la | deixa isso | nem pensar | nem a pau | nem morto | nem morta | para tudo | para com isso
    | mudei de ideia | deus me livre | fora de questao | vou nao | eh ruim | ta doido | ta doida | ta louco | na na
    ni na nao
    """
)
_YES = _set(
    """
    sim s sin si xim ok okay okey okei oki pode podi podem claro clr confirmo confirma confirmado confirmada
    confirmar confirme isso iso issu certo certeza certamente quero qro yes yep yeah positivo afirmativo aceito
    aceita concordo autorizo autorizado manda mande bora simbora vamos vamo vambora borimbora partiu fechou fechado
    feito beleza belezinha blz blza bele demorou demoro dale tranquilo joia aham ahan arram uhum uhun unhum exato
    exatamente perfeito correto combinado show massa firmeza suave tmj jae eh ta tah vai faz faca prossiga prossegue
    continua continue siga segue obvio logico positiva certinho certissimo certissima y
    """
)
_NO = _set(
    """
    nao n no nop nope nunca jamais negativo nem nada num naum desisti desisto esquece esqueca deixa para pare neca
    """
)
_DOUBT = _set(
    """
    sei talvez acho duvida mas porem so que ou depende espera pera perai calma se caso quando depois antes amanha
    sera quase entendi entendo lembro outro outra sim
    """
)
_FILLER = _set(
    """
    por favor pf pfv pff pfvr favor faz fazendo obrigado obrigada obg obgd brigado brigada agradeco vlw valeu senhor
    senhora sr sra sinho sinhor sinhora moco moca meu minha filho filha filhinha bem querido querida amigo amiga
    mano mana mermao cara velho veio guri guria tche bah tri oxe oxente oxi uai so visse egua eita vixe rapaz menina
    ja logo agora ai entao la o a os as esse este essa esta cartao cartaozinho bilhete passe mesmo msm gentileza eu
    de pra mim ele ela isso tudo absoluta absolutamente toda plena total sempre bom boa otimo gente colega doutor
    doutora vossa parceiro chefe jovem rei mainha painho seu dona e um uma onibus transporte do da no na
    """
)
_STEM = 5
_CANCEL = "cance"


def _answer(text: str) -> str:
    """Normalise an answer for comparison: symbols as words, "é" distinct from "e", "siiim" as "sim"."""
    text = re.sub(r"\bé\b", "eh", unicodedata.normalize("NFC", text.lower()))
    for mark, word in _MARKS.items():
        text = text.replace(mark, word)
    return _LONG.sub(r"\1", plain(_TONES.sub("", text)))


def _has_strange_sign(text: str) -> bool:
    """Return whether a text has a question mark, or a symbol that is neither a word nor a yes.

    Only Latin letters are compared, so a no in another alphabet would otherwise be ignored.
    """
    return any(_is_strange(char) for char in unicodedata.normalize("NFKD", _TONES.sub("", text)))


def _is_strange(char: str) -> bool:
    kind = unicodedata.category(char)
    if kind[0] in {"L", "N"}:
        return not char.isascii()
    if kind[0] == "M":
        return char not in _ACCENTS
    return char in _QUESTIONS or (kind == "So" and char not in _MARKS and char not in _KIND)


def yes_or_no(text: str, act: str = "") -> bool | None:
    """Return whether an answer is a yes or a no; None: neither, and the step asks again.

    `act` is the question's verb ("cancelar"), so that "pode cancelar" is a yes. Naming the act alone is a yes, except
    "cancela", which may mean that nothing should be done.
    """
    if _has_strange_sign(text):
        return None
    said = _answer(unnumbered(text))
    stem = plain(act)[:_STEM]
    said = _YES_PHRASES.sub("sim", _NO_PHRASES.sub("nao", said))
    words = said.split()
    if not words:
        return None
    acts = {word for word in words if stem and word.startswith(stem)}
    agrees = [word for word in words if word in _YES or (word in acts and stem != _CANCEL)]
    refuses = [word for word in words if word in _NO or (word.startswith(_CANCEL) and stem != _CANCEL)]
    if refuses:
        return _refusal(words)
    known = all(word in _YES or word in _FILLER or word in acts for word in words)
    return True if agrees and known else None


def chosen_answer(text: str, act: str) -> bool | None:
    """Return the answer to a question whose first option is yes and second is no; None: the step asks again.

    A number and words together must agree: "1. Sim, bloquear" is no yes to another act.
    """
    said = yes_or_no(text, act)
    place = choice(text, 2)
    if place is None or _has_strange_sign(text):
        return said
    by_place = place == 0
    return None if _NUMBERED.match(text) and said is not by_place else by_place


def _refusal(words: Sequence[str]) -> bool | None:
    """Return the meaning of an answer with a negation: a no, unless it also has a yes or a doubt."""
    if any(word in _DOUBT for word in words):
        return None
    ends = (words[0], words[-1])
    known = all(word in _NO or word in _YES or word in _FILLER or word.startswith(_CANCEL) for word in words)
    return False if known or any(word in _NO for word in ends) else None


_PLACES = {
    word: place
    for place, words in enumerate(
        ("1 um uma primeiro primeira primero primera primeirinho primeirinha",
         "2 dois duas segundo segunda", "3 tres terceiro terceira",
         "4 quatro quarto quarta", "5 cinco quinto quinta", "6 seis sexto sexta", "7 sete setimo setima",
         "8 oito oitavo oitava", "9 nove nono nona", "10 dez decimo decima")
    )
    for word in words.split()
}  # fmt: skip
_LAST = frozenset({"ultimo", "ultima"})
_DIGITS = 2
_NUMBERED = re.compile(r"^\s*([0-9]{1,2})\s*[.):-]\s+(?=\S)")
_CHOOSING = words(
    """
    a o as os e eh opcao opicao opsao op alternativa item numero num n no de da do lista quero escolho prefiro vou
    na com essa esse esta este ai la por favor pf pfv mesmo sim fico cartao que seria tipo meu minha bilhete
    """
)
_ORDINAL = re.compile(r"\b(\d{1,2})\s*[ªº°]|\b(\d{1,2})[ao]\b")


def _content(text: str) -> list[str]:
    bare = _KEYCAPS.sub(r" \1 ", text).replace("🔟", " 10 ")
    bare = _ORDINAL.sub(lambda match: f" {match[1] or match[2]} ", bare.lower())
    return [word for word in plain(bare).split() if word not in _CHOOSING]


def choice(text: str, options: int) -> int | None:
    """Return the index of the numbered option that a text names, from 0.

    "2", "2️⃣", "opção dois", "a segunda", "a última", or the option as it was written, number first.
    """
    if "?" in text:
        return None
    numbered = _NUMBERED.match(text)
    words = [numbered[1]] if numbered else _content(text)
    if len(words) != 1:
        return None
    word = words[0]
    place = options - 1 if word in _LAST else _PLACES.get(word.lstrip("0") if word.isdigit() else word)
    if place is None and word.isdigit() and len(word) <= _DIGITS:
        place = int(word) - 1
    return place if place is not None and 0 <= place < options else None


def named(text: str, options: Sequence[str]) -> int | None:
    """Return the option that a text names, by its whole text or by words that only it has ("o de estudante")."""
    said = plain(unnumbered(text))
    written = [plain(unnumbered(option)) for option in options]
    if said in written:
        return written.index(said)
    words = set(_content(text))
    if not words or "?" in text:
        return None
    found = [place for place, option in enumerate(written) if words <= set(option.split())]
    return found[0] if len(found) == 1 else None
