import pytest

from carteira.documents import DocumentType, InvalidNumber, parse_number, parse_type
from carteira.documents.names import FileNameRefused, parse_file_name


@pytest.mark.parametrize(
    ("kind", "text", "kept"),
    [
        (DocumentType.CPF, "529.982.247-25", "52998224725"),
        (DocumentType.CNH, "62472927637", "62472927637"),
        (DocumentType.CNH, "583167945‑34", "58316794534"),
        (DocumentType.CNH, "000000018-03", "00000001803"),
        (DocumentType.CNH, "000000018-01", "00000001801"),
        (DocumentType.VOTER, "1023 8501 0671", "102385010671"),
        (DocumentType.VOTER, "0000 0000 0116", "000000000116"),
        (DocumentType.RG, "12.345.678-x", "12345678X"),
        (DocumentType.RG, "MG-12.345.678", "MG12345678"),
        (DocumentType.RG, "12.345.678-9 SSP/SP", "123456789SSPSP"),
        (DocumentType.RG, "529.982.247-25", "52998224725"),
        (DocumentType.RG, "12345", "12345"),
        (DocumentType.PASSPORT, "fz123456", "FZ123456"),
        (DocumentType.PASSPORT, "C01X00T478", "C01X00T478"),
        (DocumentType.OTHER, " Matrícula 12/34 ", "Matrícula 12/34"),
        (DocumentType.VACCINATION, "lote 7", "lote 7"),
    ],
)
def test_numbers_are_checked_and_kept_plain(kind: DocumentType, text: str, kept: str) -> None:
    assert parse_number(kind, text) == kept


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DocumentType.CPF, "529.982.247-26"),
        (DocumentType.CPF, "11111111111"),
        (DocumentType.CNH, "62472927638"),
        (DocumentType.CNH, "６２４７２９２７６３７"),
        (DocumentType.VOTER, "102385010672"),
        (DocumentType.RG, "12"),
        (DocumentType.CNH, "00000000000"),
        (DocumentType.VOTER, "102385012971"),
        (DocumentType.RG, "SSP/SP"),
        (DocumentType.PASSPORT, "FZABCDEF"),
        (DocumentType.PASSPORT, "FZ-1"),
        (DocumentType.OTHER, "   "),
        (DocumentType.OTHER, "a\x00b"),
    ],
)
def test_wrong_numbers_are_refused(kind: DocumentType, text: str) -> None:
    with pytest.raises(InvalidNumber):
        parse_number(kind, text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("rg", DocumentType.RG),
        ("Título de Eleitor", DocumentType.VOTER),
        ("titulo_de_eleitor", DocumentType.VOTER),
        ("COMPROVANTE DE VACINACAO", DocumentType.VACCINATION),
        ("other", DocumentType.OTHER),
        ("carteirinha", None),
    ],
)
def test_kinds_are_found_by_name(text: str, kind: DocumentType | None) -> None:
    assert parse_type(text) == kind


@pytest.mark.parametrize("name", ["rg.pdf", "Comprovante de vacinação (2ª dose).PDF", "foto", ".pdf"])
def test_plain_file_names_are_taken(name: str) -> None:
    assert parse_file_name(name, "file") == name


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../rg.pdf", "/etc/passwd", "C:\\rg.pdf", "a\x00.pdf", "a\nb", "x" * 256, "fdp\u202e.exe"],
)
def test_paths_and_tricks_are_refused_as_file_names(name: str) -> None:
    with pytest.raises(FileNameRefused):
        parse_file_name(name, "file")


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (DocumentType.CNH, "0284419038", "A CNH tem 11 números. Aqui há 10."),
        (DocumentType.VOTER, "123", "O título de eleitor tem 12 números. Aqui há 3."),
        (DocumentType.CNH, "CNH 1", "A CNH só tem números."),
        (DocumentType.CNH, "62472927638", "Os números desta CNH não conferem entre si. Confira cada um."),
    ],
)
def test_a_refusal_explains_the_numbers_error(kind: DocumentType, text: str, said: str) -> None:
    with pytest.raises(InvalidNumber) as refused:
        parse_number(kind, text)
    assert str(refused.value) == said
