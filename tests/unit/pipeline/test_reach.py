"""The digest of an operation changes with what it does, and with nothing else in the project."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ProjectFolder

Digest = Callable[[dict[str, str]], str]


@pytest.fixture
def digest_of(project: ProjectFolder) -> Digest:
    """Return a function that gives the digest of `op` in ops.py, after files were written."""
    project.write(
        "pipeline.yaml",
        'pipeline: p\ninputs: {x: data/sdss.h5}\noperations:\n  a: {uses: "ops.py:op", inputs: {x: x}}\n',
    )

    def find(files: dict[str, str]) -> str:
        for name, text in files.items():
            project.write(name, textwrap.dedent(text))
        return project.load().operations["a"].source.sha256

    return find


BASE = """
import math
import numpy as np
from helper import scale, unused

LIMIT = 3
OTHER = np.arange(4)
LOOKUP = {}

def near(x):
    return scale(x) + LIMIT

def far(x):
    return x - 1

class Other:
    size = 5

    def run(self):
        return far(2)

def op(x):
    y = near(x)
    return y
"""
HELPER = """
BASE = 10
STEP = 1

def scale(x):
    return x * BASE

def unused(x):
    return x * STEP
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def op(x):", "# a comment\ndef op(x):"),
        ("    y = near(x)", '    """What it does."""\n\n    y = near( x )  # so'),
        ("return x - 1", "return x - 2"),
        ("size = 5", "size = 6"),
        ("OTHER = np.arange(4)", "OTHER = np.arange(5)"),
        ("import math", "import math, json"),
        ("import math", '"""Words."""\nimport math'),
        ("def far(x)", "def far(x: list[int])"),
        ("LIMIT = 3", "NEW = 1\nLIMIT = 3"),
        ("def far", "@staticmethod\ndef far"),
        ("LIMIT = 3", "LIMIT = 3\nif __name__ == '__main__':\n    print(op(3))"),
        ("LIMIT = 3", "LIMIT = 3\nif TYPE_CHECKING:\n    import helper as h"),
        ("from helper import scale, unused", "from helper import (\n    scale,\n)"),
    ],
)
def test_what_it_does_not_name_is_not_its_code(digest_of: Digest, old: str, new: str) -> None:
    before = digest_of({"ops.py": BASE, "helper.py": HELPER})
    assert BASE.count(old) == 1
    assert digest_of({"ops.py": BASE.replace(old, new)}) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = near(x)", "y = near(x) + 1"),
        ("return scale(x) + LIMIT", "return scale(x) - LIMIT"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3\nLIMIT = 5"),
        ("LIMIT = 3", "LIMIT = 3\nnp.random.seed(1)"),
        ("LIMIT = 3", "LIMIT = 3\nLOOKUP['a'] = 1"),
        ("LIMIT = 3", "LIMIT = 3\nSEEN = LOOKUP.setdefault('a', 1)"),
        ("LIMIT = 3", "LIMIT = 3\nfor k in 'ab':\n    LOOKUP[k] = 1"),
        ("LIMIT = 3", "LIMIT = 3\nif math.pi > 3:\n    LIMIT = 7"),
        ("def far", "@register\ndef far"),
        ("def far(x)", "def far(x=setup())"),
        ("def far(x)", "def far(x: setup())"),
        ("def far(x)", "def far(x, *, y: int) -> setup()"),
        ("size = 5", "size: setup() = 5"),
        ("class Other:", "class Other(Base):"),
        ("class Other:", "class Other(metaclass=Meta):"),
        ("from helper import scale, unused", "from other import scale\nfrom helper import unused"),
        ("def op(x):", "def op(x: object):"),
        ("y = near(x)", "y = eval('far(x)')"),
        ("y = near(x)", "y = near(x) + Other().size"),
        ("def op(x):", "@np.vectorize\ndef op(x):"),
    ],
)
def test_what_it_names_is_and_so_is_what_its_module_does(
    digest_of: Digest, old: str, new: str
) -> None:
    before = digest_of({"ops.py": BASE, "helper.py": HELPER, "other.py": HELPER})
    assert BASE.count(old) == 1
    assert digest_of({"ops.py": BASE.replace(old, new)}) != before


