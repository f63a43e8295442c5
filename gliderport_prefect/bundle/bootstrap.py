"""Turns a fresh machine into a worker: fetches the bundle from the runtime bucket and becomes it.

It is copied to machines as it stands, alone: standard library and obstore, nothing of ours. What the worker is called
and where its bucket is stand in the environment, so that the command line says nothing about credentials. It also
keeps whoever starts workers again on the same machine, at once and without end, from doing that for ever: each start
waits for longer than the one before, until a worker has lived for a while, and after too many the answer is final.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from obstore.store import ObjectStore, S3Config

RETRY = 75
"""Exit code for what another start may mend, as the worker has it."""
FINAL = 78
"""Exit code for what another start will not mend, as the worker has it."""
_MOST_STARTS = 6
_LIVED_SECONDS = 600.0
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 120.0
_NOT_A_DISK = {"tmpfs", "ramfs", "nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "9p"}
_SCHEMES = {"s3a": "s3", "gcs": "gs", "azure": "az"}
_SHARED = {"slurm", "kubernetes", "ssh"}
_OF_UV = ("VIRTUAL_ENV", "UV_RUN_RECURSION_DEPTH", "UV")


def main() -> NoReturn:
    """Fetch the bundle and become the worker."""
    given = _read_arguments()
    home = Path(given.folder)
    _count_start(home / "starts.json")
    bundle = home / f"worker-{given.sha256[:16]}.pyz"
    if not _holds(bundle, given.sha256):
        _fetch(os.environ["GLIDERPORT_BUCKET"], given.key, target=bundle)
        if not _holds(bundle, given.sha256):
            _leave(FINAL, f"{given.key} is not the worker that the launcher put there: its hash differs")
    command = [sys.executable, str(bundle), *_worker_arguments(given)]
    sys.stderr.flush()
    os.execv(sys.executable, command)  # noqa: S606 - a list without a shell, from our own arguments


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fetch the worker from its bucket and become it.")
    parser.add_argument("--key", required=True, help="where the bundle is in the bucket")
    parser.add_argument("--sha256", required=True, help="its hash")
    parser.add_argument("--folder", required=True, help="this worker's own folder on this machine")
    parser.add_argument("--scratch", help="folder for the jobs (default: on a local disk)")
    parser.add_argument("--cpus", type=float, help="cores that were asked for, on machines that others share")
    parser.add_argument("--memory", type=int, help="bytes that were asked for, on machines that others share")
    parser.add_argument("--gpu-type", help="name of the GPUs as the site calls it")
    return parser.parse_args()


# --- starts -----------------------------------------------------------------------------------------------------


def _count_start(note: Path) -> None:
    """Note this start, wait if the ones before were short, and give up after too many of them."""
    now = time.time()
    starts = [each for each in _read_starts(note) if each <= now]
    if starts and now - starts[-1] > _LIVED_SECONDS:
        starts = []
    if len(starts) >= _MOST_STARTS:
        _leave(FINAL, f"the worker ended {len(starts)} times in a row soon after its start: not started again")
    if starts:
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** (len(starts) - 1), _LONGEST_PAUSE_SECONDS)
        _say(f"start {len(starts) + 1} of at most {_MOST_STARTS}: waiting for {pause:g} s")
        time.sleep(pause)
    part = note.with_suffix(".part")
    part.write_text(json.dumps([*starts, time.time()]), encoding="utf-8")
    part.replace(note)


def _read_starts(note: Path) -> list[float]:
    try:
        return [float(each) for each in json.loads(note.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


# --- the bundle -------------------------------------------------------------------------------------------------


def _holds(file: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def _fetch(bucket: str, key: str, *, target: Path) -> None:
    """Put the object into the file, or end this process with the code that fits."""
    import obstore  # noqa: PLC0415 - so that a start that is refused is refused at once
    from obstore import exceptions  # noqa: PLC0415

    final = (
        FileNotFoundError,
        exceptions.PermissionDeniedError,
        exceptions.UnauthenticatedError,
        exceptions.InvalidPathError,
        exceptions.NotSupportedError,
        exceptions.UnknownConfigurationKeyError,
        ValueError,
    )
    try:
        data = bytes(obstore.get(_open(bucket), key).bytes())
    except final as error:
        _leave(FINAL, f"{key} in {bucket} cannot be had: {_brief(error)}")
    except (exceptions.BaseError, OSError) as error:
        _leave(RETRY, f"{bucket} cannot be reached: {_brief(error)}")
    part = target.with_suffix(".part")
    part.write_bytes(data)
    part.replace(target)


def _open(bucket: str) -> ObjectStore:
    # By name: what `from_url` is declared to take has types that older Pythons lack.
    stores = importlib.import_module("obstore.store")
    scheme, separator, rest = bucket.partition("://")
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    if scheme != "s3":
        return stores.from_url(f"{scheme}{separator}{rest}")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    settings: S3Config = {}
    if endpoint:
        settings = {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        settings["region"] = "us-east-1"
    name, _, prefix = rest.partition("/")
    return stores.S3Store(
        name,
        prefix=prefix or None,
        config=settings,
        client_options={"allow_http": endpoint.startswith("http://")},
    )


def _brief(error: BaseException) -> str:
    return " ".join(str(error).partition("\n\nDebug source")[0].split())


# --- the worker's command line ----------------------------------------------------------------------------------


def _worker_arguments(given: argparse.Namespace) -> list[str]:
    environ = os.environ
    for name in _OF_UV:
        environ.pop(name, None)
    arguments = ["--bucket", environ["GLIDERPORT_BUCKET"], "--campaign", environ["GLIDERPORT_CAMPAIGN"]]
    arguments += ["--name", environ["GLIDERPORT_WORKER"], "--scratch", given.scratch or str(_find_scratch(given))]
    gpus = environ.get("SKYPILOT_NUM_GPUS_PER_NODE", "")
    sizes = {"--gpus": gpus or None, "--gpu-type": given.gpu_type if gpus not in {"", "0"} else None}
    if _is_shared():
        sizes |= {"--cpus": given.cpus, "--memory": given.memory or _share_memory(given.cpus)}
    return arguments + [word for name, size in sizes.items() if size is not None for word in (name, str(size))]


def _share_memory(cpus: float | None) -> int | None:
    """Return as large a part of the machine's memory as the cores are of its cores."""
    if not cpus:
        return None
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(total * min(1.0, cpus / (os.cpu_count() or 1)))


