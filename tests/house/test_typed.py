"""Each kind of typed value has one reader: no body, form or parameter parses dates its own way."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, get_args, get_origin

import pytest
from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

import carteira
from carteira.web.forms import FormBody
from tests.support.source import SOURCE

NO_DAYS = (0, 1, 20_260_630, 1_782_820_800_000, 1.5, "0", "1782820800", "20260630", True)


def models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from models(model)


def is_of_time(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    if get_origin(annotation) is None:
        return annotation is AwareDatetime or (isinstance(annotation, type) and issubclass(annotation, date))
    return any(is_of_time(part) for part in get_args(annotation) if not isinstance(part, str))


def fields_of_time() -> Iterator[tuple[str, FieldInfo]]:
    for module in pkgutil.walk_packages(carteira.__path__, "carteira."):
        if module.name.rpartition(".")[2] != "__main__":
            importlib.import_module(module.name)
    for model in models(BaseModel):
        is_read = model.model_config.get("extra") == "forbid" and not model.__name__.endswith("Out")
        if is_read or issubclass(model, FormBody):
            for name, field in model.model_fields.items():
                if is_of_time(field.annotation):
                    yield f"{model.__name__}.{name}", field


def test_no_field_takes_a_number_for_a_day_or_an_instant() -> None:
    found = dict(fields_of_time())
    assert {"RegisterIn.birth_date", "PurchaseIn.date", "TapIn.tapped_at", "Debt.due_date"} <= set(found)
    lenient = []
    for name, field in found.items():
        reader: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
        for value in NO_DAYS:
            try:
                reader.validate_python(value)
            except ValidationError:
                continue
            lenient.append((name, value))
    assert lenient == []


def test_the_walk_sees_a_lenient_field() -> None:
    assert is_of_time(date | None)
    assert is_of_time(datetime)
    assert not is_of_time(str)
    assert TypeAdapter(date).validate_python(0) == date(1970, 1, 1)


@pytest.mark.parametrize("word", ["date.fromisoformat(", "strptime(", "isdecimal(", "AwareDatetime"])
def test_only_the_parsers_parse_days(word: str) -> None:
    """The exceptions read text that our own code wrote, or that is not a date typed by a person."""
    known = {
        "date.fromisoformat(": {
            "credit/base_b.py",
            "inbox/texts.py",
            "kit/web/versions.py",
            "notices/emails.py",
            "web/console/words.py",  # texts of stored operations
        },
        "strptime(": {"backup/place.py"},
        "isdecimal(": {"kit/web/idempotency.py", "schema.py"},
        "AwareDatetime": {"kit/values/days.py"},
    }
    assert {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if word in path.read_text()} == known.get(
        word, set()
    )
