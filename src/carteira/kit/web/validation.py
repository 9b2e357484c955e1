"""Validation errors for people: pydantic's error types in Portuguese."""

from collections.abc import Mapping
from typing import Any

_MESSAGES = {
    "missing": "Campo obrigatório.",
    "extra_forbidden": "Campo desconhecido.",
    "json_invalid": "O corpo não é um JSON válido.",
    "json_type": "O corpo não é um JSON válido.",
    "model_attributes_type": "Envie um objeto JSON.",
    "model_type": "Envie um objeto JSON.",
    "dict_type": "Envie um objeto JSON.",
    "list_type": "Envie uma lista.",
    "string_type": "Envie um texto.",
    "string_too_short": "Envie pelo menos {min_length} caractere(s).",
    "string_too_long": "Envie no máximo {max_length} caracteres.",
    "string_pattern_mismatch": "Formato inválido.",
    "string_unicode": "O texto não é UTF-8 válido.",
    "int_type": "Envie um número inteiro.",
    "int_parsing": "Envie um número inteiro.",
    "int_from_float": "Envie um número inteiro.",
    "int_parsing_size": "Número grande demais.",
    "float_type": "Envie um número.",
    "float_parsing": "Envie um número.",
    "finite_number": "Envie um número finito.",
    "url_parsing": "Endereço inválido.",
    "url_scheme": "O endereço deve começar por {schemes}.",
    "bool_type": "Envie verdadeiro ou falso.",
    "bool_parsing": "Envie verdadeiro ou falso.",
    "greater_than": "O valor deve ser maior que {gt}.",
    "greater_than_equal": "O valor deve ser no mínimo {ge}.",
    "less_than": "O valor deve ser menor que {lt}.",
    "less_than_equal": "O valor deve ser no máximo {le}.",
    "too_short": "Envie pelo menos {min_length} item(ns).",
    "too_long": "Envie no máximo {max_length} itens.",
    "enum": "Valor fora da lista: {choices}.",
    "literal_error": "Valor fora da lista: {choices}.",
    "uuid_type": "Identificador inválido.",
    "uuid_parsing": "Identificador inválido.",
    "date_type": "Data inválida: use AAAA-MM-DD.",
    "date_parsing": "Data inválida: use AAAA-MM-DD.",
    "date_from_datetime_parsing": "Data inválida: use AAAA-MM-DD.",
    "date_from_datetime_inexact": "Data inválida: use AAAA-MM-DD.",
    "date_past": "A data deve estar no passado.",
    "datetime_parsing": "Instante inválido: use RFC 3339, com fuso.",
    "datetime_from_date_parsing": "Instante inválido: use RFC 3339, com fuso.",
    "timezone_aware": "Instante inválido: diga o fuso.",
    "value_error": "Valor inválido.",
}
MOST_REPORTED = 100
"""Most errors of one request that are reported; thousands of sentences would help nobody."""
_CUSTOM = ("invalid_", "weak_", "rule_")


def describe(error: Mapping[str, Any]) -> dict[str, str]:
    """Turn one pydantic error into `{"field", "message"}`; our own rules (`invalid_…`, `weak_…`) bring the message."""
    kind = error["type"]
    location = [str(part) for part in error["loc"]]
    if location and location[0] in {"body", "query", "path", "header", "form"} and len(location) > 1:
        location = location[1:]
    if kind.startswith(_CUSTOM):
        message = error["msg"]
    else:
        said = error.get("ctx") or {}
        context = _Blank(said, choices=_either(said.get("expected")), schemes=_either(said.get("expected_schemes")))
        message = _MESSAGES.get(kind, "Valor inválido.").format_map(context)
    return {"field": "body" if kind.startswith("json_") else ".".join(location), "message": message}


def _either(choices: object) -> str:
    return str(choices or "").replace(" or ", " ou ")


class _Blank(dict[str, Any]):
    """Formats missing values as nothing."""

    def __missing__(self, key: str) -> str:
        return ""
