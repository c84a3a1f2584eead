"""Formats of tables, tensors, fitted models and lists of arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from deepforge_hpc.runtime.formats import FORMATS, Format, FormatError
from deepforge_hpc.runtime.formats.file import choose
from deepforge_hpc.testing import FormatContract

if TYPE_CHECKING:
    from conftest import Execution

FRAME = pd.DataFrame(
    {"z": np.arange(10.0), "name": [f"é{n}" for n in range(10)], "at": pd.Timestamp("2026-01-01")}
)
X = np.arange(40.0).reshape(20, 2) % 7
Y = np.arange(20) % 2
MODELS = {
    "forest": RandomForestClassifier(3, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=3),
    "pipeline": make_pipeline(StandardScaler(), KNeighborsClassifier()),
    "network": MLPClassifier((3,), max_iter=300, tol=10, random_state=0),
    "process": GaussianProcessRegressor(RBF() + WhiteKernel()),
}


class TestParquet(FormatContract):
    value = FRAME
    unfit: ClassVar[Any] = {"a": 1}
    is_checked = True

    @pytest.fixture
    def fmt(self) -> Format:
        return FORMATS["parquet"]

    def same(self, one: Any, other: Any) -> bool:
        pd.testing.assert_frame_equal(one, other)
        return True


class TestParquetWithIndex(TestParquet):
    value = FRAME.set_index("name")


class TestArrayList(FormatContract):
    value: ClassVar[Any] = [np.arange(number) for number in range(10)]
    unfit: ClassVar[Any] = [np.arange(2), 3]
    is_checked = True

    @pytest.fixture
    def fmt(self) -> Format:
        return FORMATS["arrays"]

    def same(self, one: Any, other: Any) -> bool:
        np.testing.assert_equal(one, other)
        return True

    def test_its_suffix_is_that_of_npz(self, fmt: Format) -> None:
        assert fmt.suffix == ".npz"


class TestSafetensors(FormatContract):
    value: ClassVar[Any] = {"w": np.arange(6.0).reshape(2, 3), "b": np.ones(2, np.float32)}
    unfit: ClassVar[Any] = {"w": [1, 2]}
    is_checked = True

    @pytest.fixture
    def fmt(self) -> Format:
        return FORMATS["safetensors"]

    def same(self, one: Any, other: Any) -> bool:
        np.testing.assert_equal(one, other)
        return True


class TestSkops(FormatContract):
    value = RandomForestClassifier(3, random_state=0).fit(X, Y)
    unfit = "no model"
    is_checked = True

    @pytest.fixture
    def fmt(self) -> Format:
        return FORMATS["skops"]

    def same(self, one: Any, other: Any) -> bool:
        return bool((one.predict(X) == other.predict(X)).all())


class TestJoblib(FormatContract):
    value: ClassVar[Any] = {1: {2, 3}}
    unfit = staticmethod(lambda: None)

    @pytest.fixture
    def fmt(self) -> Format:
        return FORMATS["joblib"]


@pytest.mark.parametrize("name", MODELS)
def test_a_fitted_model_comes_back_without_pickle(name: str, tmp_path: Path) -> None:
    model = MODELS[name].fit(X, Y)
    assert choose(model) == "skops"
    path = FORMATS["skops"].save(model, tmp_path / "model")
    assert (FORMATS["skops"].load(path).predict(X) == model.predict(X)).all()


def _secret(x: Any) -> Any:
    return x


def test_what_a_model_file_asks_for_is_not_trusted(tmp_path: Path) -> None:
    from skops import io

    model = FunctionTransformer(_secret).fit(X)
    with pytest.raises(FormatError, match=r"_secret, which is not loaded from a file: use joblib"):
        FORMATS["skops"].save(model, tmp_path / "model")
    io.dump(model, tmp_path / "planted.skops")
    with pytest.raises(FormatError, match="not loaded from a file"):
        FORMATS["skops"].load(tmp_path / "planted.skops")


def test_a_single_array_in_safetensors_is_a_single_array_again(tmp_path: Path) -> None:
    fmt = FORMATS["safetensors"]
    assert fmt.load(fmt.save(np.arange(3), tmp_path / "x")).tolist() == [0, 1, 2]


def test_arrays_in_safetensors_come_back_as_they_are_in_their_order(tmp_path: Path) -> None:
    table = np.arange(24.0).reshape(4, 6)
    given = {"z": table.T, "b": table[::2, ::-1], "__a": np.float32([1]), "c": table.astype(">f4")}
    fmt = FORMATS["safetensors"]
    path = fmt.save(given, tmp_path / "x")
    fmt.verify(path)
    found = fmt.load(path)
    assert list(found) == list(given)
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)
    fmt.verify(fmt.save({"__a": table}, tmp_path / "z"))
    with pytest.raises(FormatError, match="safetensors cannot keep it: Unknown dtype"):
        fmt.save(np.array(["text"]), tmp_path / "y")


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("npy", lambda array: array),
        ("npz", lambda array: {"a": array}),
        ("hdf5", lambda array: {"a": array}),
        ("arrays", lambda array: [array]),
        ("safetensors", lambda array: array),
    ],
)
def test_a_mask_is_not_dropped(name: str, wrap: Any, tmp_path: Path) -> None:
    fmt = FORMATS[name]
    with pytest.raises(FormatError, match="would lose its mask"):
        fmt.save(wrap(np.ma.masked_array([1.0, 2.0], [False, True])), tmp_path / "x")
    fmt.save(wrap(np.ma.masked_array([1.0, 2.0])), tmp_path / "y")


def test_the_value_chooses_among_these(tmp_path: Path) -> None:
    chosen = [(FRAME, "parquet"), ([np.ones(2), np.ones(3)], "arrays"), ([np.ones(2), 3], "json")]
    assert [choose(value) for value, _ in chosen] == [name for _, name in chosen]


def test_parts_that_are_no_one_table_are_refused(tmp_path: Path) -> None:
    from deepforge_hpc.runtime.base.files import publish_json

    fmt = FORMATS["parquet"]
    frames = [pd.DataFrame({"x": [1]}), pd.DataFrame({"x": ["a"]})]
    names = [fmt.save(frame, tmp_path / f"part-{n}").name for n, frame in enumerate(frames)]
    parts = [{"file": name, "rows": 1} for name in names]
    index = {"schema": "dfh/parts/1", "format": "parquet", "parts": parts, "rows": 2}
    publish_json(tmp_path / "index.json", index)
    with pytest.raises(FormatError, match="no one table"):
        fmt.load_parts(tmp_path)


def test_an_equals_sign_in_the_path_is_no_column(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    path = FORMATS["parquet"].save(FRAME, tmp_path / "a=b" / "x")
    assert list(FORMATS["parquet"].load(path)) == list(FRAME)


def test_a_format_whose_package_is_missing_stops_the_job_before_it_runs(
    execution: Execution,
) -> None:
    text = "def operation():\n    open('/nowhere/ran', 'w')\n"
    execution.operation("job", text, outputs={"model": "lacking"})
    plugin = """
    from dfh_runtime.formats import Format
    class Lacking(Format):
        id = "lacking"
        needs = ("sys", "no_such_package_here")
    """
    execution.code("library/lacking.py", plugin)
    execution.code("plugins.json", '{"formats": {"lacking": "lacking:Lacking"}}')
    assert execution.run("job").returncode == 1
    assert execution.state("job")["reason"] == (
        "Output model cannot be saved: format lacking needs no_such_package_here, "
        f"which {sys.executable} lacks."
    )


def test_a_frame_and_a_model_travel_along_edges_without_a_word(execution: Execution) -> None:
    execution.operation(
        "make",
        """
        import pandas as pd
        from sklearn.linear_model import LinearRegression

        def operation():
            table = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 6.0]})
            model = LinearRegression().fit(table[["x"]], table["y"])
            return table, model
        """,
        outputs={"table": "any", "model": "any"},
        returns="tuple",
    )
    execution.operation(
        "use",
        "def operation(table, model): return model.predict(table[['x']]).round(6).tolist()",
        inputs={"table": "make.table", "model": "make.model"},
    )
    execution.run_all("make", "use")
    assert execution.value("use") == [2.0, 4.0, 6.0]


def test_looking_at_the_table_imports_none_of_them() -> None:
    code = (
        "import sys, deepforge_hpc.runtime.formats; "
        "print([m for m in ('numpy', 'pandas', 'pyarrow', 'sklearn', 'skops', 'joblib', "
        "'safetensors', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
