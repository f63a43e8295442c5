"""The frame of the command line: help, exit codes, quick start."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from gliderport_prefect import __version__
from gliderport_prefect.cli.commands import COMMANDS
from gliderport_prefect.cli.commands import gliderport as group
from gliderport_prefect.cli.exits import EPILOG, Exit, exit_of_error, exit_of_jobs
from gliderport_prefect.cli.opening import say_command
from gliderport_prefect.errors import (
    GliderportError,
    ProtocolError,
    SiteError,
    StoreUnreachable,
    Stuck,
    Superseded,
    UserError,
)
from gliderport_prefect.protocol.outcomes import JobState
from tests.unit.cli.conftest import Command


def test_help_lists_every_command(gliderport: Command) -> None:
    said = gliderport("--help")
    assert said.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in said.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_what_the_list_says_of_it(gliderport: Command, name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert command.help is not None
    assert command.help.splitlines()[0] == COMMANDS[name].summary
    assert gliderport(name, "--help").code == 0


def test_help_wants_neither_prefect_nor_the_store() -> None:
    code = (
        "import sys; from gliderport_prefect.cli.entry import run_command; run_command(['--help']);"
        "heavy = {'prefect', 'sky', 'obstore', 'rich', 'pydantic', 'yaml', 'psutil'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_command_wants_prefect() -> None:
    code = (
        f"import sys; from gliderport_prefect.cli.entry import run_command; "
        f"[run_command([name, '--help']) for name in {list(COMMANDS)}];"
        "heavy = {'prefect', 'sky'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_told(gliderport: Command) -> None:
    assert __version__ in gliderport("--version").stdout


def test_every_exit_code_is_documented() -> None:
    documented = {int(number) for number in re.findall(r"(?<!\w)(\d+)  ?\w", EPILOG)}
    assert {code.value for code in Exit} - documented <= {Exit.BROKEN_PIPE.value}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("x"), 2),
        (Superseded("x"), 4),
        (Stuck("x"), 5),
        (SiteError("x"), 5),
        (StoreUnreachable("x"), 6),
        (ProtocolError("x"), 6),
        (OSError("x"), 5),
        (GliderportError("x"), 70),
    ],
)
def test_errors_are_told_apart_by_exit_codes(error: GliderportError, code: int) -> None:
    assert exit_of_error(error) == code


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({JobState.SUCCEEDED: 3}, 0),
        ({}, 0),
        ({JobState.SUCCEEDED: 3, JobState.FAILED: 1, JobState.CANCELLED: 1}, 1),
        ({JobState.QUARANTINED: 1}, 1),
        ({JobState.SUCCEEDED: 3, JobState.CANCELLED: 1}, 3),
    ],
)
def test_the_outcome_of_the_jobs_is_an_exit_code(counts: dict[JobState, int], code: int) -> None:
    assert exit_of_jobs(counts) == code


def test_a_hint_names_the_bucket_only_where_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIDERPORT_BUCKET", "/data/runs")
    assert say_command("resume", "demo", bucket="file:///data/runs") == "gliderport resume demo"
    assert say_command("resume", "demo", bucket="s3://b/x y") == "gliderport resume demo --bucket 's3://b/x y'"
