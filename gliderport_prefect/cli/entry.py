"""From the shell to a command and back: every error becomes a message and an exit code, and no traceback is shown."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import click

from gliderport_prefect.cli.commands import gliderport
from gliderport_prefect.cli.credentials import blame_block
from gliderport_prefect.cli.defects import is_debug, keep_traceback
from gliderport_prefect.cli.exits import Exit, exit_of_error
from gliderport_prefect.errors import GliderportError, StoreAccessDenied

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = "gliderport"
_COMPLETION = "_GLIDERPORT_COMPLETE"


def main() -> NoReturn:
    """Run the command that the shell names, and end the process."""
    if _COMPLETION in os.environ:
        gliderport.main(prog_name=_NAME)
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = _invoke(list(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _silence(sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where nothing may pass
        return _report(error)


def _invoke(arguments: list[str]) -> int:
    # Not `gliderport.main`, which has its own ideas about broken pipes and Ctrl-C.
    with gliderport.make_context(_NAME, arguments) as context:
        try:
            code = gliderport.invoke(context)
        except StoreAccessDenied as error:
            raise blame_block(error, context) from error
        return int(code) if isinstance(code, int) else Exit.SUCCEEDED


def _report(error: Exception) -> Exit:
    if is_debug():
        traceback.print_exception(error)
    if isinstance(error, (GliderportError, OSError)):
        click.echo(f"error: {error}", err=True)
        return exit_of_error(error)
    click.echo(f"internal error: {type(error).__name__}: {error}", err=True)
    if not is_debug():
        click.echo(f"This is a defect of Gliderport. The details are in {keep_traceback(error)}", err=True)
    return Exit.INTERNAL


def _silence(descriptor: int) -> None:
    """Let the interpreter's last flush go nowhere."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
