"""Progress on standard error: a moving display on a terminal, lines in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gliderport_prefect.board.progress import ProgressLines

if TYPE_CHECKING:
    from typing import TextIO

    from gliderport_prefect.board.progress import ProgressView


def open_progress(stream: TextIO, campaign: str) -> ProgressView:
    """Return the view that fits the stream."""
    if not stream.isatty():
        return ProgressLines(campaign, lambda line: click.echo(line, file=stream))
    from gliderport_prefect.board.display import ProgressDisplay, make_console

    return ProgressDisplay(campaign, make_console(stream))
