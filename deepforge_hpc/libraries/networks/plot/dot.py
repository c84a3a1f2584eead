"""A network for Graphviz."""

from __future__ import annotations

import json
from collections.abc import Iterator

from deepforge_hpc.libraries.networks.graph import Graph, LayerCall


def to_dot(graph: Graph) -> str:
    """Return a directed graph: a box for each layer, an edge for each tensor, numbered if many."""
    inputs = [_node(item.name, f"Input {list(item.shape)}") for item in graph.inputs]
    nodes = [_node(call.name, call.kind) for call in graph.calls]
    edges = [edge for call in graph.calls for edge in _edges(call)]
    ends = [f"{json.dumps(tensor.name)} [peripheries=2];" for tensor in graph.outputs]
    head = f"digraph {json.dumps(graph.name)} {{"
    body = (f"  {line}" for line in ("node [shape=box];", *inputs, *nodes, *edges, *ends))
    return "\n".join([head, *body, "}", ""])


def _edges(call: LayerCall) -> Iterator[str]:
    for number, tensor in enumerate(call.reads, 1):
        label = f' [label="{number}"]' if len(call.reads) > 1 else ""
        yield f"{json.dumps(tensor.name)} -> {json.dumps(call.name)}{label};"


def _node(name: str, kind: str) -> str:
    label = json.dumps(f"{name}\n{kind}")
    return f"{json.dumps(name)} [label={label}];"
