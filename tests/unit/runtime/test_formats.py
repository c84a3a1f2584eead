"""Formats: what is saved is what is loaded, and a file that is not whole is refused."""

from __future__ import annotations

import io
import itertools
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepforge_hpc.runtime.base.failure import JobError
from deepforge_hpc.runtime.base.plan import Job, OutputPort
from deepforge_hpc.runtime.formats import FORMATS, Format, FormatError, load_formats
from deepforge_hpc.runtime.formats.base import Json, block_of, to_json
from deepforge_hpc.runtime.formats.file import choose
from deepforge_hpc.runtime.formats.integrity import check_hdf5, common_rows
from deepforge_hpc.runtime.formats.parts import read_parts
from deepforge_hpc.runtime.rank.messages import RankSpec
from deepforge_hpc.runtime.rank.saving import save_outputs
from deepforge_hpc.testing import FormatContract

if TYPE_CHECKING:
    from conftest import Execution

TABLE = {"a": np.arange(10), "b": np.arange(30).reshape(10, 3), "edges": np.arange(4)}


class TestJson(FormatContract):
    value: ClassVar[Any] = [1, 2.5, None, True, "é\n\x00", {"a": [{}]}, [], -0.5, "", "x" * 100]
    unfit = object()
    is_checked = True

    @pytest.fixture
    def fmt(self) -> Format:
        return FORMATS["json"]


class TestText(FormatContract):
    value = "".join(f"line {i}\n" for i in range(8)) + "one\r\ntwo\x0bthree\x85é"
    unfit = 3

    @pytest.fixture
    def fmt(self) -> Format:
        return FORMATS["text"]


class TestPickle(FormatContract):
    value: ClassVar[Any] = {1: {2, 3}, (4, 5): complex(1, 2)}
    unfit = staticmethod(lambda: None)

    @pytest.fixture
    def fmt(self) -> Format:
        return FORMATS["pickle"]


class TestArrays(FormatContract):
    """Of numpy and HDF5, which `==` cannot compare."""

    unfit = "no array"
    is_checked = True
    values: ClassVar[dict[str, Any]] = {
        "npy": np.arange(20.0).reshape(10, 2),
        "npz": {**TABLE, "x/y": np.array(["é", "b"]), "file": np.eye(2)},
        "hdf5": TABLE,
    }

    @pytest.fixture(params=values)
    def fmt(self, request: pytest.FixtureRequest) -> Format:
        self.value = self.values[request.param]
        return FORMATS[request.param]

    def plain(self, value: Any) -> Any:
        return {key: value[key][:] for key in value} if hasattr(value, "keys") else value

    def same(self, one: Any, other: Any) -> bool:
        np.testing.assert_equal(one, other)
        return True


def test_the_table_names_its_own_formats() -> None:
    assert set(FORMATS) == {
        "json", "text", "npy", "npz", "hdf5", "keras", "file", "directory", "pickle", "any",
        "arrays", "parquet", "safetensors", "skops", "joblib",
    }  # fmt: skip
    assert all(fmt.id == name and fmt.expects for name, fmt in FORMATS.items())
    assert {name for name, fmt in FORMATS.items() if fmt.can_split} == {
        "json", "text", "npy", "npz", "hdf5", "any", "arrays", "parquet",
    }  # fmt: skip


