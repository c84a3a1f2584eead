#!/bin/bash
# A real Slurm cluster of four nodes on this machine, for tests: no systemd, nothing outside DIR.
#
#   bash tests/cluster/cluster.sh start DIR      and then: . DIR/env.sh && sinfo
#   bash tests/cluster/cluster.sh second DIR     another controller, lab2, with one node: . DIR/lab2/env.sh, or -M lab2
#   bash tests/cluster/cluster.sh odd DIR        one more, odd, as real sites are (odd.conf.in): . DIR/odd/env.sh
#   bash tests/cluster/cluster.sh kill DIR NAME  end a daemon, as `revive DIR slurmdbd` undoes it
#   bash tests/cluster/cluster.sh status DIR
#   bash tests/cluster/cluster.sh stop DIR       DIR may be removed afterwards
#
# DIR is quicker on a memory file system (5 s to start instead of 8). Settings, by environment:
#   DFH_CLUSTER_MINJOBAGE=10   real seconds until slurmctld forgets a job that ended (default of Slurm: 300)
#   DFH_CLUSTER_SPEED=10       the daemons' clocks run that much faster, not those of jobs and clients:
#                              a limit of one minute (Slurm's least) ends a job after some 8 s. Times of
#                              Slurm then lie in the future, so sacct wants -E 2099-01-01.
# Packages (Debian 12 and 13): slurmctld slurmd slurmdbd slurm-client munge mariadb-server-core [faketime]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
nodes=(n1 n2 n3 n4)
export PATH="$PATH:/usr/sbin:/sbin"

fail() {
    printf 'cluster.sh: %s\n' "$*" >&2
    exit 1
}

# until_true SECONDS COMMAND...: poll, as there is nothing to wait on. SECONDS is not faked: bash's own
# counter would run ten times too fast in a cluster with a fast clock, so tries are counted.
until_true() {
    local tries=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        ((tries-- > 0)) || return 1
        sleep 0.05
    done
}

# daemon NAME COMMAND...: start in the foreground mode of the daemon, so that $! is its pid.
daemon() {
    local name=$1
    shift
    setsid "$@" </dev/null >"$dir/log/$name.out" 2>&1 &
    printf '%s %s\n' "$name" "$!" >>"$dir/daemons"
}

# A zombie has ended too: process 1 of a container may take its time to reap.
is_running() {
    [[ -e /proc/$1 ]] && ! grep -qs '^State:[[:space:]]*Z' "/proc/$1/status"
}

has_ended() {
    ! is_running "$1"
}

# is_ours PID: the process is of this cluster, not a later one that was given the same number.
is_ours() {
    grep -qszxF "DFH_CLUSTER_DIR=$dir" "/proc/$1/environ"
}

# await NAME COMMAND...: until the daemon answers, or has ended without.
await() {
    local name=$1 pid
    shift
    pid=$(sed -n "s/^$name //p" "$dir/daemons")
    until_true 90 answers_or_ended "$pid" "$@" || :
    "$@" >/dev/null 2>&1 || {
        tail -n 20 "$dir/log/$name.out" "$dir/log/$name.log" >&2 || :
        fail "$name did not start"
    }
}

answers_or_ended() {
    local pid=$1
    shift
    "$@" || has_ended "$pid"
}

free_ports() {
    python3 - <<'PYTHON'
import random
import socket
import sys

for _ in range(200):
    base = random.randrange(15000, 31000)  # below the range of ephemeral ports
    sockets = []
    try:
        for port in range(base, base + 6):
            sockets.append(socket.socket())
            sockets[-1].bind(("127.0.0.1", port))
    except OSError:
        continue
    finally:
        for each in sockets:
            each.close()
    print(base)
    sys.exit()
sys.exit("no six free ports in a row")
PYTHON
}

fill_in() {
    sed -e "s|@DIR@|${place:-$dir}|g" -e "s|@CLUSTER@|${cluster:-lab}|g" -e "s|@HOST@|$(hostname -s)|g" -e "s|@USER@|$(id -un)|g" \
        -e "s|@MINJOBAGE@|$((${DFH_CLUSTER_MINJOBAGE:-10} * ${DFH_CLUSTER_SPEED:-1}))|g" -e "s|@KILLWAIT@|$((2 * ${DFH_CLUSTER_SPEED:-1}))|g" \
        -e "s|@SLURMDTIMEOUT@|$((300 * ${DFH_CLUSTER_SPEED:-1}))|g" \
        -e "s|@PORT@|$port|g" -e "s|@DBDPORT@|${dbd_port:-$((port + 1))}|g" \
        -e "s|@PORT1@|$((port + 2))|g" -e "s|@PORT2@|$((port + 3))|g" \
        -e "s|@PORT3@|$((port + 4))|g" -e "s|@PORT4@|$((port + 5))|g" "$here/$1"
}

