"""A real S3 server for tests: Ceph's RADOS gateway over one in-memory OSD, on the loopback.

It runs from the Debian packages that `make test` installs, or, where nobody may
install, from the same packages unpacked below the repository's `build/`. It
checks signatures and holds create-only puts, which the small imitations of S3
do not. It starts in two to six seconds and takes 150 MB.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Self

import pytest

from tests.waiting import wait_until

PACKAGES = ("radosgw", "ceph-mon", "ceph-osd", "ceph-common")
_PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool")
_UNPACKED = Path(__file__).resolve().parent.parent / "build" / "ceph"
_ACCESS_KEY, _SECRET_KEY, _BUCKET = "AKIATEST", "secretsecret", "gliderport-tests"

# The short intervals bring the start from 20 s to 2 s; without tcp_nodelay every GET takes 40 ms.
_CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = {monitors}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_allow_insecure_global_id_reclaim = false
keyring = {state}/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
plugin_dir = {libraries}/ceph
erasure_code_dir = {libraries}/ceph/erasure-code
osd_class_dir = {libraries}/rados-classes
run_dir = {state}/run
admin_socket = {state}/run/$name.asok
log_file = {state}/log/$name.log
mon_data = {state}/mon/ceph-$id
mon_data_avail_crit = 1
osd_data = {state}/osd/ceph-$id
osd_objectstore = memstore
memstore_device_bytes = {memory_bytes}
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_tick_interval = 1
osd_tick_interval = 0.5
mon_client_hunt_interval = 0.3
debug_rgw = 0
[client.rgw.a]
rgw_data = {state}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_gc_obj_min_wait = 1
rgw_gc_processor_period = 2
"""
_CAPABILITIES = {
    "client.admin": ("mon", "allow *", "osd", "allow *"),
    "client.rgw.a": ("mon", "allow rwx", "osd", "allow rwx"),
    "osd.0": ("mon", "allow profile osd", "osd", "allow *"),
}


@dataclass(frozen=True)
class S3Root:
    """An empty place on the server: everything that `open_store` needs."""

    url: str
    """`s3://bucket/prefix`."""
    options: dict[str, str]
    """Endpoint and credentials."""
    endpoint: str
    """The server's address."""

    def through(self, endpoint: str) -> dict[str, str]:
        """Give the options with another endpoint, for example a proxy's."""
        return {**self.options, "endpoint": endpoint}


