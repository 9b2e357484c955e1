"""Reading answers: a plain yes, options by their words, amounts as people write them."""

import pytest

from carteira.assistant.amounts import amount
from carteira.assistant.answers import choice, chosen_answer, named, yes_or_no
from carteira.kit.values.money import MAX_AMOUNT

CARDS = ["1. Cartão 1111 2222 3333 4444: R$ 7,00", "2. Cartão 9999 8888 7777 6666 (bloqueado): R$ 0,00"]


@pytest.mark.parametrize(
    "text",
    [
        "Sim",
        "sim, por favor",
        "é",
        "É sim",
        "simmm",
        "s",
        "tá",
        "ta certo",
        "belê",
        "fechado",
        "pode mandar ver",
        "mete bala",
        "tenho certeza",
        "bora simbora",
        "👍🏽",
        "✅",
        "sim 🙏",
        "ô, com certeza meu filho",
        "confirmado, obrigada",
        "faz favor, pode cancelar",
        "só vai",
        "pode ir, tchê",
        "partiu",
        "sem dúvida",
        "claro que sim",
        "sim...",
        "okay",
        "toca ficha",
        "tudo certo",
        "vamo la",
        "isso aí, cancela",
        "quero cancelar sim",
        "logico",
        "sim eu quero cancelar esse cartão",
        "perfeito",
        "de boa",
        "de acordo",
    ],
)
def test_a_plain_yes_is_a_yes(text: str) -> None:
    assert yes_or_no(text, "cancelar") is True


@pytest.mark.parametrize(
    "text",
    [
        "NÃO",
        "n",
        "nao não",
        "não quero mais",
        "nunca",
        "melhor não",
        "ih, não",
        "cancelar não",
        "deixa quieto vai",
        "de jeito nenhum",
        "não obrigada",
        "❌",
        "mudei de ideia",
        "quero não",
        "n quero",
        "nem a pau",
    ],
)
def test_a_no_is_a_no(text: str) -> None:
    assert yes_or_no(text, "cancelar") is False


@pytest.mark.parametrize(
    "text",
    [
        "",
        "talvez",
        "sim, mas só o azul",
        "sim?",
        "pode?",
        "claro, e o saldo vai pra onde",
        "sim se devolver o dinheiro",
        "sim, o final 1234",
        "ok só depois do almoço",
        "quando eu mandar",
        "sim não",
        "não sim",
        "não sei não",
        "sim 🤔",
        "cancela",
        "acho que pode",
        "pode cancelar os dois",
        "sim vou pensar",
        "quero saber antes",
        "sim, aliás espera",
        "tá bom então não",
        "beleza, mas",
        "confirmo que não sei",
        "pode cancelar se for de graça",
        "ainda não decidi",
        "sim, cancelar o outro",
        "ok. quanto custa",
        "qualquer um",
        "sim exceto o saldo",
        "depende",
        "🤷",
        "abacate",
        "não entendi",
        "não, quer dizer, sim",
        "vocês que sabem",
        "sim ou nao",
        "quero 20",
        "pode cancelar depois",
        "pode ser",
        "é, né",
    ],
)
def test_answers_other_than_a_plain_yes_are_asked_again(text: str) -> None:
    assert yes_or_no(text, "cancelar") is not True


@pytest.mark.parametrize(
    "text",
    [
        "sim 不要",
        "нет sim",
        "н\u0435т, sim",
        "sim？",
        "¿sim",
        "sim ⁉",
        "s\u0336i\u0336m\u0336",
        "1 不要",
        "1？",
        "sim, um real",
        "1. Sim, desbloquear",
        "1. não",
        "2. sim",
    ],
)
def test_answers_with_hidden_signs_or_a_wrong_number_are_not_taken(text: str) -> None:
    assert chosen_answer(text, "cancelar") is None


@pytest.mark.parametrize(
    ("text", "agreed"),
    [("1. Sim, cancelar", True), ("2. Não cancelar", False), ("1️⃣", True), ("a segunda", False), ("sim!", True)],
)
def test_an_option_is_an_answer(text: str, agreed: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert chosen_answer(text, "cancelar") is agreed


def test_naming_another_act_is_no_yes() -> None:
    assert yes_or_no("pode recarregar", "bloquear") is None
    assert yes_or_no("bloqueia", "bloquear") is True
    assert yes_or_no("cancela", "recarregar") is False


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("1", 0),
        ("2.", 1),
        (" 3 ", 2),
        ("2) abc", 1),
        ("4", None),
        ("0", None),
        ("", None),
        ("opção 2", 1),
        ("a primeira", 0),
        ("1️⃣", 0),
        ("a número três, por favor", 2),
        ("última", 2),
        ("1ª", 0),
        ("segundo", 1),
        ("op 1", 0),
        ("1 ou 2", None),
        ("não a 1", None),
        ("a 2?", None),
        ("dez", None),
        ("20 reais", None),
    ],
)
def test_choices(text: str, place: int | None) -> None:
    assert choice(text, 3) == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("o bloqueado", 1),
        ("o de final 4444", None),
        ("4444", 0),
        (CARDS[1], 1),
        ("não o bloqueado", None),
        ("cartão", None),
    ],
)
def test_options_are_named_by_words_that_only_they_have(text: str, place: int | None) -> None:
    assert named(text, CARDS) == place


@pytest.mark.parametrize(
    ("text", "centavos"),
    [
        ("20", 2000),
        ("R$ 1.234,56", 123_456),
        ("20,5", 2050),
        ("20.50", 2050),
        ("20 reais", 2000),
        ("0,01", 1),
        ("0", None),
        ("-5", None),
        ("1,234", None),
        ("vinte", 2000),
        ("9" * 13, None),
        ("10000000000,00", MAX_AMOUNT),
        ("٢٠", None),
        ("vinte e cinco", 2500),
        ("vinte e cinco e trinta", 2530),
        ("dez reais e cinco centavos", 1005),
        ("mil", 100_000),
        ("dois mil e duzentos reais", 220_000),
        ("cento e dez", 11_000),
        ("50tão", 5000),
        ("10reais", 1000),
        ("cem pila", 10_000),
        ("quero por 15 conto por favor", 1500),
        ("dez não, vinte", 2000),
        ("entre 10 e 20", None),
        ("dez não", None),
        ("um real", 100),
        ("um cartão", None),
        ("30 reais no cartão final 1234", 3000),
        ("menos dez", None),
        ("muito", None),
        ("cartão 9076 1234 1234 1234", None),
        ("trezentos e vinte e um e quinze", 32_115),
        ("0,005 reais", None),
        ("10,999 reais", None),
        ("12345678901234 reais", None),
        ("10.5 reais", None),
        ("\u221210 reais", None),
        ("10½ reais", None),
        ("10² reais", None),
        ("novecentos mil mil reais", None),
        ("10 20 reais", None),
    ],
)
def test_amounts(text: str, centavos: int | None) -> None:
    assert amount(text) == centavos
