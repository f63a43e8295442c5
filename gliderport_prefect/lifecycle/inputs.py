"""Inputs that lie on this machine: which files a job's `inputs` mean.

A path is taken literally when it exists; otherwise `*`, `?`, `[…]` and `**` in it make it a glob, of which each match
becomes an input of its own. Links are followed, to files and to folders; a link that leads nowhere or back to a folder
above it is an error. Folders without files in them are not kept: what is uploaded are files.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.jobspec import Input

_GLOB_CHARACTERS = frozenset("*?[")


class LocalInput(NamedTuple):
    """One file or folder to be uploaded for a job."""

    path: str
    """Where it is."""
    target: str
    """Path in the working folder."""
    is_folder: bool
    """Whether it is a folder."""


class FolderFile(NamedTuple):
    """One file below a folder."""

    path: str
    """Where it is."""
    below: str
    """Path below the folder, with `/` between its parts."""


def find_local(given: Input) -> tuple[LocalInput, ...]:
    """Return the files and folders that the input means.

    Raises:
        UserError: There is none, or one cannot be read.
    """
    source = given.source
    if os.path.lexists(source.rstrip("/")):
        path = source.rstrip("/") or "/"
        return (_check(path, _target(path, given.target, into=(given.target or "").endswith("/"))),)
    is_glob = bool(_GLOB_CHARACTERS.intersection(source))
    matches = sorted(glob.glob(source, recursive=True)) if is_glob else []  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        raise UserError(
            f"the input {source} {'matches no file' if is_glob else 'does not exist'}",
            hint="relative paths begin in the folder of the file that names them",
        )
    paths = [match.rstrip("/") for match in matches]
    return tuple(_check(path, _target(path, given.target, into=True)) for path in paths)


def walk_folder(folder: str) -> Iterator[FolderFile]:
    """Yield the files below the folder, in order.

    Raises:
        UserError: One is neither file nor folder, cannot be read, or a link leads nowhere or in a circle.
    """
    yield from _walk(folder, "", above=frozenset({os.path.realpath(folder)}))


def _walk(folder: str, below: str, *, above: frozenset[str]) -> Iterator[FolderFile]:
    try:
        names = sorted(each.name for each in Path(folder).iterdir())
    except OSError as error:
        raise UserError(f"the input folder {folder} cannot be read: {error.strerror}") from None
    for name in names:
        path = f"{folder}/{name}"
        if not _is_folder(path):
            yield FolderFile(path, below + name)
            continue
        real = os.path.realpath(path)
        if real in above:
            raise UserError(
                f"the link {path} leads to a folder above it", hint="remove it, or name the files one by one"
            )
        yield from _walk(path, f"{below}{name}/", above=above | {real})


def _check(path: str, target: str) -> LocalInput:
    is_folder = _is_folder(path)
    if is_folder and next(walk_folder(path), None) is None:
        raise UserError(f"the input folder {path} holds no file")
    return LocalInput(path, target, is_folder)


def _is_folder(path: str) -> bool:
    """Say whether it is a folder, and refuse what is neither that nor a file that can be read."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        broken = "is a link that leads nowhere" if Path(path).is_symlink() else f"cannot be read: {error.strerror}"
        raise UserError(f"the input {path} {broken}") from None
    if stat.S_ISDIR(mode):
        return True
    if not stat.S_ISREG(mode):
        raise UserError(f"the input {path} is neither a file nor a folder")
    if not os.access(path, os.R_OK):
        raise UserError(f"the input {path} may not be read", hint="check its owner and mode")
    return False


def _target(path: str, target: str | None, *, into: bool) -> str:
    name = Path(path).name
    if target is None:
        return name
    return f"{target.rstrip('/')}/{name}" if into else target
