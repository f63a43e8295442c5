"""A gate before a command: its shell is started early and waits there.

Nothing of the job happens until the gate opens. When the worker dies, the gate falls shut and the shell ends.
"""

from __future__ import annotations

import os
from contextlib import suppress

_FD = 3
WAIT = f"read -r -u {_FD} _ || exit 126; exec {_FD}<&-; "
"""What the shell does first."""


class Gate:
    """A pipe; the shell waits for a line from it."""

    def __init__(self) -> None:
        """Make it, shut."""
        self._reading, self._writing = os.pipe()

    @property
    def file_action(self) -> tuple[int, int, int]:
        """What `posix_spawn` has to do to give the shell its end."""
        return (os.POSIX_SPAWN_DUP2, self._reading, _FD)

    def leave_to_shell(self) -> None:
        """Let go of the reading end, which the shell has now."""
        os.close(self._reading)

    def open(self) -> None:
        """Let the shell go on."""
        # A shell that has been killed by somebody is found dead by whoever waits for it.
        with suppress(BrokenPipeError):
            os.write(self._writing, b"\n")
        os.close(self._writing)

    def close(self) -> None:
        """Let the shell end."""
        os.close(self._writing)
