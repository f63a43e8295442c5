"""What those who work on Gliderport want to see, and nobody else: tracebacks and the log."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback

_DEBUG = "GLIDERPORT_DEBUG"


def is_debug() -> bool:
    """Say whether tracebacks are wanted."""
    return os.environ.get(_DEBUG, "") not in {"", "0"}


def start_debugging() -> None:
    """Show the log and, later, tracebacks."""
    os.environ[_DEBUG] = "1"
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")


def keep_traceback(error: Exception) -> str:
    """Write the traceback into a file that only this user can read, and say where it is."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="gliderport-error-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(f"gliderport {' '.join(sys.argv[1:])}\n\n")
            traceback.print_exception(error, file=file)
    except OSError as trouble:
        return f"no file ({trouble}); set {_DEBUG}=1 and try again"
    return file.name