def _is_shared() -> bool:
    """Say whether the worker has only a part of the machine, so that measuring the machine would mislead."""
    try:
        cloud = json.loads(os.environ.get("SKYPILOT_CLUSTER_INFO", "{}")).get("cloud", "")
    except ValueError:
        cloud = ""
    return str(cloud).lower() in _SHARED


def _find_scratch(given: argparse.Namespace) -> Path:
    """Return a folder on a local disk, the same at every start on this machine; the worker's own if there is none."""
    wanted = [os.environ.get("SLURM_TMPDIR"), os.environ.get("TMPDIR"), given.folder, "/var/tmp", "/tmp"]  # noqa: S108
    for each in wanted:
        if each and os.access(each, os.W_OK) and _kind_of_filesystem(each) not in _NOT_A_DISK:
            return Path(each) / f"gliderport-{Path(given.folder).name}" / "scratch"
    return Path(given.folder) / "scratch"


def _kind_of_filesystem(folder: str) -> str:
    """Return the type of the filesystem that holds the folder; empty when that cannot be found out."""
    real, best, kind = os.path.realpath(folder), "", ""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, point, found = line.split()[:3]
        if (real + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, found
    return kind


def _leave(code: int, message: str) -> NoReturn:
    _say(message)
    sys.exit(code)


def _say(message: str) -> None:
    sys.stderr.write(f"gliderport: {message}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