@pytest.mark.parametrize(
    "call",
    [
        "np.multiply(W, 2.0, out=W)",
        "np.multiply(W, 2.0, W)",
        "np.exp(W, W)",
        "np.add(W, 1, **{'out': W})",
        "np.put(W, [0], 2.0)",
        "np.add.at(W, 0, 2.0)",
        "np.fill_diagonal(W, 2.0)",
        "np.ndarray.fill(W, 2.0)",
        "np.asarray(W).fill(2.0)",
        "np.nan_to_num(W, copy=False)",
        "operator.setitem(W, 0, 2.0)",
        "operator.iadd(W, 1)",
        "functools.reduce(put, [1, 2])",
        "sorted([1, 2], key=put)",
        "sorted([1, 2], key=lambda x: put(x))",
        "max([1, 2], key=lent)",
        "np.fromfunction(lent, (2,))",
        "Path('w.txt').write_text('2')",
        "[W][0].fill(2)",
        "logging.getLogger('a').setLevel(2)",
    ],
)
def test_a_call_that_changes_what_it_is_given_is_no_value(digest_of: Digest, call: str) -> None:
    code = f"""
import functools, logging, operator
from pathlib import Path
import numpy as np
from helper import scale as lent
W = np.ones(4)
def put(x, y=0):
    W[0] = x
_ = {call}
def op(x):
    y = x * W[0]
    return y
"""
    before = digest_of({"ops.py": code, "helper.py": HELPER})
    assert digest_of({"ops.py": code.replace(call, f"({call}, 1)")}) != before


@pytest.mark.parametrize(
    "decorator", ["numba.extending.overload(len)", "functools.partial(put, 1)", "put"]
)
def test_a_decorator_that_may_register_what_it_is_given_counts(
    digest_of: Digest, decorator: str
) -> None:
    code = f"""
import functools, numba
def put(x, y=0):
    return x
@{decorator}
def other(x):
    return 1
def op(x):
    y = len([x])
    return y
"""
    before = digest_of({"ops.py": code})
    assert digest_of({"ops.py": code.replace("return 1", "return 2")}) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 1", "return 2"),
        ("size = 1", "size = 2"),
        ("G.mean()", "G.T.std()"),
        ("key=len", "key=lambda one: one[0]"),
        ('parent.joinpath("a")', 'parent.joinpath("b")'),
        ("operator.mul", "operator.add"),
        ("partial(other, 1)", "partial(other, 2)"),
        ("max(N, 3)", "max(N, 4)"),
    ],
)
def test_values_and_classes_that_others_use_do_nothing_to_it(
    digest_of: Digest, old: str, new: str
) -> None:
    code = """
import functools, operator
from pathlib import Path
import numpy as np
import tensorflow as tf
import torch
from helper import BASE as N
G = np.linspace(0, 1, 5)
H = G.mean()
NAMES = sorted(["a", "bc"], key=len)
FILE = Path(__file__).parent.joinpath("a")
SIZE = functools.reduce(operator.mul, [2, 3])
MOST = max(N, 3)
@torch.inference_mode()
def other(x):
    return 1
run = functools.partial(other, 1)
@functools.partial(torch.compile, dynamic=True)
class Net(tf.keras.layers.Dense):
    size = 1
def op(x):
    y = x
    return y
"""
    before = digest_of({"ops.py": code, "helper.py": HELPER})
    assert code.count(old) == 1
    assert digest_of({"ops.py": code.replace(old, new)}) == before


def test_what_is_changed_in_place_is_followed(digest_of: Digest) -> None:
    code = BASE.replace("LOOKUP = {}", "LOOKUP = []\nALIAS = LOOKUP\nALIAS += [1]")
    before = digest_of({"ops.py": code, "helper.py": HELPER})
    assert digest_of({"ops.py": code.replace("ALIAS = LOOKUP", "ALIAS = list(LOOKUP)")}) != before


