"""What all benchmarks share: their size, their figures, and the table at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.figures import Figure, Figures, describe_environment

_FIGURES = pytest.StashKey[Figures]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let sizes be chosen."""
    text = "part of the full size, such as 0.1; goals then say less"
    parser.addoption("--scale", type=float, default=1.0, metavar="PART", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Begin an empty table."""
    # Workers outlive the site object that started them, on purpose.
    config.addinivalue_line("filterwarnings", "ignore:subprocess .* is still running:ResourceWarning")
    config.stash[_FIGURES] = Figures()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    figures = config.stash[_FIGURES]
    if figures.all:
        terminalreporter.section("figures")
        for line in [*describe_environment(), "", *figures.as_table()]:
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the notes on workers away from the user's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def sized(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return what makes of a full size the one to measure with."""
    scale = _scale_of(request.config)
    return lambda full: max(1, round(full * scale))


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return what takes figures into the table and, at full size, fails for those that miss their goal."""
    figures = request.config.stash[_FIGURES]
    is_full = _scale_of(request.config) >= 1

    def take(*found: Figure) -> None:
        figures.add(*found)
        missed = [each.as_row() for each in found if not each.is_met]
        assert not (missed and is_full), "\n".join(missed)

    return take


def _scale_of(config: pytest.Config) -> float:
    return float(str(config.getoption("--scale")))