def test_looking_at_the_table_imports_no_library() -> None:
    import subprocess

    code = (
        "import sys, deepforge_hpc.runtime.formats; "
        "print([m for m in ('numpy', 'h5py', 'keras') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text() | st.sampled_from(["NaN", "-Infinity", "~Infinity", "~~NaN", "~"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(value=_JSON)
def test_any_json_value_survives(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = FORMATS["json"].save(value, folder / "value")
    assert FORMATS["json"].load(path) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([float("nan"), 1], {"schema": "dfh/json/1", "value": ["NaN", 1]}),
        (
            {"a": -np.inf, "b": "NaN"},
            {"schema": "dfh/json/1", "value": {"a": "-Infinity", "b": "~NaN"}},
        ),
        (["NaN"], ["NaN"]),
        ({"schema": "dfh/json/1", "value": "NaN"}, None),
    ],
)
def test_what_is_not_finite_is_a_word_in_the_file_and_a_float_again(
    value: Any, expected: Any, tmp_path: Path
) -> None:
    path = FORMATS["json"].save(value, tmp_path / "value")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads(path.read_bytes(), parse_constant=refuse)  # plain JSON, for any reader
    assert expected is None or found == expected
    np.testing.assert_equal(FORMATS["json"].load(path), value)


def test_a_number_of_numpy_that_python_has_no_form_of_is_named_by_its_type() -> None:
    third = np.longdouble(1) / 3
    for value in (third, np.array([third]), {"x": third}):
        with pytest.raises(FormatError, match=r"is a numpy\.longdouble, which JSON cannot hold"):
            to_json({"a": value})


def test_numbers_of_numpy_become_json_numbers(tmp_path: Path) -> None:
    value = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": np.arange(3),
        "d": np.bool_(True),
        "e": (1,),
    }
    path = FORMATS["json"].save(value, tmp_path / "value")
    assert FORMATS["json"].load(path) == {"a": 0.5, "b": 3, "c": [0, 1, 2], "d": True, "e": [1]}


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(0, 1000), shards=st.integers(1, 50))
def test_blocks_cover_all_rows_once_and_evenly(rows: int, shards: int) -> None:
    blocks = [block_of(shard, shards, rows) for shard in range(shards)]
    assert blocks[0][0] == 0
    assert blocks[-1][1] == rows
    assert all(left[1] == right[0] for left, right in itertools.pairwise(blocks))
    sizes = {stop - start for start, stop in blocks}
    assert max(sizes) - min(sizes) <= 1


def test_an_npy_input_is_mapped_and_read_only(tmp_path: Path) -> None:
    fmt = FORMATS["npy"]
    array = fmt.load(fmt.save(np.arange(4), tmp_path / "a"))
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), ()])
def test_an_npy_without_elements_can_be_loaded(shape: tuple[int, ...], tmp_path: Path) -> None:
    fmt = FORMATS["npy"]
    path = fmt.save(np.zeros(shape), tmp_path / "a")
    fmt.verify(path)
    assert fmt.load(path).shape == shape


