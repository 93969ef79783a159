"""A real Slurm of one node on this machine, without systemd or cgroups, for as long as it is used.

The daemons run in the foreground as children of this process, with their configuration, keys,
sockets and logs in one folder, and end with it.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..project import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
PATH = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
CPUS = 4

CONFIGURATION = """
ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
MailProg=/bin/true
ReturnToService=2
# the processes of a job are found in /proc, and killed when they take more memory than it asked for
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=1
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2
EnforcePartLimits=ALL
# squeue and scontrol know finished jobs for so long (s)
MinJobAge=3600
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={root}/finished.txt
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=test Nodes={node} Default=YES State=UP DefaultTime=10 MaxTime=60 DefMemPerCPU=500
"""


def missing() -> str | None:
    """Why there can be no Slurm here, and what to do; None if there can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install slurm-wlm munge"
    try:
        socket.gethostbyname(node_name())
    except OSError:
        return f"the host name {node_name()} has no address: add it to /etc/hosts"
    return None


def node_name() -> str:
    """The name of this machine, which Slurm wants its node to have."""
    return socket.gethostname().partition(".")[0]


class Slurm:
    """The running cluster.

    Attributes:
        environment: for commands that talk to it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("state", "spool", "bin"):
            (root / name).mkdir(parents=True)
        root.chmod(0o755)
        configuration = root / "slurm.conf"
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        configuration.write_text(
            CONFIGURATION.format(
                node=node_name(),
                root=root,
                user=subprocess.check_output(["id", "-un"], text=True).strip(),
                controller_port=free_port(),
                node_port=free_port(),
                cpus=CPUS,
                memory=memory,
            )
        )
        # A GPU that is one in name only.
        (root / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        # Snakemake's plugin takes all variables of Slurm from srun but the job's id.
        srun = root / "bin/srun"
        real = shutil.which("srun", path=PATH)
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {real} "$@"\n')
        srun.chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{root / 'bin'}{os.pathsep}{PATH}",
            "SLURM_CONF": str(configuration),
        }
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the daemons, and wait until the node takes jobs.

        Raises TimeoutError with the end of all logs.
        """
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        socket_path = self.root / "munge.sock"
        self._daemon(
            "munged",
            *("--foreground", "--force", f"--key-file={key}", f"--socket={socket_path}"),
            *(f"--pid-file={self.root / 'munged.pid'}", f"--seed-file={self.root / 'munged.seed'}"),
        )
        self.wait(socket_path.exists, "munged to listen")
        self._daemon("slurmctld", "-D", "-c")
        self.wait(lambda: "UP" in self.run("scontrol", "ping"), "slurmctld to answer")
        self._daemon("slurmd", "-D", "-N", node_name())
        self.wait(lambda: "idle" in self.run("sinfo", "--noheader", "--format=%T"), "an idle node")

    def stop(self) -> None:
        """End all jobs and daemons."""
        if len(self._daemons) == 3:
            self.run("scancel", "--partition=test")
            with suppress(TimeoutError):
                self.wait(lambda: not self.run("squeue", "--noheader"), "an empty queue", 20)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def run(self, *command: str) -> str:
        """What a command of Slurm prints."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        ).stdout

    def jobs(self) -> list[dict[str, str]]:
        """What Slurm knows of each job so far: ``scontrol show jobs``."""
        lines = self.run("scontrol", "--oneliner", "show", "jobs").splitlines()
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if "JobId=" in line]

    def finished(self) -> list[dict[str, str]]:
        """Slurm's own log of the jobs that have ended."""
        path = self.root / "finished.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines]

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
        """Poll until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            ended = any(daemon.poll() is not None for daemon in self._daemons)
            if ended or time.monotonic() > deadline:
                logs = [f"{p.name}:\n{p.read_text()[-2000:]}" for p in self.root.glob("*.log")]
                raise TimeoutError("\n".join([f"waited for {what}", *logs]))
            time.sleep(0.1)

    def _daemon(self, *command: str) -> None:
        log = self.root / f"{command[0]}.log"
        with log.open("wb") as file:
            self._daemons.append(
                subprocess.Popen(
                    # ends with this process, however that ends
                    ["setpriv", "--pdeathsig", "KILL", *command],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            )
