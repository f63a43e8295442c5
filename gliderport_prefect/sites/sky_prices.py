"""What SkyPilot's optimizer says in its table: the machine that it would choose, its size and its price.

The table is the only thing that its API gives; the price of the machine is the server's, whose catalogs count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gliderport_prefect.protocol.resources import Offer
from gliderport_prefect.sites.seam import Market

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN_BYTES = 1 << 60
"""In place of a size that nobody knows before the worker runs: nothing is refused for it."""
SHARED_INFRA = ("slurm", "kubernetes", "k8s", "ssh")
"""Where SkyPilot rents no machines and knows no prices, but takes parts of those that are there."""
_GIB = 2**30
_DEFAULT_DISK_GB = 256
_IMAGE_GB = 20
"""What an image and SkyPilot itself take of a machine's disk."""
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLUMNS = ("INFRA", "INSTANCE", "vCPUs", "Mem(GB)", "GPUS", "COST ($)", "CHOSEN")
_SPOT = re.compile(r"\[spot\]", re.IGNORECASE)
_INFRA = re.compile(r"^(?P<cloud>[^(]+?)\s*(?:\((?P<place>.*)\))?$")


@dataclass(frozen=True)
class Choice:
    """The machine that the optimizer would choose."""

    infra: str
    """Cloud and region, such as `aws/us-east-1`."""
    instance_type: str
    """The cloud's name for its kind; empty where there are no kinds."""
    cpus: float | None
    """Its cores."""
    memory_bytes: int | None
    """Its memory."""
    gpus: int
    """Its GPUs."""
    gpu_type: str | None
    """Their name."""
    price_per_hour: float
    """US dollars."""
    market: Market
    """How it is paid for, or would be."""

    @property
    def is_shared(self) -> bool:
        """Whether it is a part of a machine that others use too: of a node of Slurm or Kubernetes."""
        return self.infra.partition("/")[0] in SHARED_INFRA

    @property
    def kind(self) -> str:
        """What it is and where, for people."""
        return f"{self.instance_type} in {self.infra}" if self.instance_type else self.infra


def strip_escapes(text: str) -> str:
    """Return the text without what colours it in a terminal."""
    return _ESCAPE.sub("", text)


def read_choice(table: str) -> Choice | None:
    """Return the machine that the optimizer's table marks as chosen; none when there is no such row."""
    lines = [strip_escapes(line).rstrip() for line in table.splitlines()]
    heads = [at for at, line in enumerate(lines) if line.split()[:2] == ["INFRA", "INSTANCE"]]
    if not heads:
        return None
    starts = [lines[heads[-1]].find(name) for name in _COLUMNS]
    for line in lines[heads[-1] + 1 :]:
        cells = [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
        if cells[-1].strip("-"):
            return _read_row(dict(zip(_COLUMNS, cells, strict=True)))
    return None


def derive_offer(choice: Choice | None, machines: list[dict[str, Any]]) -> Offer:
    """Return what a worker will have for jobs, generous where it is not known before the worker runs.

    Args:
        choice: The machine that the optimizer would choose.
        machines: The machines that the template allows.
    """
    cpus = choice.cpus if choice is not None else None
    memory_bytes = choice.memory_bytes if choice is not None else None
    return Offer(
        cpus=cpus or 1.0,
        memory_bytes=memory_bytes or UNKNOWN_BYTES,
        disk_bytes=_derive_disk(choice, machines),
        gpus=choice.gpus if choice is not None else 0,
        gpu_type=choice.gpu_type if choice is not None else None,
    )


def _derive_disk(choice: Choice | None, machines: list[dict[str, Any]]) -> int:
    if choice is None or choice.is_shared:
        return UNKNOWN_BYTES
    sizes = [_read_disk(each) for each in machines]
    return max(1, min(sizes) - _IMAGE_GB) * _GIB


def _read_disk(machine: Mapping[str, Any]) -> int:
    digits = re.match(r"\d+", str(machine.get("disk_size") or _DEFAULT_DISK_GB))
    return int(digits[0]) if digits else _DEFAULT_DISK_GB


def _read_row(row: Mapping[str, str]) -> Choice:
    infra = _read_infra(row["INFRA"])
    gpu_type, _, count = row["GPUS"].partition(":")
    instance = _SPOT.sub("", row["INSTANCE"]).strip()
    spot = _SPOT.search(row["INSTANCE"]) or _SPOT.search(row["INFRA"])
    memory = _number(row["Mem(GB)"])
    has_gpus = gpu_type not in {"", "-"}
    return Choice(
        infra=infra,
        instance_type="" if instance == "-" else instance,
        cpus=_number(row["vCPUs"]) or None,
        memory_bytes=int(memory * _GIB) if memory else None,
        gpus=int(_number(count) or 1) if has_gpus else 0,
        gpu_type=gpu_type if has_gpus else None,
        price_per_hour=_number(row["COST ($)"]) or 0.0,
        market=Market.SPOT if spot else Market.ON_DEMAND,
    )


def _read_infra(text: str) -> str:
    found = _INFRA.match(_SPOT.sub("", text).strip())
    if found is None:
        return text
    place = "/".join(part.strip() for part in (found["place"] or "").split("/") if part.strip())
    return "/".join(part for part in (found["cloud"].strip().lower(), place) if part)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "").strip())
    except ValueError:
        return None
