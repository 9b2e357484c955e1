"""The score: explained, monotone, and refused where it would have to guess."""

import json
from importlib.resources import files

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carteira.credit import score
from carteira.credit.errors import InsufficientData, PersonIsMinor
from carteira.credit.schemas import Asset, BaseBOut, IncomeSource
from carteira.credit.score import FEATURES, shipped
from carteira.kit.values.clock import clock
from tests.support.credit import BASE_B
from tests.support.people import Person, new_cpf

KINDS = ("property", "vehicle", "investment", "savings", "company", "other")


def _person(age: int | None, assets: list[tuple[str, int]], incomes: list[int]) -> BaseBOut:
    return BaseBOut(
        birth_date=None,
        age=age,
        address=None,
        assets=[Asset(kind=kind, description="x", amount=amount) for kind, amount in assets],
        income_sources=[IncomeSource(description="x", monthly_amount=amount) for amount in incomes],
        updated_at=clock.now(),
    )


async def test_age_one_asset_and_one_income_are_enough(analyst: Person) -> None:
    cpf = new_cpf()
    body = {
        "age": 30,
        "assets": [{"kind": "vehicle", "description": "Moto", "amount": 800_000}],
        "income_sources": [{"description": "Salário", "monthly_amount": 250_000}],
    }
    await analyst.call("PUT", f"/credit/{cpf}/base-b", json=body)
    answer = await analyst.call("GET", f"/credit/{cpf}/score")
    result = answer.json()
    assert answer.status_code == 200
    assert set(result) == {"score", "band", "band_description", "reasons", "model_version"}
    assert 0 <= result["score"] <= 1000
    assert len(result["reasons"]) == 3
    assert all(reason["text"].endswith(".") for reason in result["reasons"])
    assert result["model_version"] == shipped().model_version


@pytest.mark.parametrize(
    ("without", "field"), [("birth_date", "age"), ("assets", "assets"), ("income_sources", "income_sources")]
)
async def test_with_less_it_is_refused(analyst: Person, without: str, field: str) -> None:
    cpf = new_cpf()
    body = {name: value for name, value in BASE_B.items() if name != without}
    await analyst.call("PUT", f"/credit/{cpf}/base-b", json=body)
    answer = await analyst.call("GET", f"/credit/{cpf}/score")
    assert (answer.status_code, answer.json()["code"]) == (422, "insufficient_data")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_an_unknown_person_is_404_and_a_minor_is_not_scored(analyst: Person) -> None:
    cpf = new_cpf()
    assert (await analyst.call("GET", f"/credit/{cpf}/score")).status_code == 404
    body = {name: value for name, value in BASE_B.items() if name != "birth_date"} | {"age": 17}
    await analyst.call("PUT", f"/credit/{cpf}/base-b", json=body)
    answer: httpx.Response = await analyst.call("GET", f"/credit/{cpf}/score")
    assert (answer.status_code, answer.json()["code"]) == (422, "person_is_minor")


amounts = st.integers(1, 10**12)
people = st.builds(
    _person,
    st.integers(18, 130),
    st.lists(st.tuples(st.sampled_from(KINDS), amounts), min_size=1, max_size=8),
    st.lists(amounts, min_size=1, max_size=5),
)


@given(people)
def test_any_person_gets_a_score_a_band_and_three_different_reasons(person: BaseBOut) -> None:
    result = score.of_person(person)
    assert 0 <= result.score <= 1000
    assert len({reason.code for reason in result.reasons}) == 3
    costs = [reason.max_points - reason.points for reason in result.reasons]
    assert costs == sorted(costs, reverse=True)
    assert score.of_person(person) == result


@given(people, st.integers(0, 60))
def test_being_older_or_having_more_savings_never_costs_points(person: BaseBOut, years: int) -> None:
    assert person.age is not None
    before = score.of_person(person).score
    older = person.model_copy(update={"age": min(130, person.age + years)})
    assert score.of_person(older).score >= before
    saving = Asset(kind="savings", description="x", amount=10_000_000)
    richer = person.model_copy(update={"assets": [*person.assets, saving]})
    assert score.of_person(richer).score >= before


@pytest.mark.parametrize("age", [None, 0, 17])
def test_a_person_without_an_age_and_a_minor_are_not_scored(age: int | None) -> None:
    with pytest.raises(InsufficientData if age is None else PersonIsMinor):
        score.of_person(_person(age, [("other", 1)], [1]))


def test_the_card_holds_monotone_points_and_no_protected_attribute() -> None:
    card = json.loads((files("carteira.credit") / "scorecard.json").read_text())
    assert {line["name"] for line in card["features"]} <= set(FEATURES)
    for line in card["features"]:
        assert line["points"] == sorted(line["points"])
        assert line["edges"] == sorted(set(line["edges"]))
        assert len(line["points"]) == len(line["edges"]) + 1
    assert [band["band"] for band in card["bands"]] == ["A", "B", "C", "D", "E"]
    lowest = card["base_points"] + sum(min(line["points"]) for line in card["features"])
    highest = card["base_points"] + sum(max(line["points"]) for line in card["features"])
    assert 0 <= lowest < 350
    assert 800 < highest <= 1000
