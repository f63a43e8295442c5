"""Numbers and foreign text as people read them."""

from __future__ import annotations

import pytest

from gliderport_prefect.board.wording import make_printable, say_counts, say_duration, say_rate, say_size
from gliderport_prefect.protocol.outcomes import JobState


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (59.4, "59s"),
        (61, "1m 01s"),
        (3599, "59m 59s"),
        (3661, "1h 01m"),
        (90000, "1d 01h"),
    ],
)
def test_durations_have_two_units(seconds: float, said: str) -> None:
    assert say_duration(seconds) == said


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (2**30, "1 GiB"), (999 * 2**40, "999 TiB")],
)
def test_sizes_have_three_digits(size_bytes: int, said: str) -> None:
    assert say_size(size_bytes) == said


@pytest.mark.parametrize(("per_second", "said"), [(1234, "1,234/s"), (2.5, "2.5/s"), (0.5, "30/min"), (0.001, "3.6/h")])
def test_rates_have_a_unit_that_gives_a_number_above_one(per_second: float, said: str) -> None:
    assert say_rate(per_second) == said


def test_states_without_jobs_are_left_out() -> None:
    assert say_counts({JobState.SUCCEEDED: 1200, JobState.FAILED: 0, JobState.QUEUED: 3}) == "1,200 succeeded, 3 queued"
    assert say_counts({}) == "no jobs"


def test_what_could_drive_a_terminal_is_spelled_out() -> None:
    assert make_printable("a\x1b[2J\r\n\x9bü") == "a\\x1b[2J\\r\\n\\x9bü"
    assert make_printable("a\nb\x07", keep_lines=True) == "a\nb\\x07"
