"""The moving display of a campaign on a terminal: a bar, counts, workers, rate and remaining time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gliderport_prefect.board.money import say_total
from gliderport_prefect.board.progress import say_pace
from gliderport_prefect.board.rate import RateMeter, Sample
from gliderport_prefect.board.wording import make_printable, say_counts, say_duration, say_workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from rich.console import RenderableType

    from gliderport_prefect.board.progress import Standing

_FRAMES_PER_SECOND = 4
_BAR_WIDTH = 40


def make_console(stream: TextIO) -> Console:
    """Return a console on which text of jobs is text and nothing else."""
    return Console(file=stream, markup=False, highlight=False, emoji=False)


class ProgressDisplay:
    """Shows where a campaign stands, repainted in place, as a context manager around the drive."""

    def __init__(self, campaign: str, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare the display; it appears when it is entered."""
        self._campaign, self._console, self._clock = campaign, console, clock
        self._meter = RateMeter()
        self._standing: Standing | None = None
        self._began_at = clock()
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=_FRAMES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def show(self, standing: Standing) -> None:
        """Take in where the campaign stands; the next repainting shows it."""
        self._meter.note(Sample(self._clock(), standing.ended))
        self._standing = standing
        if standing.note:
            self.say(standing.note)

    def say(self, line: str) -> None:
        """Print the line above the display."""
        self._console.print(make_printable(line), style="dim")

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        standing = self._standing
        if standing is None:
            return Text(f"{self._campaign}: starting …")
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(1, standing.total), completed=standing.ended, width=_BAR_WIDTH)
        elapsed = say_duration(self._clock() - self._began_at)
        pace = ", ".join([*say_pace(standing, self._meter), f"{elapsed} so far"])
        line.add_row(Text(self._campaign, style="bold"), bar, Text(f"{standing.percent}%"), Text(pace, style="cyan"))
        counts = Text(f"  jobs     {say_counts(standing.jobs)}", style="red" if standing.failed else "")
        cost = [] if standing.cost.is_free else [Text(f"  cost     {say_total(standing.cost)}")]
        return Group(line, counts, Text(f"  workers  {say_workers(standing.workers)}"), *cost)
