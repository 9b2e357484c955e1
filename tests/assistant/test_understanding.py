"""Reading what people type, and ranking it."""

import numpy as np
import pytest

from carteira.assistant.ranker import OUTSIDE, Ranker, _Index, _solve
from carteira.assistant.spelling import Speller
from carteira.assistant.text import anonymous, expand, plain

PHRASES = [
    ("saldo", "qual meu saldo"),
    ("saldo", "quanto tenho no cartão de ônibus"),
    ("cancelar", "quero cancelar meu cartão"),
    ("cancelar", "cancelamento do cartão"),
    (OUTSIDE, "previsão do tempo"),
    (OUTSIDE, "vai chover amanhã"),
]


@pytest.mark.parametrize(
    ("text", "label"),
    [("QUAL O SALDO??", "saldo"), ("qto tenho no busão", "saldo"), ("quero cancelr o cartao", "cancelar")],
)
def test_words_alone_rank(text: str, label: str) -> None:
    ranking = Ranker(PHRASES).rank(text)
    assert ranking.candidates[0].label == label
    assert OUTSIDE not in {candidate.label for candidate in ranking.candidates}


@pytest.mark.parametrize("text", ["", "?!", "🙂", "vai chover hoje", "xyzzy plugh"])
def test_what_fits_nothing_has_no_best(text: str) -> None:
    assert Ranker(PHRASES).rank(text).best is None


def test_learning_in_blocks_is_the_same_as_at_once() -> None:
    random = np.random.default_rng(1)
    texts = [" ".join(random.choice(list("abcdefghijklm"), 6)) for _ in range(700)]
    index = _Index(texts, list)
    kernel = np.zeros((700, 700), dtype=np.float32)
    index.add_kernel(kernel, 0.25)
    assert np.allclose(kernel, 0.25 * np.stack([index.similarities(text) for text in texts]), atol=1e-5)
    kernel[np.diag_indices_from(kernel)] += np.float32(0.1)
    wanted = random.random((700, 3), dtype=np.float32)
    expected = np.linalg.solve(kernel.astype(np.float64), wanted)
    assert np.allclose(_solve(kernel, wanted.copy()), expected, rtol=1e-3, atol=1e-3)


def test_misspelt_words_are_mended() -> None:
    speller = Speller(["qual meu saldo e cartão de ônibus", "é ver"] * 3 + ["quando"])
    assert speller.mend("qal meu sado") == "qual meu saldo"
    assert speller.mend("cartao catrão de onibus") == "cartão cartão de ônibus"
    assert speller.mend("xyzzy 12 b") == "xyzzy 12 b"
    assert speller.mend("é vir um quadro") == "é vir um quadro", "known as it is, short, rare"


def test_short_forms_are_written_out() -> None:
    assert expand("Pq vcs n deixam?") == "por que vocês não deixam"
    assert plain("Ônibus, às 7h!") == "onibus as 7h"


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("meu cpf é 52998224725", "meu cpf é [cpf]"),
        ("sou a maria silva", "sou a [nome]"),
        ("cartão 9076 1234 1234 1234 sumiu", "cartão # sumiu"),
        ("veja https://x.test/?t=abc", "veja [link]"),
        ("por que o João não entra?", "por que o [nome] não entra?"),
        ("entrar com Google", "entrar com Google"),
    ],
)
def test_questions_are_kept_without_whose_they_are(question: str, kept: str) -> None:
    assert anonymous(question) == kept
