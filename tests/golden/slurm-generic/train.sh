#!/bin/bash
# Job train of pipeline golden for site slurm-generic, written by deepforge_hpc.
# Submitted with --uuid U --attempt N --plan DIGEST --code DIGEST. Without arguments it runs by hand,
# for debugging: state and outputs stay as they are, the result is left in .work-0.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=1
#SBATCH --gres=gpu:2
#SBATCH --mem=4096M
#SBATCH --time=08:00:00
#SBATCH --signal=B:USR1@60
#SBATCH --open-mode=append
#SBATCH --no-requeue
unset SLURM_EXPORT_ENV
export DFH_ARRAY_TASK_ID=${SLURM_ARRAY_TASK_ID:-${DFH_ARRAY_TASK_ID:-}}
export DFH_NATIVE_ID=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$DFH_ARRAY_TASK_ID}
DFH_NATIVE_ID=${DFH_NATIVE_ID:-${SLURM_JOB_ID:-}}

set -euo pipefail

job=train
task='' uuid='' attempt=0 plan='' code=''
started=null first='' child='' stopped='' id=''

say() { printf 'dfh: %s\n' "$*" >&2; }

quote_json() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# put_state STATE EXIT_CODE REASON HINT [AGAIN]: what the runtime cannot write, for it does not run.
put_state() {
  local now native temporary again=true
  [ "$1" != failed ] || again=${5:-false}
  [ "$attempt" -gt 0 ] || return 0
  now=$(date -u +%Y-%m-%dT%H:%M:%S.%3N+00:00)
  native=${DFH_NATIVE_ID:-}
  if ! mkdir -p -- "$folder" || ! temporary=$(mktemp "$folder/.state.json.XXXXXX"); then
    return 0
  fi
  printf '{"again":%s,"attempt":%d,"ended":"%s","error":null,"exit_code":%d,%s"hint":%s,"host":%s,"job":%s,"native_id":%s,"pid":%d,"reason":%s,"schema":"dfh/state/1","since":"%s","started":%s,"state":"%s","task":%s}\n' \
    "$again" "$attempt" "$now" "$2" "${first:+\"first\":$first,}" "$(quote_json "$4")" "$(quote_json "${HOSTNAME:-}")" \
    "$(quote_json "$job")" "$(quote_json "$native")" "$$" "$(quote_json "$3")" \
    "$now" "$started" "$1" "${task:-null}" >"$temporary"
  chmod 644 -- "$temporary"
  sync -- "$temporary" 2>/dev/null || true
  mv -fT -- "$temporary" "$folder/state.json"
}

# stop STATE EXIT_CODE REASON HINT [AGAIN]: true for a failure that the same code may not repeat.
stop() {
  say "$3"
  [ -z "$4" ] || say "$4"
  put_state "$@" || say "the state of the job could not be written"
  exit "$2"
}

# For a signal that came before the supervisor could answer it, or too late.
interrupted() {
  stop interrupted 75 "The job was interrupted by SIG$stopped." "dfh resume $id runs what is missing."
}

# Slurm sends the walltime warning to this shell alone (--signal=B:...); the supervisor acts on it.
# shellcheck disable=SC2317 # the traps call it
forward() {
  stopped=$1
  if [ -n "$child" ]; then
    kill -s "$1" "$child" 2>/dev/null || true
  else
    interrupted
  fi
}

while [ $# -gt 0 ]; do
  case $1 in
    --uuid) uuid=${2-} ;;
    --attempt) attempt=${2-} ;;
    --plan) plan=${2-} ;;
    --code) code=${2-} ;;
    *) say "unknown argument: $1"; exit 2 ;;
  esac
  shift 2 || { say "$1 needs a value"; exit 2; }
done
[[ $attempt =~ ^[0-9]{1,6}$ ]] || { say "--attempt needs a number"; exit 2; }

# The execution: where this script lies, or, for a copy in Slurm's spool, the working directory.
here=${0%/*}
[ "$here" != "$0" ] || here=.
if [ "$0" -ef "$here/../../jobs/$job/job.sh" ]; then
  cd -P -- "$here/../.."
fi
id=${PWD##*/}
if [ ! -f execution.json ]; then
  say "$PWD is not the folder of an execution: it has no execution.json"
  exit 87
fi
if [ "$attempt" -gt 0 ] && ! grep -qF -- "\"uuid\":\"${uuid:-none}\"" execution.json; then
  say "$PWD is not the execution that this job was submitted for: its uuid is not ${uuid:-given}"
  exit 87
fi

folder=jobs/$job
trap 'forward USR1' USR1
trap 'forward TERM' TERM INT

# Slurm 22.05 takes `afterok` on a failed job that it has forgotten as satisfied, so look for markers.
# Only whether they are there: a shell cannot read them, and the runtime asks whether they are sound.
need() {
  [ -e "$1/success.json" ] && return 0
  # Another node may have written it just now: reading the folder refreshes what NFS remembers.
  sleep 1
  ls -- "$1" >/dev/null 2>&1 || true
  [ -e "$1/success.json" ] && return 0
  stop upstream_failed 86 "This job needs $1, which has not succeeded: it has no success.json." \
    "See why, and what is next: dfh status $id"
}
need jobs/render.gather

# The shell functions of modules and of conda do not run under these options.
set +euo pipefail
for init in "${LMOD_PKG:-}/init/bash" "${MODULESHOME:-}/init/bash" /etc/profile.d/lmod.sh \
  /etc/profile.d/modules.sh /usr/share/lmod/lmod/init/bash /usr/share/modules/init/bash; do
  type module >/dev/null 2>&1 && break
  # shellcheck source=/dev/null
  [ -r "$init" ] && . "$init"
