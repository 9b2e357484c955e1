"""The rules for passwords, each at its boundary, without a server."""

import hashlib
from pathlib import Path

import pytest
from pwdlib import PasswordHash
from pydantic import ValidationError

from carteira.identity.users import passwords
from carteira.identity.users.breached import BreachedPasswords
from tests.support.app import settings_for
from tests.support.hashing import HASHER

TOO_SHORT = "A senha deve ter pelo menos 8 caracteres."
EASY = "Esta senha é fácil de adivinhar. Escolha outra."


def cased(password: str) -> str:
    """Return the password with its first letter in upper case, as people do when a rule demands it."""
    at = next((place for place, sign in enumerate(password) if sign.isalpha()), 0)
    return password[:at] + password[at : at + 1].upper() + password[at + 1 :]


def test_eight_characters_are_enough_and_seven_are_not() -> None:
    assert passwords.broken_rules("Xk29vmQ") == [TOO_SHORT]
    assert passwords.broken_rules("Xk29vmQ1") == []
    assert passwords.broken_rules("Xk29vmQ1" * 8) == [], "64 characters are fine"
    assert passwords.broken_rules("Xk29vmQ1" * 25) == []
    assert passwords.broken_rules("Xk29vmQ1" * 25 + "x") == ["A senha deve ter no máximo 200 caracteres."]


def test_every_common_password_that_keeps_the_rules_is_refused() -> None:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 - large, as in the rules themselves

    fit = {
        word
        for word in map(cased, FREQUENCY_LISTS["passwords"])
        if len(word) >= 8 and any(sign.isdigit() for sign in word) and any(sign.isupper() for sign in word)
    }
    assert len(fit) >= 3_000
    assert not [word for word in fit if passwords.broken_rules(word) != [EASY]]


def test_words_of_the_installation_are_refused_however_they_are_written() -> None:
    guesses = ["Pão2026!!", "Paodeacucar1", "PÃODEAÇÚCAR7", "P@odeacucar99"]
    assert [passwords.broken_rules(guess) for guess in guesses] == [[]] * 4
    passwords.forbid(["Pão", "Pão de Açúcar"])
    try:
        assert [passwords.broken_rules(guess) for guess in guesses] == [[EASY]] * 4
        assert passwords.broken_rules("Xk29vmQ1") == []
    finally:
        passwords.forbid([])


def test_breached_passwords_are_found_anywhere_in_the_file(tmp_path: Path) -> None:
    known = [f"Vazada{number}senha" for number in range(257)]
    hashes = sorted(hashlib.sha1(one.encode(), usedforsecurity=False).hexdigest().upper() for one in known)
    file = tmp_path / "hashes"
    for end in ("\n", "\r\n"):
        file.write_bytes("".join(f"{one}:{place}{end}" for place, one in enumerate(hashes)).encode())
        breached = BreachedPasswords(file)
        assert [one for one in known if one not in breached] == []
        assert [one for one in known if one + "x" in breached] == []
    assert passwords.broken_rules("Vazada0senha") == []
    passwords.refuse_breached(breached)
    try:
        assert passwords.broken_rules("Vazada0senha") == [
            "Esta senha já apareceu em um vazamento de dados. Escolha outra."
        ]
        assert passwords.broken_rules("Vazada0senhas") == []
    finally:
        passwords.refuse_breached(())


def test_a_file_that_is_no_list_of_hashes_is_reported_as_the_settings_are_read(tmp_path: Path) -> None:
    wrong = tmp_path / "words"
    wrong.write_text("123456\n")
    for file in (wrong, tmp_path / "missing"):
        with pytest.raises(ValidationError, match="breached_passwords_file"):
            settings_for(tmp_path, breached_passwords_file=file)


async def test_passwords_are_kept_as_argon2id_of_these_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HASHER, PasswordHash((passwords.ARGON2,)))
    kept = await passwords.hash_password("Girassol7amarelo")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await passwords.verify_password("Girassol7amarelo", kept) == (True, None)
    assert (await passwords.verify_password("girassol7amarelo", kept))[0] is False
