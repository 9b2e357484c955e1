"""The search text of a person: name and e-mail address, without accents and case."""

import unicodedata


def fold(text: str) -> str:
    """Return a text without accents and case, so that any spelling finds it."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()


def search_text_of(full_name: str | None, email: str | None) -> str:
    """Return a person's search text."""
    return fold(f"{full_name} {email}")
