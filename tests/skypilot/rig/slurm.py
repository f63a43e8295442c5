"""A Slurm cluster on the loopback: munge for its trust, one controller, and virtual nodes that can die hard.

Each node is a namespace of its own but for the network, so the nodes share one address and differ by port.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path

from tests.skypilot.rig.folder import NODES, RigFolder
from tests.skypilot.rig.processes import Daemon

_NODE_CPUS, _NODE_MIB = 8, 8000
_NODE_PROGRAM = Path(__file__).with_name("node.sh")

# Bound to the loopback; nothing is really allocated or confined. A node that is silent for 15 s counts as dead
# (Slurm's own default is 300). SchedulerParameters: look every 2 s for what can start.
_SLURM_CONF = """\
ClusterName=rig
SlurmctldHost={host}(127.0.0.1)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={root}/run/munge/socket
CryptoType=crypto/munge
SlurmUser=root
SlurmctldPort={controller}
SlurmctldPidFile={root}/run/slurmctld.own-pid
SlurmctldLogFile={root}/log/slurmctld.log
StateSaveLocation={root}/slurm/state
SlurmdUser=root
SlurmdPidFile={root}/run/slurmd.%n.own-pid
SlurmdLogFile={root}/log/slurmd.%n.log
SlurmdSpoolDir={root}/slurm/%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
MpiDefault=none
ReturnToService=2
KillWait=5
InactiveLimit=0
MinJobAge=60
SlurmdTimeout=15
"""


def make_munge(folder: RigFolder) -> Daemon:
    """Prepare the daemon by which Slurm's parties recognize each other."""
    place = folder.run / "munge"
    place.mkdir(exist_ok=True)
    key = place / "key"
    if not key.exists():
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
    for path in (place, key):
        shutil.chown(path, "munge", "munge")
    files = (
        f"--{what}={place}/{what.removesuffix('-file')}" for what in ("key-file", "pid-file", "log-file", "seed-file")
    )
    munged = ("/usr/sbin/munged", "--foreground", "--force", f"--socket={place}/socket", *files)
    as_munge = ("setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups")
    return Daemon("munged", folder.root, (*as_munge, *munged), dict(os.environ))


def make_controller(folder: RigFolder) -> Daemon:
    """Write the configuration and prepare the cluster's controller."""
    text = _SLURM_CONF.format(
        root=folder.root, host=socket.gethostname().partition(".")[0], controller=folder.read_port("slurmctld")
    )
    for name in NODES:
        (folder.root / "nodes" / name).mkdir(exist_ok=True)
        size = f"CPUs={_NODE_CPUS} RealMemory={_NODE_MIB} State=UNKNOWN"
        text += f"NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={folder.read_port(name)} {size}\n"
    text += f"PartitionName=main Nodes={','.join(NODES)} Default=YES MaxTime=2-00:00:00 State=UP\n"
    folder.slurm_conf.write_text(text)
    (folder.slurm_conf.parent / "cgroup.conf").write_text("CgroupAutomount=no\n")
    (folder.root / "slurm" / "state").mkdir(exist_ok=True)
    command = ("/usr/sbin/slurmctld", "-D", "-f", str(folder.slurm_conf))
    return Daemon("slurmctld", folder.root, command, _environment_of(folder))


def make_node(folder: RigFolder, name: str) -> Daemon:
    """Prepare a virtual node; killing its daemon is what pulling the plug is elsewhere."""
    space = ("unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL")
    command = (*space, "bash", str(_NODE_PROGRAM), str(folder.root), name)
    return Daemon(name, folder.root, command, _environment_of(folder))


def is_trusted(folder: RigFolder) -> bool:
    """Say whether munge can be asked."""
    return (folder.run / "munge" / "socket").is_socket()


def is_listening(folder: RigFolder, name: str) -> bool:
    """Say whether a node's daemon can be spoken to."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", folder.read_port(name))) == 0


def list_ready(folder: RigFolder) -> set[str]:
    """Ask Slurm which nodes can take work."""
    command = ("sinfo", "--noheader", "--Node", "--states=idle,mixed,allocated", "--format=%N")
    done = subprocess.run(command, env=_environment_of(folder), capture_output=True, text=True, check=False)
    return set(done.stdout.split())


def _environment_of(folder: RigFolder) -> dict[str, str]:
    return {**os.environ, "SLURM_CONF": str(folder.slurm_conf)}
