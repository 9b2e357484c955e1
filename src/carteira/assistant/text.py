"""Typed text: cleaned, normalised for comparison, scrubbed for storing."""

import re
import unicodedata

from carteira.kit.ops.log import scrub

MAX_UNDERSTOOD = 500
"""Most characters of a message that are read; the request is at its beginning."""
MAX_KEPT = 200

_WORDS = re.compile(r"[a-z0-9]+")
_ANY_WORD = re.compile(r"[^\W_]+")
_SHORTENED = """
    vc=você | vcs=vocês | cê=você | ocê=você | q=que | pq=por que | oq=o que | qdo=quando | qnd=quando |
    qto=quanto | qts=quantos | n=não | ñ=não | nao=não | pra=para | pro=para o | pras=para as | pros=para os |
    tb=também | tbm=também | hj=hoje | ta=está | tá=está | to=estou | tô=estou | tava=estava | tou=estou |
    msg=mensagem | cel=celular | fone=telefone | blz=beleza | mto=muito | td=tudo | tds=todos | dps=depois |
    cmg=comigo | ngm=ninguém | eh=é | aki=aqui | vr=vale refeição | va=vale alimentação | meal=refeição |
    food=alimentação | cash=saldo livre | firma=empresa | grana=dinheiro | bufunfa=dinheiro | conto=reais |
    pila=reais | pilas=reais | busão=ônibus | buzão=ônibus | buso=ônibus | bilhete=cartão de ônibus |
    bilhetes=cartões de ônibus | app=aplicativo | apps=aplicativos | zap=whatsapp | logar=entrar | botar=colocar |
    boto=coloco | botei=coloquei | bota=coloca | deletar=apagar | deleto=apago | deletei=apaguei |
    deletado=apagado | dpo=encarregado de dados dpo | 2fa=verificação em duas etapas |
    mfa=verificação em duas etapas | codigo=código | cartao=cartão | onibus=ônibus |
    facebook=meta facebook | insta=instagram | pontuação=score | pontuacao=score | smartphone=celular |
    telemóvel=celular | aparelho=celular aparelho | roleta=catraca | trampo=trabalho | trampar=trabalhar |
    mercado=supermercado | 2x=duas vezes | 3x=três vezes | qro=quero | qria=queria | cm=como | cmo=como |
    msm=mesmo | pfv=por favor | pf=por favor | pls=por favor | aq=aqui | dnv=de novo | kd=cadê | cade=cadê |
    nd=nada | qm=quem | oque=o que | porq=por que | pk=por que | naum=não | entaum=então | xega=chega |
    xegou=chegou | imeiu=email | imeil=email | hotmail=email hotmail | doc=documento | docs=documentos |
    identidade=rg identidade | habilitação=cnh habilitação | habilitacao=cnh habilitação | face=facebook meta |
    fb=facebook meta | authy=autenticador | authenticator=autenticador | deslogar=sair da conta |
    desloga=sai da conta | deslogando=saindo da conta | upload=envio | download=baixar | tlf=telefone |
    tel=telefone | nf=nota | vt=cartão de ônibus | real=reais | vlw=valeu | obg=obrigado | perfil=conta perfil |
    escanear=ler o código | escanearam=leram o código |
    kuanto=quanto | qnto=quanto | qnt=quanto | qt=quanto | cartaum=cartão | saldinho=saldo | dinheirinho=dinheiro |
    graninha=dinheiro | trocado=dinheiro | riocard=cartão de ônibus | sald=saldo | bilhte=cartão de ônibus |
    biliete=cartão de ônibus | padoca=padaria | cashbeck=cashback | cachback=cashback | keshback=cashback
"""
_EXPANDED = dict(pair.strip().split("=") for pair in _SHORTENED.split("|"))
_APART = re.compile(r"\bcash[ -]?bac?k\b")
_NUMBERED = re.compile(r"^\s*(\d{1,2})\s*[.):-]\s+(?=\S)")
_LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
_SPOKEN_ADDRESS = re.compile(r"\S+ arroba \S+(?: ponto \w+)*|(?<!\w)@\w[\w.]*", re.IGNORECASE)
_SECRET = re.compile(r"\b((?:senha|token|código|codigo)\s*(?:é|:|=))\s*\S+", re.IGNORECASE)
_FIGURE = r"(?:zero|uma?|dois|duas|tr[êe]s|quatro|cinco|seis|meia|sete|oito|nove)"
_SPOKEN_DIGITS = re.compile(rf"\b{_FIGURE}(?:[\s,.-]+(?:e\s+)?{_FIGURE}){{3,}}\b", re.IGNORECASE)
"""A number that is spoken digit by digit."""
_DIGITS = re.compile(r"\d[\d.,/ -]*\d|\d")
_NAMED = re.compile(
    r"\b(me chamo|meu nome (?:é|e)|eu sou (?:o|a)|aqui (?:é|e) (?:o|a)|sou (?:o|a)|"
    r"(?:do|da|de|para|pra) (?:dona?|senhora?|seu))"
    r"\s+[^\W\d_]+(?:\s+(?:d[aeo]s?\s+)?[^\W\d_]+){0,3}",
    re.IGNORECASE,
)
_CAPITALISED = re.compile(r"(?<=[^\W\d_])(\s+|,\s*)[A-ZÀ-Ý][a-zà-ÿ]+(?:\s+(?:d[aeo]s?\s+)?[A-ZÀ-Ý][a-zà-ÿ]+)*")
_LOUD = re.compile(r"\b[A-ZÀ-Ý]{3,}(?:\s+(?:D[AEO]S?\s+)?[A-ZÀ-Ý]{2,})+\b")
"""A name in capitals; in a message without small letters it is an ordinary word."""
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Control characters that change the reading order of a text."""
_OURS = frozenset({"Google", "Meta", "Facebook", "Pix", "Android", "Apple", "Word", "Receita", "Federal", "Uber"})


def clean(message: str) -> str:
    """Remove control characters, direction changes and lone surrogates from a message; normalise it (NFC)."""
    return unicodedata.normalize("NFC", "".join(map(_clean_char, message))).strip()


def _clean_char(char: str) -> str:
    if char in _TURNING:
        return ""
    return char if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"} else " "


def plain(text: str) -> str:
    """Normalise a text for comparison: words of letters and digits, in lower case, without accents."""
    bare = unicodedata.normalize("NFKD", text.lower())
    return " ".join(_WORDS.findall("".join(char for char in bare if not unicodedata.combining(char))))


def expand(text: str) -> str:
    """Expand abbreviations ("vcs", "pq", "VR") and synonyms ("busão", "firma"), in lower case."""
    small = _APART.sub("cashback", text.lower().replace("e-mail", "email"))
    return " ".join(_EXPANDED.get(word, word) for word in _ANY_WORD.findall(small))


def words(text: str) -> frozenset[str]:
    """Return the set of a text's words."""
    return frozenset(text.split())


