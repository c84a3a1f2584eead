"""Measure which lines of the package run, in every process of the tests: jobs and ranks too.

coverage.py counts and reports, but is not imported to measure: that takes a tenth of a second, three times what
`dfh` itself takes to start, and the tests start thousands of processes. Only its tracer, a compiled
module, is loaded here. Each process leaves one small file, and the report joins them.

    python tests/measure.py REPOSITORY FOLDER   report what the processes left in FOLDER; fail below the limit
"""

from __future__ import annotations

import marshal
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes as long as all of this
    from typing import Any

RUNTIME = "deepforge_hpc/runtime/"
ELSEWHERE = {
    "/dfh_runtime/": RUNTIME,  # in the archive of an execution
    "/deepforge-hpc/deepforge_hpc/": "deepforge_hpc/",  # a copy whose commands the documentation's test runs
}
OTHER_VERSIONS = (
    "/galaxies/executions/"  # the fixture of old executions, which carry a runtime of their own
)
FOREIGN = sys.stdlib_module_names.union(
    ("click", "h5py", "hypothesis", "jax", "jinja2", "jsonschema", "keras", "numpy", "pandas"),
    ("pyarrow", "pytest", "scipy", "sklearn", "skops", "tensorflow", "torch", "yaml"),
)
"""While one of these is imported, no line of ours runs, and to trace it takes half as long again.

Not those after whose import something of ours runs at once (`PostImport`): matplotlib, mpi4py, horovod.
"""
STARTED: list[Measured] = []


class Measured:
    """The lines that this process and its forks run."""

    def __init__(self, tracer: type, disposition: type, repository: str, folder: str) -> None:
        self.tracer, self.disposition = tracer, disposition
        self.repository, self.folder = repository, folder
        self.lines: dict[str, set[int]] = {}
        self.seen: dict[str, object] = {}
        self.tracers: list[Any] = []  # the first is of the main thread
        self.is_paused = False

    def source(self, path: str) -> str | None:
        """Return the file of the repository that is run as `path`, None for what is not ours."""
        for mark, place in {
            f"{self.repository}/deepforge_hpc/": "deepforge_hpc/",
            **ELSEWHERE,
        }.items():
            before, found, name = path.rpartition(mark)
            if found and OTHER_VERSIONS not in before:
                return f"{self.repository}/{place}{name}"
        return None

    def look_at(self, path: str, _frame: object) -> object:
        """Say to the tracer whether to count the lines of a file, and as whose."""
        answer = self.disposition()
        answer.original_filename = answer.canonical_filename = path
        answer.source_filename = self.source(os.path.abspath(path))  # noqa: PTH100
        answer.trace = answer.source_filename is not None
        answer.reason = ""
        answer.file_tracer, answer.has_dynamic_filename = None, False
        return answer

    def trace(self) -> object:
        """Trace this thread from here on."""
        tracer = self.tracer()
        tracer.data, tracer.trace_arcs = self.lines, False
        tracer.should_trace, tracer.should_trace_cache = self.look_at, self.seen
        tracer.lock_data = tracer.unlock_data = lambda: None
        tracer.file_tracers, tracer.warn = {}, print
        tracer.concur_id_func = tracer.should_start_context = tracer.check_include = None
        tracer.switch_context = tracer.disable_plugin = None
        self.tracers.append(tracer)
        return tracer.start()

    def count(self) -> int:
        """How many lines were seen so far."""
        return sum(map(len, self.lines.copy().values()))

    def pause(self) -> None:
        """Measure the main thread no longer, but what of ours it imports: it then takes half the time."""
        self.is_paused = True
        self.tracers[0].stop()

    def go_on(self) -> None:
        """Measure the main thread again."""
        self.is_paused = False
        self.tracers[0].start()

    def trace_thread(self, frame: object, event: str, arg: object) -> object:
        """Be the first trace function of a new thread: make place for the real one."""
        sys.settrace(None)
        return self.trace()(frame, event, arg)  # type: ignore[operator]

    def save(self) -> None:
        """Leave what was counted, whole or not at all."""
        lines = {path: sorted(numbers.copy()) for path, numbers in self.lines.copy().items()}
        name = f"{self.folder}/{os.getpid()}-{time.time_ns()}"
        try:
            with open(f"{name}.part", "wb") as file:  # noqa: PTH123  # pathlib takes longer than all of this
                marshal.dump(lines, file)
            os.rename(f"{name}.part", name)  # noqa: PTH104
        except OSError:  # the run has ended, and its folder with it
            pass


def start(tracer: str, repository: str, folder: str) -> None:
    """Measure this process from here on, unless its run has ended or it is to run as a user's does."""
    if "TESTS_WITHOUT_COVERAGE" in os.environ or not os.path.isdir(folder):  # noqa: PTH112
        return
    if STARTED:  # Python reads what starts this twice where a folder is twice on its path
        return
    import atexit
    from importlib.machinery import ExtensionFileLoader, ModuleSpec

    loader = ExtensionFileLoader("coverage.tracer", tracer)
    module = loader.create_module(ModuleSpec("coverage.tracer", loader, origin=tracer))
    loader.exec_module(module)
    measured = Measured(module.CTracer, module.CFileDisposition, repository, folder)
    STARTED.append(measured)
    end = os._exit

    def save_and_end(status: int) -> None:
        measured.save()
        end(status)

    os._exit = save_and_end  # type: ignore[assignment]  # how ranks and other forked processes end
    atexit.register(measured.save)
    follow_imports(measured)
    if "threading" in sys.modules:
        sys.modules["threading"].settrace(measured.trace_thread)
    measured.trace()


def follow_imports(measured: Measured) -> None:
    """Trace no import of what is not ours; of ours each one, also in a process that is paused; and threads."""
    import _frozen_importlib as system  # where Python looks this up for each import
    from _thread import get_ident

    find, main = system._find_and_load, get_ident()

    def find_and_load(name: str, import_: object) -> object:
        if name == "threading":  # most jobs do without, and it takes as long as all of this
            threading = find(name, import_)
            threading.settrace(measured.trace_thread)
            return threading
        package, tracer = name.partition(".")[0], sys.gettrace()
        if tracer is not None and package in FOREIGN:
            sys.settrace(None)
            try:
                return find(name, import_)
            finally:
                tracer.start()
        if measured.is_paused and package == "deepforge_hpc" and get_ident() == main:
            measured.go_on()
            try:
                return find(name, import_)
            finally:
                measured.pause()
        return find(name, import_)

    # A frame of Python's own, as the one that it stands before: left out of tracebacks and warnings.
    own = find.__code__.co_filename
    find_and_load.__code__ = find_and_load.__code__.replace(co_filename=own)
    system._find_and_load = find_and_load


def report(repository: str, folder: str) -> None:
    """Print the report of coverage.py over all processes; exit as it does."""
    from pathlib import Path

    import coverage

    every = {str(path): set[int]() for path in Path(repository, "deepforge_hpc").rglob("*.py")}
    for left in Path(folder).iterdir():
        if not left.suffix:
            for path, numbers in marshal.loads(left.read_bytes()).items():
                if path in every:
                    every[path].update(numbers)
    data = coverage.CoverageData(f"{folder}/all.data")
    data.add_lines(every)
    data.write()
    os.chdir(repository)
    from coverage.cmdline import main

    sys.exit(main(["report", f"--data-file={folder}/all.data"]))


if __name__ == "__main__":
    report(*sys.argv[1:])
