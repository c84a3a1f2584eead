"""Each test runs user code in a process of its own, as a rank does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from deepforge_hpc.runtime.base.files import digest_file
from deepforge_hpc.runtime.figures.identity import FigureId, carried
from deepforge_hpc.runtime.figures.index import recorded

pytest.importorskip("matplotlib")

DRAWER = FigureId("flow-0001", "train", 3, 2, "0123456789abcdef" * 2)
HEAD = f"""
import sys
from pathlib import Path
from deepforge_hpc.runtime.figures import hook as figures
from deepforge_hpc.runtime.figures.identity import FigureId
folder = Path(sys.argv[1])
drawer = {DRAWER!r}
capture = figures.install(folder, drawer)
"""

# Importing matplotlib takes longer than any test here: one process has it, and forks for each.
SERVER = """
import json, os, sys, warnings
import matplotlib.animation, matplotlib.pyplot, mpl_toolkits.mplot3d
import matplotlib.backends.backend_agg, matplotlib.backends.backend_svg
matplotlib.pyplot.Figure().add_subplot()
warnings.simplefilter("error")  # not before: an old matplotlib has its own
for line in sys.stdin:
    job = json.loads(line)
    if os.fork() == 0:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT, 0o600), number)
        os.environ.clear()
        os.environ.update(job["environ"])
        matplotlib.rcParams["backend"] = job["environ"].get("MPLBACKEND", "agg")
        os.chdir(job["cwd"])
        sys.argv = ["-c", job["folder"]]
        exec(compile(job["code"], "<user>", "exec"), {"__name__": "__main__"})
        sys.exit()
    print(json.dumps(os.waitstatus_to_exitcode(os.wait()[1])), flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVER]
    pipe = subprocess.PIPE
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


class Place:
    """A folder for figures, and a way to run user code that draws them."""

    def __init__(self, root: Path, server: subprocess.Popen[str]) -> None:
        self.root = root
        self.folder = root / "figures"
        self._server = server

    def run(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run user code after `install`, with every warning an error."""
        job = self._job(code, environment)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        out, err = self.root / "out.txt", self.root / "err.txt"
        out.unlink(missing_ok=True)
        err.unlink(missing_ok=True)
        self._server.stdin.write(json.dumps({**job, "out": str(out), "err": str(err)}) + "\n")
        self._server.stdin.flush()
        code_ = json.loads(self._server.stdout.readline())
        return subprocess.CompletedProcess([], code_, out.read_text(), err.read_text())

    def run_fresh(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it in a new interpreter that has not imported matplotlib."""
        job = self._job(code, environment)
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", job["code"], job["folder"]],
            capture_output=True,
            text=True,
            check=False,
            cwd=job["cwd"],
            env=job["environ"],
            timeout=120,
        )

    def _job(self, code: str, environment: dict[str, str]) -> dict[str, Any]:
        environ = {**os.environ, "DFH_JOB": "train", "DFH_WORLD_SIZE": "1", **environment}
        return {
            "code": HEAD + textwrap.dedent(code),
            "folder": str(self.folder),
            "cwd": str(self.root),
            "environ": {name: value for name, value in environ.items() if value},
        }

    def good(self, code: str, *, fresh: bool = False, **environment: str) -> dict[str, Any]:
        """Run user code that must end well and in silence; return the index by id."""
        result = (self.run_fresh if fresh else self.run)(code, **environment)
        assert (result.returncode, result.stderr) == (0, "")
        index = json.loads((self.folder / "index.json").read_bytes())
        assert index["schema"] == "dfh/figures/1"
        for entry in index["figures"]:
            assert (self.folder / entry["png"]).read_bytes().startswith(b"\x89PNG")
            if entry["svg"]:
                assert b"<svg" in (self.folder / entry["svg"]).read_bytes()
            for name in filter(None, (entry["png"], entry["svg"], entry["data"])):
                assert carried(self.folder / name) == [DRAWER._replace(file=name)]
        return {entry["id"]: entry for entry in index["figures"]}

    def data(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / f"{name}.json").read_bytes())