configure() {
    local port node
    port=$(free_ports) || fail "no free ports"
    mkdir -p "$dir"/{db,etc,gpu,log,munge,run,state}
    for node in "${nodes[@]}"; do
        mkdir -p "$dir/spool/$node" "$dir/tmp/$node"
    done
    # munged insists that everyone can reach its socket, by folders that nobody else can write to.
    chmod 755 "$dir" "$dir/munge"
    chmod 700 "$dir/db"
    # GPUs must be character devices, else CUDA_VISIBLE_DEVICES stays unset. Null devices will do; where they
    # may not be made, GPUs are counted all the same.
    mknod "$dir/gpu/gpu0" c 1 3 2>/dev/null || : >"$dir/gpu/gpu0"
    mknod "$dir/gpu/gpu1" c 1 3 2>/dev/null || : >"$dir/gpu/gpu1"

    fill_in slurm.conf.in >"$dir/etc/slurm.conf"
    fill_in gres.conf.in >"$dir/etc/gres.conf"
    fill_in accounts >"$dir/etc/accounts"
    (umask 077 && fill_in slurmdbd.conf.in >"$dir/etc/slurmdbd.conf") # any other mode is refused
    # From 23.02 on slurmd loads a cgroup plugin unless told not to.
    [[ $(slurmd -V) == *" 22."* ]] || echo CgroupPlugin=disabled >"$dir/etc/cgroup.conf"
    (umask 077 && head -c 128 /dev/urandom >"$dir/munge/key")
    printf 'export SLURM_CONF=%q\n' "$dir/etc/slurm.conf" >"$dir/env.sh"
}

# MariaDB without its installer, which is not in mariadb-server-core. With --skip-grant-tables no users are
# needed, but slurmdbd keeps a stored procedure: without mysql.proc every limit silently reads as 0.
system_tables() {
    local source
    for source in /usr/share/{mysql/mysql,mariadb/mariadb}_system_tables.sql; do
        [[ -r $source ]] && break
    done
    printf '%s\n' 'CREATE DATABASE IF NOT EXISTS mysql;' 'USE mysql;'
    grep -E '^CREATE TABLE IF NOT EXISTS (proc|event|func|servers|plugin|time_zone_leap_second|gtid_slave_pos|innodb_table_stats|innodb_index_stats) ' "$source"
}

start_database() {
    daemon munged munged --foreground --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
        --pid-file="$dir/run/munged.pid" --seed-file="$dir/munge/seed" --log-file="$dir/log/munged.log" \
        --num-threads=4
    # slurmdbd 24.11 with the client library of MariaDB 11.8 fails on a database that it has to make itself.
    echo 'CREATE DATABASE IF NOT EXISTS slurm_acct_db;' >"$dir/etc/init.sql"
    system_tables >>"$dir/etc/init.sql"
    # Only a Unix socket, in a folder that nobody else can enter. The data may be lost: no syncing.
    daemon mariadbd mariadbd --no-defaults --user="$(id -un)" --datadir="$dir/db" --socket="$dir/db/socket" \
        --pid-file="$dir/run/mariadbd.pid" --skip-networking --skip-grant-tables --init-file="$dir/etc/init.sql" \
        --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --innodb-flush-log-at-trx-commit=0 \
        --innodb-flush-method=nosync --innodb-lock-wait-timeout=900 --skip-innodb-doublewrite
    await munged test -S "$dir/munge/socket"
    await mariadbd test -S "$dir/db/socket"
}

