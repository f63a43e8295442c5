"""Starting a job's first process and waiting for its end.

`posix_spawn` because it costs half of what `subprocess` does, which counts when jobs take a millisecond. It knows no
working folder; the shell goes there first.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from resource import struct_rusage

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.jobspec import JobSpec
from vm_worker.gate import WAIT, Gate
from vm_worker.scratch import AttemptFolder

# The kernel takes 128 KiB for one argument.
_LONGEST_ARGUMENT_BYTES = 100_000
# Python ignores these; a job must not inherit that.
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    exit_code: int | None
    """Its exit code; none when a signal ended it."""
    signal: int | None
    """The signal that ended it."""
    cpu_seconds: float
    """Time of it and of all children that it waited for."""
    max_rss_bytes: int
    """Its high-water mark; the worker's own when that is higher."""


class Shell:
    """The bash that runs all commands of this worker."""

    def __init__(self, path: str) -> None:
        found = shutil.which("bash", path=path)
        if found is None:
            raise UserError("there is no bash on PATH", hint="Install bash on this machine, or correct PATH.")
        self._bash = found

    def start(
        self, spec: JobSpec, folder: AttemptFolder, *, variables: Mapping[str, str], gate: Gate | None = None
    ) -> int:
        """Start the job's command in a session of its own and return its process id.

        Args:
            spec: The job.
            folder: Where it works.
            variables: Its environment.
            gate: What its shell waits at; none: it begins at once.

        Raises:
            OSError: The machine cannot start it.
            ValueError: The command or a variable holds a null character.
        """
        streams = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, folder.stdout, _NEW_FILE, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, folder.stderr, _NEW_FILE, 0o600),
        ]
        command = _command(spec, folder)
        return os.posix_spawn(
            self._bash,
            ("bash", "-eo", "pipefail", "-c", command if gate is None else WAIT + command),
            variables,
            file_actions=streams if gate is None else [*streams, gate.file_action],
            setsid=True,
            setsigdef=_DEFAULT_SIGNALS,
            setsigmask=(),
        )


def wait_for_end(pid: int) -> None:
    """Return when the process has ended, leaving it as a zombie, so that its id stays its own."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def collect_end(pid: int) -> Ended:
    """Let go of the ended process and return what became of it."""
    _, status, usage = os.wait4(pid, 0)
    return Ended(
        exit_code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        cpu_seconds=_cpu_seconds(usage),
        max_rss_bytes=usage.ru_maxrss * 1024,
    )


def describe_end(ended: Ended) -> str:
    """Return what happened as a sentence; empty when the process succeeded."""
    if ended.signal is not None:
        return f"ended by signal {ended.signal} ({_signal_name(ended.signal)})"
    if not ended.exit_code:
        return ""
    known = {
        126: ": the command could not be executed",
        127: ": command not found",
        137: ": killed inside",
        139: ": segmentation fault inside",
    }
    return f"exit code {ended.exit_code}{known.get(ended.exit_code, '')}"


def _command(spec: JobSpec, folder: AttemptFolder) -> str:
    # On the first line, so that bash counts the lines of the script as its author does.
    enter = f"cd -- {shlex.quote(folder.work)} || exit 126; "
    if spec.python is not None:
        script = _write_script(folder, spec.python)
        # The working folder comes first in sys.path, as for a script that lies in it.
        return f'{enter}export PYTHONPATH="$PWD${{PYTHONPATH:+:$PYTHONPATH}}"; exec python3 {shlex.quote(script)}'
    run = spec.run or ""
    if len(run) * 4 > _LONGEST_ARGUMENT_BYTES and len(run.encode("utf-8", "surrogateescape")) > _LONGEST_ARGUMENT_BYTES:
        return f"{enter}. {shlex.quote(_write_script(folder, run))}"
    return enter + run


def _write_script(folder: AttemptFolder, text: str) -> str:
    script = f"{folder.tmp}.script"
    with open(script, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    return script


def _cpu_seconds(usage: struct_rusage) -> float:
    return round(usage.ru_utime + usage.ru_stime, 6)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
