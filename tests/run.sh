#!/bin/bash
# Install and build what the tests need, start what they talk to, run them, and leave nothing behind.
#
#   bash tests/run.sh                       every test, and coverage; this is what CI runs
#   bash tests/run.sh tests/unit -k plan    any arguments of pytest; installs only what these tests need
#
# Kept between runs, in one folder that may be removed at any time:
#   ${DFH_TEST_CACHE:-~/.cache/deepforge-hpc-tests}
# PYTHON=python3.12 chooses the interpreter (3.11 or 3.12). DFH_TEST_COVERAGE=1 measures coverage of a part
# too. Debian packages are installed if root or sudo without a password can do it, else the missing ones are
# named.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${DFH_TEST_CACHE:-$HOME/.cache/deepforge-hpc-tests}
python=${PYTHON:-python3}
export PATH="$PATH:/usr/sbin:/sbin" PIP_CACHE_DIR="$cache/pip" PIP_DISABLE_PIP_VERSION_CHECK=1
export KERAS_HOME="$cache/keras" MPLCONFIGDIR="$cache/matplotlib" # else ~/.keras and ~/.config/matplotlib

# What the tests of a mark need, as program:package. A test says by its mark what it needs.
declare -A programs=(
    [tools]="git:git shellcheck:shellcheck strace:strace ip:iproute2"
    [slurm]="slurmctld:slurmctld slurmd:slurmd slurmdbd:slurmdbd sbatch:slurm-client munged:munge mariadbd:mariadb-server-core faketime:faketime"
    [horovod]="mpirun:openmpi-bin mpicc:libopenmpi-dev g++:g++ make:make cmake:cmake"
    [browser]="chromium:chromium chromedriver:chromium-driver"
)

SECONDS=0
step() {
    printf '[%4d s] %s\n' "$SECONDS" "$*"
}

fail() {
    printf 'tests/run.sh: %s\n' "$*" >&2
    exit 2
}

# quietly WHAT COMMAND...: show the output only if the command fails. In the background and in a process
# group of its own, so that an interrupt acts at once, and ends the compilers below it too.
quietly() {
    local what=$1
    shift
    set -m
    "$@" >"$run/step.log" 2>&1 </dev/null &
    step_pid=$!
    set +m
    wait "$step_pid" || {
        step_pid=
        tail -n 60 "$run/step.log" >&2
        fail "$what failed: $*"
    }
    step_pid=
}

# -- folders of this run, and what an earlier run left that could not clean up (kill -9, power)

# start_of PID: when a process began; with the number it names a process for good.
start_of() {
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    read -ra fields <<<"${stat##*) }"
    echo "${fields[19]}"
}

sweep_earlier_runs() {
    local folder pid start
    for folder in "${TMPDIR:-/tmp}"/dfh-tests.* /dev/shm/dfh-tests.*; do
        [[ -O $folder && -f $folder/owner ]] || continue
        read -r pid start <"$folder/owner"
        [[ $(start_of "$pid") != "$start" ]] || continue
        step "removing what an earlier run left in $folder"
        end_processes "$folder"
        stop_clusters "$folder"
        rm -rf "$folder"
    done
}

make_folders() {
    local free
    run=$(mktemp -d "${TMPDIR:-/tmp}/dfh-tests.XXXXXX")
    memory=$run
    free=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) || free=0
    if ((free > 2000000)) && [[ -w /dev/shm ]]; then
        memory=$(mktemp -d /dev/shm/dfh-tests.XXXXXX)
    fi
    chmod 711 "$memory" # munged insists that everyone can reach its socket
    echo "$$ $(start_of $$)" | tee "$run/owner" >"$memory/owner"
    mkdir -p "$run/tmp" "$cache"
}

# -- what is installed

may_install() {
    command -v apt-get >/dev/null || return 1
    if [[ $(id -u) -eq 0 ]]; then as_root=(); else as_root=(sudo -n); fi
    "${as_root[@]}" true 2>/dev/null
}

# install_programs GROUP...: Debian packages of programs that are not on PATH.
install_programs() {
    local group pair missing=()
    for group in "$@"; do
        for pair in ${programs[$group]}; do
            command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
        done
    done
    # A compiler cannot do without Python's headers, which Debian packs apart from Python.
    if [[ " $* " == *" horovod "* ]] && ! "$python" -c 'import os, sysconfig as s, sys
sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))'; then
        missing+=(python3-dev)
    fi
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! may_install; then
        if [[ $* == tools ]]; then
            step "not installed, tests that need them are skipped or fail: ${missing[*]}"
            return 0
        fi
        fail "these Debian packages are missing: ${missing[*]}
  As root: apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    fi
    step "installing Debian packages: ${missing[*]}"
    # Daemons must not start by being installed: policy-rc.d is how Debian asks.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
        "${as_root[@]}" chmod 755 /usr/sbin/policy-rc.d
        policy_is_ours=yes
    fi
    quietly "apt-get update" "${as_root[@]}" apt-get -q -o Acquire::Retries=3 update
    quietly "apt-get install" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o Acquire::Retries=3 install --no-install-recommends "${missing[@]}"
    hash -r
}

