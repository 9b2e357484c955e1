"""Passwords: the rules, an offline list of common ones, and Argon2id outside of the event loop.

Sources: rules.md, identity; NIST SP 800-63B section 3.1.1.2; RFC 9106 (its second recommended parameters).
"""

import asyncio
import os
import secrets
import string
import sys
import threading
import unicodedata
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

MIN_LENGTH = 8
MAX_LENGTH = 200
GENERATED_LENGTH = 22
PARALLEL_CHECKS, PARALLEL_HASHES = 2, 1
"""Each takes 64 MiB and, for a while, a core: more at once would starve other requests. New passwords have a thread of
their own, so that registrations do not delay sign-ins."""
WAITING_CHECKS, WAITING_HASHES = 32, 16
"""The most that may wait: about two seconds' work."""

_BRAZILIAN = (
    "mudar123 senha123 senha1234 senha12345 senha2024 senha2025 senha2026 brasil123 brasil2022 brasil2024 brasil2026 "
    "flamengo1 flamengo10 flamengo123 corinthians1 corinthians10 palmeiras1 palmeiras123 saopaulo1 vasco123 gremio123 "
    "internacional1 cruzeiro1 santos123 carteira1 carteira123 carteira2026 teste123 teste1234 admin123 admin1234 "
    "usuario1 usuario123 familia1 familia123 deusefiel1 jesus123 jesuscristo1 amor1234 vida1234 abcd1234 abc12345 "
    "gabriel1 gabriel123 eduardo1 rodrigo1 fernanda1 mariana1 juliana1 camila123 rafaela1 leticia1 "
    "acesso123 acesso1234 bemvindo1 bemvindo123 trocar123 primeiro1 empresa123 banco123 dinheiro1 cartao123"
)

_WORDS = (
    "senha mudar trocar brasil carteira banco dinheiro cartao acesso admin administrador usuario teste primeiro "
    "empresa bemvindo familia amor vida jesus deus cristo deusefiel flamengo corinthians palmeiras saopaulo "
    "santos vasco gremio internacional cruzeiro botafogo fluminense bahia fortaleza atletico athletico janeiro "
    "fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro segunda terca quarta quinta "
    "sexta sabado domingo verao outono inverno primavera maria jose joao ana antonio francisco carlos paulo pedro "
    "lucas gabriel eduardo rodrigo fernanda mariana juliana camila rafaela leticia beatriz password qwerty abcd "
    "abcdef"
)
_MOST_AROUND_A_WORD = 8
_LEET = str.maketrans("@4301$5!7", "aaeoissit")

ARGON2 = Argon2Hasher(time_cost=3, memory_cost=65_536, parallelism=4)
_hasher = PasswordHash((ARGON2,))
NICENESS = 10
"""The niceness of the threads that hash: other work gets the processor first, so sign-ins do not delay reads."""


def _lower_priority() -> None:
    if sys.platform == "linux":  # elsewhere the niceness is the whole process's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # Argon2's own threads inherit it


_checking = ThreadPoolExecutor(PARALLEL_CHECKS, "carteira-check", initializer=_lower_priority)
_hashing = ThreadPoolExecutor(PARALLEL_HASHES, "carteira-hash", initializer=_lower_priority)


@cache
def _common() -> frozenset[str]:
    """Return the 30,000 commonest passwords of zxcvbn's list (MIT) and the commonest of Brazil, folded."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 - large, and needed only to set a password

    return frozenset({*FREQUENCY_LISTS["passwords"], *_BRAZILIAN.split()})


@cache
def _words() -> frozenset[str]:
    return frozenset({*_WORDS.split(), *(word for word in _common() if word.isalpha())})


_own_words: frozenset[str] = frozenset()


def forbid(words: Iterable[str]) -> None:
    """Refuse the names of company and product, which people would try first, like common words."""
    global _own_words  # noqa: PLW0603 - one installation per process
    _own_words = frozenset("".join(sign for sign in _plain(word.casefold()) if sign.isalpha()) for word in words)


_breached: Container[str] = ()


def refuse_breached(passwords: Container[str]) -> None:
    """Refuse the passwords of a breached list too, compared exactly."""
    global _breached  # noqa: PLW0603 - one installation per process
    _breached = passwords


def _plain(folded: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(sign))


def _is_padded_word(folded: str) -> bool:
    """Return whether a password is one common word with digits and signs around it: "Brasil2026!", "Mudar@123"."""
    plain = _plain(folded)
    word = plain.strip("".join({sign for sign in plain if not sign.isalpha()}))
    around = len(plain) - len(word)
    words = {word, word.translate(_LEET)}
    return around <= _MOST_AROUND_A_WORD and bool(words & _words() or words & _own_words)


def broken_rules(password: str, *, personal: tuple[str | None, ...] = ()) -> list[str]:
    """Return every rule that a password breaks, in Portuguese; empty: the password is good.

    `personal` holds the person's e-mail and CPF, which an attacker would try first.
    """
    broken = []
    if len(password) < MIN_LENGTH:
        broken.append(f"A senha deve ter pelo menos {MIN_LENGTH} caracteres.")
    if len(password) > MAX_LENGTH:
        broken.append(f"A senha deve ter no máximo {MAX_LENGTH} caracteres.")
    if not any(character.isupper() for character in password):
        broken.append("A senha deve ter pelo menos uma letra maiúscula.")
    if not any(character.isdigit() for character in password):
        broken.append("A senha deve ter pelo menos um número.")
    folded = password.casefold()
    own = {(text or "").casefold() for text in personal}
    if not broken and (folded in _common() or folded in own or _is_padded_word(folded)):
        broken.append("Esta senha é fácil de adivinhar. Escolha outra.")
    elif not broken and (password in _breached or _normal(password) in _breached):
        broken.append("Esta senha já apareceu em um vazamento de dados. Escolha outra.")
    return broken


def generate() -> str:
    """Return a generated password that keeps the rules: 22 letters and digits, more than 128 bits."""
    alphabet = string.ascii_letters + string.digits
    while True:
        password = "".join(secrets.choice(alphabet) for _ in range(GENERATED_LENGTH))
        if not broken_rules(password):
            return password


def _normal(password: str) -> str:
    """Normalise a password, so that equal-looking ones are equal on every keyboard (RFC 8265)."""
    return unicodedata.normalize("NFC", password)


async def hash_password(password: str) -> str:
    """Hash a new password with Argon2id in a thread."""
    return await asyncio.get_running_loop().run_in_executor(_hashing, _hasher.hash, _normal(password))


@cache
def _dummy_hash() -> str:
    return _hasher.hash(secrets.token_urlsafe(24))


def _verify(password: str, known: str | None) -> tuple[bool, str | None]:
    if known is None:
        _hasher.verify(_normal(password), _dummy_hash())
        return False, None
    return _hasher.verify_and_update(_normal(password), known)


async def verify_password(password: str, known: str | None) -> tuple[bool, str | None]:
    """Return whether a password matches a hash, and a stronger hash if the parameters have grown since.

    Without a hash (unknown name) it takes equally long and fails.
    """
    if len(password) > MAX_LENGTH:
        password, known = "", None
    return await asyncio.get_running_loop().run_in_executor(_checking, _verify, password, known)


async def warm_up() -> None:
    """Make the hash for unknown names in advance, so that the first check takes no longer."""
    await asyncio.get_running_loop().run_in_executor(_checking, _dummy_hash)
