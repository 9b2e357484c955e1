"""File names by people, stored only for the download's name."""

import unicodedata

from carteira.kit.web.problems import InvalidInput

MAX_NAME = 255
_REFUSED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class FileNameRefused(InvalidInput):
    """A path, a control character or a trick in a file's name."""

    code = "file_name_refused"
    title = "Nome de arquivo não aceito"
    detail = "Envie só o nome do arquivo, sem pastas nem caracteres de controle."


def parse_file_name(text: str, field: str) -> str:
    """Return a file's name, normalised (NFC).

    Raises:
        FileNameRefused: empty, over 255 characters, a path, or with control or direction-changing characters.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if (
        not 1 <= len(name) <= MAX_NAME
        or name in {".", ".."}
        or any(char in "/\\" for char in name)
        or any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in name)
    ):
        raise FileNameRefused(errors=[{"field": field, "message": "Nome de arquivo inválido."}])
    return name
