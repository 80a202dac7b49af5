#!/usr/bin/env bash
# down.sh - stop what up.sh started in SLURM_DIR; idempotent.
#   --purge   also delete SLURM_DIR (job ids start from 1 again at the next up.sh)
# Signals only pids recorded by up.sh (pid + start time checked) and slurmstepds of this cluster with
# their descendants. A test that itself SIGKILLs a slurmstepd must kill that step's children as well.
set -uo pipefail
DIR=${SLURM_DIR:?the folder of the cluster}
[ -d "$DIR" ] || exit 0
DIR=$(cd "$DIR" && pwd -P); RUN=$DIR/run; export SLURM_CONF=$DIR/etc/slurm.conf
exec 9>"$DIR/.lock"; flock -w 60 9 || { echo "down.sh: lock held" >&2; exit 1; }

starttime() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
alive() { local p s; [ -s "$RUN/$1.pid" ] || return 1; read -r p s <"$RUN/$1.pid"
          [ -n "$s" ] && [ "$(starttime "$p")" = "$s" ] &&
          [ "$(sed 's/.*) //' "/proc/$p/stat" 2>/dev/null | cut -c1)" != Z ]; }
stop() { local p s i; if alive "$1"; then read -r p s <"$RUN/$1.pid"
    kill -TERM "$p" 2>/dev/null; kill -CONT "$p" 2>/dev/null
    for ((i=0; i<100; i++)); do alive "$1" || break; sleep 0.05; done
    alive "$1" && kill -KILL "$p" 2>/dev/null
  fi; rm -f "$RUN/$1.pid"; }

# 1. cancel jobs and let the slurmstepds end them in order (bounded: 5 s)
if alive slurmctld && alive munged; then
  timeout 5 scancel --state=PENDING --quiet -u "$(id -un)" 2>/dev/null
  timeout 5 scancel --quiet -u "$(id -un)" 2>/dev/null
  for ((i=0; i<50; i++)); do [ -z "$(timeout 2 squeue -h 2>/dev/null)" ] && break; sleep 0.1; done
fi
# 2. daemons
for f in "$RUN"/slurmd.*.pid; do case $f in *.own.pid|*'*'*) continue;; esac
  n=${f##*/}; stop "${n%.pid}"; done
stop slurmctld
# 3. slurmstepds (with the job processes under them) that a killed slurmd left behind. Only processes
#    whose executable is slurmstepd are looked at, and only those started under this SLURM_CONF are taken.
stepds() { local d; for d in /proc/[0-9]*; do
    case $(readlink "$d/exe" 2>/dev/null) in */slurmstepd*)
      tr '\0' '\n' 2>/dev/null <"$d/environ" | grep -qxF "SLURM_CONF=$SLURM_CONF" && echo "${d#/proc/}";; esac; done; }
# shellcheck disable=SC2013  # the file has one line of numbers
tree() { local c; echo "$1"; for c in $(cat /proc/"$1"/task/*/children 2>/dev/null); do tree "$c"; done; }
victims=$(for p in $(stepds); do tree "$p"; done)
# shellcheck disable=SC2086  # several numbers
[ -z "$victims" ] || kill -KILL $victims 2>/dev/null
stop munged
if [ "${1:-}" = --purge ]; then rm -rf -- "$DIR"; fi
exit 0
