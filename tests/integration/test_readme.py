"""The README, taken at its word: its commands are run in a copy of the clone."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.readme_text import REPOSITORY, Block, blocks, sections
from tests.waiting import wait_until

_VENV = Path(sys.executable).parents[1]
_RUN = [title for title in sections() if any(block.is_run for block in blocks(title))]
_NOTES = re.compile(r"|in the background|exits with \d+|prefect|not run: \w.*")


@dataclass
class Clone:
    """A copy of the repository, in which a newcomer does what the README says."""

    folder: Path
    environ: Mapping[str, str]
    background: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def follow(self, block: Block) -> None:
        """Do what the block says."""
        if block.note.startswith("file: "):
            path = self.folder / block.note.removeprefix("file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        elif block.note == "in the background":
            self.background.append(subprocess.Popen(["bash", "-c", f"exec {block.body}"], text=True, **self._place))
            wait_until(lambda: "RUNNING" in self.run("gliderport jobs --state running").stdout, "a job runs")
        elif block.is_run:
            done = self.run(block.body)
            expected = int(block.note.removeprefix("exits with ") or 0)
            assert done.returncode == expected, f"{block.body}\n{done.stdout}\n{done.stderr}"

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run the commands, up to the first that fails."""
        command = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(command, **self._place, capture_output=True, text=True, check=False)

    @property
    def _place(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self.environ, "stdin": subprocess.DEVNULL}


@contextmanager
def _clone(folder: Path) -> Generator[Clone]:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, folder)
    shutil.copytree(REPOSITORY / "examples", folder / "examples", ignore=shutil.ignore_patterns("results"))
    _lend_environment(folder / ".venv")
    own = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    clone = Clone(folder, {**own, "HOME": str(folder / "home"), "PATH": f"{_VENV}/bin:{own['PATH']}"})
    try:
        yield clone
        for process in clone.background:
            process.wait(timeout=30)
    finally:
        for process in clone.background:
            process.kill()
            process.wait()


def _lend_environment(venv: Path) -> None:
    """Let the clone have this environment as its own, so that `make` has nothing to install."""
    venv.mkdir()
    for path in _VENV.iterdir():
        if path.name != ".installed":
            (venv / path.name).symlink_to(path)
    (venv / ".installed").touch()


@pytest.mark.xdist_group("readme")
@pytest.mark.parametrize("title", _RUN)
def test_the_commands_of_a_section_do_what_they_say(title: str, tmp_path: Path) -> None:
    with _clone(tmp_path) as clone:
        for block in blocks(title):
            clone.follow(block)
        for path in re.findall(r"`(examples/\w+/results)`", sections()[title]):
            assert (tmp_path / path / "results.csv").is_file(), f"the README says that {path} has results"


def test_every_command_is_run_or_says_why_not() -> None:
    notes = {block.note for title in sections() for block in blocks(title) if block.kind == "sh"}
    assert [note for note in notes if _NOTES.fullmatch(note) is None] == []
    assert len(_RUN) >= 4


def test_the_commands_for_prefect_name_what_is_deployed() -> None:
    script = "\n".join(block.body for block in blocks("Deploy to Prefect"))
    deployment = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"][0]
    flows = (REPOSITORY / "gliderport_prefect" / "flows.py").read_text()
    flow = re.search(r'@flow\(name="([^"]+)"', flows)
    assert flow is not None
    assert f"prefect worker start --pool {deployment['work_pool']['name']} --type process\n" in script
    assert f"prefect deployment run {flow[1]}/{deployment['name']} " in script
    for name in re.findall(r"--param (\w+)=", script):
        assert re.search(rf"^    {name}: ", flows, re.MULTILINE), f"the flow has no parameter {name}"
