#!/bin/bash
# Install and build what the tests need, start what they talk to, run them, and leave nothing behind.
#
#   bash tests/run.sh                       every test but those of torch, and coverage
#   bash tests/run.sh tests/torch           those; CI runs both
#   bash tests/run.sh tests/unit -k plan    any arguments of pytest; installs only what these tests need
#
# Kept between runs, in one folder that may be removed at any time:
#   ${DFH_TEST_CACHE:-~/.cache/deepforge-hpc-tests}
# PYTHON=python3.12 chooses the interpreter (3.11, 3.12 or 3.13). DFH_TEST_COVERAGE=1 measures coverage of a part
# too. Debian packages are installed if root or sudo without a password can do it, else the missing ones are
# named.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${DFH_TEST_CACHE:-$HOME/.cache/deepforge-hpc-tests}
python=${PYTHON:-python3}
export PATH="$PATH:/usr/sbin:/sbin" PIP_CACHE_DIR="$cache/pip" PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONDONTWRITEBYTECODE # the tests are collected twice, by many processes, and rewritten by pytest
export KERAS_HOME="$cache/keras" MPLCONFIGDIR="$cache/matplotlib" # else ~/.keras and ~/.config/matplotlib

# What the tests of a mark need, as program:package. A test says by its mark what it needs.
declare -A programs=(
    [tools]="git:git shellcheck:shellcheck strace:strace"
    [slurm]="slurmctld:slurmctld slurmd:slurmd slurmdbd:slurmdbd sbatch:slurm-client munged:munge mariadbd:mariadb-server-core faketime:faketime"
    [mpi]="mpirun:openmpi-bin"
    [horovod]="mpirun:openmpi-bin g++:g++ make:make cmake:cmake"
    [browser]="chromium:chromium chromedriver:chromium-driver"
    [training]=""
    [extras]=""
    [torch]="" # not in a whole run: some indexes have only a build of several GB
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
    local folder pid start space
    for folder in "${TMPDIR:-/tmp}"/dfh-tests.* /dev/shm/dfh-tests.*; do
        [[ -O $folder && -f $folder/owner ]] || continue
        { read -r pid start && read -r space; } <"$folder/owner" || continue
        # Of a process in another namespace nothing can be said from here.
        [[ $space == "$(readlink /proc/$$/ns/pid)" && $(start_of "$pid") != "$start" ]] || continue
        step "removing what an earlier run left in $folder"
        end_processes "$folder"
        stop_clusters "$folder"
        rm -rf "$folder" "$folder.pytest" 2>/dev/null || : # another run may be removing it as well
    done
}

# free_memory: how much a memory file system may hold, in KiB.
free_memory() {
    {
        df --output=avail -k /dev/shm | tail -n 1
        awk '/^MemAvailable/ { print $2 }' /proc/meminfo
    } 2>/dev/null | sort -n | head -n 1
}

# can_run_in FOLDER: whether programs may be run there; containers often forbid it in /dev/shm.
can_run_in() {
    printf '#!/bin/sh\n' >"$1/program"
    chmod +x "$1/program"
    "$1/program" 2>/dev/null
}

make_folders() {
    local free
    run=$(mktemp -d "${TMPDIR:-/tmp}/dfh-tests.XXXXXX")
    memory=$run
    free=$(free_memory)
    if ((free > 2000000)) && [[ -w /dev/shm ]]; then
        memory=$(mktemp -d /dev/shm/dfh-tests.XXXXXX)
    fi
    # The tests write thousands of small files and wait until each is on disk: in memory that is at once. Not a
    # folder within the other: each level costs a few of the file-system calls that tests/bench counts.
    scratch=$run.pytest
    if ((free > 6000000)) && can_run_in "$memory"; then
        scratch=$memory.pytest
    fi
    chmod 711 "$memory" # munged insists that everyone can reach its socket
    printf '%s\n' "$$ $(start_of $$)" "$(readlink /proc/$$/ns/pid)" | tee "$run/owner" >"$memory/owner"
    mkdir -p "$run/tmp" "$cache"
}

# -- what is installed

may_install() {
    command -v apt-get >/dev/null || return 1
    if [[ $(id -u) -eq 0 ]]; then as_root=(); else as_root=(sudo -n); fi
    "${as_root[@]}" true 2>/dev/null
}

# has_header NAME FOLDERS: whether it lies in one of them.
has_header() {
    local folder
    for folder in $2; do
        [[ ! -e $folder/$1 ]] || return 0
    done
    return 1
}

