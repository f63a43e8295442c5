"""Commands called in this process, with a home of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gliderport_prefect.cli.entry import run_command

Command = Callable[..., "Said"]


@dataclass(frozen=True)
class Said:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the user's own folders out of the tests."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("GLIDERPORT_BUCKET", raising=False)
    monkeypatch.delenv("GLIDERPORT_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gliderport(capfd: pytest.CaptureFixture[str]) -> Command:
    """Return the command line as a function."""

    def call(*arguments: object) -> Said:
        capfd.readouterr()
        code = run_command([str(each) for each in arguments])
        said = capfd.readouterr()
        return Said(code, said.out, said.err)

    return call