@pytest.fixture
def place(tmp_path: Path, server: subprocess.Popen[str]) -> Place:
    return Place(tmp_path, server)


@pytest.mark.parametrize(
    "choice",
    [
        "import matplotlib; matplotlib.use('Agg')",
        "import matplotlib.pyplot as plt; plt.switch_backend('svg')",
        "",
    ],
)
def test_show_is_captured_whatever_the_backend_and_is_silent(place: Place, choice: str) -> None:
    code = f"""
    {choice}
    import matplotlib.pyplot as plt
    plt.plot([1, 2, 3], [1, 4, 9], label="square")
    plt.title("Squares"); plt.xlabel("n"); plt.legend()
    plt.show()
    assert plt.gcf().number == 1
    """
    inherited = {"DISPLAY": ":99", "MPLBACKEND": "module://matplotlib_inline"}
    figures = place.good(code, fresh=not choice, **inherited)
    assert figures["1"]["title"] == "Squares"
    assert figures["1"]["svg"] == "1.svg"
    (axes,) = place.data("1")["axes"]
    assert axes["x"]["label"] == "n"
    assert axes["legend"] == ["square"]
    line = axes["artists"][0]
    assert (line["kind"], line["label"], line["x"], line["y"]) == (
        "line",
        "square",
        [1, 2, 3],
        [1, 4, 9],
    )


def test_the_id_is_where_readers_of_each_format_look_for_one(place: Place) -> None:
    """It names no path: that of the folder stands in none of the files."""
    from PIL import Image

    code = """
    import matplotlib.pyplot as plt
    plt.figure("loss"); plt.plot([1, 2]); plt.show()
    """
    place.good(code)
    said = "dfh:flow-0001/train[3]/2/loss.%s#0123456789abcdef0123456789abcdef"
    with Image.open(place.folder / "loss.png") as picture:
        assert picture.info["Identifier"] == said % "png"
    drawing = ET.parse(place.folder / "loss.svg")
    found = drawing.findall(".//{http://purl.org/dc/elements/1.1/}identifier")
    assert [element.text for element in found] == [said % "svg"]
    assert place.data("loss")["identifier"] == said % "json"
    files = [path.read_bytes() for path in place.folder.iterdir()]
    assert not any(str(place.root).encode() in content for content in files)


def test_what_is_recorded_is_what_lies_there_at_the_end(place: Place) -> None:
    """Also of a figure that the index does not know in its last state, as its rank was killed."""
    place.good("import matplotlib.pyplot as plt; plt.figure('loss'); plt.plot([1]); plt.show()")
    (place.folder / "loss.png").write_bytes(b"drawn at last")
    (place.folder / "loss.svg").unlink()
    (place.folder / "no figure.txt").write_text("mine")
    found = {item.name: (item.sha256, item.size) for item in recorded(place.folder)}
    assert found == {
        name: (digest_file(place.folder / name), (place.folder / name).stat().st_size)
        for name in ("loss.png", "loss.json")
    }


@pytest.mark.parametrize("index", ["{", "[]", '{"schema":"dfh/figures/9"}', None])
def test_nothing_is_recorded_by_an_index_that_is_none(place: Place, index: str | None) -> None:
    place.folder.mkdir()
    if index is not None:
        (place.folder / "index.json").write_text(index)
    assert recorded(place.folder) == ()


def test_an_index_leads_to_no_file_outside_of_the_folder(place: Place) -> None:
    place.folder.mkdir()
    (place.root / "secret.png").write_text("secret")
    (place.folder / "link.png").symlink_to(place.root / "secret.png")
    os.mkfifo(place.folder / "pipe.png")
    (place.folder / "1.png").write_text("drawn")
    names = (
        "../secret.png",
        str(place.root / "secret.png"),
        "link.png",
        "pipe.png",
        "1.png",
        "1.png",
    )
    entries = [{"id": "1", "png": name, "svg": None, "data": "gone.json"} for name in names]
    index = {"schema": "dfh/figures/1", "figures": entries}
    (place.folder / "index.json").write_text(json.dumps(index))
    assert [item.name for item in recorded(place.folder)] == ["1.png"]


