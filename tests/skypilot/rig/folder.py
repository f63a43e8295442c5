"""Where a rig keeps what, under which ports it listens, and as whom its nodes work.

Every checkout has a rig of its own: its folder, its Unix user and its ports are derived
from the checkout's path or chosen once and remembered. It lies below the system's
temporary folder, not in the checkout, because the nodes' user must be able to reach it
and because paths of Unix sockets are short.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CHECKOUT = Path(__file__).resolve().parents[3]
NODES = ("n1", "n2", "n3", "n4")
LISTENERS = ("sshd", "slurmctld", "api-server", "network", *NODES)
_FORGOTTEN = ("etc", "home", "log", "nodes", "run", "shared", "slurm", "users")
_KEPT = ("shim", "ssh", "uv-cache")


class RigUnavailable(Exception):
    """The rig cannot run here; the message says what is missing."""


@dataclass(frozen=True)
class RigFolder:
    """The state of one rig."""

    root: Path
    """Below this lies everything."""

    @classmethod
    def of_checkout(cls) -> Self:
        """Name this checkout's folder."""
        digest = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]
        return cls(Path(tempfile.gettempdir()).resolve() / f"gliderrig-{digest}")

    def make(self) -> None:
        """Create the folders; what is there stays."""
        for name in (*_FORGOTTEN, *_KEPT, "home/.sky", "home/.slurm"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "shared").chmod(0o1777)
        self.root.chmod(0o755)  # the nodes' user passes through

    @property
    def user(self) -> str:
        """The Unix user under which the nodes run what SkyPilot sends."""
        return self.root.name

    @property
    def user_home(self) -> Path:
        """That user's home; SkyPilot makes a home for each cluster in it."""
        return self.root / "users" / self.user

    @property
    def home(self) -> Path:
        """HOME of the API server and of its clients, with `.sky` in it."""
        return self.root / "home"

    @property
    def slurm_conf(self) -> Path:
        """Slurm's configuration."""
        return self.root / "etc" / "slurm.conf"

    @property
    def log(self) -> Path:
        """Logs of the rig's own daemons."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """Process ids and sockets."""
        return self.root / "run"

    @property
    def shim(self) -> Path:
        """Programs that stand in for others on the nodes."""
        return self.root / "shim"

    def read_port(self, listener: str) -> int:
        """Return the port on 127.0.0.1 of a node or another of `LISTENERS`; they are chosen at the first call."""
        path = self.root / "etc" / "ports.json"
        if not path.exists():
            path.write_text(json.dumps(_choose_ports()))
        return int(json.loads(path.read_text())[listener])

    def forget_last_run(self) -> None:
        """Remove what a rig that was ended left behind, its ports too: somebody else may listen there now."""
        for name in _FORGOTTEN:
            shutil.rmtree(self.root / name, ignore_errors=True)
        self.make()


def _choose_ports() -> dict[str, int]:
    """Take ports that are free now, below those that the system gives to outgoing connections."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    free = (port for port in random.sample(range(10_000, first_outgoing), 1000) if _is_free(port))
    return dict(zip(LISTENERS, free, strict=False))


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