done
type module >/dev/null 2>&1 ||
  stop failed 88 "There is no command 'module' on ${HOSTNAME:-this host}." \
    "Take modules: out of the environment, or ask the centre how batch jobs load modules."
# shellcheck disable=SC2043 # there may be only one
for name in gcc/12.2.0 openmpi/4.1.4; do
  module load "$name" ||
    stop failed 88 "The module $name could not be loaded." \
      "See what there is with: module avail $name"
done
conda_env='my env'
conda_base=$(conda info --base 2>/dev/null) || conda_base=${CONDA_EXE:+${CONDA_EXE%/bin/conda}}
# shellcheck source=/dev/null
. "$conda_base/etc/profile.d/conda.sh" 2>/dev/null ||
  stop failed 88 "There is no conda on ${HOSTNAME:-this host}." \
    "Load the module that brings it (environment: {modules: [...]}), or use venv: instead."
conda activate "$conda_env" ||
  stop failed 88 "The conda environment $conda_env could not be activated." \
    "See what there is with: conda env list"
set -euo pipefail
python=python
if ! command -v -- "$python" >/dev/null; then
  stop failed 88 "There is no Python $python on ${HOSTNAME:-this host}." \
    "Name one that the compute nodes see: environment: {python: PATH} or {venv: DIR}."
fi
if [ -e "${python%/*}/../pyvenv.cfg" ]; then
  export VIRTUAL_ENV=${python%/*/*} PATH="${python%/*}:$PATH"
fi
command=("$python")
# The runtime and the operations come from the execution itself, as they were when it was submitted.
export PYTHONPATH="$PWD/code/dfh_runtime.zip${PYTHONPATH:+:$PYTHONPATH}"

interpreter=("${command[@]}")
command+=(-m dfh_runtime run "$job")
[ -z "$task" ] || command+=(--task "$task")
command+=(--attempt "$attempt")
[ -z "$plan" ] || command+=(--plan "$plan" --code "$code")

# Only at the soft limit on CPU time does the kernel say that it is that (SIGXCPU); then it kills.
cpu_s=$(ulimit -S -t)
if [ "$cpu_s" != unlimited ] && [ "$cpu_s" = "$(ulimit -H -t)" ] && [ "$cpu_s" -gt 1 ]; then
  ulimit -S -t $((cpu_s - 1))
fi

# In the background, because bash runs traps only between commands and during `wait`.
"${command[@]}" &
child=$!
# `wait` returns at each signal, and not always with the trap run: ask whether the child is there.
while :; do
  wait "$child" || true
  kill -0 "$child" 2>/dev/null || break
done
trap '' USR1 TERM INT
result=0
wait "$child" || result=$?

if [ "$result" -ne 0 ] && [ "$attempt" -gt 0 ]; then
  # sacct shows codes of 128 and more as something else.
  reported=$((result < 128 ? result : 1))
  look="See the end of the log: dfh logs $id $job${task:+ --task $task}."
  still_there() {
    [ "$PWD" -ef . ] ||
      stop failed "$reported" "The execution was moved while this job ran: it is no longer at $PWD." \
        "Move it back, then: dfh resume $id" true
  }
  if ! grep -q "\"attempt\":${attempt}[,}]" "$folder/state.json" 2>/dev/null; then
    [ -z "$stopped" ] || interrupted
    still_there
    # It compares the frozen code with the manifest, and cannot if it is what was changed.
    wanted=$(sed -n 's/.*"dfh_runtime.zip":"sha256:\([0-9a-f]*\)".*/\1/p' code/MANIFEST.json || true)
    there=$(sha256sum <code/dfh_runtime.zip || true)
    if [ -n "$wanted" ] && [ "${there%% *}" != "$wanted" ]; then
      stop failed 87 "The frozen code was changed after it was submitted: code/dfh_runtime.zip." \
        "Submit the pipeline again: a frozen execution must not be edited."
    fi
    # Isolated, Python itself imports nothing from there.
    hiding=$("${interpreter[@]}" -I -c '
import os, sys
for folder in os.environ["PYTHONPATH"].split(":")[1:]:
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if name.endswith(".py") or os.path.isfile(os.path.join(path, "__init__.py")):
            if name.partition(".")[0] in sys.stdlib_module_names:
                sys.exit(print(path))
' 2>/dev/null || true)
    [ -z "$hiding" ] ||
      look+=" $hiding hides one of Python's own modules: rename it, or take its folder out of PYTHONPATH."
    stop failed "$reported" "The runtime could not start: exit code $result." "$look"
  elif ! grep -qE '"state":"(failed|interrupted|upstream_failed|cancelled)"' "$folder/state.json"; then
    started=$(sed -n 's/.*"started":\("[^"]*"\).*/\1/p' "$folder/state.json")
    started=${started:-null}
    first=$(sed -n 's/.*"first":\("[^"]*"\).*/\1/p' "$folder/state.json")
    [ -z "$stopped" ] || interrupted
    still_there
    # What was made is noted whole, with nothing that no format keeps, before it is read or copied.
    ! grep -qs '"kept":{},"lacking":{},"lost":{}' "$folder/rescue/index.json" ||
      stop failed "$reported" "The job was ended from outside while it published its outputs: exit code $result." \
        "They are whole: dfh resume $id publishes them without another run." true
    [ "$result" -ne 152 ] ||
      stop failed "$reported" "The supervisor of the job used up its limit on CPU time (SIGXCPU)." \
        "The CPU time of a process is limited here (ulimit -t). Where it is not so: dfh resume $id" true
    [ "$result" -ne 137 ] ||
      look="It was a SIGKILL, most often for want of memory: ask for more (mem_per_node)."
    stop failed "$reported" "The supervisor of the job was ended from outside: exit code $result." \
      "$look"
  fi
fi
exit "$result"