def test_one_number_is_one_figure_and_a_label_names_it(place: Place) -> None:
    code = """
    import matplotlib.pyplot as plt
    for value in (1, 2):
        plt.figure(4); plt.plot([value]); plt.show(); plt.close()
    plt.figure("loss"); plt.plot([1]); plt.show()
    plt.figure("../../etc/pass wd"); plt.plot([1]); plt.show()
    plt.figure("12"); plt.plot([1]); plt.show()
    """
    figures = place.good(code)
    assert list(figures)[:2] == ["4", "loss"]
    assert len(figures) == 4
    assert place.data("4")["axes"][0]["artists"][0]["y"] == [2]
    assert all("/" not in entry["png"] and " " not in entry["png"] for entry in figures.values())
    assert len(list(place.folder.iterdir())) == 4 * 3 + 1


def test_savefig_to_file_and_buffer_give_the_same_bytes_as_without_us(
    place: Place,
) -> None:
    code = """
    import io, hashlib, matplotlib.pyplot as plt
    from matplotlib.figure import Figure
    fig, axes = plt.subplots(1, 2, layout="constrained", dpi=70)
    axes[0].scatter(range(6000), range(6000)); axes[1].plot([1, 2])
    before = (fig.dpi, tuple(fig.get_size_inches()), axes[0].collections[0].get_rasterized())
    buffer = io.BytesIO()
    assert fig.savefig(buffer, dpi=123, bbox_inches="tight", facecolor="red", transparent=False) is None
    fig.savefig("mine.pdf", metadata={"CreationDate": None})
    print(hashlib.sha256(buffer.getvalue()).hexdigest())
    print(hashlib.sha256(open("mine.pdf", "rb").read()).hexdigest())
    assert before == (fig.dpi, tuple(fig.get_size_inches()), axes[0].collections[0].get_rasterized())
    fig.canvas.draw()
    print(hashlib.sha256(bytes(fig.canvas.buffer_rgba())).hexdigest(), fig.canvas.get_width_height())
    print(fig.stale, [tuple(ax.get_position().bounds) for ax in axes])
    """
    captured = place.run(code)
    plain = place.run(code, DFH_JOB="")
    assert captured.returncode == 0, captured.stderr
    assert captured.stdout == plain.stdout
    assert json.loads((place.folder / "index.json").read_bytes())["figures"][0]["svg"]


def test_heavy_scatter_is_pixels_in_the_svg(place: Place) -> None:
    code = """
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots()
    points = ax.scatter(range(20000), range(20000)); line, = ax.plot(range(20000))
    plt.show()
    assert not points.get_rasterized() and not line.get_rasterized()
    """
    place.good(code)
    assert (place.folder / "1.svg").stat().st_size < 300_000
    assert b"<image" in (place.folder / "1.svg").read_bytes()
    scatter = next(a for a in place.data("1")["axes"][0]["artists"] if a["kind"] == "scatter")
    assert scatter["n"] == 20000
    assert len(scatter["x"]) == len(scatter["y"]) == 10000


