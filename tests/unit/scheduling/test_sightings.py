"""What is written down of the workers' machines: what has changed, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.machines import Machine, Market, WorkerState
from gliderport_prefect.protocol.records import Sighting, timestamp
from gliderport_prefect.scheduling.sightings import derive_sightings

ONE = WorkerName("worker-0001")
MACHINE = Machine("cluster", "aws/us-east-1", "m6i.large", Market.SPOT, 0.1)
RUNNING = Sighting(ONE, WorkerState.RUNNING, timestamp(50.0), MACHINE)
KNOWN = {ONE: RUNNING}


def test_a_new_worker_is_written_down() -> None:
    assert derive_sightings([RUNNING], {}, now=60.0) == (RUNNING,)


def test_a_worker_of_which_the_site_does_not_say_since_when_is_seen_now() -> None:
    (seen,) = derive_sightings([replace(RUNNING, seen_at="")], {}, now=60.0)
    assert seen.seen_at == timestamp(60.0)


def test_nothing_is_written_down_when_nothing_has_changed() -> None:
    assert derive_sightings([replace(RUNNING, seen_at="")], KNOWN, now=1e6) == ()


def test_what_a_site_does_not_say_again_stays_as_it_was() -> None:
    gone = replace(RUNNING, state=WorkerState.GONE, machine=Machine(), seen_at=timestamp(80.0), reason="left")
    assert derive_sightings([replace(RUNNING, machine=Machine())], KNOWN, now=1e6) == ()
    assert derive_sightings([gone], KNOWN, now=90.0) == (replace(gone, machine=MACHINE),)


def test_another_machine_is_not_taken_for_the_one_before() -> None:
    again = replace(RUNNING, recoveries=1, machine=Machine("cluster"), seen_at=timestamp(80.0))
    assert derive_sightings([again], KNOWN, now=90.0) == (again,)


def test_a_worker_that_the_site_has_forgotten_is_gone() -> None:
    (seen,) = derive_sightings([], KNOWN, now=90.0)
    assert (seen.state, seen.seen_at, seen.machine) == (WorkerState.GONE, timestamp(90.0), MACHINE)
    assert derive_sightings([], {ONE: seen}, now=99.0) == ()


def test_the_words_of_a_worker_that_is_gone_are_written_down_once() -> None:
    gone = replace(RUNNING, state=WorkerState.GONE, reason="exit code 1")
    assert derive_sightings([replace(gone, reason="has ended")], {ONE: gone}, now=1e6) == ()


def test_a_reason_that_goes_on_changing_is_written_down_once_a_minute() -> None:
    waiting = replace(RUNNING, state=WorkerState.STARTING, reason="no capacity in us-east-1a")
    changed = replace(waiting, reason="no capacity in us-east-1b")
    assert derive_sightings([changed], {ONE: waiting}, now=100.0) == ()
    assert derive_sightings([changed], {ONE: waiting}, now=111.0) == (replace(changed, seen_at=timestamp(111.0)),)


def test_of_a_long_reason_the_beginning_and_the_end_are_kept() -> None:
    (seen,) = derive_sightings([replace(RUNNING, reason="first" + 100_000 * "x" + "last")], {}, now=60.0)
    assert seen.reason.startswith("first")
    assert seen.reason.endswith("last")
    assert len(seen.reason) < 1000
