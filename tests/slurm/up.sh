#!/usr/bin/env bash
# up.sh - start a real, private Slurm cluster on loopback (no systemd, no cgroups).
#
#   tests/slurm/up.sh      start (idempotent); on success prints "export SLURM_CONF=..." on stdout
#   eval "$(tests/slurm/up.sh)"  start and point this shell's sbatch/squeue/... at it
#
# Knobs: SLURM_DIR   state folder            (no default)
#        SLURM_NODES number of slurmd        (default 2; each one is a separate "machine" n0, n1, ...)
#        SLURM_CPUS  CPUs per virtual node   (default 2; may be more than the host has)
#        SLURM_MEMORY MiB of memory per virtual node (default 1024; not enforced)
#        SLURM_GPUS  fake gpu GRES per node  (default 0)
#        SLURM_BASE_PORT  ctld port; slurmd i listens on BASE+1+i   (default 26817)
#        SLURM_WAIT  seconds to wait for every node to be idle      (default 30)
# Exit: 0 all nodes idle; 1 did not come up (log tails on stderr); 2 cannot install / not root.
set -euo pipefail

DIR=${SLURM_DIR:?the folder of the cluster}
NODES=${SLURM_NODES:-2}
CPUS=${SLURM_CPUS:-2}
GPUS=${SLURM_GPUS:-0}
MEMORY=${SLURM_MEMORY:-1024}
BASE=${SLURM_BASE_PORT:-26817}
WAIT=${SLURM_WAIT:-30}
export PATH="$PATH:/usr/sbin:/sbin"
say() { echo "up.sh: $*" >&2; }

[ "$(id -u)" = 0 ] || { say "must be root"; exit 2; }

# --- 1. packages --------------------------------------------------------------------------------
need=0
for b in slurmctld slurmd munged sbatch sinfo; do command -v "$b" >/dev/null || need=1; done
if [ $need = 1 ]; then
  say "installing slurmctld slurmd slurm-client munge"
  # the packages' maintainer scripts must not start daemons of their own
  made_policy=0
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made_policy=1
  fi
  mkdir -p "$DIR"
  rc=0
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge; } \
      >"$DIR/install.log" 2>&1 </dev/null || rc=$?
  [ $made_policy = 0 ] || rm -f /usr/sbin/policy-rc.d
  if [ $rc != 0 ]; then say "apt-get failed ($rc)"; tail -20 "$DIR/install.log" >&2; exit 2; fi
fi

# --- 2. folders ---------------------------------------------------------------------------------
mkdir -p "$DIR"; chmod 755 "$DIR"; DIR=$(cd "$DIR" && pwd -P)
exec 9>"$DIR/.lock"; flock -w 60 9 || { say "another up.sh or down.sh holds the lock"; exit 1; }
ETC=$DIR/etc LOG=$DIR/log RUN=$DIR/run
mkdir -p "$ETC" "$LOG" "$RUN" "$DIR/state" "$DIR/spool" "$DIR/munge"
chmod 755 "$ETC" "$LOG" "$RUN" "$DIR/munge"; chmod 700 "$DIR/state"
export SLURM_CONF=$ETC/slurm.conf
HOST=$(hostname -s)

# --- 3. which daemons of ours are alive ---------------------------------------------------------
# a pid file holds "<pid> <start time>", so that a recycled pid is never taken for ours
starttime() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
alive() { local p s; [ -s "$RUN/$1.pid" ] || return 1; read -r p s <"$RUN/$1.pid"
          [ -n "$s" ] && [ "$(starttime "$p")" = "$s" ] &&
          [ "$(sed 's/.*) //' "/proc/$p/stat" 2>/dev/null | cut -c1)" != Z ]; }
spawn() { local name=$1; shift
  alive "$name" && return 0
  setsid "$@" </dev/null >>"$LOG/$name.out" 2>&1 9>&- &
  local p=$!; echo "$p $(starttime $p)" >"$RUN/$name.pid"; }
names() { local i; for ((i=0; i<NODES; i++)); do echo "n$i"; done; }

# --- 4. configuration ---------------------------------------------------------------------------
if [ ! -s "$DIR/munge/munge.key" ]; then
  (umask 077; dd if=/dev/urandom of="$DIR/munge/munge.key" bs=128 count=1 status=none)
