"""Reading what people type, and ranking topics by it."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from carteira.assistant.matrix_store import MOST, MatrixStore
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
def test_a_question_without_a_match_has_no_best_topic(text: str) -> None:
    assert Ranker(PHRASES).rank(text).best is None


def scores(folder: Path, phrases: list[tuple[str, str]] = PHRASES) -> list[float]:
    """Rank by the vectors in a folder and by those alone: to train is a failure."""
    with patch.object(Ranker, "_train", side_effect=AssertionError("it was kept")):
        found: list[float] = Ranker(phrases, kept=MatrixStore(folder)).scores(["qual o saldo"])[0].tolist()
    return found


def test_a_trained_model_is_not_trained_again(tmp_path: Path) -> None:
    first = Ranker(PHRASES, kept=MatrixStore(tmp_path)).scores(["qual o saldo"])[0].tolist()
    assert scores(tmp_path) == first == Ranker(PHRASES).scores(["qual o saldo"])[0].tolist()


def test_other_phrases_or_labels_are_trained_again(tmp_path: Path) -> None:
    Ranker(PHRASES, kept=MatrixStore(tmp_path))
    for other in (PHRASES[:-1], [("outro", PHRASES[0][1]), *PHRASES[1:]], [*PHRASES[1:], PHRASES[0]]):
        with pytest.raises(AssertionError, match="it was kept"):
            scores(tmp_path, other)


@pytest.mark.parametrize("damage", [b"", b"no matrix", b"\x93NUMPY\x01\x00v"])
def test_a_damaged_file_is_trained_again(tmp_path: Path, damage: bytes) -> None:
    Ranker(PHRASES, kept=MatrixStore(tmp_path))
    [file] = tmp_path.glob("*.npy")
    file.write_bytes(damage)
    assert Ranker(PHRASES, kept=MatrixStore(tmp_path)).rank("qual o saldo").candidates[0].label == "saldo"
    assert scores(tmp_path) == Ranker(PHRASES).scores(["qual o saldo"])[0].tolist()


def test_an_unusable_folder_leads_to_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ranker = Ranker(PHRASES, kept=MatrixStore(tmp_path / "file" / "folder"))
    assert ranker.rank("qual o saldo").candidates[0].label == "saldo"


def test_few_files_are_kept(tmp_path: Path) -> None:
    for number in range(MOST + 2):
        Ranker([*PHRASES, ("mais", f"frase {number}")], kept=MatrixStore(tmp_path))
    assert len(list(tmp_path.glob("*.npy"))) == MOST
    assert scores(tmp_path, [*PHRASES, ("mais", f"frase {MOST + 1}")])


def test_training_in_blocks_equals_training_at_once() -> None:
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
    assert speller.correct("qal meu sado") == "qual meu saldo"
    assert speller.correct("cartao catrão de onibus") == "cartão cartão de ônibus"
    assert speller.correct("xyzzy 12 b") == "xyzzy 12 b"
    assert speller.correct("é vir um quadro") == "é vir um quadro", "known as it is, short, rare"


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
        ("por que MARIA DE SOUZA não entra", "por que [nome] não entra"),
        ("perdi CNH RG CPF e agora", "perdi CNH RG CPF e agora"),
        ("MEU CARTÃO SUMIU", "MEU CARTÃO SUMIU"),
        ("cpf cinco dois nove, nove oito dois", "cpf #"),
        ("é joao arroba gmail ponto com", "é [email]"),
        ("minha senha é Girassol7amarelo e nada", "minha senha é [senha] e nada"),
    ],
)
def test_questions_are_kept_without_their_person(question: str, kept: str) -> None:
    assert anonymous(question) == kept