# install_programs GROUP...: Debian packages of programs that are not on PATH.
install_programs() {
    local group pair missing=()
    for group in "$@"; do
        for pair in ${programs[$group]}; do
            command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
        done
    done
    # A compiler wants headers, which Debian packs apart from the programs.
    if [[ " $* " == *" horovod "* ]]; then
        has_header mpi.h "$(mpicc -showme:incdirs 2>/dev/null)" || missing+=(libopenmpi-dev)
        has_header Python.h "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" ||
            missing+=(python3-dev)
    fi
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! may_install; then
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

# key_of FILE...: a short name of an interpreter and of what is installed for it.
key_of() {
    local key
    key=$({
        "$python" -c 'import platform, sys; print(platform.python_version(), sys.base_prefix)'
        cat "$@"
    } | sha256sum)
    echo "${key:0:12}"
}

site_packages() {
    echo "$1"/lib/python3*/site-packages
}

# add_packages VENV FOLDER: what lies in FOLDER can be imported in VENV too, behind what was added before it:
# TensorFlow is added first, for it wants an older protobuf than ONNX and TensorBoard bring.
add_packages() {
    local packages added
    packages=$(site_packages "$1")
    added=("$packages"/dfh_tests_*.pth)
    [[ -e ${added[0]} ]] || added=()
    echo "import site; site.addsitedir('$2')" >"$packages/dfh_tests_${#added[@]}.pth"
}

# The packages of requirements.txt, in a virtual environment that is not written to again once it is complete.
make_environment() {
    local version pip requirements=$root/tests/requirements.txt
    version=$("$python" -c 'import platform; print(platform.python_version())') || fail "no $python on PATH"
    case $version in
    3.11.* | 3.12.* | 3.13.*) ;;
    *) fail "$python is $version; the tests' packages exist for 3.11 to 3.13: PYTHON=python3.11 bash tests/run.sh" ;;
    esac
    environment=$cache/python-${version%.*}-$(key_of "$requirements")
    [[ ! -e $environment/complete ]] || return 0
    step "installing tests/requirements.txt with $python $version into $environment"
    rm -rf "$environment"
    quietly "making a virtual environment (on Debian: apt-get install -y python3-venv)" \
        "$python" -m venv "$environment"
    # What is imported is compiled then: to compile all takes pip as long as all else. uv is quicker by far, but
    # knows none of pip's settings: where it cannot find the packages, pip does.
    pip=("$environment/bin/python" -m pip install -q --no-compile)
    quietly "pip" "${pip[@]}" uv==0.13.9
    "$environment/bin/uv" pip install -q --no-cache --python "$environment" -r "$requirements" &>"$run/step.log" ||
        quietly "pip" "${pip[@]}" -r "$requirements"
    touch "$environment/complete"
}

# make_layer NAME: what most tests do without, such as TensorFlow, in a layer over that environment.
make_layer() {
    local requirements=("$root/tests/requirements.txt" "$root/tests/requirements-$1.txt")
    layer=$environment-$1-$(key_of "${requirements[@]}")
    [[ ! -e $layer/complete ]] || return 0
    step "installing tests/requirements-$1.txt into $layer"
    rm -rf "$layer"
    "$environment/bin/python" -m venv --without-pip "$layer"
    add_packages "$layer" "$(site_packages "$environment")"
    quietly "pip" "$environment/bin/python" -m pip --python "$layer" install -q \
        -r "${requirements[0]}" -r "${requirements[1]}"
    touch "$layer/complete"
}

# Horovod's last release is older than the compilers and the TensorFlow of Debian 13. DIR is its unpacked sdist.
mend_horovod() {
    # XLA's headers are no longer in TensorFlow's wheel; these operations are off unless asked for.
    sed -i '/xla_mpi_ops.cc/d' "$1/horovod/tensorflow/CMakeLists.txt"
    # A constant member that is assigned to: GCC 14 looks at it.
    sed -i 's/const size_type count_;/size_type count_;/' \
        "$1/third_party/flatbuffers/include/flatbuffers/stl_emulation.h"
}

# Horovod fits one TensorFlow, one Python, one MPI and one compiler, which pip's own cache does not know: so a
# folder of its own.
make_horovod() {
    local version=0.28.1 inputs recipe source=$run/tmp/horovod
    recipe=(HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_MPI=1 HOROVOD_CPU_OPERATIONS=MPI HOROVOD_WITHOUT_GLOO=1
        HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
        CXXFLAGS="-include stdexcept -include string -include cstdint") # GCC 14 brings these no longer by others
    inputs=$({
        printf '%s\n' "$version" "${recipe[@]}" "$training"
        declare -f mend_horovod
        mpicc -showme:version
        g++ --version
    } 2>&1 | sha256sum)
    horovod=$cache/horovod-$version-${inputs:0:12}
    [[ ! -e $horovod/complete ]] || return 0
    step "building Horovod $version for the TensorFlow of $training (two to five minutes)"
    rm -rf "$horovod"
    quietly "the download of Horovod" "$environment/bin/python" -m pip --python "$training" download -q \
        --no-deps --no-build-isolation --no-binary :all: -d "$source" "horovod==$version"
    tar -xzf "$source/horovod-$version.tar.gz" -C "$source"
    mend_horovod "$source/horovod-$version"
    quietly "the build of Horovod" env "${recipe[@]}" MAKEFLAGS="-j$(nproc)" TMPDIR="$run/tmp" \
        PATH="$training/bin:$environment/bin:$PATH" "$environment/bin/python" -m pip --python "$training" install -q \
        --no-deps --no-build-isolation --no-cache-dir --target "$horovod" "$source/horovod-$version"
    rm -rf "$source"
    touch "$horovod/complete"
}

