"""The values that `--param` writes, and the points of their grid."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.search.axes import ends_of, parse_axis, point, size_of
from engine.search.proposals import make_search


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("fast=5:30:5", "5 10 15 20 25 30"),
        ("fast=5:29:5", "5 10 15 20 25"),
        ("fast=5:7", "5 6 7"),
        ("share=0.1:0.5:0.1", "0.1 0.2 0.3 0.4 0.5"),
        ("slow=20,50,100", "20 50 100"),
        ("slow=1:3,10", "1 2 3 10"),
        ("move=-2:2:2", "-2 0 2"),
        ("interval=1m,5m", "1m 5m"),
        ("Crossover.fast=5", "5"),
        ("text=a:b", "a:b"),
    ],
)
def test_values_are_read_exactly(text: str, values: str) -> None:
    axis = parse_axis(text)
    assert axis.name == text.partition("=")[0]
    assert axis.values == tuple(values.split())


@pytest.mark.parametrize(
    "text", ["fast", "=5", "fast=5:1:1", "fast=1:5:0", "fast=1:5:-1", "a=0.1:0.5", "a=1,1", "a=1:9999999"]
)
def test_what_is_not_a_list_of_values_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_axis(text)


axes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(
    lambda sizes: [parse_axis(f"p{at}=1:{size}") for at, size in enumerate(sizes)]
)


@given(axes)
def test_the_grid_has_every_combination_once_with_the_last_changing_fastest(axes: list) -> None:  # type: ignore[type-arg]
    points = [point(axes, index) for index in range(size_of(axes))]
    assert points == list(product(*(range(len(one.values)) for one in axes)))


@given(axes, st.integers(1, 700), st.integers(-5, 5))
def test_random_points_are_different_and_those_of_their_seed(axes: list, count: int, seed: int) -> None:  # type: ignore[type-arg]
    def drawn() -> list[tuple[int, ...]]:
        search = make_search("random", axes, trials=count, seed=seed, better=1)
        found = search.ask()
        assert not search.ask()
        return found

    found = drawn()
    assert found == drawn()
    assert len(set(found)) == len(found) == min(count, size_of(axes))


def test_random_points_do_not_depend_on_the_version_of_python() -> None:
    axes = [parse_axis("a=1:100"), parse_axis("b=1:100")]
    assert make_search("random", axes, trials=3, seed=7, better=1).ask() == [(72, 35), (53, 50), (61, 26)]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("a=1:9", (0, 8)),
        ("a=20,200,50", (0, 1)),
        ("a=7", (0,)),
        ("a=5,10,-3.5", (2, 1)),
        ("a=1m,2,3", (0, 1, 2)),
    ],
)
def test_the_ends_are_the_least_and_the_largest_number(text: str, ends: tuple[int, ...]) -> None:
    assert ends_of(parse_axis(text)) == ends
