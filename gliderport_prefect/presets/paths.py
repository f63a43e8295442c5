"""Which sources and destinations are on this machine, and where relative ones begin."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gliderport_prefect.protocol.jobspec import JobSpec

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_UPLOADED = ("blob:", "tree:")


def is_local(source: str) -> bool:
    """Say whether an input's source is a path of this machine, to be uploaded."""
    return _SCHEME.match(source) is None and not source.startswith(_UPLOADED)


def absolute_path(path: str, folder: Path) -> str:
    """Return the path or URI with a relative path made absolute; `~` is the home folder."""
    if not is_local(path):
        return path
    return os.path.join(folder, os.path.expanduser(path))  # noqa: PTH111, PTH118 - keeps a slash at the end


def absolute_paths(spec: JobSpec, folder: Path) -> JobSpec:
    """Return the spec with sources and destinations that do not depend on the current folder."""
    if not spec.inputs and not spec.outputs:
        return spec
    inputs = tuple(replace(each, source=absolute_path(each.source, folder)) for each in spec.inputs)
    outputs = tuple(
        each if each.destination is None else replace(each, destination=absolute_path(each.destination, folder))
        for each in spec.outputs
    )
    return replace(spec, inputs=inputs, outputs=outputs)