def test_objects_are_never_pickled_into_arrays(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="Python objects"):
        FORMATS["npy"].save(np.array([{}]), tmp_path / "a")
    with pytest.raises(FormatError, match="Python objects"):
        FORMATS["npz"].save({"a": np.array([{}])}, tmp_path / "a")
    np.save(tmp_path / "evil.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        FORMATS["npy"].load(tmp_path / "evil.npy")


def test_hdf5_comes_in_open_and_read_only(tmp_path: Path) -> None:
    fmt = FORMATS["hdf5"]
    path = fmt.save({"x": np.arange(3), "g/s": ["a", "é"], "n": 5, "@unit": "mag"}, tmp_path / "t")
    with fmt.load(path) as file:
        assert file.mode == "r"
        assert file["g/s"].asstr()[1] == "é"
        assert (file["n"][()], file.attrs["unit"]) == (5, "mag")


def test_hdf5_may_be_a_file_that_the_operation_wrote(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "own.h5", "w", userblock_size=1024) as file:
        file["x"] = np.arange(3)
    path = FORMATS["hdf5"].save(tmp_path / "own.h5", tmp_path / "t")
    check_hdf5(path)
    with FORMATS["hdf5"].load(path) as file:
        assert file["x"][:].tolist() == [0, 1, 2]
    (tmp_path / "no.h5").write_text("x" * 5000)
    with pytest.raises(FormatError, match="not an HDF5 file"):
        FORMATS["hdf5"].save(tmp_path / "no.h5", tmp_path / "u")


def test_hdf5_says_which_dataset_it_cannot_keep(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="'bad' cannot be kept in HDF5"):
        FORMATS["hdf5"].save({"good": [1], "bad": [object()]}, tmp_path / "t")
    with pytest.raises(FormatError, match="expects a dict"):
        FORMATS["hdf5"].save([1], tmp_path / "u")


def test_hdf5_of_the_same_data_has_the_same_bytes(tmp_path: Path) -> None:
    paths = [FORMATS["hdf5"].save({"x": np.arange(9)}, tmp_path / name) for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_parts_of_hdf5_that_do_not_fit_are_named(tmp_path: Path) -> None:
    fmt = FORMATS["hdf5"]
    one = fmt.save({"x": np.zeros((2, 3))}, tmp_path / "one")
    two = fmt.save({"x": np.zeros((2, 4))}, tmp_path / "two")
    parts = [{"file": path.name, "rows": 2} for path in (one, two)]
    index = {"schema": "dfh/parts/1", "format": "hdf5", "parts": parts, "rows": 4}
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(FormatError, match="dataset 'x' is"):
        fmt.load_parts(tmp_path)
    parts[1]["file"] = fmt.save({"y": np.zeros((2, 3))}, tmp_path / "three").name
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(FormatError, match="'x' is in some of the parts only"):
        fmt.load_parts(tmp_path)


@pytest.mark.parametrize("name", ["../secret.json", "/etc/hostname", "..", ""])
def test_parts_outside_of_their_folder_are_not_read(tmp_path: Path, name: str) -> None:
    index = {
        "schema": "dfh/parts/1",
        "format": "json",
        "parts": [{"file": name, "rows": 1}],
        "rows": 1,
    }
    (tmp_path / "index.json").write_text(json.dumps(index))
    for read in (FORMATS["json"].load_parts, read_parts):
        with pytest.raises(ValueError, match="not in the folder"):
            read(tmp_path)


def test_every_hdf5_superblock_version_is_measured(tmp_path: Path) -> None:
    for number, libver in enumerate(("earliest", "v108", "latest")):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w", libver=libver) as file:
            file["x"] = np.arange(10_000)
        check_hdf5(path)
        os.truncate(path, path.stat().st_size - 100)
        with pytest.raises(FormatError, match="too short"):
            check_hdf5(path)


def test_a_keras_archive_must_be_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(FormatError, match=r"lacks metadata.json, model.weights.h5"):
        FORMATS["keras"].verify(path)


def test_files_and_folders_keep_bytes_and_suffix(tmp_path: Path) -> None:
    source = tmp_path / "in.fits"
    source.write_bytes(b"\x00\x01")
    path = FORMATS["file"].save(source, tmp_path / "out")
    assert (path.name, path.read_bytes()) == ("out.fits", b"\x00\x01")
    strange = tmp_path / "in.$(x)"
    strange.touch()
    assert FORMATS["file"].save(strange, tmp_path / "strange").name == "strange"
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "c").write_text("c")
    copied = FORMATS["directory"].save(folder, tmp_path / "copy")
    assert (copied / "a" / "b" / "c").read_text() == "c"
    with pytest.raises(FormatError, match="is not a folder"):
        FORMATS["directory"].save(source, tmp_path / "x")
    with pytest.raises(FormatError, match="has no rows"):
        FORMATS["file"].load(path, (0, 1))
    with pytest.raises(FormatError, match="has no rows"):
        FORMATS["file"].rows(path)
    with pytest.raises(FormatError, match="cannot be joined"):
        FORMATS["file"].join([])


def test_the_value_chooses_a_format(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    chosen = [
        (tmp_path, "directory"),
        (tmp_path / "f", "file"),
        ("x", "text"),
        (np.zeros(2), "npy"),
        ({"a": np.zeros(2)}, "npz"),
        ({"a": 1}, "json"),
        ({}, "json"),
        (None, "json"),
    ]
    assert [choose(value) for value, _ in chosen] == [name for _, name in chosen]
    with pytest.raises(FormatError, match="no format fits by itself"):
        choose(io.BytesIO())


def test_a_work_folder_that_takes_nothing_is_not_called_a_fault_of_the_operation(
    tmp_path: Path,
) -> None:
    work = str(tmp_path / "gone")
    spec = RankSpec(Job("job", "job"), (), None, code="", work=work, figures="", rank_log="")
    with pytest.raises(JobError, match=r"^The outputs cannot be saved: No such file or directory"):
        save_outputs(spec, {}, FORMATS)


@pytest.mark.parametrize("value", [[1, lambda: 0], Path("a/path/into/what/is/removed")])
def test_of_what_cannot_be_kept_no_beginning_is(tmp_path: Path, value: object) -> None:
    class Half(Json):
        def save(self, value: object, stem: Path) -> Path:
            stem.with_suffix(".json").write_text("[1, ")
            raise ValueError("half")

    job = Job("job", "job", outputs=(OutputPort("x", "json"),))
    spec = RankSpec(job, (), None, code="", work=str(tmp_path), figures="", rank_log="")
    with pytest.raises(JobError, match=r"^Output x cannot be saved: it is .*ValueError: half"):
        save_outputs(spec, {"x": value}, {"json": Half()})
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == []  # nor of the pickle


def test_the_common_number_of_rows() -> None:
    assert common_rows([(5, 2), (5,), (9,), ()]) == 5
    assert common_rows([(5, 2), (9,)]) == 9
    assert common_rows([(), ()]) is None


def test_a_format_of_a_third_party(execution: Execution) -> None:
    execution.code(
        "library/csvformat.py",
        """
        from dfh_runtime.formats import Format, FormatError

        class Csv(Format):
            id = "csv"
            suffix = ".csv"
            expects = "a list of rows"

            def save(self, value, stem):
                path = stem.with_name(stem.name + self.suffix)
                path.write_text("\\n".join(",".join(map(str, row)) for row in value))
                return path

            def load(self, path, rows=None):
                return [line.split(",") for line in path.read_text().split("\\n")]

            def verify(self, path):
                if "bad" in path.read_text():
                    raise FormatError("bad is not good")
        """,
    )
    execution.code("plugins.json", '{"formats": {"csv": "csvformat:Csv"}}')
    execution.operation("make", "def operation(): return [[1, 2], [3]]", outputs={"rows": "csv"})
    execution.operation("use", "def operation(rows): return rows", inputs={"rows": "make.rows"})
    execution.operation("bad", "def operation(): return [['bad']]", outputs={"rows": "csv"})
    execution.run_all("make", "use")
    assert execution.output("make", "rows").name == "rows.csv"
    assert execution.value("use") == [["1", "2"], ["3"]]
    assert execution.run("bad").returncode == 1
    assert "bad is not good" in execution.state("bad")["reason"]


def test_a_format_of_a_third_party_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "plugins.json").write_text('{"formats": {"csv": "no_such_module_here:Csv"}}')
    with pytest.raises(JobError, match=r"The format csv .* ModuleNotFoundError"):
        load_formats(tmp_path)
    sys.path.remove(str(tmp_path / "library"))


def test_a_format_that_breaks_where_it_is_made_is_named_in_the_job(execution: Execution) -> None:
    broken = "class Csv:\n    def __init__(self): raise RuntimeError('no licence')"
    execution.code("library/brokenformat.py", broken)
    execution.code("plugins.json", '{"formats": {"csv": "brokenformat:Csv"}}')
    execution.operation("job", "def operation(): return 1")
    assert execution.run("job").returncode == 1
    assert execution.state("job")["reason"] == (
        "The format csv (brokenformat:Csv) cannot be loaded: RuntimeError: no licence."
    )
