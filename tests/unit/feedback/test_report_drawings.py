from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepforge_hpc.runtime.base.metrics import Series
from deepforge_hpc.runtime.report.chart import draw_chart, group
from deepforge_hpc.runtime.report.graph import (
    NARROW,
    WIDE,
    Box,
    Size,
    draw_graph,
    draw_graphs,
)
from deepforge_hpc.runtime.report.times import ticks


def node(name: str, *after: str) -> Box:
    return Box(name=name, after=after, css="ok", icon="check", words="succeeded", link="#x")


def boxes(svg: str) -> list[tuple[int, ...]]:
    pattern = r'class="box" x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"'
    return [tuple(map(int, found)) for found in re.findall(pattern, svg)]


@st.composite
def graphs(draw: st.DrawFn) -> list[Box]:
    names = [f"op{index}" for index in range(draw(st.integers(1, 25)))]
    nodes = []
    for index, name in enumerate(names):
        after = draw(st.sets(st.sampled_from(names[:index]), max_size=4)) if index else set()
        nodes.append(node(name, *sorted(after), "gone"))
    return nodes


@settings(deadline=None, max_examples=60)
@given(graphs(), st.sampled_from([WIDE, NARROW]))
def test_boxes_never_overlap_and_lie_behind_what_they_need(nodes: list[Box], kind: Size) -> None:
    svg = draw_graph(nodes, kind).svg("wide")
    found = boxes(svg)
    assert len(found) == len(nodes)
    width, height = (int(value) for value in re.findall(r'(?:width|height)="(\d+)"', svg)[:2])
    for x, y, w, h in found:
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
    for one, two in combinations(found, 2):
        apart = (
            one[0] + one[2] <= two[0]
            or two[0] + two[2] <= one[0]
            or one[1] + one[3] <= two[1]
            or two[1] + two[3] <= one[1]
        )
        assert apart
    along = 1 if kind.down else 0
    place = {item.name: box for item, box in zip(nodes, found, strict=True)}
    for item in nodes:
        for name in item.after:
            assert name == "gone" or place[name][along] < place[item.name][along]
    assert svg.count('class="edge') == sum(len(item.after) - 1 for item in nodes)


def test_edges_of_a_simple_graph_do_not_cross() -> None:
    nodes = [node("a"), node("b"), node("c", "b"), node("d", "a")]
    places = dict(zip("abcd", boxes(draw_graph(nodes, WIDE).shapes), strict=True))
    assert (places["a"][1] < places["b"][1]) == (places["d"][1] < places["c"][1])


def test_the_way_a_graph_is_laid_out_is_the_one_that_fits() -> None:
    def layers(nodes: list[Box]) -> tuple[int, int]:
        laptop, phone = draw_graphs(nodes).split("</svg>")[:2]
        assert laptop.startswith('<svg class="wide')
        assert phone.startswith('<svg class="narrow')
        return len({box[0] for box in boxes(laptop)}), len({box[0] for box in boxes(phone)})

    chain = [node(f"step{index}", f"step{index - 1}") for index in range(9)]
    fan = [node("first"), *(node(f"fit{index}", "first") for index in range(9))]
    assert layers(chain[:4]) == (4, 1)  # from left to right; on a phone, from top to bottom
    assert layers(chain) == (1, 1)
    assert layers(fan) == (2, 2)


@pytest.mark.parametrize(("width", "is_fitted"), [(3, True), (4, False)])
def test_a_graph_of_three_columns_is_made_to_fit_a_phone(width: int, is_fitted: bool) -> None:
    chains = [[node("a"), node("b", "a"), node("c", "b"), node("d", "c")] for _ in range(width)]
    nodes = [
        node(f"{one.name}{row}", *(f"{name}{row}" for name in one.after))
        for row, chain in enumerate(chains)
        for one in chain
    ]
    phone = draw_graphs(nodes).split("</svg>")[1]
    assert phone.startswith('<svg class="narrow fit"') == is_fitted


def test_long_names_are_cut_and_kept_in_full_as_a_title() -> None:
    svg = draw_graph([node("a_very_long_name_of_an_operation")], WIDE).shapes
    assert "a_very_long_name_o…</text>" in svg
    assert "<title>a_very_long_name_of_an_operation: succeeded</title>" in svg


def series(name: str, *values: float, steps: bool = True) -> Series:
    points = tuple(enumerate(values))
    last = values[-1] if values else None
    return Series(name=name, points=points, last=last, total=len(values), has_steps=steps)


def test_a_metric_and_its_validation_twin_are_one_chart() -> None:
    names = [[item.name for item in chart] for chart in group(
        [series("val_loss", 1), series("lr", 1), series("loss", 1), series("val_only", 1)]
    )]  # fmt: skip
    assert names == [["loss", "val_loss"], ["lr"], ["val_only"]]


def test_a_chart_names_its_axes_and_last_values() -> None:
    svg = draw_chart([series("loss", 3.0, 2.0, 1.5), series("val_loss", 3.2, 2.4, 1.9)])
    assert ">step</text>" in svg
    assert "<b>1.5</b>" in svg
    assert "<b>1.9</b>" in svg
    ticks = re.findall(r'class="tick mid"[^>]*>([^<]*)<', svg)
    assert ticks == ["0", "1", "2", "step"]
    assert svg.count('class="curve') == 2
    assert ">call of log()</text>" in draw_chart([series("loss", 1, 2, steps=False)])


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(FLOATS, FLOATS), max_size=6))
def test_a_chart_of_any_numbers_stays_inside_its_frame(points: list[tuple[float, float]]) -> None:
    item = Series(name="x", points=tuple(points), last=None, total=len(points), has_steps=True)
    svg = draw_chart([item])
    for path in re.findall(r'class="curve c0" d="M([^"]*)"', svg):
        for x, y in (pair.split(" ") for pair in path.split("L")):
            assert 0 <= float(x) <= 340
            assert 0 <= float(y) <= 176
    assert svg.count('class="tick') < 20
    assert not re.search(r"nan|inf\b", svg)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0.0, 100.0), ["0", "50", "100"]),
        ((0.0, 1.0), ["0.0", "0.5", "1.0"]),
        ((1e-6, 3e-6), ["1.0e\u22126", "1.5e\u22126", "2.0e\u22126", "2.5e\u22126", "3.0e\u22126"]),
        ((2e6, 8e6), ["2e6", "4e6", "6e6", "8e6"]),
        ((-0.02, 0.02), ["\u22120.02", "\u22120.01", "0.00", "0.01", "0.02"]),
    ],
)
def test_ticks_are_round_and_short(values: tuple[float, ...], ticks: list[str]) -> None:
    svg = draw_chart([series("x", *values)])
    found = re.findall(r'class="tick end"[^>]*>([^<]*)<', svg)
    assert set(ticks) <= set(found)


@pytest.mark.parametrize(
    ("whole", "marks"),
    [
        (0.2, [0]),
        (4.5, [0, 1, 2, 3, 4]),
        (84, [0, 20, 40, 60, 80]),
        (620, [0, 180, 360, 540]),
        (9 * 3600, [0, 7200, 14400, 21600, 28800]),
        (50 * 86400, [0, 864000, 1728000, 2592000, 3456000, 4320000]),
    ],
)
def test_times_on_the_scale_are_round(whole: float, marks: list[int]) -> None:
    assert ticks(whole) == marks


@given(st.floats(1e-3, 1e9))
def test_there_are_a_few_times_on_every_scale(whole: float) -> None:
    assert 1 <= len(ticks(whole)) <= 6