@pytest.mark.parametrize(
    "use",
    ["eval('far(x)')", "globals()['far'](x)", "near.__globals__['far'](x)", "getsource(near)"],
)
def test_what_may_use_anything_of_its_module_is_all_of_it(digest_of: Digest, use: str) -> None:
    code = BASE.replace("y = near(x)", f"y = {use}").replace("getsource", "inspect.getsource")
    before = digest_of({"ops.py": code, "helper.py": HELPER})
    for text in (code.replace("return x - 1", "return x - 2"), f"{code}# a comment\n"):
        assert digest_of({"ops.py": text}) != before


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("BASE = 10", "BASE = 11", True),
        ("return x * BASE", "return BASE * x", True),
        ("STEP = 1", "STEP = 2", False),
        ("return x * STEP", "return STEP", False),
        ("STEP = 1", "STEP = 1\nprint('loaded')", True),
        ("STEP = 1", "STEP = 1\nimport third", True),
        ("STEP = 1", "STEP = 1\nexec('BASE = 12')", True),
    ],
)
def test_the_same_in_a_module_that_it_imports(
    digest_of: Digest, old: str, new: str, changes: bool
) -> None:
    third = {"third.py": "import helper\nhelper.BASE = 3\n"}
    before = digest_of({"ops.py": BASE, "helper.py": HELPER, **third})
    assert (digest_of({"helper.py": HELPER.replace(old, new)}) != before) is changes


@pytest.mark.parametrize(
    ("use", "changes"),
    [
        ("import helper\ndef op(x):\n    y = helper.scale(x)\n    return y\n", False),
        ("import helper as h\ndef op(x):\n    y = h.scale(x)\n    return y\n", False),
        ("def op(x):\n    from helper import scale\n    y = scale(x)\n    return y\n", False),
        ("def op(x):\n    import helper\n    y = helper.scale(x)\n    return y\n", False),
        ("try:\n    import helper\nexcept ImportError:\n    helper = None\ndef op(x):\n    y = helper.scale(x)\n    return y\n", False),
        ("import helper\ndef op(x):\n    y = getattr(helper, x)\n    return y\n", True),
        ("from helper import *\ndef op(x):\n    y = scale(x)\n    return y\n", True),
        ("import helper\ndef op(x):\n    y = helper.__dict__\n    return y\n", True),
        ("import importlib, helper\ndef op(x):\n    y = importlib.import_module(x)\n    return y\n", True),
        ("import importlib\ndef op(x):\n    y = importlib.import_module('helper')\n    return y\n", True),
        ("helper = __import__('helper')\ndef op(x):\n    y = helper.scale(x)\n    return y\n", True),
        ("from importlib import import_module\ndef op(x):\n    y = import_module('.helper', '')\n    return y\n", True),
        ("import sys, helper\ndef op(x):\n    y = sys.modules\n    return y\n", True),
        ("import helper\nclass A: ...\ndef op(x):\n    y = A.__subclasses__()\n    return y\n", True),
    ],
)  # fmt: skip
def test_a_module_that_is_handed_around_counts_whole(
    digest_of: Digest, use: str, changes: bool
) -> None:
    before = digest_of({"ops.py": use, "helper.py": HELPER})
    used = digest_of({"helper.py": HELPER.replace("BASE = 10", "BASE = 11")})
    assert used != before
    after = digest_of({"helper.py": HELPER.replace("STEP = 1", "STEP = 2")})
    assert (after != before) is changes


