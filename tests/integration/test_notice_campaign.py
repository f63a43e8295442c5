"""A campaign of which a machine is announced to go: a real launcher, real workers, the cloud's documented protocol."""

from __future__ import annotations

from pathlib import Path

from gliderport_prefect.protocol.outcomes import Outcome
from tests.integration.two_machines import two_machines


def test_a_job_whose_machine_is_taken_back_runs_on_the_other_one_at_no_cost_to_its_retries(tmp_path: Path) -> None:
    with two_machines(tmp_path) as campaign:
        campaign.run()

        first, second = (each for each in campaign.reports() if each.id == "doomed")
        assert first.outcome is Outcome.PREEMPTED
        assert first.reason.startswith("AWS announces that this machine is taken back at ")
        assert (second.outcome, second.stdout.text) == (Outcome.SUCCEEDED, "again\n")