_ACRONYMS = words("APP CEP CNH CNPJ CPF CVV DPO LGPD NÃO OTP PDF PIN PIX PNG QR RG SIM SMS VA VR VT")


def unnumbered(text: str) -> str:
    """Remove an option's number: "2. Cancelar um cartão" becomes "Cancelar um cartão"."""
    return _NUMBERED.sub("", text)


def anonymous(question: str) -> str:
    """Remove possible personal data from a stored question: numbers, addresses, links, names.

    Names are what follows "me chamo" and the like, and capitalised words that do not begin a sentence. The rest is
    truncated to `MAX_KEPT` characters.
    """
    text = _LINK.sub("[link]", scrub(question))
    text = _SPOKEN_ADDRESS.sub("[email]", _SECRET.sub(r"\1 [senha]", text))
    if any(map(str.islower, question)):
        text = _LOUD.sub(lambda match: match[0] if _ACRONYMS.issuperset(match[0].split()) else "[nome]", text)
    text = _SPOKEN_DIGITS.sub("#", text)
    text = _DIGITS.sub("#", text)
    text = _NAMED.sub(r"\1 [nome]", text)
    text = _CAPITALISED.sub(lambda match: match[0] if match[0].strip(" ,") in _OURS else f"{match[1]}[nome]", text)
    return text[:MAX_KEPT]