all_idle() {
    [[ $(sinfo -h -N -p cpu -t idle -o %N | wc -l) -eq ${#nodes[@]} ]]
}

start_slurmdbd() {
    MYSQL_UNIX_PORT="$dir/db/socket" daemon slurmdbd slurmdbd -D
    await slurmdbd sacctmgr -n show cluster
}

start_slurm() {
    local node
    start_slurmdbd
    # One sacctmgr for all: each costs half a second. The cluster must come first, its QOS before accounts.
    sacctmgr -i -Q <"$dir/etc/accounts" >"$dir/log/accounts.out" 2>&1 || fail "$(<"$dir/log/accounts.out")"
    daemon slurmctld slurmctld -D -c -i
    for node in "${nodes[@]}"; do
        daemon "slurmd-$node" slurmd -D -N "$node"
    done
    until_true 90 all_idle || fail "not all nodes are idle: $(sinfo -h -N -o '%N %t' 2>&1)"
    touch "$dir/ready"
}

daemons_up() {
    trap stop EXIT # a cluster that does not start leaves nothing running
    : >"$dir/daemons"
    # Every process of this cluster carries its folder in the environment: that is how stop knows them.
    export DFH_CLUSTER_DIR="$dir" SLURM_CONF="$dir/etc/slurm.conf"
    start_database
    start_slurm
    trap - EXIT
}

is_decided() {
    [[ -e $dir/ready ]] || has_ended "$(<"$dir/faketime.pid")"
}

start() {
    local program
    [[ ! -s $dir/daemons ]] || fail "$dir holds a cluster already: stop it first"
    for program in munged mariadbd slurmdbd slurmctld slurmd sbatch ${DFH_CLUSTER_SPEED:+faketime}; do
        command -v "$program" >/dev/null || fail "no $program: the packages are named in ${BASH_SOURCE[0]}"
    done
    configure
    if [[ -z ${DFH_CLUSTER_SPEED:-} ]]; then
        daemons_up
        return
    fi
    # All daemons below one faketime, so that they share one beginning of time. It ends with the last of them,
    # and then removes what it shares in /dev/shm: it must not be killed, only awaited.
    FAKETIME_DONT_FAKE_MONOTONIC=1 setsid faketime -f "+0 x$DFH_CLUSTER_SPEED" \
        "$here/cluster.sh" _daemons_up "$dir" </dev/null >"$dir/log/start.out" 2>&1 &
    echo "$!" >"$dir/faketime.pid"
    until_true 120 is_decided
    [[ -e $dir/ready ]] || fail "$(cat "$dir/log/start.out")"
}

# Another cluster with the same munge and slurmdbd, as at sites with several machines.
second() {
    beside lab2
}

odd() {
    beside odd
}

plain_conf() {
    fill_in slurm.conf.in | sed -e '/^NodeName=n[2-4]/d' -e '/^PartitionName=gpu/d' -e 's/ Gres=.*//' \
        -e '/^GresTypes/d' -e '/^AccountingStorageTRES/d'
}

odd_conf() {
    # It remembers jobs: tests look at what was asked for, on a machine that may be busy.
    fill_in slurm.conf.in | sed -e '/^NodeName=/d' -e '/^PartitionName=/d' -e 's/^GresTypes=.*/&,lscratch/' \
        -e 's/^MinJobAge=.*/MinJobAge=300/'
    fill_in odd.conf.in
    printf 'NodeName=n1 Name=gpu Type=fake File=%s\nNodeName=n2 Name=gpu Type=other Count=4\n' "$dir/gpu/gpu[0-1]" >"$place/etc/gres.conf"
    echo 'NodeName=n1 Name=lscratch Count=100' >>"$place/etc/gres.conf"
}

# beside CLUSTER: with one daemon, n1.
beside() {
    local cluster=$1 dbd_port port
    local place="$dir/$cluster"
    [[ -e $dir/ready && ! -e $place ]] || fail "$cluster stands beside a first cluster, once"
    dbd_port=$(sed -n 's/^AccountingStoragePort=//p' "$dir/etc/slurm.conf")
    port=$(free_ports) || fail "no free ports"
    mkdir -p "$place"/{etc,log,run,state,spool/n1,tmp/n1}
    ln -s ../munge "$place/munge"
    cp "$dir/etc/cgroup.conf" "$place/etc" 2>/dev/null || :
    case $cluster in
    odd) odd_conf ;;
    *) plain_conf ;;
    esac >"$place/etc/slurm.conf"
    # Numbers of jobs as the first cluster gives them now: tests want the same on both.
    export SLURM_CONF="$dir/etc/slurm.conf"
    scontrol show config | sed -n 's/^NEXT_JOB_ID *= */FirstJobId=/p' >>"$place/etc/slurm.conf"
    fill_in accounts | grep -v '^add qos' >"$place/etc/accounts" # those are of all clusters
    if [[ $cluster == odd ]]; then
        sed -i -e '1a add qos few GrpTRES=cpu=8,node=1,gres/gpu=1 GrpJobs=3' -e 's/set qos=.*/&,few/' "$place/etc/accounts"
    fi
    printf 'export SLURM_CONF=%q\n' "$place/etc/slurm.conf" >"$place/env.sh"
    export DFH_CLUSTER_DIR="$dir" SLURM_CONF="$place/etc/slurm.conf"
    sacctmgr -i -Q <"$place/etc/accounts" >"$place/log/accounts.out" 2>&1 || fail "$(<"$place/log/accounts.out")"
    daemon "slurmctld-$cluster" slurmctld -D -c -i
    daemon "slurmd-$cluster" slurmd -D -N n1
    nodes=(n1)
    until_true 90 all_idle || fail "the node of $cluster is not idle: $(sinfo -h -N -o '%N %t' 2>&1)"
    # Now slurmdbd tells others where this controller listens.
    until_true 30 sinfo -h -M "$cluster" || fail "$cluster has not registered"
}

# kill_daemon NAME: as a machine that is gone; it is started again by `revive`.
kill_daemon() {
    local pid
    pid=$(sed -n "s/^$1 //p" "$dir/daemons")
    if [[ -z $pid ]] || ! is_ours "$pid"; then fail "no $1 runs in $dir"; fi
    kill -9 "$pid"
    until_true 10 has_ended "$pid" || fail "$1 does not end"
    sed -i "/^$1 /d" "$dir/daemons"
}

revive() {
    export DFH_CLUSTER_DIR="$dir" SLURM_CONF="$dir/etc/slurm.conf"
    case $1 in
    slurmdbd) start_slurmdbd ;;
    *) fail "cannot start $1 again" ;;
    esac
}