# The packages of requirements.txt, in a virtual environment that is not written to again once it is complete.
make_environment() {
    local version key
    version=$("$python" -c 'import platform; print(platform.python_version())') || fail "no $python on PATH"
    case $version in
    3.11.* | 3.12.*) ;;
    *) fail "$python is $version; the tests' packages exist for 3.11 and 3.12: PYTHON=python3.11 bash tests/run.sh" ;;
    esac
    key=$({
        echo "$version"
        "$python" -c 'import sys; print(sys.base_prefix)'
        cat "$root/tests/requirements.txt"
    } | sha256sum)
    environment=$cache/python-${version%.*}-${key:0:12}
    [[ ! -e $environment/complete ]] || return 0
    step "installing tests/requirements.txt with $python $version into $environment"
    rm -rf "$environment"
    quietly "making a virtual environment (on Debian: apt-get install -y python3-venv)" \
        "$python" -m venv "$environment"
    quietly "pip" "$environment/bin/python" -m pip install -q \
        -r "$root/tests/requirements.txt"
    touch "$environment/complete"
}

# Horovod fits one TensorFlow, one Python and one MPI, which pip's own cache does not know: so a folder of its own.
make_horovod() {
    local version=0.28.1 tensorflow mpi recipe
    recipe=(HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_MPI=1 HOROVOD_CPU_OPERATIONS=MPI HOROVOD_WITHOUT_GLOO=1
        HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1)
    tensorflow=$(sed -n 's/^tensorflow-cpu==//p' "$root/tests/requirements.txt")
    mpi=$(mpicc -showme:version 2>&1 | grep -oE '[0-9]+\.[0-9.]+[0-9]' | head -n 1)
    horovod=$cache/horovod-$version-tf$tensorflow-openmpi$mpi-$("$environment/bin/python" -c \
        'import sysconfig; print(sysconfig.get_config_var("SOABI"))')-$(sha256sum <<<"${recipe[*]}" | cut -c 1-8)
    [[ ! -e $horovod/complete ]] || return 0
    step "building Horovod $version for TensorFlow $tensorflow and Open MPI $mpi (two to five minutes)"
    rm -rf "$horovod"
    quietly "the build of Horovod" env "${recipe[@]}" MAKEFLAGS="-j$(nproc)" TMPDIR="$run/tmp" \
        PATH="$environment/bin:$PATH" "$environment/bin/python" -m pip install -q \
        --no-deps --no-build-isolation --no-cache-dir --target "$horovod" "horovod==$version"
    touch "$horovod/complete"
}

# A small environment of this run over the cached one: this checkout is installed here, and nowhere else.
make_overlay() {
    local packages base
    "$environment/bin/python" -m venv --without-pip "$run/venv"
    packages=$(echo "$run"/venv/lib/python3*/site-packages)
    base=$(echo "$environment"/lib/python3*/site-packages)
    echo "import site; site.addsitedir('$base')" >"$packages/dfh_tests_base.pth"
    quietly "installing this checkout" "$environment/bin/python" -m pip --python "$run/venv" install -q \
        --no-deps --no-build-isolation -e "$root"
    test_python=$run/venv/bin/python
}

use_horovod() {
    echo "$horovod" >"$(echo "$run"/venv/lib/python3*/site-packages)/dfh_tests_horovod.pth"
}

# Measure every process of this environment: jobs and ranks too, whose environment variables the scheduler clears.
measure_coverage() {
    local packages
    packages=$(echo "$run"/venv/lib/python3*/site-packages)
    mkdir "$run/coverage"
    cat >"$packages/dfh_tests_coverage.py" <<PYTHON
import os

settings = {
    "COVERAGE_PROCESS_START": "$root/pyproject.toml",
    "COVERAGE_FILE": "$run/coverage/data",
}
if os.path.isdir("$run/coverage") and "TESTS_WITHOUT_COVERAGE" not in os.environ:
    os.environ.update(settings)
    import coverage

    coverage.process_startup()
    for name in settings:
        del os.environ[name]
PYTHON
    echo "import dfh_tests_coverage" >"$packages/zz_dfh_tests_coverage.pth"
}

report_coverage() {
    local file=$run/coverage/data
    cd "$root"
    "$environment/bin/python" -m coverage combine -q --data-file="$file" "$run/coverage" >/dev/null &&
        "$environment/bin/python" -m coverage report --data-file="$file"
}

# -- running and ending

# The caches of all tools lie in ours. Temporary files of anything that a test starts lie in this run's folder.
pytest() {
    cd "$root"
    env TESTS_OF_DFH="$run" DFH_TEST_CACHE="$cache" DFH_TEST_CLUSTERS="$memory" TMPDIR="$run/tmp" \
        PATH="$run/venv/bin:$environment/bin:$PATH" XDG_CACHE_HOME="$run/tmp/cache" \
        RUFF_CACHE_DIR="$cache/ruff" MYPY_CACHE_DIR="$cache/mypy" \
        HYPOTHESIS_STORAGE_DIRECTORY="$run/hypothesis" \
        "$test_python" -m pytest --basetemp="$run/pytest" -o cache_dir="$cache/pytest" "$@" </dev/null
}