fi
{
  cat <<CONF
ClusterName=looptest
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$BASE
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job is held back (default 120 s); a credential that a busy machine looks at later is refused
AuthInfo=socket=$DIR/munge/munge.sock,cred_expire=10
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$RUN/slurmctld.own.pid
SlurmdPidFile=$RUN/slurmd.%n.own.pid
SlurmctldLogFile=$LOG/slurmctld.log
SlurmdLogFile=$LOG/slurmd.%n.log
SlurmctldDebug=info
SlurmdDebug=info
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$LOG/jobcomp.log
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=2
MinJobAge=3600
SlurmctldTimeout=10
SlurmdTimeout=10
TCPTimeout=2
MessageTimeout=10
BatchStartTimeout=30
CONF
  [ "$GPUS" = 0 ] || echo "GresTypes=gpu"
  for ((i=0; i<NODES; i++)); do
    g=""; [ "$GPUS" = 0 ] || g=" Gres=gpu:$GPUS"
    echo "NodeName=n$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((BASE+1+i)) Sockets=1 CoresPerSocket=$CPUS ThreadsPerCore=1 RealMemory=$MEMORY$g State=UNKNOWN"
  done
  # Jobs of "urgent" take nodes from those of the others: at once from "main", with a minute's notice from "patient".
  rest="Nodes=ALL MaxTime=INFINITE OverSubscribe=NO State=UP"
  echo "PartitionName=main $rest Default=YES PriorityTier=1"
  echo "PartitionName=patient $rest PriorityTier=1 GraceTime=60"
  echo "PartitionName=urgent $rest PriorityTier=10 PreemptMode=OFF"
} >"$SLURM_CONF.new"
if [ "$GPUS" != 0 ]; then   # the gpu plugin wants one file per device; any file does without cgroups
  mkdir -p "$DIR/dev"; for ((i=0; i<GPUS; i++)); do : >"$DIR/dev/gpu$i"; done
  for ((i=0; i<NODES; i++)); do for ((k=0; k<GPUS; k++)); do
    echo "NodeName=n$i Name=gpu File=$DIR/dev/gpu$k"; done; done >"$ETC/gres.conf"
else rm -f "$ETC/gres.conf"; fi
# Slurm >= 23.11 loads a cgroup plugin in slurmd whatever is configured; older ones do not know "disabled"
ver=$(slurmctld -V | awk '{print $2}')
if dpkg --compare-versions "$ver" ge 23.11; then echo "CgroupPlugin=disabled" >"$ETC/cgroup.conf"
else : >"$ETC/cgroup.conf"; fi

if [ -s "$SLURM_CONF" ] && ! cmp -s "$SLURM_CONF" "$SLURM_CONF.new" && alive slurmctld; then
  say "a cluster with other settings runs in $DIR; stop it first (tests/slurm/down.sh)"
  rm -f "$SLURM_CONF.new"; exit 1
fi
mv "$SLURM_CONF.new" "$SLURM_CONF"

# --- 5. daemons ---------------------------------------------------------------------------------
fail() { say "$1"
  local f; for f in munged.out slurmctld.log $(for n in $(names); do echo "slurmd.$n.log"; done); do
    [ -s "$LOG/$f" ] || f=${f%.log}.out          # died before it opened its log
    [ -s "$LOG/$f" ] && { echo "--- tail of $LOG/$f" >&2; grep -v 'mpi/pmix\|Unauthorized cred' "$LOG/$f" | tail -n 15 >&2; }; done
  timeout 10 sinfo -N -o '%N %T %E' >&2 2>&1 || true
  exit 1; }
t0=$(date +%s%N); deadline=$((SECONDS + WAIT))

spawn munged munged --foreground --force --num-threads=2 --key-file="$DIR/munge/munge.key" \
  --socket="$DIR/munge/munge.sock" --pid-file="$RUN/munged.own.pid" \
  --seed-file="$DIR/munge/munge.seed" --log-file="$LOG/munged.log"
until munge -S "$DIR/munge/munge.sock" -n >/dev/null 2>&1; do
  alive munged || fail "munged died"; [ $SECONDS -lt $deadline ] || fail "munged did not answer"; sleep 0.05; done

spawn slurmctld slurmctld -D -f "$SLURM_CONF"
until scontrol ping 2>/dev/null | grep -q ' UP'; do
  alive slurmctld || fail "slurmctld died"; [ $SECONDS -lt $deadline ] || fail "slurmctld did not answer"; sleep 0.1; done

for n in $(names); do spawn "slurmd.$n" slurmd -D -N "$n" -f "$SLURM_CONF"; done
while :; do
  st=$(sinfo -h -N -o '%N %T' 2>/dev/null | sort -u || true)
  # a node that runs somebody's job (second call of this script) is up too
  up=$(echo "$st" | awk '$2 ~ /^(idle|mixed|allocated|completing)$/' | wc -l)
  [ "$up" = "$NODES" ] && break
  # put back nodes that an earlier failure test left drained or down ("Duplicate jobid", state=down ...)
  for n in $(echo "$st" | awk '$2 ~ /^(drain|drained|draining|down|fail|failing)$/ {print $1}'); do
    scontrol update nodename="$n" state=resume >/dev/null 2>&1 || true; done
  for n in $(names); do alive "slurmd.$n" || fail "slurmd of $n died"; done
  [ $SECONDS -lt $deadline ] || fail "nodes not idle after ${WAIT}s"
  sleep 0.1
done
say "$NODES node(s) up in $(( ($(date +%s%N)-t0)/1000000 )) ms (slurm $ver, state in $DIR)"
echo "export SLURM_CONF=$SLURM_CONF"
