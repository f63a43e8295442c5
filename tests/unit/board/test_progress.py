"""Progress is told as often as it helps: rate and remaining time from the counts, few lines in a pipe."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from gliderport_prefect.board.display import ProgressDisplay, make_console
from gliderport_prefect.board.progress import ProgressLines, Standing, describe
from gliderport_prefect.board.rate import RateMeter, Sample
from gliderport_prefect.protocol.outcomes import JobState


def meter(*samples: tuple[float, int]) -> RateMeter:
    """Return a meter that was told these counts at these times."""
    made = RateMeter()
    for at, ended in samples:
        made.note(Sample(at, ended))
    return made


def standing(ended: int, *, total: int = 100, failed: int = 0, note: str = "") -> Standing:
    """Return where a campaign of that many jobs stands."""
    jobs = {
        JobState.SUCCEEDED: ended - failed,
        JobState.FAILED: failed,
        JobState.RUNNING: min(2, total - ended),
        JobState.QUEUED: max(0, total - ended - 2),
    }
    return Standing(jobs, {"busy": 2, "idle": 0}, note)


# --- rate -------------------------------------------------------------------------------------------------------


def test_the_rate_is_that_of_the_counts() -> None:
    assert meter((0, 0), (10, 50)).per_second == 5


def test_nothing_is_said_before_there_is_something_to_say() -> None:
    assert meter().per_second is None
    assert meter((0, 7)).per_second is None
    assert meter((0, 0), (0.1, 3)).per_second is None
    assert meter((0, 0), (30, 0)).per_second is None


def test_the_rate_is_that_of_the_last_minute() -> None:
    assert meter((0, 0), (1000, 1000), (1060, 7000)).per_second == 100


def test_slow_jobs_are_looked_at_for_longer_than_a_minute() -> None:
    made = meter(*((hour * 3600.0, hour) for hour in range(21)))
    assert made.per_second is not None
    assert round(made.per_second * 3600, 6) == 1


def test_what_had_ended_before_a_resumed_run_does_not_count() -> None:
    assert meter((0, 1000), (10, 1010)).per_second == 1


def test_a_retry_starts_the_count_anew() -> None:
    assert meter((0, 0), (10, 100), (11, 90), (21, 100)).per_second == 1


def test_the_remaining_time_follows_from_the_rate() -> None:
    assert meter((0, 0), (10, 50)).seconds_left(100) == 20
    assert meter((0, 0)).seconds_left(100) is None
    assert meter((0, 0)).seconds_left(0) == 0


def test_a_long_campaign_keeps_few_samples_and_the_right_rate() -> None:
    made = meter(*((float(second), 3 * second) for second in range(10_000)))
    assert made.per_second == 3
    assert len(made._samples) <= 600  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


# --- a pipe -----------------------------------------------------------------------------------------------------


class Pipe:
    """What a pipe gets, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 0.0
        self.view = ProgressLines("demo", self.lines.append, clock=lambda: self.now)

    def show(self, at: float, shown: Standing) -> None:
        self.now = at
        self.view.show(shown)


def test_a_pipe_gets_a_line_every_ten_seconds_at_most() -> None:
    pipe = Pipe()
    for tenth in range(240):
        pipe.show(tenth / 10, standing(1 + tenth // 12))
    assert len(pipe.lines) == 3


def test_a_pipe_gets_no_line_when_nothing_has_changed() -> None:
    pipe = Pipe()
    for second in range(100):
        pipe.show(second, standing(5))
    assert len(pipe.lines) == 1


def test_workers_that_come_up_are_news() -> None:
    pipe = Pipe()
    pipe.show(0, standing(5))
    pipe.show(20, replace(standing(5), workers={"starting": 3}))
    assert "3 starting" in pipe.lines[-1]


def test_quarters_the_first_failure_and_the_end_are_told_at_once() -> None:
    pipe = Pipe()
    for at, shown in enumerate((standing(0), standing(25), standing(26), standing(30, failed=1), standing(100))):
        pipe.show(at / 10, shown)
    assert [line.partition(" of ")[0] for line in pipe.lines] == ["demo: 0", "demo: 25", "demo: 30", "demo: 100"]


def test_a_note_is_a_line_of_its_own_and_cannot_drive_the_terminal() -> None:
    pipe = Pipe()
    pipe.show(0, standing(0, note="asked for \x1b[31m2 workers"))
    assert pipe.lines[0] == "demo: asked for \\x1b[31m2 workers"


def test_a_line_has_counts_workers_rate_and_remaining_time() -> None:
    line = describe(standing(50, failed=3), meter((0, 0), (10, 50)))
    assert line == (
        "50 of 100 ended (50%); 47 succeeded, 3 failed, 2 running, 48 queued; workers: 2 busy; 5/s; about 10s left"
    )


# --- a terminal -------------------------------------------------------------------------------------------------


def test_a_terminal_shows_bar_counts_and_workers() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    with ProgressDisplay("demo", console, clock=lambda: 5.0) as display:
        display.show(standing(50, failed=3))
    shown = stream.getvalue()
    assert "demo" in shown
    assert "50%" in shown
    assert "47 succeeded, 3 failed" in shown
    assert "2 busy" in shown


def test_markup_in_a_note_is_text_on_a_terminal() -> None:
    stream = io.StringIO()
    with ProgressDisplay("demo", make_console(stream)) as display:
        display.show(standing(0, note="[bold red]worker[/] \x07"))
    assert "[bold red]worker[/] \\x07" in stream.getvalue()
