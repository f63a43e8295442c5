"""How a machine that has nothing of ours becomes a worker."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from gliderport_prefect.bundle import WorkerShare, bootstrap, start_script

_TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


@dataclass
class Machine:
    """A fresh machine with a home, and a bucket that holds a worker which only tells how it was started."""

    root: Path
    sha256: str
    """Hash of that worker."""

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def key(self) -> str:
        return f"campaigns/c/bundle/{self.sha256}/worker.pyz"

    def environ(self, **more: str) -> dict[str, str]:
        own = {"GLIDERPORT_BUCKET": (self.root / "bucket").as_uri(), "GLIDERPORT_CAMPAIGN": "c"}
        return {**own, "GLIDERPORT_WORKER": "worker-0001", "HOME": str(self.home), "PATH": "/usr/bin:/bin", **more}

    def boot(self, *more: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the bootstrap as the start command does."""
        folder = self.home / "7-worker-0001"
        folder.mkdir(exist_ok=True)
        command = [sys.executable, bootstrap.__file__, "--key", self.key, "--sha256", self.sha256]
        return self._run([*command, "--folder", str(folder), *more], self.environ(**environ))

    def start(self, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the whole start command."""
        return self._run(["bash", "-c", script], self.environ(**environ))

    def _run(self, command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environ, cwd=self.home, capture_output=True, text=True, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__main__.py", _TELL)
    machine = Machine(tmp_path, hashlib.sha256(packed.getvalue()).hexdigest())
    (tmp_path / "home").mkdir()
    target = tmp_path / "bucket" / machine.key
    target.parent.mkdir(parents=True)
    target.write_bytes(packed.getvalue())
    return machine


def told(done: subprocess.CompletedProcess[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return options and environment of the worker that was started."""
    assert done.returncode == 0, done.stderr
    arguments, environ = json.loads(done.stdout)
    return dict(zip(arguments[::2], arguments[1::2], strict=True)), environ


def test_the_worker_is_fetched_and_started_under_its_name(machine: Machine) -> None:
    options, _ = told(machine.boot())
    assert options["--bucket"] == (machine.root / "bucket").as_uri()
    assert (options["--campaign"], options["--name"]) == ("c", "worker-0001")
    assert Path(options["--scratch"]).name == "scratch"
    assert "--cpus" not in options


def test_what_the_machine_has_is_measured_unless_others_share_it(machine: Machine) -> None:
    sizes = ("--cpus=2", "--memory=1000000")
    alone, _ = told(machine.boot(*sizes, SKYPILOT_CLUSTER_INFO='{"cloud": "AWS"}'))
    assert "--cpus" not in alone
    note = machine.home / "7-worker-0001" / "starts.json"
    note.unlink()
    shared, _ = told(machine.boot(*sizes, SKYPILOT_CLUSTER_INFO='{"cloud": "Slurm"}'))
    assert (shared["--cpus"], shared["--memory"]) == ("2.0", "1000000")


def test_the_scratch_folder_is_where_the_campaign_wants_it(machine: Machine) -> None:
    assert told(machine.boot("--scratch=/mnt/nvme"))[0]["--scratch"] == "/mnt/nvme"


def test_gpus_are_those_that_were_asked_for(machine: Machine) -> None:
    options, _ = told(machine.boot("--gpu-type=A100", SKYPILOT_NUM_GPUS_PER_NODE="2"))
    assert (options["--gpus"], options["--gpu-type"]) == ("2", "A100")


def test_another_worker_than_the_launchers_is_not_started(machine: Machine) -> None:
    (machine.root / "bucket" / machine.key).write_bytes(b"something else")
    done = machine.boot()
    assert (done.returncode, done.stdout) == (78, "")
    assert "its hash differs" in done.stderr


def test_a_worker_that_is_not_there_is_a_mistake(machine: Machine) -> None:
    (machine.root / "bucket" / machine.key).unlink()
    done = machine.boot()
    assert done.returncode == 78
    assert "cannot be had" in done.stderr


def test_after_many_short_lives_in_a_row_a_worker_is_not_started_again(machine: Machine) -> None:
    note = machine.home / "7-worker-0001" / "starts.json"
    note.parent.mkdir()
    note.write_text(json.dumps([time.time() - 60 + at for at in range(6)]))
    done = machine.boot()
    assert (done.returncode, done.stdout) == (78, "")
    assert "ended 6 times in a row" in done.stderr


def test_a_long_life_begins_the_count_anew(machine: Machine) -> None:
    note = machine.home / "7-worker-0001" / "starts.json"
    note.parent.mkdir()
    note.write_text(json.dumps([time.time() - 5000 + at for at in range(6)]))
    told(machine.boot())
    assert len(json.loads(note.read_text())) == 1


def test_a_note_that_cannot_be_read_is_no_obstacle(machine: Machine) -> None:
    note = machine.home / "7-worker-0001" / "starts.json"
    note.parent.mkdir()
    note.write_text("{")
    told(machine.boot())
    assert len(json.loads(note.read_text())) == 1


def test_a_second_start_soon_after_the_first_waits(machine: Machine) -> None:
    note = machine.home / "7-worker-0001" / "starts.json"
    note.parent.mkdir()
    note.write_text(json.dumps([time.time() - 1]))
    command = [sys.executable, bootstrap.__file__, "--key", "k", "--sha256", "0", "--folder", str(note.parent)]
    with subprocess.Popen(command, env=machine.environ(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "start 2 of at most 6: waiting for 5 s" in process.stderr.readline()
        process.terminate()
        assert process.wait(timeout=10) == -15


# --- the start command ------------------------------------------------------------------------------------------


def lend_uv(machine: Machine, where: str) -> None:
    """Put a `uv` there that runs what it is told with this interpreter, which has what the worker needs."""
    uv = machine.home / where / "uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(f'#!/bin/bash\nuntil [ "$1" = -- ]; do shift; done\nshift 2\nexec {sys.executable} "$@"\n')
    uv.chmod(0o755)


def test_the_start_command_needs_a_shell_and_uv_only(machine: Machine) -> None:
    lend_uv(machine, ".local/bin")
    options, environ = told(machine.start(start_script(machine.key, WorkerShare(scratch="/mnt/a b"))))
    assert options["--name"] == "worker-0001"
    assert options["--scratch"] == "/mnt/a b"
    assert environ["GLIDERPORT_JOB_PATH"] == "/usr/bin:/bin"
    sent = machine.home / ".gliderport" / "0-worker-0001" / "bootstrap.py"
    assert sent.read_text() == Path(bootstrap.__file__).read_text()


def test_without_uv_the_start_command_says_so_and_is_not_tried_again(machine: Machine) -> None:
    done = machine.start(start_script(machine.key))
    assert done.returncode == 78
    assert "there is no uv on this machine" in done.stderr


def test_the_start_command_replaces_itself_so_that_signals_reach_the_worker(machine: Machine) -> None:
    lend_uv(machine, ".local/bin")
    script = start_script(machine.key).replace("exec ", "echo $$ >&2; exec ")
    tell = io.BytesIO()
    with zipfile.ZipFile(tell, "w") as archive:
        archive.writestr("__main__.py", "import os; print(os.getpid())")
    sha256 = hashlib.sha256(tell.getvalue()).hexdigest()
    (machine.root / "bucket" / machine.key).write_bytes(tell.getvalue())
    done = machine.start(script.replace(f"--sha256 {machine.sha256}", f"--sha256 {sha256}"))
    assert done.stdout.split() == done.stderr.split()[-1:]
