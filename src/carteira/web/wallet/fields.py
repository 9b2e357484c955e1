"""What people write into fields, brought into the form that the API's fields have."""

from collections.abc import Mapping

_PHONE_SIGNS = " ()-.+"


def with_digits(sent: Mapping[str, str]) -> dict[str, str]:
    """Take the signs that people write, and the country's code, out of a telephone number."""
    phone = sent.get("phone")
    if phone is None:
        return dict(sent)
    digits = "".join(sign for sign in phone if sign not in _PHONE_SIGNS)
    if phone.strip().startswith("+55"):
        digits = digits[2:]
    return {**sent, "phone": digits}
