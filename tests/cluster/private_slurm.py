"""A SLURM cluster of the machine's own: two nodes on loopback, with accounting, without systemd.

Needs root and Debian's packages slurm-wlm, slurmdbd, munge and mariadb-server, of which it starts
the daemons with configuration, state and logs in a folder of its own. Memory is a consumable
resource, and kept by control groups: a job beyond its request is killed.
"""

import contextlib
import math
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "mariadb-install-db", "sacct")
# Snakemake's job step plugin hands no SLURM_CONF on to the srun inside a job.
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
ACCOUNT = "testing"
# Seconds without a word from a node until it counts as gone.
SILENCE = 10

CONF = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
SlurmdTimeout={silence}
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,sched_interval=5,batch_sched_delay=0
DefMemPerCPU=500
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
MinJobAge=600
KillWait=5
MessageTimeout=30
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
AccountingStoragePass={folder}/munge.sock
AccountingStoreFlags=job_comment
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Boards=1 "
NODE += "SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory} State=UNKNOWN"
PARTITION = "PartitionName=main Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP OverSubscribe=NO"
CGROUP = """\
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainCores=no
IgnoreSystemd=yes
"""
DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={accounting}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
"""
GRANT = "create database if not exists slurm_acct;" + "".join(
    f"create user if not exists 'slurm'@'{host}' identified by 'slurm';"
    f"grant all on slurm_acct.* to 'slurm'@'{host}';"
    for host in ("127.0.0.1", "localhost")
)


def unavailable() -> str | None:
    """Why no cluster can be started here; None if one can."""
    if os.geteuid() != 0:
        return "a private SLURM needs root"
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking:
        packages = "apt-get install slurm-wlm slurmdbd munge mariadb-server"
        return f"no {lacking[0]} on this machine ({packages})"
    if SYSTEM_CONF.exists() and not SYSTEM_CONF.is_symlink():
        return f"{SYSTEM_CONF} is of another cluster"
    return None


FIELDS = ("jobid", "comment", "state", "reqmem", "nodelist", "start", "end", "timelimitraw")


class SlurmJob(NamedTuple):
    """An attempt of a job, as the accounting has it.

    Attributes
    ----------
    name
        The rule, or group of rules, that Snakemake says it is.
    state, steps
        Of the job and of the steps in it.
    start, end
        Seconds since 1970; infinite while it has not come to that.
    """

    number: int
    name: str
    state: str
    mem_mb: float
    node: str
    start: float
    end: float
    minutes: int
    steps: tuple[str, ...] = ()

    @classmethod
    def read(cls, number: int, name: str, state: str, memory: str, node: str, *rest: str):
        units = {"K": 1 / 1024, "M": 1, "G": 1024}
        start, end = (float(text) if text.isdigit() else math.inf for text in rest[:2])
        mem_mb = float(memory[:-1]) * units[memory[-1]]
        return cls(number, name, state.split()[0], mem_mb, node, start, end, int(rest[2]))


class PrivateSlurm:
    """The daemons of a cluster, its nodes `n1`, `n2` and so on, and what it knows of its jobs."""

    def __init__(self, nodes: int, cpus: int, memory_mb: int):
        # Not in a folder of pytest's, which the database's own user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.host = socket.gethostname().split(".")[0]
        self.names = [f"n{number + 1}" for number in range(nodes)]
        self.memory_mb, self.cpus = memory_mb, cpus
        daemons = ("controller", "accounting", "mariadb", *self.names)
        self.ports = {name: _free_port() for name in daemons}

    def __enter__(self) -> "PrivateSlurm":
        for name in ("state", "spool", "database"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        self._write_configuration()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        subprocess.run(["scancel", "--user", "root"], check=False, env=self._environment)
        pids = [f"slurmd.{name}" for name in self.names]
        for name in (*pids, "slurmctld", "slurmdbd", "mariadb", "munged"):
            _end(self.folder / f"{name}.pid")
        if SYSTEM_CONF.is_symlink() and SYSTEM_CONF.readlink() == self.folder / "slurm.conf":
            SYSTEM_CONF.unlink()
        shutil.rmtree(self.folder)

    def ask(self, *command: str) -> str:
        """What one of SLURM's programs prints."""
        return _run(command, env=self._environment)

    def jobs(self) -> list[SlurmJob]:
        """Every attempt of every job so far, from the accounting; a requeued one stands twice."""
        command = ("sacct", "--noheader", "--parsable2", "--duplicates", "--starttime", "now-1days")
        found: list[SlurmJob] = []
        for line in self.ask(*command, "--format", ",".join(FIELDS)).splitlines():
            number, *values = line.split("|")
            if "." in number:
                found[-1] = found[-1]._replace(steps=(*found[-1].steps, values[1]))
            else:
                found.append(SlurmJob.read(int(number), *values))
        return found

    def set_state(self, node: str, state: str) -> None:
        """Set a node down, or back to work (`resume`)."""
        self.ask("scontrol", "update", f"nodename={node}", f"state={state}", "reason=test")

    def lose(self, node: str) -> None:
        """Kill a node's daemon and all that runs under it, as a failing machine does."""
        pid = int((self.folder / f"slurmd.{node}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        for process in self._processes_of(node):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def start_node(self, node: str) -> None:
        _run(("slurmd", "-N", node), env=self._environment)

    def wait_for(self, states: set[str], seconds: float = 60) -> None:
        """Wait until all nodes are in one of these states."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(subprocess.CalledProcessError):
                if set(self.ask("sinfo", "--noheader", "--Node", "-o", "%T").split()) <= states:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"nodes are not {states}: {self.ask('sinfo', '--Node', '--long')}")

    @property
    def _environment(self) -> dict[str, str]:
        known = {"SLURM_CONF": str(self.folder / "slurm.conf"), "SLURM_TIME_FORMAT": "%s"}
        return {**os.environ, **known}

    def _processes_of(self, node: str) -> Iterator[int]:
        """What runs in the control groups of a node's jobs, and the keepers of its steps."""
        for listing in Path("/sys/fs/cgroup").glob(f"**/slurm_{node}/**/cgroup.procs"):
            with contextlib.suppress(OSError):
                yield from map(int, listing.read_text().split())
        spool = f"/spool/{node}"
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if "slurmstepd" in (process / "cmdline").read_text() and spool in os.readlink(
                    process / "cwd"
                ):
                    yield int(process.name)

    def _write_configuration(self) -> None:
        known = {"folder": self.folder, "host": self.host, "silence": SILENCE, **self.ports}
        nodes = [
            NODE.format(
                name=name,
                host=self.host,
                port=self.ports[name],
                cpus=self.cpus,
                memory=self.memory_mb,
            )
            for name in self.names
        ]
        text = CONF.format(**known) + "\n".join([*nodes, PARTITION]) + "\n"
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "cgroup.conf").write_text(CGROUP)
        database = self.folder / "slurmdbd.conf"
        database.write_text(DATABASE.format(**known))
        database.chmod(0o600)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        SYSTEM_CONF.parent.mkdir(exist_ok=True)
        SYSTEM_CONF.unlink(missing_ok=True)
        SYSTEM_CONF.symlink_to(self.folder / "slurm.conf")

    def _start(self) -> None:
        folder, env = self.folder, self._environment
        munge = ("socket", "munge.sock"), ("pid-file", "munged.pid"), ("log-file", "munged.log")
        munge += (("key-file", "munge.key"), ("seed-file", "munge.seed"))
        _run(("munged", "--force", *(f"--{option}={folder / name}" for option, name in munge)))
        self._start_database()
        _run(("slurmdbd",), env=env)
        _patiently(("sacctmgr", "--noheader", "list", "cluster"), env)
        for entry in (
            ("cluster", "private"),
            ("account", ACCOUNT, "Cluster=private"),
            ("user", "root", f"Account={ACCOUNT}", "AdminLevel=Admin"),
        ):
            # Root is known already, as an administrator without an account.
            subprocess.run(
                ["sacctmgr", "--immediate", "add", *entry], check=False, env=env,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        _run(("slurmctld",), env=env)
        for name in self.names:
            (folder / "spool" / name).mkdir()
            self.start_node(name)
        self.wait_for({"idle"})

    def _start_database(self) -> None:
        data = self.folder / "database"
        log = (self.folder / "mariadb.log").open("w")
        shutil.chown(data, "mysql", "mysql")
        own = ("--no-defaults", "--user=mysql", f"--datadir={data}")
        install = ("mariadb-install-db", *own, "--auth-root-authentication-method=socket")
        subprocess.run(install, check=True, stdout=log, stderr=log)
        small = ("--innodb-buffer-pool-size=32M", "--performance-schema=OFF")
        small += ("--innodb-lock-wait-timeout=900",)
        at = ("--bind-address=127.0.0.1", f"--port={self.ports['mariadb']}")
        # Its socket and number lie where its own user may write.
        at += (f"--socket={data / 'sock'}", f"--pid-file={data / 'pid'}")
        subprocess.Popen(("mariadbd", *own, *small, *at), stdout=log, stderr=log)
        client = ("mariadb", "--no-defaults", f"--socket={data / 'sock'}", "--execute")
        _patiently((*client, "select 1"), None)
        _run((*client, GRANT))
        shutil.copy(data / "pid", self.folder / "mariadb.pid")


def _free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _run(command: Sequence[str], env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, check=False, env=env, text=True, capture_output=True)
    if done.returncode:
        raise subprocess.CalledProcessError(
            done.returncode, command, done.stdout, done.stderr
        ) from RuntimeError(f"{command[0]}: {done.stderr or done.stdout}")
    return done.stdout


def _patiently(command: Sequence[str], env: dict[str, str] | None, seconds: float = 30) -> None:
    """Repeat a command until it succeeds."""
    end = time.monotonic() + seconds
    while True:
        try:
            _run(command, env)
            return
        except subprocess.CalledProcessError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _end(pid_file: Path, seconds: float = 10) -> None:
    """End the process whose number a file holds."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    end = time.monotonic() + seconds
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < end:
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
