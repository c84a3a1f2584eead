"""The cheaper ways through a syntax tree find what those of `ast` find."""

from __future__ import annotations

import ast

from deepforge_hpc.pipeline import returns
from deepforge_hpc.pipeline.syntax import children, nodes, statements

CODE = """
import a
if a:
    import b
elif b:
    import c
else:
    import d
for x in a: import e
else: import f
while a: import g
else: import h
try: import i
except (A, B) as error: import j
else: import k
finally: import l
with a as b: import m
async def one():
    async for x in a: import n
    async with a: import o
class Two:
    def three(self, x=lambda y: [z for z in y if (w := z)]):
        import p
        return x, {**a, "b": b[1:2]}, f"{x!r:>{y}}"
match a:
    case {"b": [c, *d], **rest} if c: import q
    case Two(x=1) | None: import r
"""


def test_each_node_is_found() -> None:
    tree = ast.parse(CODE)
    expected = [node for node in ast.walk(tree) if not isinstance(node, ast.expr_context)]
    assert list(nodes(tree)) == expected
    for node in expected:
        below = [x for x in ast.iter_child_nodes(node) if not isinstance(x, ast.expr_context)]
        assert children(node) == below


def test_each_statement_is_found_wherever_it_stands() -> None:
    tree = ast.parse(CODE)
    expected = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    found = [node for node in statements(tree) if isinstance(node, ast.stmt)]
    assert set(found) == set(expected)
    assert len(found) == len(expected)
    names = {node.names[0].name for node in found if isinstance(node, ast.Import)}
    assert names == set("abcdefghijklmnopqr")


def test_the_own_statements_are_of_no_scope_inside() -> None:
    tree = ast.parse(CODE)
    found = [node for node in statements(tree, own=True) if isinstance(node, ast.Import)]
    names = {node.names[0].name for node in found}
    assert names == set("abcdefghijklmqr")
    function = next(node for node in ast.walk(tree) if getattr(node, "name", "") == "three")
    assert isinstance(function, ast.FunctionDef)
    own = [node for node in statements(function, own=True) if node is not function]
    assert own == function.body


def test_a_returned_name_that_the_module_alone_defines_is_known() -> None:
    tree = ast.parse("made = 1\ndef f(a):\n    if a:\n        return made\n    return lost\n")
    function = tree.body[1]
    assert isinstance(function, ast.FunctionDef)
    assert [name.id for name, _ in returns.undefined(function, tree)] == ["lost"]