def test_every_kind_of_artist_leaves_its_data(place: Place) -> None:
    code = """
    import numpy as np, matplotlib.pyplot as plt
    rng = np.random.default_rng(1)
    fig, axes = plt.subplots(2, 3)
    axes[0, 0].bar(["a", "b"], [1, 2], label="bars"); axes[0, 0].hist([1, 2, 2], bins=2)
    axes[0, 1].pie([1, 3], labels=["x", "y"])
    axes[0, 2].imshow(np.array([[1.0, np.nan], [3.0, 4.0]])); axes[1, 0].imshow(rng.random((900, 700)))
    axes[1, 1].fill_between([0, 1], [1, 2]); axes[1, 1].pcolormesh(rng.random((4, 5)))
    axes[1, 1].contourf(rng.random((5, 5))); axes[1, 1].quiver([0], [0], [1], [2]); axes[1, 1].errorbar([1], [2], yerr=1)
    axes[1, 1].add_patch(plt.Rectangle((0, 0), 1, 1)); axes[1, 1].annotate("here", (0, 0)); axes[1, 1].hist([1, 2], histtype="step")
    axes[1, 2].plot(np.array(["2026-01-01", "2026-01-02"], "M8[D]"), np.ma.array([1, 2], mask=[0, 1]))
    fig.suptitle("All of them")
    space = plt.figure("space").add_subplot(projection="3d")
    space.scatter([1, 2], [3, 4], [5, 6], c=[7, 8]); space.plot([1, 2], [3, 4], [5, 6])
    space.plot_surface(*np.meshgrid([0, 1], [0, 1]), np.ones((2, 2))); space.text(0, 1, 2, "origin")
    plt.show()
    """
    figures = place.good(code)
    assert figures["1"]["title"] == "All of them"
    flat = [axes["artists"] for axes in place.data("1")["axes"]]
    assert not [a for artists in flat for a in artists if "problem" in a]
    assert flat[0][0]["height"] == [1, 2]
    assert flat[0][1]["height"] == [1, 2]
    wedge = flat[1][0]
    assert (wedge["kind"], wedge["label"], wedge["degrees"]) == ("wedge", "x", [0, 90])
    assert flat[2][0]["values"] == [[1.0, None], [3.0, 4.0]]
    large = flat[3][0]
    assert large["shape"] == [900, 700]
    assert len(large["values"]) * len(large["values"][0]) <= 65536
    kinds = {artist["kind"] for artist in flat[4]}
    assert {"shapes", "mesh", "contour", "arrows", "rectangle", "text", "polygon"} <= kinds
    assert flat[5][0]["x"] == ["2026-01-01", "2026-01-02"]
    assert flat[5][0]["y"] == [1.0, None]
    space = {a["kind"]: a for a in place.data("space")["axes"][0]["artists"]}
    assert space["scatter"]["z"] == [5, 6]
    assert space["scatter"]["value"] == [7, 8]
    assert space["line"]["z"] == [5, 6]
    assert space["faces"]["n"] == 1
    assert space["text"]["at"] == [0, 1, 2]


def test_what_is_no_data_of_axes_is_captured_as_well(place: Place) -> None:
    code = """
    import numpy as np, matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage, TextArea
    plt.figure("words").add_subplot().text(1, 2, "only words")
    plt.figure("table").add_subplot().table([["a", "b"]], loc="center")
    axes = plt.figure("boxes").add_subplot()
    axes.add_artist(AnnotationBbox(OffsetImage(np.eye(2)), (3, 4)))
    axes.add_artist(AnnotationBbox(TextArea("tied"), (5, 6)))
    own = plt.figure("own"); own.figimage(np.eye(3)); own.add_artist(Line2D([0, 1], [0, 1]))
    axes = plt.figure("more").add_subplot()
    axes.barbs([1], [2], [3], [4]); axes.tripcolor([0, 1, 0], [0, 0, 1], [7, 7, 7])
    class Odd(Line2D):
        def get_xdata(self, orig=True):
            if orig: raise RuntimeError("mine")
            return super().get_xdata(orig)
    axes.add_line(Odd([1, 2], [3, 4]))
    plt.figure("empty").add_subplot()
    """
    assert list(place.good(code)) == ["words", "table", "boxes", "own", "more"]

    def artists(name: str) -> list[dict[str, Any]]:
        data = place.data(name)
        return [*data["artists"], *(item for axes in data["axes"] for item in axes["artists"])]

    assert artists("words") == [{"label": "", "kind": "text", "at": [1, 2], "text": "only words"}]
    assert artists("table")[0]["cells"] == [[0, 0, "a"], [0, 1, "b"]]
    image, words = artists("boxes")
    assert (image["at"], image["values"]) == ([3, 4], [[1, 0], [0, 1]])
    assert (words["at"], words["text"]) == ([5, 6], "tied")
    assert {item["kind"] for item in artists("own")} == {"image", "line"}
    more = {item["kind"]: item for item in artists("more")}
    assert [more["arrows"][name] for name in "xyuv"] == [[1], [2], [3], [4]]
    assert more["shapes"]["value"] == [7]
    assert more["Odd"]["problem"] == "RuntimeError: mine"


