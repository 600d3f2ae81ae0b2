#!/usr/bin/env bash
# A SLURM of one node, this machine, for tests: slurm.sh start FOLDER, slurm.sh stop FOLDER (as root,
# where slurm-wlm and munge are installed).
set -euo pipefail
folder=$2
host=$(hostname -s)
case $1 in
start)
    cpus=$(nproc)
    memory=$(($(awk "/MemTotal/ {print \$2}" /proc/meminfo) / 1024))
    mkdir -p "$folder"/{state,spool,log} /run/munge
    [ -e /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
    chmod 400 /etc/munge/munge.key; chown munge: /etc/munge/munge.key /run/munge /var/log/munge /var/lib/munge
    pgrep -x munged >/dev/null || runuser -u munge -- /usr/sbin/munged
    cat > "$folder/slurm.conf" <<CONF
ClusterName=breadth
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=short Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF=$folder/slurm.conf
    slurmctld
    slurmd
    for _ in $(seq 60); do
        sinfo --noheader --format=%T 2>/dev/null | grep -q idle && exit 0
        sleep 0.5
    done
    cat "$folder"/log/*.log >&2
    exit 1
    ;;
stop)
    for daemon in slurmd slurmctld; do
        [ -e "$folder/$daemon.pid" ] && kill "$(cat "$folder/$daemon.pid")" || true
    done
    ;;
esac
