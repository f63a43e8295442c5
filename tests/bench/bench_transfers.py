"""How fast files reach a local S3 server, beside the best public clients.

    python -m tests.bench.transfers                       # 1 GiB and 10,000 files of 4 KiB
    python -m tests.bench.transfers --size-mib 64 --files 500

Every client runs as a process of its own against one radosgw, tuned for
parallel transfers; figures compare only within one run. The clients are
rclone (from PATH, or its Debian package unpacked below `build/`) and awscli
(installed into an environment of its own below `build/`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gliderport_prefect.store import download_many, open_store, upload_many
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
        return [self.program, "-m", "tests.bench.transfers", "--copy", kind, source, target]


@dataclass(frozen=True)
class Measured:
    """One copy by one client."""

    seconds: float
    """From the process's start to its end."""
    peak_mib: float
    """Its largest resident set."""


def main() -> None:
    """Measure, and print the table."""
    arguments = _parse_arguments()
    if arguments.copy:
        _copy(arguments.copy[0], source=arguments.copy[1], target=arguments.copy[2])
        return
    with tempfile.TemporaryDirectory() as work, RadosGateway(memory_mib=6 * arguments.size_mib + 4096) as server:
        folder = Path(work)
        _make_sources(folder, size_mib=arguments.size_mib, files=arguments.files)
        clients = list(_find_clients(server.make_root(), folder))
        _compare(clients, server, folder=folder, title=f"one file of {arguments.size_mib} MiB", is_folder=False)
        _compare(clients, server, folder=folder, title=f"{arguments.files} files of 4 KiB", is_folder=True)


def _compare(clients: list[Client], server: RadosGateway, *, folder: Path, title: str, is_folder: bool) -> None:
    ups: dict[str, Measured] = {}
    downs: dict[str, Measured] = {}
    source = str(folder / ("small" if is_folder else "large"))
    for client in clients:
        root = server.make_root()
        target, back = f"{root.url}/copy", folder / "back"
        ups[client.name] = _measure(client, client.copy_command(source, target, is_folder=is_folder))
        downs[client.name] = _measure(client, client.copy_command(target, str(back), is_folder=is_folder))
        _check_equal(Path(source), back)
        _clear(root, back)
    _report(f"{title}, up", ups)
    _report(f"{title}, down", downs)


def _report(title: str, measured: dict[str, Measured]) -> None:
    print(f"\n{title}")
    for name, result in sorted(measured.items(), key=lambda item: item[1].seconds):
        print(f"  {name:12} {result.seconds:8.2f} s   peak {result.peak_mib:6.0f} MiB")
    best = min((result.seconds, name) for name, result in measured.items() if name != "gliderport")
    ratio = best[0] / measured["gliderport"].seconds
    verdict = "reached" if ratio >= _GOAL else "MISSED"
    print(f"  speed of gliderport / {best[1]}: {ratio:.2f} (goal {_GOAL}: {verdict})")


def _measure(client: Client, command: list[str]) -> Measured:
    started_at = time.monotonic()
    process = subprocess.Popen(command, env=client.environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{client.name} failed with exit code {process.returncode}: {' '.join(command)}")
    return Measured(time.monotonic() - started_at, usage.ru_maxrss / 1024)


def _copy(kind: str, *, source: str, target: str) -> None:
    """Be the client `gliderport`: what the upload and stage-in steps do."""
    is_upload = target.startswith("s3://")
    store = open_store(target if is_upload else source)
    if is_upload:
        paths = sorted(Path(source).iterdir()) if kind == "folder" else [Path(source)]
        upload_many(store, [(path, path.name) for path in paths])
        return
    back = Path(target)
    objects = store.list()
    download_many(store, [(o.key, back / o.key if kind == "folder" else back) for o in objects])


def _make_sources(folder: Path, *, size_mib: int, files: int) -> None:
    with (folder / "large").open("wb") as large:
        for _ in range(size_mib):
            large.write(os.urandom(_MIB))
    (folder / "small").mkdir()
    for n in range(files):
        (folder / "small" / f"{n:06d}").write_bytes(os.urandom(_SMALL_BYTES))


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


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=1024, help="size of the large file")
    parser.add_argument("--files", type=int, default=10_000, help="number of small files")
    parser.add_argument("--copy", nargs=3, metavar=("KIND", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