def test_figures_without_pyplot_are_captured(place: Place) -> None:
    code = """
    import io
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    drawn, saved = Figure(), Figure()
    canvas = FigureCanvasAgg(drawn)
    drawn.add_subplot().plot([1, 2]); canvas.draw()
    saved.add_subplot().plot([3, 4]); saved.savefig(io.BytesIO())
    """
    figures = place.good(code)
    assert list(figures) == ["canvas-1", "canvas-2"]
    assert all(entry["svg"] for entry in figures.values())


def test_repeated_draws_are_thinned_out_and_the_last_state_is_kept(place: Place) -> None:
    code = """
    import matplotlib.pyplot as plt
    from deepforge_hpc.runtime.figures.capture import Recorder
    writes = []
    original = Recorder._write
    Recorder._write = lambda self, figure, entry, **kw: (writes.append(1), original(self, figure, entry, **kw))
    fig, ax = plt.subplots()
    line, = ax.plot([0]*5)
    for step in range(40):
        line.set_data(range(5), [step]*5)
        fig.canvas.draw()
        plt.pause(0.001)
    assert len(writes) < 10, len(writes)
    """
    place.good(code)
    assert place.data("1")["axes"][0]["artists"][0]["y"] == [39] * 5


def test_a_closed_figure_keeps_its_last_draw(place: Place) -> None:
    code = """
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots()
    for value in range(3):
        ax.clear(); ax.plot([value]); fig.canvas.draw()
    plt.close(fig)
    scratch = plt.figure(); plt.hist([1, 2]); plt.close(scratch)
    """
    figures = place.good(code)
    assert list(figures) == ["1"]
    assert figures["1"]["svg"]
    assert place.data("1")["axes"][0]["artists"][0]["y"] == [2]


def test_a_figure_that_was_saved_and_cleared_keeps_what_was_saved(place: Place) -> None:
    code = """
    import io, matplotlib.pyplot as plt
    plt.plot([7]); plt.savefig(io.BytesIO()); plt.clf()
    """
    place.good(code)
    assert place.data("1")["axes"][0]["artists"][0]["y"] == [7]


def test_a_figure_that_was_never_shown_is_captured_at_the_end_even_after_an_error(
    place: Place,
) -> None:
    result = place.run("import matplotlib.pyplot as plt; plt.plot([1, 5])\nraise SystemExit(3)")
    assert result.returncode == 3
    assert place.data("1")["axes"][0]["artists"][0]["y"] == [1, 5]


def test_animation_frames_are_not_all_written(place: Place) -> None:
    code = """
    import matplotlib.pyplot as plt
    from matplotlib.animation import FuncAnimation, PillowWriter
    fig, ax = plt.subplots(figsize=(1, 1)); line, = ax.plot([0, 1])
    def update(i): line.set_ydata([i, i]); return line,
    FuncAnimation(fig, update, frames=5).save("a.gif", writer=PillowWriter())
    """
    assert list(place.good(code)) == ["1"]
    assert (place.root / "a.gif").exists()


def test_callbacks_and_errors_of_the_user_are_the_users(place: Place) -> None:
    code = """
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots(); ax.plot([1]); draws = []
    fig.canvas.mpl_connect("draw_event", draws.append)
    fig.canvas.draw(); plt.show()
    assert len(draws) == 1, len(draws)
    try: fig.savefig("x.nonsense")
    except ValueError as error: assert "nonsense" in str(error)
    else: raise AssertionError
    ax.set_title("$\\\\notacommand{$")
    try: fig.canvas.draw()
    except ValueError: pass
    else: raise AssertionError
    ax.set_title("")
    """
    place.good(code)


