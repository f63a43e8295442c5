"""Makes `worker.pyz` from the installed files, the same bytes wherever and whenever it is made."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

_PACKED = ("__init__.py", "errors.py", "protocol", "store")
# The last release that runs on Python 3.10.
_OBSTORE_FOR_3_10 = "0.11.1"
# The first moment that a zip file can express.
_MADE_AT = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """A worker, ready to be started by an interpreter that has obstore."""

    data: bytes
    """The zip file."""
    sha256: str
    """Its hash, by which it is named."""


def build_bundle() -> Bundle:
    """Return the worker made of the files of this installation."""
    packed = io.BytesIO()
    # Stored, not compressed: two builds of zlib make different bytes of the same files.
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted(_list_files()):
            archive.writestr(zipfile.ZipInfo(name, _MADE_AT), path.read_bytes().replace(b"\r\n", b"\n"))
    data = packed.getvalue()
    return Bundle(data, hashlib.sha256(data).hexdigest())


def requirements() -> tuple[str, ...]:
    """Return what the worker's interpreter must have, pinned to what runs here."""
    newest = f"obstore=={metadata.version('obstore')}; python_version >= '3.11'"
    return newest, f"obstore=={_OBSTORE_FOR_3_10}; python_version < '3.11'"


def _list_files() -> Iterator[tuple[str, Path]]:
    worker = _find_package("vm_worker")
    yield "__main__.py", worker / "__main__.py"
    yield from _list_modules(worker, worker)
    ours = _find_package("gliderport_prefect")
    for part in _PACKED:
        yield from _list_modules(ours / part, ours)


def _list_modules(part: Path, package: Path) -> Iterator[tuple[str, Path]]:
    for path in [part] if part.is_file() else part.rglob("*.py"):
        yield f"{package.name}/{path.relative_to(package).as_posix()}", path


def _find_package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"package {name} is not installed beside gliderport_prefect: install the wheel again")
    return Path(spec.origin).parent
