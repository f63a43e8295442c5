"""How soon a job runs again elsewhere when its cloud announces that its machine is taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.bench.figures import Figure
from tests.integration.two_machines import two_machines

_TRIALS = 3


@pytest.mark.timeout(300)
def test_a_job_runs_again_within_ten_seconds_of_the_notice(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    seconds: list[float] = []
    for number in range(sized(_TRIALS)):
        (tmp_path / f"{number}").mkdir()
        with two_machines(tmp_path / f"{number}") as campaign:
            campaign.run()
            seconds.append(campaign.seconds_lost())
    show(
        Figure(
            "notice to the job running on another live worker",
            median(seconds),
            "s",
            10.0,
            is_more_better=False,
            detail=f"median of {len(seconds)}; longest {max(seconds):.2f} s",
        )
    )
