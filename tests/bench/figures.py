"""What a benchmark found beside what it should have found, and on what machine."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

_PACKAGES = ("gliderport-prefect", "obstore", "prefect")


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    """What was measured."""
    value: float
    """What came out."""
    unit: str
    """Of the value; empty for a ratio."""
    goal: float | None = None
    """What should have come out; none when there is nothing to compare with."""
    is_more_better: bool = True
    """Whether the goal is the least that should come out, or the most."""
    detail: str = ""
    """How it came about."""

    @property
    def is_met(self) -> bool:
        """Whether the goal was reached."""
        return self.goal is None or (self.value >= self.goal if self.is_more_better else self.value <= self.goal)

    def as_row(self) -> str:
        """Return it as a line of the table."""
        goal = "" if self.goal is None else f"{'>=' if self.is_more_better else '<='} {self.goal:g}"
        verdict = "" if self.goal is None else "pass" if self.is_met else "MISSED"
        return f"{self.name:56} {_spell(self.value):>10} {self.unit:8} {goal:10} {verdict:7} {self.detail}"


@dataclass
class Figures:
    """All figures of one run."""

    all: list[Figure] = field(default_factory=list[Figure])

    def add(self, *figures: Figure) -> None:
        """Keep figures and print them."""
        self.all += figures
        for each in figures:
            print(f"\n{each.as_row().rstrip()}", flush=True)

    def as_table(self) -> Iterator[str]:
        """Yield the lines of the table."""
        yield f"{'figure':56} {'measured':>10} {'unit':8} {'goal':10}"
        yield from (each.as_row().rstrip() for each in self.all)


def describe_environment() -> Iterator[str]:
    """Yield lines that say where the figures come from."""
    yield f"{_read_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, Linux {platform.release()}"
    yield f"Python {platform.python_version()} ({sys.executable}), " + ", ".join(
        f"{name} {metadata.version(name)}" for name in _PACKAGES
    )
    yield "load average {:.2f} {:.2f} {:.2f}".format(*os.getloadavg())


def _read_processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _spell(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
