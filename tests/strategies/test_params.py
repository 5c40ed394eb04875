"""Parameters are typed: read from the class, checked when set, recorded with the session."""

from __future__ import annotations

import ast
import inspect
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import Config, StrategyConfig, parse_config
from engine.errors import ConfigError
from engine.session import SessionBuilder
from engine.strategies import Strategy
from engine.strategies import crossover as example
from engine.strategies.actor import StrategyActor
from engine.strategies.params import convert_params, params_of
from tests.actors.harness import T


class Base(Strategy):
    """Parameters of every kind, and attributes that are not parameters."""

    count: int = 3
    rate: float = 1
    word: str = "a"
    flag: bool = False
    limit: float | None = None
    way: Literal["up", "down", 5] = "up"
    constant: ClassVar[int] = 5
    plain = 5
    _own: int = 5
    declared: list[int]

    def on_start(self) -> None:
        self.begun = (self.count, self.rate, self.word, self.flag, self.limit, self.way)


class Derived(Base):
    """Has the parameters of its base, one of them with another default, and one more."""

    word: str = "b"
    more: int = 1


# Which attributes are parameters.


def test_annotated_attributes_with_a_default_are_the_parameters() -> None:
    assert list(params_of(Base)) == ["count", "rate", "word", "flag", "limit", "way"]
    assert list(params_of(Derived)) == ["count", "rate", "word", "flag", "limit", "way", "more"]
    assert params_of(Derived)["word"].default == "b"
    assert params_of(Strategy) == {}
    assert type(params_of(Base)["rate"].default) is float


def test_parameters_are_set_before_the_strategy_begins() -> None:
    strategy = StrategyActor(
        Derived, "mine", convert_params(Derived, {"count": 9, "rate": 2, "way": 5})
    ).strategy
    assert strategy.begun == (9, 2.0, "b", False, None, 5)  # type: ignore[attr-defined]
    assert vars(StrategyActor(Derived, "mine", {}).strategy)["begun"][0] == 3, "the class is unchanged"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"warming": "x"}, "the base class has this name already"),
        ({"on_bar": "x"}, "the base class has this name already"),
        ({"random": "x"}, "the base class has this name already"),
        ({"target": "x"}, "the base class has this name already"),
        ({"seen": []}, "a list on the class is shared by all instances; set it in on_start"),
    ],
)
def test_an_attribute_that_cannot_be_a_parameter_is_refused_by_name(body: dict[str, Any], words: str) -> None:
    (name,) = body
    cls = type("Mine", (Strategy,), {**body, "__annotations__": {name: type(body[name])}})
    with pytest.raises(ConfigError, match=rf"^Mine\.{name}: .*{words}"):
        params_of(cls)


def test_a_default_of_another_type_and_an_unknown_annotation_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Mine\.x: Expected `int`, got `str`, given 'ten'"):
        params_of(type("Mine", (Strategy,), {"x": "ten", "__annotations__": {"x": int}}))
    with pytest.raises(ConfigError, match="Mine: the annotations cannot be evaluated"):
        params_of(type("Mine", (Strategy,), {"x": 1, "__annotations__": {"x": "Nowhere"}}))
    with pytest.raises(ConfigError, match="a parameter is an int, float, str or bool"):
        params_of(type("Mine", (Strategy,), {"x": None, "__annotations__": {"x": list[int] | None}}))


# Values of parameters.


@pytest.mark.parametrize(
    ("given_as", "words"),
    [
        ({"cuont": 5}, "there is no parameter 'cuont'; did you mean count?"),
        ({"count": "5"}, "count: Expected `int`, got `str`, given '5'"),
        ({"count": 1.5}, "count: Expected `int`, got `float`"),
        ({"count": True}, "count: Expected `int`, got `bool`"),
        ({"flag": 1}, "flag: Expected `bool`"),
        ({"word": True}, "word: Expected `str`"),
        ({"word": [5]}, "word: Expected `str`"),
        ({"way": "left"}, "way: "),
        ({"rate": float("nan")}, "rate: nan is not a number"),
        ({"constant": 1}, "there is no parameter 'constant'"),
        ({"_own": 1}, "there is no parameter '_own'"),
    ],
)
def test_an_invalid_value_of_a_parameter_is_refused(given_as: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        convert_params(Base, given_as)
    assert words in str(raised.value)


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (0.05, "0.05"), (-2.5, "-2.5"), ("0.05", "0.05")])
def test_a_number_given_for_a_text_is_its_text(value: Any, text: str) -> None:
    """`size = 0.05` in the configuration is `size = "0.05"`."""
    assert convert_params(Base, {"word": value}) == {"word": text}


def test_a_parameter_for_a_strategy_without_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no parameter 'x'; the strategy has no parameters"):
        convert_params(type("Mine", (Strategy,), {}), {"x": 1})


@given(st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_text_of_the_command_line_is_converted_to_the_type_of_the_parameter(
    count: int, rate: float, flag: bool
) -> None:
    converted = convert_params(
        Base, {"count": str(count), "rate": repr(rate), "flag": str(flag).lower()}, as_text=True
    )
    assert converted == {"count": count, "rate": rate, "flag": flag}
    assert [type(value) for value in converted.values()] == [int, float, bool]


# Parameters in a session.


def builder() -> SessionBuilder:
    return SessionBuilder(lambda use: Derived if use == "m:Derived" else Base, "code", "0")


def test_the_record_of_a_session_and_its_actors_have_the_parameters() -> None:
    entry = StrategyConfig("m:Derived", params={"count": 7, "limit": None, "rate": 2})
    started = builder().start(recv_ns=T, session="a", mode="paper", config=Config(strategies=(entry,)))
    assert parse_config(started.config).strategies == (entry,)
    actor = next(actor for actor in builder()(started) if actor.name == "Derived")
    given = vars(vars(actor)["strategy"])
    assert (given["count"], given["rate"], given["limit"]) == (7, 2.0, None)


def test_an_unknown_parameter_is_refused_before_the_session_begins() -> None:
    config = Config(strategies=(StrategyConfig("m:Derived", params={"moer": 7}),))
    with pytest.raises(ConfigError, match="m:Derived: there is no parameter 'moer'; did you mean more"):
        builder().start(recv_ns=T, session="a", mode="paper", config=config)


# The example.


def test_the_crossover_is_at_most_15_lines() -> None:
    source = inspect.getsource(example)
    (cls,) = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    lines = source.splitlines()[cls.lineno - 1 : cls.end_lineno]
    assert len([line for line in lines if line.strip()]) <= 15