@pytest.mark.parametrize(
    ("imports", "use"),
    [
        ("import importlib as il", "il.import_module(x)"),
        ("from importlib import import_module as load", "load(x)"),
        ("from importlib import *", "import_module(x)"),
        ("import sys as s", "s.modules[x]"), ("import sys", "getattr(sys, x)[x]"),
        ("from sys import modules", "modules[x]"), ("import sys", "(a := sys).modules[x]"),
        ("import pkgutil", "pkgutil.resolve_name(x)"), ("import pydoc", "pydoc.locate(x)"),
        ("import runpy as r", "r.run_module(x)"), ("import builtins", "builtins.eval(x)"),
        ("import builtins as b", "getattr(b, x)(x)"), ("import builtins", "builtins.__import__(x)"),
        ("from inspect import getmodule", "getmodule(scale)"), ("import inspect", "inspect.getdoc(scale)"),
        ("from inspect import getsource", "getsource(scale)"), ("import gc", "gc.get_objects()"),
        ("", "scale.__globals__[x]"), ("", "getattr(scale, '__globals__')[x]"), ("", "scale.__doc__"),
        ("", "scale.__code__.co_firstlineno"), ("", "eval(x)"), ("", "globals()[x]"), ("", "vars()[x]"),
        ("", "__import__(x)"), ("", "__builtins__[x]"), ("import numexpr", "numexpr.evaluate(x)"),
        ("import logging.config", "logging.config.dictConfig(x)"),
    ],
)  # fmt: skip
def test_what_may_reach_any_name_makes_all_modules_count_as_written(
    digest_of: Digest, imports: str, use: str
) -> None:
    code = f"{imports}\nfrom helper import scale\ndef op(x):\n    y = {use}\n    return y\n"
    before = digest_of({"ops.py": code, "helper.py": HELPER})
    for text in (HELPER.replace("STEP = 1", "STEP = 2"), f"# a comment\n{HELPER}"):
        assert digest_of({"helper.py": text}) != before, text


@pytest.mark.parametrize(
    ("imports", "use"),
    [
        ("import pickle", "pickle.load(x)"), ("from pickle import loads as read", "read(x)"),
        ("import pickle", "pickle.Unpickler(x).load()"), ("import joblib", "joblib.load(x)"),
        ("import pandas as pd", "pd.read_pickle(x)"), ("import cloudpickle", "cloudpickle.loads(x)"),
    ],
)  # fmt: skip
def test_what_unpickles_may_use_any_class_of_what_it_imports(
    digest_of: Digest, imports: str, use: str
) -> None:
    code = f"{imports}\nimport helper\ndef op(x):\n    y = {use}\n    return y\n"
    before = digest_of({"ops.py": code, "helper.py": HELPER})
    assert digest_of({"helper.py": HELPER.replace("STEP = 1", "STEP = 2")}) != before
    assert digest_of({"helper.py": f"# a comment\n{HELPER}"}) == before


def test_what_pickles_does_not(digest_of: Digest) -> None:
    code = "import pickle\nimport helper\ndef op(x):\n    y = pickle.dumps(x)\n    return y\n"
    before = digest_of({"ops.py": code, "helper.py": HELPER})
    assert digest_of({"helper.py": HELPER.replace("STEP = 1", "STEP = 2")}) == before


@pytest.mark.parametrize(
    "use",
    [
        "model.eval()", "vars(x)", "sys.argv", "print(x, file=sys.stderr)", "inspect.signature(x)",
        "importlib.metadata.version(x)", "builtins.print(x)", "gc.collect()", "getattr(x, 'name')",
        "pd.DataFrame(x)", "'a@b.org'",
    ],
)  # fmt: skip
def test_harmless_names_beside_them_do_not(digest_of: Digest, use: str) -> None:
    imports = "import builtins, gc, importlib.metadata, inspect, sys\nimport pandas as pd\nfrom helper import scale\n"
    code = f"{imports}def op(x):\n    y = {use}\n    return y\n"
    before = digest_of({"ops.py": code, "helper.py": HELPER})
    assert digest_of({"helper.py": HELPER.replace("STEP = 1", "STEP = 2")}) == before