def test_a_capture_that_fails_is_a_few_lines_in_the_log(place: Place) -> None:
    place.folder.write_text("not a folder")
    code = """
    import matplotlib.pyplot as plt
    plt.figure(figsize=(1, 1))
    for _ in range(8): plt.plot([1]); plt.show()
    print("went on")
    """
    result = place.run(code)
    assert (result.returncode, result.stdout) == (0, "went on\n")
    lines = result.stderr.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("dfh: warning: a figure was not captured: ") for line in lines)


def test_an_earlier_attempts_figures_go_when_the_first_new_one_comes(place: Place) -> None:
    place.good("import matplotlib.pyplot as plt; plt.figure('old'); plt.plot([1]); plt.show()")
    outside = place.root / "keep.txt"
    outside.write_text("x")
    index = json.loads((place.folder / "index.json").read_bytes())
    index["figures"].append({"id": "x", "png": "../keep.txt", "svg": None, "data": "none.json"})
    (place.folder / "index.json").write_text(json.dumps(index))
    figures = place.good("import matplotlib.pyplot as plt; plt.plot([1]); plt.show()")
    assert list(figures) == ["1"]
    assert not (place.folder / "old.png").exists()
    assert outside.exists()


def test_files_are_the_same_bytes_for_the_same_figure(place: Place) -> None:
    code = "import matplotlib.pyplot as plt; plt.plot([1, 3]); plt.show()"
    digests = []
    for _ in range(2):
        place.good(code)
        digests.append(hashlib.sha256((place.folder / "1.svg").read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_a_forked_worker_does_not_write_over_its_parents_figures(place: Place) -> None:
    code = """
    import os, matplotlib.pyplot as plt
    plt.plot([1]); plt.show()
    child = os.fork()
    if child == 0:
        plt.clf(); plt.plot([2]); plt.show(); os._exit(0)
    os.waitpid(child, 0)
    """
    place.good(code)
    assert place.data("1")["axes"][0]["artists"][0]["y"] == [1]


@pytest.mark.parametrize(
    "environment",
    [{"DFH_JOB": ""}, {"DFH_WORLD_SIZE": "2", "DFH_RANK": "1"}],
    ids=["outside of a job", "rank 1"],
)
def test_nothing_is_installed_elsewhere(place: Place, environment: dict[str, str]) -> None:
    code = """
    import matplotlib.pyplot as plt, matplotlib.figure
    plt.plot([1]); plt.show()
    assert capture is None
    assert "deepforge_hpc" not in matplotlib.figure.Figure.draw.__code__.co_filename
    """
    result = place.run(code, **environment)
    assert result.returncode == 0, result.stderr
    assert not place.folder.exists()


def test_matplotlib_is_not_imported_by_us(place: Place) -> None:
    code = """
    assert "matplotlib" not in sys.modules
    assert "deepforge_hpc.runtime.figures.capture" not in sys.modules
    """
    assert place.run_fresh(code).returncode == 0


def test_matplotlib_imported_before_is_captured_and_stop_puts_all_back(place: Place) -> None:
    code = """
    import inspect
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure
    from matplotlib.backend_bases import FigureCanvasBase, FigureManagerBase
    capture.stop()
    assert "deepforge_hpc" not in Figure.draw.__code__.co_filename
    assert "deepforge_hpc" not in plt.show.__code__.co_filename
    plain = [Figure.draw, Figure.show, FigureCanvasBase.print_figure, FigureManagerBase.destroy, plt.show]
    again = figures.install(Path(sys.argv[1]), drawer)
    assert Figure.draw is not plain[0]
    assert inspect.signature(plt.show) is not None
    plt.plot([1]); plt.show()
    again.stop()
    assert plain == [Figure.draw, Figure.show, FigureCanvasBase.print_figure, FigureManagerBase.destroy, plt.show]
    assert figures.PostImport not in map(type, sys.meta_path)
    """
    assert list(place.good(code)) == ["1"]
