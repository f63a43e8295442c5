"""The cluster's login node: a Unix user without a password, and an SSH server that lets only this user in."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.skypilot.rig.folder import RigFolder
from tests.skypilot.rig.processes import Daemon, end_processes

_SSHD_CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {root}/ssh/host
PidFile none
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin no
StrictModes no
AllowUsers {user}
MaxSessions 200
MaxStartups 150:30:200
Subsystem sftp internal-sftp
PrintMotd no
PrintLastLog no
SetEnv {environment}
"""
# SkyPilot reads this file and not ~/.ssh/config.
_CLIENT_CONFIG = """\
Host rig
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {root}/ssh/user
    IdentitiesOnly yes
"""


def make_user(folder: RigFolder) -> None:
    """Create the Unix user whose home lies in the rig."""
    try:
        pwd.getpwnam(folder.user)
    except KeyError:
        # '!' instead of a password, which useradd writes, would be a locked account: SSH lets nobody in.
        # '*' is one that no password opens.
        home = ("--no-create-home", "--home-dir", str(folder.user_home))
        subprocess.run(["useradd", *home, "--shell", "/bin/bash", "--password", "*", folder.user], check=True)
    ssh = folder.user_home / ".ssh"
    ssh.mkdir(parents=True, exist_ok=True)
    for name in ("host", "user"):
        _make_key(folder.root / "ssh" / name)
    _authorize(folder.root / "ssh" / "user.pub", ssh / "authorized_keys")
    for path in (folder.user_home, ssh, ssh / "authorized_keys", folder.root / "uv-cache"):
        shutil.chown(path, folder.user, folder.user)


def end_sessions(folder: RigFolder) -> None:
    """End what the user still runs here."""
    sessions = [process for process in psutil.process_iter(["username"]) if process.info["username"] == folder.user]
    end_processes(sessions, patience_seconds=0)


def remove_user(folder: RigFolder) -> None:
    """Take the Unix user away again."""
    subprocess.run(["userdel", folder.user], check=False, capture_output=True)


def make_login(folder: RigFolder, environment: Mapping[str, str]) -> Daemon:
    """Write the SSH server's configuration; whoever logs in finds the environment."""
    port = folder.read_port("sshd")
    settings = " ".join(f'"{name}={value}"' for name, value in environment.items())
    config = folder.root / "etc" / "sshd_config"
    config.write_text(_SSHD_CONFIG.format(port=port, root=folder.root, user=folder.user, environment=settings))
    client = folder.home / ".slurm" / "config"
    client.write_text(_CLIENT_CONFIG.format(port=port, root=folder.root, user=folder.user))
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own, and it insists
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin") or "sshd"  # it starts by its full path only
    return Daemon("sshd", folder.root, (sshd, "-D", "-e", "-f", str(config)), dict(os.environ))


def _make_key(path: Path) -> None:
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rig", "-f", str(path)], check=True)


def _authorize(key: Path, authorized: Path) -> None:
    """Add the key; SkyPilot adds its own to the same file."""
    known = authorized.read_text() if authorized.exists() else ""
    if key.read_text() not in known:
        authorized.write_text(known + key.read_text())
    authorized.chmod(0o600)
