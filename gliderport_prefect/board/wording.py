"""Numbers, durations and foreign text as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gliderport_prefect.protocol.resources import Offer, Resources

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_KIB = 1024
_SHORT_SECONDS = 10
_ORDER = (
    (JobState.SUCCEEDED, "succeeded"),
    (JobState.FAILED, "failed"),
    (JobState.QUARANTINED, "quarantined"),
    (JobState.CANCELLED, "cancelled"),
    (JobState.RUNNING, "running"),
    (JobState.ASSIGNED, "assigned"),
    (JobState.QUEUED, "queued"),
)


def say_duration(seconds: float) -> str:
    """Say a duration with its two largest units, such as `1h 05m`."""
    if seconds < _SHORT_SECONDS:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR:02}h"


def say_size(size_bytes: int) -> str:
    """Say a size with three digits, such as `1.5 GiB`."""
    size, unit = float(size_bytes), 0
    while size >= _KIB and unit < len(_UNITS) - 1:
        size, unit = size / _KIB, unit + 1
    return f"{_three_digits(size)} {_UNITS[unit]}"


def say_resources(resources: Resources | Offer) -> str:
    """Say what a job needs or a worker has, such as `2 cpus, 4.0 GiB memory, 1 A100 gpu`."""
    said = [f"{resources.cpus:g} cpu{'' if resources.cpus == 1 else 's'}"]
    if resources.memory_bytes:
        said.append(f"{say_size(resources.memory_bytes)} memory")
    if resources.disk_bytes:
        said.append(f"{say_size(resources.disk_bytes)} disk")
    if resources.gpus:
        kind = f"{resources.gpu_type} " if resources.gpu_type else ""
        said.append(f"{resources.gpus} {kind}gpu{'' if resources.gpus == 1 else 's'}")
    return ", ".join(said)


def say_rate(per_second: float) -> str:
    """Say how many jobs end in a second, minute or hour, whichever gives a number above 1."""
    for factor, unit in ((1, "s"), (_MINUTE, "min")):
        if per_second * factor >= 1:
            return f"{_three_digits(per_second * factor)}/{unit}"
    return f"{_three_digits(per_second * _HOUR)}/h"


def say_counts(jobs: Mapping[JobState, int]) -> str:
    """Say how many jobs are in each state that has any, the ended ones first."""
    said = [f"{jobs[state]:,} {word}" for state, word in _ORDER if jobs.get(state)]
    return ", ".join(said) or "no jobs"


def say_workers(workers: Mapping[str, int]) -> str:
    """Say how many workers are in each state that has any."""
    said = [f"{count} {state}" for state, count in workers.items() if count]
    return ", ".join(said) or "none"


def say_place(url: str) -> str:
    """Say where something is: a folder of this machine as a path, all else as its URL."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else url


def make_printable(text: str, *, keep_lines: bool = False) -> str:
    """Return the text with everything spelled out that could drive a terminal."""
    return "".join(each if each.isprintable() or (keep_lines and each in "\n\t") else repr(each)[1:-1] for each in text)


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"  # noqa: PLR2004 - three digits