def test_a_table_that_is_asked_in_a_text_names_what_it_is_compared_with(digest_of: Digest) -> None:
    code = "LIMIT = 3\ndef op(x):\n    y = x.query('a < @LIMIT')\n    return y\n"
    before = digest_of({"ops.py": code})
    assert digest_of({"ops.py": code.replace("LIMIT = 3", "LIMIT = 4")}) != before


@pytest.mark.parametrize("value", ["1", "1.5", "b'a'", "2j", "..."])
def test_a_value_and_a_text_that_shows_it_are_two(digest_of: Digest, value: str) -> None:
    shown = f"{type(ast.literal_eval(value)).__name__} {ast.literal_eval(value)!r}"
    code = f"def op(x):\n    y = {value}\n    return y\n"
    before = digest_of({"ops.py": code})
    assert digest_of({"ops.py": code.replace(value, repr(shown))}) != before


@pytest.mark.parametrize(
    ("imports", "use"),
    [
        ("from importlib import import_module as load", "load('lib.late')"),
        ("import pkgutil as p", "p.resolve_name('lib.late:f')"),
        ("from pydoc import locate", "locate('lib.late.f')"),
    ],
)
def test_what_another_name_of_a_function_imports_is_frozen(
    digest_of: Digest, project: ProjectFolder, imports: str, use: str
) -> None:
    code = f"{imports}\ndef op(x):\n    y = {use}\n    return y\n"
    digest_of({"ops.py": code, "lib/late.py": "def f(x):\n    return 1\n"})
    assert "project/lib/late.py" in project.load().snapshot.files


def test_packages_are_followed_by_name(digest_of: Digest) -> None:
    files = {
        "ops.py": "import lib.sub.deep\nfrom lib import near\ndef op(x):\n    y = lib.sub.deep.f(x) + near.g(x)\n    return y\n",
        "lib/__init__.py": "VERSION = 1\n",
        "lib/near.py": "from . import shared\nfrom .sub.deep import f\ndef g(x):\n    return shared.C\ndef h():\n    return 1\n",
        "lib/shared.py": "C = 1\nD = 2\n",
        "lib/sub/deep.py": "def f(x):\n    return x\ndef e():\n    return 2\n",
    }
    before = digest_of(files)
    for name, old, new, changes in (
        ("lib/__init__.py", "VERSION = 1", "VERSION = 2", False),
        ("lib/__init__.py", "VERSION = 1", "print(1)", True),
        ("lib/__init__.py", "VERSION = 1", "def __getattr__(name):\n    return 1\n", True),
        ("lib/near.py", "return 1", "return 3", False),
        ("lib/shared.py", "C = 1", "C = 3", True),
        ("lib/shared.py", "D = 2", "D = 3", False),
        ("lib/sub/deep.py", "return x", "return -x", True),
        ("lib/sub/deep.py", "return 2", "return 3", False),
    ):
        after = digest_of({**files, name: files[name].replace(old, new)})
        assert (after != before) is changes, (name, new)


@pytest.mark.parametrize("where", ["", "def load(x):\n", "class Use:\n"])
def test_a_name_that_several_imports_may_bind_is_all_of_them(digest_of: Digest, where: str) -> None:
    several = "try:\n    from fast import f\nexcept ImportError:\n    from slow import f\n"
    use = {"": "f(x)", "def load(x):\n": "load(x)", "class Use:\n": "Use.f(x)"}[where]
    if where:
        several = where + textwrap.indent(several, "    ")
    if where.startswith("def"):
        several += "    return f(x)\n"
    code = {"ops.py": f"{several}\ndef op(x):\n    y = {use}\n    return y\n"}
    sources = {f"{name}.py": "def f(x):\n    return 1\n" for name in ("fast", "slow")}
    before = digest_of({**code, **sources})
    for name, text in sources.items():
        changed = {name: text.replace("1", "2")}
        assert digest_of({**code, **sources, **changed}) != before, name


