"""Card numbers: sixteen digits, the last of which is a check digit."""

import secrets

ISSUER = "9076"
"""ISO/IEC 7812: 9 is for national use, 076 is Brazil's country number; no bank's card begins like that."""

_FREE_DIGITS = 15 - len(ISSUER)


def luhn_digit(digits: str) -> str:
    """Return the check digit of the digits (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the sum of its two digits
    return str(-total % 10)


def draw() -> str:
    """Return a random number, so that nobody can guess the next one."""
    digits = ISSUER + str(secrets.randbelow(10**_FREE_DIGITS)).zfill(_FREE_DIGITS)
    return digits + luhn_digit(digits)
