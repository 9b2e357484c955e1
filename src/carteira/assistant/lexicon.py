"""The vocabulary of acts: verbs in the forms of a request, nouns, objects. Patterns over normalised text."""

from carteira.documents import DocumentType


def asking(*stems: str) -> str:
    """Return the forms of a verb in requests: infinitive, imperative, and "que colocasse"; not those of reports."""
    return rf"(?:{'|'.join(stems)})(?:a|ar|asse|e|em|ue|uem)"


CARD = (
    r"\b(?:cartao|cartaum|cartaozinho|bilhete|biliete|passe|onibus|passagem|transporte|metro|trem|conducao|catraca|bus|"
    r"riocard|sptrans|trensurb|brt|vlt|(?:no|do|meu|o) tri|vale transporte|final [0-9]{4})\b"
)
OTHER_CARD = (
    r"\b(?:beneficios?|alimentacao|refeicao|credito do|conta|cadastro|compra|recarga|viagem|revenda|senha|google|"
    r"passkey|email|vale (?:cultura|refeicao|alimentacao)|ticket)\b"
)
"""Things that are blocked or cancelled and are not transport cards."""
MONEY = r"\b(?:creditos?|dinheiro|dinheirinho|graninha|saldo|passagem|passagens|reais)\b"
DOCUMENT_KINDS = {
    DocumentType.CNH: r"\b(?:cnh|habilitacao|carteira de motorista|carta de motorista)\b",
    DocumentType.RG: r"\b(?:rg|identidade|registro geral)\b",
    DocumentType.PASSPORT: r"\bpas+aporte\b",
    DocumentType.VOTER: r"\btitulo\b",
    DocumentType.VACCINATION: r"\bvacin[a-z]*\b",
    DocumentType.CPF: r"\bcpf\b",
}
DOCUMENT = r"\b(?:documentos?|docs?|documetos?)\b|" + "|".join(DOCUMENT_KINDS.values())

_PUT = (
    r"(?:(?:^|(?<=quero )|(?<=queria )|(?<=vou )|(?<=para )|(?<=pode )|(?<=preciso )|(?<=de )|(?<=me )|(?<=dar )|"
    r"(?<=posso )|"
    r"(?<=consigo )|(?<=mandei )|(?<=poderia ))por(?! (?:favor|que|gentileza|isso|aqui|causa|enquanto|engano)\b)|"
    r"poe|poem|po(?= )|ponh[ae])"
)
"""The verb "pôr", whose infinitive without its accent is a preposition as well."""
BLOCK = (
    rf"\b(?:{asking('blo(?:qu|k|c|q)e?i?', 'trav', 'tranc', 'congel', 'inutiliz', 'paralis')}|bloqueio|"
    r"suspend(?:a|am|e|er|em))\b"
)
UNBLOCK = (
    rf"\b(?:{asking('desblo(?:qu|k|c|q)e?i?', 'destrav', 'destranc', 'descongel', 'liber', 'reativ')}|desbloqueio|"
    r"ativ(?:a|ar|e) (?:de novo|novamente|outra vez)|"
    r"(?:tira|tirar|tire|retira|retirar|retire|remove|remover|desfaz|desfazer|desfaca) o bloqueio)\b"
)
CANCEL = (
    rf"\b(?:{asking('[ck]an[cs]el', 'encerr', 'anul', 'invalid')}|[ck]an[cs]elamento|encerramento|"
    r"(?:dar|da|de|dando) (?:baixa|fim|cabo)|acabar com|acaba com)\b"
)
OF_CARDS = {"unblock_card": UNBLOCK, "block_card": BLOCK, "cancel_card": CANCEL}
"""Acts on a card, in the order of the search."""
RECHARGE = rf"\b{asking('r[ei]?s?[ckg]a?r+e?g', '[ck]ar+eg', 'abastec', 'encarreg')}\b|\b(?:re?carreg|abastecer)\b"
RECHARGE_NOUN = r"\b(?:re?carga|recar+ega|recarguinha|carga)\b"
PUT = (
    rf"\b(?:{asking('colo[ck]', 'coloqu', 'bot', 'adicion', 'mand', 'credit', 'deposit', 'jog', 'tac', 'larg')}|"
    rf"{asking('lanc', 'acrescent', 'complet', 'solt')}|{_PUT}|pus(?:er|esse)|met(?:e|er|a|am)|add|inser(?:e|ir)|"
    rf"insir(?:a|am)|"
    r"inclu(?:i|ir|a)|ench(?:e|er|a)|compr(?:a|ar|e))\b"
)
SAVE = (
    rf"\b(?:(?<!\bo )(?<!esta )(?<!ficou )(?<!foi ){asking('guard', 'salv')}|"
    rf"{asking('cadastr', 'adicion', 'colo[ck]', 'coloqu')}|"
    rf"(?<!me ){asking('bot', 'envi', 'arquiv', 'registr', 'anex', 'jog')}|{_PUT}|(?<!me )mand(?:a|ar|e)|add|"
    rf"inser(?:e|ir)|"
    r"inclu(?:i|ir|a)|sob(?:e|a)|subir|upload)\b"
)
_PERSON = (
    r"(?:atendente|atendentes|humano|humana|pessoa|gente|alguem|moca|moco|suporte|funcionari[oa]|ser humano|supervisor|"
    r"gerente|responsavel|ouvidoria)\b"
)
PEOPLE = (
    rf"\b(?:fal(?:a|ar|o|e)|convers(?:a|ar|e)|contato|reclamacao|reclamar) com (?:(?!maquina|"
    rf"robo)[a-z]+ ){{0,3}}{_PERSON}|"
    rf"\b(?:cham(?:a|ar|e|o|em)|quero|queria|preciso(?: de)?|prefiro|me passa|passa|pass(?:ar|e)|transfer(?:e|ir)|"
    rf"bota|coloca|liga|"
    rf"liga[r]?|cade|chamem|ajuda de) (?:(?!saber|ver|que|se|usar)[a-z]+ ){{0,3}}{_PERSON}|"
    rf"\b(?:tem|ha|existe) (?:algum |alguma |um |uma )?(?:alguem|{_PERSON}) (?:ai|de verdade|"
    rf"para (?:me )?(?:atender|ajudar))|"
    r"\balguem (?:ai|pode (?:me )?(?:atender|ajudar)|me (?:atende|ajuda))\b|"
    r"\bnao (?:quero|queria|gosto de|vou) (?:mais )?(?:falar|conversar|saber) (?:com|de) (?:maquina|robo|computador)\b|"
    r"\b(?:atendimento|atende\w+) humano\b"
)
