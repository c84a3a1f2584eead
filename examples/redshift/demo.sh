#!/bin/bash
# Photometric redshifts of real galaxies on this machine: sets up all that it needs, runs the
# pipeline, and prints how well the network does. A second run takes what still holds.
#
#   bash examples/redshift/demo.sh [options of `dfh submit`, e.g. --set train.epochs=20]
#
# DFH_DEMO_VENV    virtual environment to make or to use again (default: .venv beside this file)
# DFH_DEMO_PYTHON  interpreter to make it with (default: the first of python3.11 3.12 3.13 3.10)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=${DFH_DEMO_VENV:-$here/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
started=$SECONDS

say() { printf '%s\n' "$*"; }
stop() {
    printf 'demo: %s\n' "$@" >&2
    exit 1
}

find_python() {
    local candidate candidates=(python3.11 python3.12 python3.13 python3.10 python3 python)
    [[ -z ${DFH_DEMO_PYTHON:-} ]] || candidates=("$DFH_DEMO_PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
            2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    stop "needs Python 3.10, 3.11, 3.12 or 3.13 (TensorFlow has no other)." \
        "Install one, or name it: DFH_DEMO_PYTHON=/path/to/python3.12 bash $0"
}

# What the environment was filled from: it is filled again after a change.
wanted() {
    printf '%s\n' "$root"
    cat "$here/requirements.txt" "$root/pyproject.toml"
}

make_environment() {
    local python free
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null || stop \
        "$python has no venv or no pip." \
        "On Debian and Ubuntu: sudo apt-get install python3-venv" \
        "On a cluster: load a Python module, or name another: DFH_DEMO_PYTHON=/path/to/python3"
    mkdir -p "$(dirname "$venv")"
    free=$(df -Pk "$(dirname "$venv")" | awk 'NR == 2 { print int($4 / 1024) }')
    ((free >= 3000)) || stop \
        "$(dirname "$venv") has $free MB free; TensorFlow and its friends need 2,500." \
        "Name a folder elsewhere: DFH_DEMO_VENV=/path/with/room bash $0"
    "$python" -m venv "$venv"
}

install() {
    if [[ ! -e $venv ]]; then
        make_environment
    elif [[ ! -e $venv/pyvenv.cfg ]]; then
        stop "$venv is there and is no virtual environment: name another folder."
    elif ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        stop "$venv was left half made, or its Python has gone." "Remove it, or name another folder."
    fi
    say "installing deepforge_hpc and TensorFlow into $venv (one to three minutes) ..."
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-input \
        --editable "$root" --requirement "$here/requirements.txt" || stop \
        "the installation failed; the lines above say why." \
        "Without internet: fill $venv yourself with $here/requirements.txt, or set PIP_INDEX_URL."
    wanted >"$venv/demo-installed"
    say "installed in $((SECONDS - started)) s"
}

if ! "$venv/bin/dfh" --version >/dev/null 2>&1 || ! wanted | cmp -s - "$venv/demo-installed"; then
    install
fi

export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
cd "$here"
say "$ dfh submit pipeline.yaml --site local $*"
answer=$("$venv/bin/dfh" submit pipeline.yaml --site local --json "$@")
field() { "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
execution=$(field execution <<<"$answer")
say "$ dfh status $execution --watch        (Ctrl-C ends the watching, not the jobs)"
"$venv/bin/dfh" status "$execution" --watch || stop \
    "$execution did not end well: see $venv/bin/dfh logs $execution"

"$venv/bin/python" - "$(field path <<<"$answer")" <<'PYTHON'
import json
import sys
from pathlib import Path

execution = Path(sys.argv[1])
metrics = json.loads((execution / "jobs/evaluate/outputs/metrics.json").read_text())
jobs = [json.loads(p.read_text()) for p in sorted(execution.glob("jobs/*/success.json"))]
reused = [job["job"] for job in jobs if job["reused_from"]]
figures = sorted(execution.glob("jobs/*/figures/*.png"))

print(f"\nRedshifts of {metrics['objects']:,} SDSS galaxies that the network has never seen")
print(f"  sigma_mad         {metrics['sigma_mad']:.4f}   (the mean redshift for all: 0.0466)")
print(f"  bias              {metrics['bias']:+.4f}")
print(f"  outlier_fraction  {metrics['outlier_fraction']:.4f}   (|dz| > 0.05)")
print(f"  crps              {metrics['crps']:.4f}")
print("  Photometry and redshifts are real; the images are rendered from the photometry.")
if reused:
    print(f"\nTaken from an earlier run, since nothing it needs has changed: {', '.join(reused)}")
print(f"\nreport   {execution / 'report.html'}")
for figure in figures:
    print(f"figure   {figure}")
print(f"model    {execution / 'jobs/train/outputs/model.keras'}")
PYTHON
say "done in $((SECONDS - started)) s"