# A small environment of this run over the cached ones: this checkout is installed here, and nowhere else.
make_overlay() {
    "$environment/bin/python" -m venv --without-pip "$run/venv"
    add_packages "$run/venv" "$(site_packages "$environment")"
    quietly "installing this checkout" "$environment/bin/python" -m pip --python "$run/venv" install -q \
        --no-deps --no-build-isolation -e "$root"
    test_python=$run/venv/bin/python
}

# Measure every process of this environment: jobs and ranks too, whose environment variables the scheduler clears.
measure_coverage() {
    local packages tracer
    packages=$(site_packages "$run/venv")
    tracer=$("$environment/bin/python" -c 'import coverage.tracer; print(coverage.tracer.__file__)')
    mkdir "$run/coverage"
    cp "$root/tests/measure.py" "$packages/dfh_tests_measure.py"
    echo "import dfh_tests_measure; dfh_tests_measure.start('$tracer', '$root', '$run/coverage')" \
        >"$packages/zz_dfh_tests_measure.pth"
}

report_coverage() {
    "$environment/bin/python" "$root/tests/measure.py" "$root" "$run/coverage"
}

# -- running and ending

# The caches of all tools lie in ours. Temporary files of anything that a test starts lie in this run's folder.
pytest() {
    cd "$root"
    env TESTS_OF_DFH="$run" DFH_TEST_CACHE="$cache" DFH_TEST_CLUSTERS="$memory" TMPDIR="$run/tmp" \
        PATH="$run/venv/bin:$environment/bin:$PATH" XDG_CACHE_HOME="$run/tmp/cache" \
        RUFF_CACHE_DIR="$cache/ruff" MYPY_CACHE_DIR="$cache/mypy" \
        HYPOTHESIS_STORAGE_DIRECTORY="$run/hypothesis" \
        "$test_python" -m pytest --basetemp="$scratch" -o cache_dir="$cache/pytest" "$@" </dev/null 8<&-
}

# collect_needs ARGS...: what the selected tests need, by their marks.
collect_needs() {
    needs=()
    local mark
    DFH_TEST_MARKS="$run/marks" pytest --collect-only -q "$@" >/dev/null 2>&1 || return 0 # pytest will say it again
    [[ -f $run/marks ]] || return 0
    while read -r mark; do
        [[ -z ${programs[$mark]+known} ]] || needs+=("$mark")
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
        rm -rf "$run" "$memory" "${scratch:-$run}"
    fi
    [[ -z ${policy_is_ours:-} ]] || "${as_root[@]}" rm -f /usr/sbin/policy-rc.d
    # Not under another run of this checkout, such as that of a test. The demo's environment keeps its own: to
    # compile TensorFlow anew takes a while; so do the tests, which pytest rewrites in 6 s of each worker.
    flock -n 8 2>/dev/null || return 0
    find "$root"/{deepforge_hpc,examples} -name .venv -prune -o \
        -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || :
}

main() {
    local status=0 tail_pid options=()
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    exec 8<"$root"
    flock -s 8 || : # not every file system has locks
    make_folders
    sweep_earlier_runs
    exec 9>"$cache/lock"
    flock 9 # one run at a time installs and builds
    make_environment
    make_overlay
    if [[ $# -eq 0 ]]; then
        unset "programs[torch]"
        needs=("${!programs[@]}")
    else
        collect_needs "$@"
    fi
    install_programs "${needs[@]}"
    if [[ " ${needs[*]} " == *" training "* ]]; then
        make_layer training
        training=$layer # Horovod is built for its TensorFlow
        add_packages "$run/venv" "$(site_packages "$layer")"
    fi
    if [[ " ${needs[*]} " == *" torch "* ]]; then
        make_layer torch
        add_packages "$run/venv" "$(site_packages "$layer")"
    fi
    if [[ " ${needs[*]} " == *" extras "* ]]; then
        make_layer extras
        add_packages "$run/venv" "$(site_packages "$layer")"
    fi
    if [[ " ${needs[*]} " == *" horovod "* ]]; then
        make_horovod
        add_packages "$run/venv" "$horovod"
    fi
    exec 9>&-
    [[ $# -gt 0 && -z ${DFH_TEST_COVERAGE:-} ]] || measure_coverage
    # A whole run works on every core, so its clock judges nothing: the benches are only tried.
    # One worker more than there are cores: tests of Slurm mostly wait. tests/conftest.py says which file comes when.
    [[ $# -gt 0 ]] || options=(--durations=30 -n "$(($(nproc) + 1))" --dist loadfile --no-loadscope-reorder
        --figures=try -m "not torch")
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