# collect_needs ARGS...: what the selected tests need, by their marks.
collect_needs() {
    needs=()
    local mark
    DFH_TEST_MARKS="$run/marks" pytest --collect-only -q "$@" >/dev/null 2>&1 || return 0 # pytest will say it again
    [[ -f $run/marks ]] || return 0
    while read -r mark; do
        [[ -z ${programs[$mark]:-} ]] || needs+=("$mark")
    done <"$run/marks"
}

stop_clusters() {
    local folder
    for folder in "$1"/dfh-cluster-*; do
        [[ ! -d $folder ]] || bash "$root/tests/cluster/cluster.sh" stop "$folder" || :
    done
}

# processes_of FOLDER...: processes of a run, known by the variable that they inherit or by where they are.
processes_of() {
    local folder
    for folder in "$@"; do
        grep -lzxF "TESTS_OF_DFH=$folder" /proc/[0-9]*/environ
        find /proc/[0-9]* -maxdepth 1 -name cwd -lname "$folder*"
    done 2>/dev/null | cut -d / -f 3 | sort -u
}

end_processes() {
    local pid
    for pid in $(processes_of "$@"); do
        kill -9 "$pid" 2>/dev/null || :
    done
}

# A test that has ended must have ended what it started. Ten seconds are for those that are ending.
find_left_processes() {
    local tries=50 left pid
    while left=$(processes_of "$run" "$memory") && [[ -n $left ]]; do
        ((tries-- > 0)) || break
        sleep 0.2
    done
    for pid in $left; do
        echo "left running by a test: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)" >&2
    done
    [[ -z $left ]]
}

# shellcheck disable=SC2317  # called by a trap
clean_up() {
    trap '' INT TERM HUP
    [[ -z ${step_pid:-} ]] || kill -KILL -- "-$step_pid" 2>/dev/null || :
    if [[ -n ${pytest_pid:-} ]] && kill -0 "$pytest_pid" 2>/dev/null; then
        kill -INT -- "-$pytest_pid" 2>/dev/null || : # pytest then ends its fixtures
        local tries=150
        while kill -0 "$pytest_pid" 2>/dev/null && ((tries-- > 0)); do sleep 0.2; done
    fi
    if [[ -n ${run:-} ]]; then
        end_processes "$run" "$memory"
        stop_clusters "$memory"
        rm -rf "$run" "$memory"
    fi
    [[ -z ${policy_is_ours:-} ]] || "${as_root[@]}" rm -f /usr/sbin/policy-rc.d
    # The demo's environment keeps its own: to compile TensorFlow anew takes a while.
    find "$root"/{deepforge_hpc,tests,examples} -name .venv -prune -o \
        -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || :
}

main() {
    local status=0 tail_pid options=()
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    make_folders
    sweep_earlier_runs
    exec 9>"$cache/lock"
    flock 9 # one run at a time installs and builds
    make_environment
    make_overlay
    if [[ $# -eq 0 ]]; then needs=(slurm horovod browser); else collect_needs "$@"; fi
    if [[ $# -eq 0 ]]; then install_programs tools "${needs[@]}"; else
        install_programs tools
        install_programs "${needs[@]}"
    fi
    if [[ " ${needs[*]} " == *" horovod "* ]]; then
        make_horovod
        use_horovod
    fi
    exec 9>&-
    [[ $# -gt 0 && -z ${DFH_TEST_COVERAGE:-} ]] || measure_coverage
    # A whole run works on every core, so its clock judges nothing: the benches are only tried.
    [[ $# -gt 0 ]] || options=(--durations=30 -n "$(nproc)" --dist loadfile --figures=try)
    step "running pytest $*"

    # In a process group of its own (set -m), so that Ctrl-C reaches it once, through clean_up.
    : >"$run/pytest.log"
    set -m
    pytest "${options[@]}" "$@" >"$run/pytest.log" 2>&1 &
    pytest_pid=$!
    set +m
    tail -n +1 -s 0.2 -f --pid="$pytest_pid" "$run/pytest.log" &
    tail_pid=$!
    wait "$pytest_pid" || status=$?
    pytest_pid=
    wait "$tail_pid" || :
    [[ $status -ne 5 ]] || echo "tests/run.sh: no test ran" >&2

    if ! find_left_processes && [[ $status -eq 0 ]]; then
        status=1
    fi
    if [[ -d $run/coverage ]]; then
        step "coverage"
        report_coverage || {
            echo "tests/run.sh: fewer lines were run by tests than pyproject.toml demands" >&2
            [[ $status -ne 0 || $# -gt 0 ]] || status=1
        }
    fi
    step "done, exit code $status"
    tail -n 1 "$run/pytest.log"
    exit "$status"
}

main "$@"