no_jobs() {
    [[ -z $(timeout 5 squeue -h) ]]
}

stop() {
    local conf kind name pid
    [[ -f $dir/daemons ]] || return 0
    # Jobs first, while there is someone to end them.
    for conf in "$dir"/{,lab2/,odd/}etc/slurm.conf; do
        [[ -e $conf ]] || continue
        export SLURM_CONF="$conf"
        timeout 5 scancel --quiet --partition=cpu >/dev/null 2>&1 || :
        timeout 5 scancel --quiet --partition=gpu >/dev/null 2>&1 || :
        until_true 5 no_jobs || :
    done
    for kind in slurmctld slurmd- slurmdbd mariadbd munged; do
        while read -r name pid; do
            if [[ $name == "$kind"* ]] && is_ours "$pid"; then kill "$pid" || :; fi
        done <"$dir/daemons"
        while read -r name pid; do
            if [[ $name == "$kind"* ]] && ! until_true 10 has_ended "$pid" && is_ours "$pid"; then
                echo "cluster.sh: $name does not end, killed" >&2
                kill -9 "$pid" || :
            fi
        done <"$dir/daemons"
    done
    # slurmstepd of a job that would not die, and whatever else is left of this cluster
    while read -r pid; do
        kill -9 "$pid" 2>/dev/null || :
    done < <(grep -lszxF "DFH_CLUSTER_DIR=$dir" /proc/[0-9]*/environ | cut -d / -f 3)
    if [[ -e $dir/faketime.pid ]]; then
        until_true 10 has_ended "$(<"$dir/faketime.pid")" || echo "cluster.sh: faketime does not end" >&2
    fi
    rm -f "$dir"/{daemons,ready,faketime.pid}
}

status() {
    local name pid down=0
    if [[ ! -s $dir/daemons ]]; then
        echo "no cluster runs in $dir"
        exit 3
    fi
    while read -r name pid; do
        if is_running "$pid"; then
            echo "up   $name ($pid)"
        else
            echo "down $name ($pid)"
            down=1
        fi
    done <"$dir/daemons"
    SLURM_CONF="$dir/etc/slurm.conf" sinfo
    exit "$down"
}

usage="usage: cluster.sh start|second|odd|stop|status DIR, or kill|revive DIR DAEMON"
[[ $# -eq 2 || ($# -eq 3 && $1 =~ ^(kill|revive)$) ]] || fail "$usage"
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
case $1 in
start | second | odd | stop | status) "$1" ;;
kill) kill_daemon "$3" ;;
revive) revive "$3" ;;
_daemons_up) daemons_up ;;
*) fail "$usage" ;;
esac
