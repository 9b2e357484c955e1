"""The text that a person is found by: name and e-mail address, without accents and case."""

import unicodedata


def fold(text: str) -> str:
    """Take accents and case out of a text, so that it is found however it is typed."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()


def search_text_of(full_name: str | None, email: str | None) -> str:
    """Return what a person is found by."""
    return fold(f"{full_name} {email}")
