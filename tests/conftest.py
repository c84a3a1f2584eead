"""Fixtures for tests that need a real cluster, the real command line or a small project."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
CLUSTER_SCRIPT = str(REPOSITORY / "tests" / "cluster" / "cluster.sh")
SLURM_PACKAGES = "slurmctld slurmd slurmdbd slurm-client munge mariadb-server-core"
NOBODY = 65534
_RUNNING: pytest.StashKey[list[Cluster]] = pytest.StashKey()
CLUSTERS = frozenset({"slurm_cluster", "fast_clock_cluster", "short_memory_cluster"})
MARK_OF_FIXTURE = {
    **dict.fromkeys((*CLUSTERS, "second_cluster", "odd_cluster"), "slurm"),
    **dict.fromkeys(("file_system_calls", "shellcheck", "tracked"), "tools"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a whole run try the benches without believing in its clock."""
    parser.addoption(
        "--figures",
        choices=("judge", "try"),
        default="judge",
        help="benches: fail over a limit of time (judge), or run once and say what was seen (try)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep the settings of whoever runs the tests away from them."""
    # A shell ignores SIGINT in what it runs in the background, nohup SIGHUP, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SBATCH_", "PMI", "DEEPFORGE_HPC_")):
            del os.environ[name]
    for measured in getattr(sys.modules.get("dfh_tests_measure"), "STARTED", ()):
        measured.pause()  # until a test runs; what of ours is imported before is measured
    # Of this process alone: tests that run beside these would have to wait for each other's cores.
    os.environ["DFH_LOCAL_CORES"] = f"{tempfile.gettempdir()}/cores-{os.getpid()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for a cluster or a tool, so that it is known before anything is installed."""
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in MARK_OF_FIXTURE:
                item.add_marker(MARK_OF_FIXTURE[name])
    turns = _turns(list(dict.fromkeys(map(_file, items))))
    items.sort(key=lambda item: turns[_file(item)])


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _turns(files: list[str]) -> dict[str, tuple[bool, float]]:
    """Return when each file has its turn where workers share them out, in this order.

    First training: few files, each of minutes, of which none may come last while all others wait for
    it. Then the other folders, mixed evenly: what waits for Slurm runs beside what computes.
    """
    folders: dict[str, list[str]] = {}
    for file in files:
        folders.setdefault("/".join(file.split("/")[:2]), []).append(file)
    return {
        file: (folder != "tests/training", number / len(inside))
        for folder, inside in folders.items()
        for number, file in enumerate(inside)
    }


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell tests/run.sh which marks the selected tests carry: that is what has to be installed."""
    target = os.environ.get("DFH_TEST_MARKS")
    if target:
        marks = {mark.name for item in session.items for mark in item.iter_markers()}
        Path(target).write_text("".join(f"{name}\n" for name in sorted(marks)), encoding="utf-8")


CASES_WITHOUT_NEWS = 4
"""After so many cases of one test that ran no new line, of its others one in as many is measured."""
_QUIET: dict[str, int] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure a test from its first fixture to its last, and no more cases of it than teach something.

    To measure doubles what Python takes, pytest's own part too.
    """
    measuring = getattr(sys.modules.get("dfh_tests_measure"), "STARTED", None)
    test = item.nodeid.partition("[")[0]
    quiet = _QUIET.get(test, 0)
    if not measuring or (quiet > CASES_WITHOUT_NEWS and quiet % CASES_WITHOUT_NEWS):
        _QUIET[test] = quiet + 1
        return (yield)
    measured = measuring[0]
    before = measured.count()
    measured.go_on()
    try:
        return (yield)
    finally:
        measured.pause()
        if test != item.nodeid:
            _QUIET[test] = 0 if measured.count() > before else quiet + 1


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the checkout that is tested."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shellcheck() -> Callable[..., None]:
    """Return a function that fails unless shellcheck has nothing to say of some scripts."""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")

    def check(*scripts: object) -> None:
        argv = ["shellcheck", *map(str, scripts)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")

    return check


# -- clusters


@dataclass(frozen=True)
class Cluster:
    """A private Slurm cluster: partitions cpu (n1-n4) and gpu (n1-n2, two GPUs each), account lab."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        """The variables that make Slurm's commands talk to this cluster."""
        return {"SLURM_CONF": str(self.folder / "etc" / "slurm.conf")}

    def script(self, verb: str, *words: str) -> None:
        """Run cluster.sh for this cluster, with a verb but `start`."""
        argv = [CLUSTER_SCRIPT, verb, str(self.folder), *words]
        done = subprocess.run(argv, stderr=subprocess.PIPE, text=True, check=False, timeout=180)
        if done.returncode:
            pytest.fail(f"cluster.sh {verb} {' '.join(words)}\n{done.stderr}", pytrace=False)

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command of Slurm; return what it printed."""
        others = {name: value for name, value in os.environ.items() if name != "SLURM_CLUSTERS"}
        done = subprocess.run(
            argv,
            check=False,
            env=others | self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,  # sacctmgr without a terminal's answer asks for ever
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def wait_for(self, holds: Callable[[str], bool], *argv: str, seconds: float = 60) -> str:
        """Run a command until `holds` of what it prints: slurmctld tells slurmdbd of a job later on."""
        end = time.monotonic() + seconds
        while not holds(printed := self.run(*argv)):
            if time.monotonic() > end:
                pytest.fail(f"{' '.join(argv)}: after {seconds} s still\n{printed}")
            time.sleep(0.1)
        return printed

    @property
    def version(self) -> tuple[int, ...]:
        """The version of Slurm: (22, 5, 8)."""
        return tuple(int(part) for part in self.run("sbatch", "--version").split()[1].split("."))

    def log(self, daemon: str = "slurmctld") -> str:
        """Return the log of a daemon: slurmctld, slurmdbd, slurmd.n1."""
        path = self.folder / "log" / f"{daemon}.log"
        return path.read_text(encoding="utf-8", errors="replace")


def _cluster(request: pytest.FixtureRequest, **settings: str) -> Iterator[Cluster]:
    """Start a cluster on a memory file system if there is one, and stop it at the end."""
    programs = ["slurmctld", "slurmd", "slurmdbd", "sbatch", "munged", "mariadbd"]
    packages = SLURM_PACKAGES
    if "DFH_CLUSTER_SPEED" in settings:
        programs.append("faketime")
        packages += " faketime"
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    if any(shutil.which(program, path=path) is None for program in programs):
        pytest.skip(f"Slurm is not installed: apt-get install --no-install-recommends {packages}")
    memory = Path("/dev/shm")
    parent = os.environ.get("DFH_TEST_CLUSTERS") or (memory if memory.is_dir() else None)
    folder = Path(tempfile.mkdtemp(prefix="dfh-cluster-", dir=parent))
    cluster = Cluster(folder)
    running = request.session.stash.setdefault(_RUNNING, [])
    try:
        started = subprocess.run(
            [CLUSTER_SCRIPT, "start", str(folder)],
            env=os.environ | settings,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=180,
        )
        if started.returncode:
            pytest.fail(f"the private Slurm cluster did not start\n{started.stderr}", pytrace=False)
        running.append(cluster)
        yield cluster
    finally:
        running[:] = [item for item in running if folder not in (item.folder, item.folder.parent)]
        subprocess.run([CLUSTER_SCRIPT, "stop", str(folder)], check=False, timeout=120)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def slurm_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Return a cluster with real time; ended jobs are forgotten after 10 s."""
    yield from _cluster(request)


@pytest.fixture(scope="session")
def second_cluster(slurm_cluster: Cluster, request: pytest.FixtureRequest) -> Cluster:
    """Return `lab2`, another controller with the slurmdbd of `slurm_cluster`: partition cpu (n1).

    A test that asks for it still talks to the first one, unless it says otherwise (`-M lab2`).
    """
    return _beside(slurm_cluster, request, "second", "lab2")


@pytest.fixture(scope="session")
def odd_cluster(slurm_cluster: Cluster, request: pytest.FixtureRequest) -> Cluster:
    """Return `odd`, another controller with the slurmdbd of `slurm_cluster`, and one node that runs.

    It has what real sites have: threads, cores that the system keeps, several kinds of nodes and
    GPUs in a partition, others that are closed or hidden, and a QOS with limits of its own.
    """
    return _beside(slurm_cluster, request, "odd", "odd")


def _beside(first: Cluster, request: pytest.FixtureRequest, verb: str, name: str) -> Cluster:
    first.script(verb)
    cluster = Cluster(first.folder / name)
    request.session.stash[_RUNNING].append(cluster)
    return cluster


@pytest.fixture(scope="session")
def fast_clock_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Return a cluster whose daemons' clocks run 10 times as fast: one minute of limit is 6 s.

    Slurm's times lie in the future there, so sacct wants `-E 2099-01-01`.
    """
    yield from _cluster(request, DFH_CLUSTER_SPEED="10")


@pytest.fixture(scope="session")
def short_memory_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Return a cluster that forgets a job 2 s after its end."""
    yield from _cluster(request, DFH_CLUSTER_MINJOBAGE="2")


@pytest.fixture(autouse=True)
def _without_tensorflow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what is installed for tests with the mark `training` from all others."""
    if request.node.get_closest_marker("training") is None:
        for name in ("keras", "tensorflow"):
            monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _recursion_limit() -> Iterator[None]:
    """Undo what a network that is built in this process asks for: Keras follows it layer by layer."""
    frames = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(frames)


@pytest.fixture(autouse=True)
def _talk_to_cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set SLURM_CONF for a test that asks for a cluster, and for no other test."""
    for name in sorted(CLUSTERS.intersection(request.fixturenames)):
        for variable, value in request.getfixturevalue(name).environ.items():
            monkeypatch.setenv(variable, value)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add the queue to the report of a failed test that used a cluster."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when != "call" or not report.failed:
        return
    for name, value in getattr(item, "funcargs", {}).items():
        if name in CLUSTERS:
            queue = value.run("squeue", "-o", "%i %j %T %r %E", check=False)
            controller = "\n".join(value.log().splitlines()[-30:])
            report.sections.append((name, f"{queue}\n{controller}"))


@pytest.fixture(scope="module", autouse=True)
def _leave_no_jobs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Cancel what a module's tests left in a queue: the next module wants the cores."""
    yield
    for cluster in request.session.stash.get(_RUNNING, []):
        for user in (os.getuid(), NOBODY):
            cluster.run("scancel", "--quiet", f"--user={user}", check=False)


# -- the command line


@dataclass(frozen=True)
class Installation:
    """The built wheel in a virtual environment with nothing else, as a user gets it."""

    folder: Path
    wheel: Path

    @property
    def python(self) -> Path:
        """The interpreter; nothing of the tests (coverage, pytest) is in its way."""
        return self.folder / "bin" / "python"

    @property
    def dfh(self) -> Path:
        """The command."""
        return self.folder / "bin" / "dfh"

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return next(self.folder.glob("lib/python3*/site-packages"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Build the wheel and install it, with what it depends on, into an empty environment."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    build = ("wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(REPOSITORY))
    venv = folder / "venv"
    for argv in ((*pip, *build), (sys.executable, "-m", "venv", "--without-pip", str(venv))):
        _run_or_fail(argv)
    (wheel,) = folder.glob("*.whl")
    _run_or_fail((*pip, "--python", str(venv), "install", str(wheel)))
    return Installation(venv, wheel)


def _run_or_fail(argv: tuple[str, ...]) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=280)
    if done.returncode:
        pytest.fail(f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}", pytrace=False)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Dfh:
    """The real `dfh`, in a process of its own, with variables and files of a user who is new here."""

    environ: Mapping[str, str]
    words: tuple[str, ...] = ()
    """What stands before the command: another user's identity."""
    warm: Any = None
    """What forks it, for it then takes a third of the time: `fixtures/warm_dfh.py`."""

    def start(
        self, *args: object, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start `dfh` as a program of its own and return its process, with pipes."""
        return subprocess.Popen(
            [*self.words, str(Path(sys.executable).with_name("dfh")), *map(str, args)],
            cwd=cwd,
            env=self._variables(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def _variables(self, env: Mapping[str, str] | None) -> dict[str, str]:
        return {**self.environ, **_slurm_conf(), **(env or {})}

    def fork(
        self,
        *args: object,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
    ) -> Any:
        """Start `dfh` as a fork and return its process; None: it has to be a program of its own."""
        if not self.warm or self.words:
            return None
        return self.warm.start([*map(str, args)], cwd, self._variables(env), stdin)

    def __call__(
        self,
        *args: object,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        expect: int | None = 0,
        timeout: float = 120,
    ) -> Finished:
        """Run `dfh ARGS`; fail unless it ends with the exit code `expect` (None: any)."""
        process = self.fork(*args, cwd=cwd, env=env) or self.start(*args, cwd=cwd, env=env)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            pytest.fail(
                f"dfh {' '.join(map(str, args))}: no end in {timeout} s\n{stdout}\n{stderr}"
            )
        if expect is not None and process.returncode != expect:
            pytest.fail(
                f"dfh {' '.join(map(str, args))}: exit code {process.returncode}, not {expect}\n"
                f"--- stdout\n{stdout}\n--- stderr\n{stderr}"
            )
        return Finished(process.returncode, stdout, stderr)


def _slurm_conf() -> dict[str, str]:
    """Return what `slurm_cluster` and its like set for the test that runs."""
    names = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {name: os.environ[name] for name in names if name in os.environ}


@pytest.fixture
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a user who has just logged in for the first time."""
    home = tmp_path_factory.mktemp("home")
    kept = (
        "PATH",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "TESTS_OF_DFH",
        "DFH_LOCAL_CORES",
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
    )
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "LANG": "C.UTF-8",
    }


@pytest.fixture(scope="session")
def warm_dfh() -> Iterator[Any]:
    """Return what forks `dfh`, all through a run."""
    with closing(_load("warm_dfh").Warm()) as warm:
        yield warm


@pytest.fixture
def dfh(clean_environment: dict[str, str], warm_dfh: Any) -> Dfh:
    """Return a function that runs the real command line: `dfh("check", cwd=project)`."""
    return Dfh(clean_environment, warm=warm_dfh)


@pytest.fixture
def follow(dfh: Dfh) -> Callable[..., object]:
    """Return a function that runs the next step that a text of dfh printed: `fixtures/next_steps.py`."""
    return _load("next_steps").Follow(dfh, _slurm_conf())


@pytest.fixture
def fixture_module() -> Callable[[str], Any]:
    """Return a function that gives a module of `tests/fixtures`."""
    return _load


@pytest.fixture(scope="session")
def lab_class() -> type:
    """Return the class of projects that submit on a site: `fixtures/lab.py`."""
    found: type = _load("lab").Lab
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of its own with 64 KiB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def executions() -> Any:
    """Return the makers of made-up executions: `fixtures/executions.py`."""
    return _load("executions")


def _load(name: str) -> Any:
    path = REPOSITORY / "tests" / "fixtures" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"dfh_test_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    if spec.name not in sys.modules:
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[spec.name]


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a folder that any user can reach and write to; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="dfh-shared-", dir="/tmp"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_user(clean_environment: dict[str, str], shared: Path) -> Callable[..., Dfh]:
    """Return a function that gives the real command line as another user runs it, by uid.

    `umask`: 0 in a project that all may write to. What is installed here lies below root's home, so
    it may read everything; it may write only what that user may.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can be two other users")

    def become(uid: int, umask: str = "022") -> Dfh:
        home = shared / f"home-{uid}"
        home.mkdir()
        os.chown(home, uid, uid)
        may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
        words = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *may_read)
        shell = ("bash", "-c", f'umask {umask}; exec "$@"', "bash")
        # Coverage is written into a folder of root's.
        environ = {**clean_environment, "HOME": str(home), "TESTS_WITHOUT_COVERAGE": "1"}
        return Dfh(environ, (*words, *shell))

    return become


@pytest.fixture
def trust(clean_environment: dict[str, str]) -> Callable[[Path], None]:
    """Return a function that makes all users of the test trust a folder of another by name."""

    def write(folder: Path) -> None:
        settings = Path(clean_environment["XDG_CONFIG_HOME"], "deepforge-hpc", "settings.yaml")
        settings.parent.mkdir(parents=True)
        settings.write_text(f"trust: [{folder}]\n")

    return write


PIPELINE = """\
pipeline: small
operations:
  count:
    uses: operations.py:count
    attributes: {limit: 4}
  total:
    uses: operations.py:Total
    inputs: {numbers: count.numbers}
outputs:
  sum: {from: total.sum}
"""
OPERATIONS = '''\
"""Two small operations."""


def count(limit: int = 3) -> list:
    numbers = list(range(limit))
    return numbers


class Total:
    def execute(self, numbers: list) -> int:
        sum = 0
        for number in numbers:
            sum += number
        return sum
'''


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes files (name -> text) into a new folder and returns it."""

    def make(files: Mapping[str, str], name: str = "project") -> Path:
        for relative, text in files.items():
            path = tmp_path / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / name

    return make


@pytest.fixture
def project(make_project: Callable[..., Path]) -> Path:
    """Return a project whose pipeline `small` counts (operation `count`) and adds up (`total`: 6)."""
    return make_project({"pipeline.yaml": PIPELINE, "operations.py": OPERATIONS})
