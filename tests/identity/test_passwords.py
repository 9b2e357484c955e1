"""The rules of passwords, each at its border, without a server."""

from carteira.identity.users import passwords

TOO_SHORT = "A senha deve ter pelo menos 8 caracteres."
EASY = "Esta senha é fácil de adivinhar. Escolha outra."


def cased(password: str) -> str:
    """Turn the first letter into an upper-case one, as people do whom a rule makes."""
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


async def test_passwords_are_kept_as_argon2id_of_these_parameters() -> None:
    kept = await passwords.hash_password("Girassol7amarelo")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await passwords.verify_password("Girassol7amarelo", kept) == (True, None)
    assert (await passwords.verify_password("girassol7amarelo", kept))[0] is False
