"""How fast files reach a local S3 server, beside the best public clients.

Every client runs as a process of its own against one radosgw, tuned for
parallel transfers; figures compare only within one run. The clients are
rclone (from PATH, or its Debian package unpacked below `build/`) and awscli
(installed into an environment of its own below `build/`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gliderport_prefect.store import open_store
from tests.bench.figures import Figure
from tests.s3server import RadosGateway, S3Root

_BUILD = Path(__file__).resolve().parents[2] / "build" / "clients"
_SMALL_BYTES = 4096
_MIB = 1024 * 1024
_GOAL = 0.8


@dataclass(frozen=True)
class Client:
    """A command-line client and how it is told to copy."""

    name: str
    """As it appears in the table."""
    program: str
    """Its executable."""
    environment: dict[str, str]
    """Endpoint, credentials, tuning."""

    def copy_command(self, source: str, target: str, *, is_folder: bool) -> list[str]:
        """Spell the command; a place in the store starts with `s3://`."""
        if self.name == "rclone":
            places = [place.replace("s3://", "bench:", 1) for place in (source, target)]
            flags = ["--transfers=32", "--checkers=32", "--s3-upload-concurrency=12", "--s3-chunk-size=8M"]
            more = ["--multi-thread-streams=8", "--s3-no-check-bucket", "--no-traverse", "--quiet"]
            return [self.program, "copy" if is_folder else "copyto", *flags, *more, *places]
        if self.name == "awscli":
            return [self.program, "s3", "cp", "--quiet", *(["--recursive"] if is_folder else []), source, target]
        kind = "folder" if is_folder else "file"
        return [self.program, "-m", "tests.bench.own_client", kind, source, target]


@dataclass(frozen=True)
class Measured:
    """One copy by one client."""

    seconds: float
    """From the process's start to its end."""
    peak_mib: float
    """Its largest resident set."""


@dataclass(frozen=True)
class Load:
    """What is copied."""

    title: str
    """For the table."""
    source: Path
    """A file, or a folder of files."""


@pytest.mark.s3
@pytest.mark.timeout(900)
def test_inputs_reach_a_server_nearly_as_fast_as_the_best_client_brings_them(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    size_mib, files = sized(1024), sized(10_000)
    large, small = _make_sources(tmp_path, size_mib=size_mib, files=files)
    with RadosGateway(memory_mib=6 * size_mib + 4096) as server:
        clients = list(_find_clients(server.make_root(), tmp_path))
        figures = [
            *_compare(clients, server, load=Load(f"a file of {size_mib} MiB", large)),
            *_compare(clients, server, load=Load(f"{files:,} files of 4 KiB", small)),
        ]
    show(*figures)


def _compare(clients: list[Client], server: RadosGateway, *, load: Load) -> Iterator[Figure]:
    ups: dict[str, Measured] = {}
    downs: dict[str, Measured] = {}
    is_folder = load.source.is_dir()
    for client in clients:
        root = server.make_root()
        target, back = f"{root.url}/copy", load.source.parent / "back"
        ups[client.name] = _measure(client, client.copy_command(str(load.source), target, is_folder=is_folder))
        downs[client.name] = _measure(client, client.copy_command(target, str(back), is_folder=is_folder))
        _check_equal(load.source, back)
        _clear(root, back)
    yield _judge(f"{load.title}, up: rate / best other client's", ups, goal=_GOAL)
    yield _judge(f"{load.title}, down: rate / best other client's", downs, goal=None)


def _judge(title: str, measured: dict[str, Measured], *, goal: float | None) -> Figure:
    best = min(result.seconds for name, result in measured.items() if name != "gliderport")
    in_order = sorted(measured.items(), key=lambda item: item[1].seconds)
    detail = ", ".join(f"{name} {each.seconds:.2f} s ({each.peak_mib:.0f} MiB)" for name, each in in_order)
    return Figure(title, best / measured["gliderport"].seconds, "", goal, detail=detail)


def _measure(client: Client, command: list[str]) -> Measured:
    started_at = time.monotonic()
    process = subprocess.Popen(command, env=client.environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{client.name} failed with exit code {process.returncode}: {' '.join(command)}")
    return Measured(time.monotonic() - started_at, usage.ru_maxrss / 1024)


def _make_sources(folder: Path, *, size_mib: int, files: int) -> tuple[Path, Path]:
    with (folder / "large").open("wb") as large:
        for _ in range(size_mib):
            large.write(os.urandom(_MIB))
    (folder / "small").mkdir()
    for n in range(files):
        (folder / "small" / f"{n:06d}").write_bytes(os.urandom(_SMALL_BYTES))
    return folder / "large", folder / "small"


def _check_equal(source: Path, back: Path) -> None:
    command = ["diff", "--recursive", "--brief", str(source), str(back)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"{back} differs from {source}")


def _clear(root: S3Root, back: Path) -> None:
    store = open_store(root.url, root.options)
    store.delete([stored.key for stored in store.list()])
    if back.is_dir():
        shutil.rmtree(back)
    else:
        back.unlink()


def _find_clients(root: S3Root, folder: Path) -> Iterator[Client]:
    key, secret = root.options["access_key_id"], root.options["secret_access_key"]
    aws = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": root.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(folder / "aws-config"),
    }
    (folder / "aws-config").write_text("[default]\ns3 =\n  max_concurrent_requests = 32\n")
    rclone = {
        "RCLONE_CONFIG": str(folder / "no-rclone-config"),
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "Ceph",
        "RCLONE_CONFIG_BENCH_ENDPOINT": root.endpoint,
        "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": key,
        "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": secret,
    }
    (folder / "no-rclone-config").touch()
    # Settings of this machine's own are for other servers; rclone stumbles over AWS_CA_BUNDLE.
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    yield Client("gliderport", sys.executable, {**base, **aws})
    yield Client("awscli", str(_find_awscli()), {**base, **aws})
    yield Client("rclone", str(_find_rclone()), {**base, **rclone})


def _find_awscli() -> Path:
    environment = _BUILD / "awscli"
    if not (environment / "bin/aws").exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin/python", "-m", "pip", "install", "--quiet", "awscli"], check=True)
    return environment / "bin/aws"


def _find_rclone() -> Path:
    if installed := shutil.which("rclone"):
        return Path(installed)
    unpacked = _BUILD / "rclone"
    if not (unpacked / "usr/bin/rclone").exists():
        unpacked.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "--quiet", "rclone"], cwd=unpacked, check=True)
        package = next(unpacked.glob("rclone_*.deb"))
        subprocess.run(["dpkg", "-x", str(package), str(unpacked)], check=True)
    return unpacked / "usr/bin/rclone"
