"""The picture of a network: every layer in it, nothing over another, edges where they belong."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.networks.plot.boxes import boxes
from deepforge_hpc.libraries.networks.plot.layout import arrange
from deepforge_hpc.libraries.networks.plot.svg import draw

EXAMPLES = KerasLibrary().examples()
SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str, shapes: dict[str, str] | None = None) -> ET.Element:
    return ET.fromstring(draw(KerasLibrary().graph(text, "net.yaml"), shapes or {}))


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "unet", "pasquet", "transformer-encoder"])
def test_every_layer_is_in_a_box_and_no_box_lies_over_another(name: str) -> None:
    graph = KerasLibrary().graph(EXAMPLES[name], "net.yaml")
    picture = drawn(EXAMPLES[name])
    titles = [item.text for item in picture.iter(f"{SVG}title")][1:]
    assert sorted(titles) == sorted(item.name for item in (*graph.inputs, *graph.calls))

    frames = [
        tuple(float(item.attrib[key]) for key in ("x", "y", "width", "height"))
        for item in picture.iter(f"{SVG}rect")
        if item.attrib["class"] == "box"
    ]
    for (x, y, width, height), (x2, y2, width2, height2) in itertools.combinations(frames, 2):
        assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y
    width, height = (float(picture.attrib[key]) for key in ("width", "height"))
    assert all(x >= 0 and x + w <= width and y + h <= height for x, y, w, h in frames)


def test_edges_begin_below_their_source_and_end_at_a_port_with_its_number() -> None:
    text = (
        "library: keras\narchitecture: a\ninputs: {x: [4], y: [4]}\nlayers:\n"
        "  - cat: {Concatenate: {}, from: [y, x]}\n"
    )
    picture = drawn(text)
    boxes_at = {
        group[1].text: tuple(map(float, (group[0].attrib["x"], group[0].attrib["width"])))
        for group in picture.findall(f"{SVG}g")
    }
    numbers = [
        (float(item.attrib["x"]), item.text)
        for item in picture.iter(f"{SVG}text")
        if item.attrib.get("class") == "order"
    ]
    is_left = boxes_at["x"] < boxes_at["y"]
    assert [text for _, text in sorted(numbers)] == (["2", "1"] if is_left else ["1", "2"])
    starts = [
        float(re.match(r"M(\S+) ", item.attrib["d"])[1])
        for item in picture.iter(f"{SVG}path")
        if item.attrib["class"] == "edge"
    ]
    middles = [x + width / 2 for x, width in (boxes_at["x"], boxes_at["y"])]
    assert sorted(starts) == pytest.approx(sorted(middles), abs=0.6)


def test_a_chain_is_one_box_in_each_line_of_the_file_and_shapes_stand_in_it() -> None:
    graph = KerasLibrary().graph(EXAMPLES["vgg16"], "net.yaml")
    found = boxes(graph, {"fc1": "4096"})
    assert [box.title for box in found][:6] == ["images", *(f"stage{i}" for i in range(1, 6))]
    assert [len(box.rows) for box in found][:6] == [1, 3, 3, 4, 4, 4]
    assert next(box for box in found if box.name == "fc1").rows[0].shape == "4096"
    assert [box.name for box in found if box.is_output] == ["out"]


def test_an_edge_that_passes_rows_is_straight_where_it_can_be() -> None:
    after = {"a": [], "b": ["a"], "c": ["b"], "d": ["c", "a"]}
    layout = arrange(after, dict.fromkeys(after, (100, 40)))
    (long,) = [chain for chain in layout.chains if len(chain) > 2]
    bends = [layout.places[name].middle for name in long[1:-1]]
    assert max(bends) - min(bends) < 1
    assert layout.places["b"].middle == pytest.approx(layout.places["c"].middle, abs=1)


MANY = (
    """\
library: keras
architecture: many
inputs: {x: [4]}
blocks:
  both:
    layers:
      - y: [{Dense: {units: 4}, from: x}, {ReLU: {}}]
      - z: [{Dense: {units: 4}, from: x}, {ReLU: {}}]
      - sum: {Add: {}, from: [y, z, y]}
layers:
"""
    + "".join(f"  - d{i}: {{both: [], from: x}}\n" for i in range(12))
    + (f"  - all: {{Add: {{}}, from: [{', '.join(f'd{i}' for i in range(12))}]}}\n")
)


def test_numbers_of_edges_and_titles_of_boxes_are_clear_of_each_other() -> None:
    picture = drawn(MANY)
    words = [
        (float(item.attrib["x"]), float(item.attrib["y"]), 6 * len(item.text or ""))
        for item in picture.iter(f"{SVG}text")
        if item.attrib.get("class") == "order"
    ]
    heads = [
        tuple(map(float, re.match(r"M(\S+) (\S+?)h", item.attrib["d"]).groups()))
        for item in picture.iter(f"{SVG}path")
        if item.attrib["class"] == "head"
    ]
    assert len(words) == 12 * 2 + 12
    for x, y, width in words:
        for x2, y2 in heads:  # 8 wide, just above its box, as the number is
            assert abs(y - y2) > 10 or x2 >= x or x2 + 8 <= x - width
    titles = [box.title for box in boxes(KerasLibrary().graph(MANY, "net.yaml"), {})]
    assert len(set(titles)) == len(titles)