class RadosGateway:
    """The running server; use it as a context manager."""

    def __init__(self, *, memory_mib: int = 2048) -> None:
        """Choose where it runs; nothing is started."""
        self._memory_bytes = memory_mib * 1024 * 1024
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start it and make a user and a bucket."""
        self._system = _find_programs()
        self._state = Path(tempfile.mkdtemp(prefix="gliderport-s3-"))
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End its processes and remove its state."""
        # Killed, not asked: nothing is to be kept, and an orderly end takes five seconds.
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        shutil.rmtree(self._state, ignore_errors=True)

    def make_root(self) -> S3Root:
        """Name a fresh prefix."""
        options = {
            "endpoint": self.endpoint,
            "access_key_id": _ACCESS_KEY,
            "secret_access_key": _SECRET_KEY,
            "region": "us-east-1",
        }
        return S3Root(f"s3://{_BUCKET}/{secrets.token_hex(6)}", options, self.endpoint)

    def _start(self) -> None:
        port, monitor_v1, monitor_v2 = (_find_free_port() for _ in range(3))
        self.endpoint = f"http://127.0.0.1:{port}"
        monitors = f"[v2:127.0.0.1:{monitor_v2},v1:127.0.0.1:{monitor_v1}]"
        fsid = str(uuid.uuid4())
        self._write_configuration(fsid, monitors=monitors, port=port)
        self._make_keys()
        self._start_monitor(fsid, monitors=monitors)
        self._start_osd()
        self._spawn("radosgw", "-n", "client.rgw.a")
        wait_until(self._answers, f"radosgw answers at {self.endpoint}; see {self._state}/log")
        self._make_user()
        self._make_bucket()

    def _write_configuration(self, fsid: str, *, monitors: str, port: int) -> None:
        for folder in ("mon", "osd/ceph-0", "log", "run", "rgw"):
            (self._state / folder).mkdir(parents=True)
        text = _CONFIGURATION.format(
            fsid=fsid,
            monitors=monitors,
            state=self._state,
            libraries=_libraries_of(self._system),
            memory_bytes=self._memory_bytes,
            port=port,
        )
        (self._state / "ceph.conf").write_text(text)

    def _make_keys(self) -> None:
        keyring = str(self._state / "keyring")
        self._run("ceph-authtool", "-C", keyring, "-n", "mon.", "--gen-key", "--cap", "mon", "allow *")
        for name, capabilities in _CAPABILITIES.items():
            pairs = zip(capabilities[::2], capabilities[1::2], strict=True)
            flags = [flag for subject, grant in pairs for flag in ("--cap", subject, grant)]
            self._run("ceph-authtool", keyring, "-n", name, "--gen-key", *flags)

    def _start_monitor(self, fsid: str, *, monitors: str) -> None:
        monmap, keyring = str(self._state / "monmap"), str(self._state / "keyring")
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitors, monmap)
        self._run("ceph-mon", *self._configured, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        self._spawn("ceph-mon", "-i", "a")

    def _start_osd(self) -> None:
        identity = str(uuid.uuid4())
        # A Python script whose first line names an interpreter: run it with Debian's own.
        self._run("ceph", *self._configured, "osd", "new", identity, "0", interpreter="/usr/bin/python3")
        self._run("ceph-osd", *self._configured, "-i", "0", "--mkfs", "--osd-uuid", identity)
        self._spawn("ceph-osd", "-i", "0")

    def _make_user(self) -> None:
        keys = (f"--access-key={_ACCESS_KEY}", f"--secret-key={_SECRET_KEY}")
        user = ("user", "create", "--uid=tests", "--display-name=tests", "--max-buckets=0")
        self._run("radosgw-admin", *self._configured, "-n", "client.rgw.a", *user, *keys)

    def _make_bucket(self) -> None:
        """Sign the old way (version 2): it takes three lines and no client."""
        date = formatdate(usegmt=True)
        digest = hmac.new(_SECRET_KEY.encode(), f"PUT\n\n\n{date}\n/{_BUCKET}".encode(), hashlib.sha1).digest()
        headers = {"Date": date, "Authorization": f"AWS {_ACCESS_KEY}:{base64.b64encode(digest).decode()}"}
        request = urllib.request.Request(f"{self.endpoint}/{_BUCKET}", method="PUT", headers=headers)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - the same
            pass

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint, timeout=1):  # noqa: S310 - loopback
                return True
        except OSError:
            return False

    @property
    def _configured(self) -> tuple[str, str]:
        return "-c", str(self._state / "ceph.conf")

    @property
    def _environment(self) -> dict[str, str]:
        libraries = _libraries_of(self._system)
        return {
            **os.environ,
            "LD_LIBRARY_PATH": f"{libraries}:{self._system}/lib/{libraries.name}:{libraries}/ceph",
            "PYTHONPATH": f"{self._system}/usr/lib/python3/dist-packages",
        }

    def _run(self, program: str, *arguments: str, interpreter: str | None = None) -> None:
        command = [*([interpreter] if interpreter else []), f"{self._system}/usr/bin/{program}", *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            pytest.fail(f"{program} failed while the S3 server started: {done.stderr[-800:]}")

    def _spawn(self, program: str, *arguments: str) -> None:
        command = [f"{self._system}/usr/bin/{program}", *self._configured, *arguments, "-f"]
        with (self._state / "log" / f"{program}.out").open("wb") as log:
            process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=subprocess.STDOUT)
        self._processes.append(process)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[RadosGateway]:
    """Run the server for the whole session; mark tests that use it with `s3`."""
    with RadosGateway() as server:
        yield server


@pytest.fixture
def s3_root(s3_server: RadosGateway) -> S3Root:
    """Give the test an empty place of its own."""
    return s3_server.make_root()


def _find_programs() -> Path:
    """Return the root below which `usr/bin/radosgw` and its kin stand."""
    for system in (Path("/"), _UNPACKED / "root"):
        if all((system / "usr/bin" / program).exists() for program in _PROGRAMS):
            return system
    try:
        return _unpack_packages(_UNPACKED)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.fail(
            f"the S3 server's Debian packages ({', '.join(PACKAGES)}) are neither installed nor could they be "
            f"downloaded with apt-get ({error}). Install them, or leave these tests out: make test WITHOUT=s3"
        )


def _unpack_packages(target: Path) -> Path:
    """Download the packages and what they need beyond this system, and unpack them without root."""
    # In a folder of its own, renamed at the end: a broken-off download is never taken for a whole one.
    work = target.with_name(f"{target.name}-{secrets.token_hex(4)}")
    (work / "debs").mkdir(parents=True)
    (work / "status").write_text("")
    missing = _list_closure(work / "status") - _list_installed()
    subprocess.run(["apt-get", "download", *sorted(missing)], cwd=work / "debs", check=True, capture_output=True)
    for package in sorted((work / "debs").glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(work / "root")], check=True)
    shutil.rmtree(work / "debs")
    shutil.rmtree(target, ignore_errors=True)
    work.rename(target)
    return target / "root"


def _list_closure(empty_status: Path) -> set[str]:
    """Ask apt what it would install on a system that has nothing."""
    simulate = ("apt-get", "-s", "-o", f"Dir::State::status={empty_status}", "--no-install-recommends", "install")
    answer = subprocess.run([*simulate, *PACKAGES], check=True, capture_output=True, text=True).stdout
    return {line.split()[1].partition(":")[0] for line in answer.splitlines() if line.startswith("Inst ")}


def _list_installed() -> set[str]:
    query = ("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n")
    answer = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    return {line.split()[1] for line in answer.splitlines() if line.startswith("ii ")}


def _libraries_of(system: Path) -> Path:
    """Find the folder of this architecture's libraries, for example `usr/lib/x86_64-linux-gnu`."""
    return next((system / "usr/lib").glob("*-linux-gnu"))


def _find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