@pytest.mark.parametrize("use", ["from lib import solve", "import lib", "import lib.solve"])
def test_what_a_package_binds_hides_its_module_of_that_name(digest_of: Digest, use: str) -> None:
    call = "solve(x)" if use.startswith("from") else "lib.solve(x)"
    files = {
        "ops.py": f"{use}\ndef op(x):\n    y = {call}\n    return y\n",
        "lib/__init__.py": "from .fast import solve\n",
        "lib/fast.py": "def solve(x):\n    return 1\ndef other(x):\n    return 1\n",
        "lib/solve.py": "def solve(x):\n    return 1\n",
    }
    before = digest_of(files)
    changed = {"lib/fast.py": files["lib/fast.py"].replace("1", "2", 1)}
    assert digest_of({**files, **changed}) != before
    changed = {
        "lib/fast.py": files["lib/fast.py"].replace("other(x):\n    return 1", "new(x): ...")
    }
    assert digest_of({**files, **changed}) == before
    changed = {"lib/__init__.py": "from .fast import other as solve\n"}
    assert digest_of({**files, **changed}) != before


@pytest.mark.parametrize(
    "binds",
    [
        "from .bar import bar\n",
        "from lib.bar import bar\n",
        "import lib.bar as bar\nbar = bar.bar\n",
        "from lib.near import bar\n",  # which takes it from the module of that name
    ],
)
def test_a_package_may_bind_a_name_from_its_module_of_that_name(
    digest_of: Digest, binds: str
) -> None:
    files = {
        "ops.py": "import lib\ndef op(x):\n    y = lib.bar(x)\n    return y\n",
        "lib/__init__.py": binds,
        "lib/bar.py": "def bar(x):\n    return 1\ndef other(x):\n    return 2\n",
        "lib/near.py": "from .bar import bar\n",
    }
    before = digest_of(files)
    changed = files["lib/bar.py"].replace("return 1", "return 3")
    assert digest_of({**files, "lib/bar.py": changed}) != before


def test_a_class_counts_whole_with_its_bases(digest_of: Digest) -> None:
    code = """
    class Root:
        def help(self):
            return 1

    class op(Root):
        def __init__(self, a: int = 1):
            self.a = a

        def execute(self, x):
            y = self.help()
            return y

    class Apart(Root):
        pass
    """
    before = digest_of({"ops.py": code})
    assert digest_of({"ops.py": code.replace("return 1", "return 2")}) != before
    assert digest_of({"ops.py": code.replace("        pass", "        z = 1")}) == before
    hook = code.replace("def help", "def __init_subclass__(cls): ...\n        def help")
    hooked = digest_of({"ops.py": hook})
    assert digest_of({"ops.py": hook.replace("        pass", "        z = 1")}) != hooked


def test_functions_that_call_each_other_in_a_long_chain(digest_of: Digest) -> None:
    steps = "".join(f"def f{n}(x):\n    return f{n + 1}(x)\n" for n in range(3000))
    code = steps + "def f3000(x):\n    return 1\ndef op(x):\n    y = f0(x)\n    return y\n"
    before = digest_of({"ops.py": code})
    assert digest_of({"ops.py": code.replace("return 1\n", "return 2\n")}) != before


def test_annotations_that_are_kept_as_they_stand_do_nothing(digest_of: Digest) -> None:
    code = "from __future__ import annotations\n" + BASE
    before = digest_of({"ops.py": code, "helper.py": HELPER})
    assert digest_of({"ops.py": code.replace("def far(x)", "def far(x: setup())")}) == before


def test_a_module_that_is_imported_by_its_name_as_a_text_is_frozen_with_what_it_imports(
    digest_of: Digest, project: ProjectFolder
) -> None:
    code = "from importlib import import_module\ndef op(x):\n    y = import_module('lib.late').f(x)\n    return y\n"
    late = "from . import deep\ndef f(x):\n    return deep.C\n"
    digest_of({"ops.py": code, "lib/late.py": late, "lib/deep.py": "C = 1\n"})
    frozen = project.load().snapshot.files
    assert {"project/ops.py", "project/lib/late.py", "project/lib/deep.py"} <= frozen.keys()
