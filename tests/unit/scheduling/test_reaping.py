"""Who is ended by the reaper: nobody whose campaign gives any sign of life."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gliderport_prefect.protocol.machines import WorkerState
from gliderport_prefect.scheduling.reaping import (
    ANSWER_SECONDS,
    Look,
    Standing,
    decide_reaping,
    derive_standing,
    derive_state,
    say_standing,
    wants_request,
    watch_seconds,
)

SILENT_SECONDS = 120.0
REST = Look(0.0, signs=frozenset({"ledger 7"}), launcher_alive=False)
ASKED = replace(REST, at=SILENT_SECONDS, unanswered_seconds=60.0)
MOVED = frozenset({"ledger 8"})

TABLE = {
    "one look at a campaign at rest says nothing": ([REST], Standing.UNDECIDED),
    "silent for long, and nobody answers": ([REST, ASKED], Standing.SILENT),
    "its launcher was on another machine": ([replace(REST, launcher_alive=None), ASKED], Standing.SILENT),
    "silent, but not for long enough": ([REST, replace(ASKED, at=119.9)], Standing.UNDECIDED),
    "silent for long, but nobody was asked": ([REST, replace(REST, at=500.0)], Standing.UNDECIDED),
    "asked just now": ([REST, replace(ASKED, unanswered_seconds=ANSWER_SECONDS - 0.1)], Standing.UNDECIDED),
    "heartbeats are rarer than the time it was watched": (
        [REST, replace(ASKED, heartbeat_seconds=60.0)],
        Standing.UNDECIDED,
    ),
    "rare heartbeats, watched for two of them": (
        [REST, replace(ASKED, at=126.0, heartbeat_seconds=60.0)],
        Standing.SILENT,
    ),
    "the ledger grew": ([REST, replace(ASKED, signs=MOVED)], Standing.LIVE),
    "a heartbeat came and was read": ([REST, replace(REST, at=5.0, signs=MOVED), ASKED], Standing.LIVE),
    "its launcher's process runs here": ([REST, replace(ASKED, launcher_alive=True)], Standing.LIVE),
    "its launcher's process ran here": ([replace(REST, launcher_alive=True), ASKED], Standing.LIVE),
    "it is over": ([replace(REST, is_over=True)], Standing.CLOSED),
    "it is over and its launcher's process still runs": (
        [replace(REST, is_over=True, launcher_alive=True)],
        Standing.CLOSED,
    ),
    "it was over and somebody has claimed it": (
        [replace(REST, is_over=True), replace(REST, signs=MOVED)],
        Standing.LIVE,
    ),
    "it has just ended": ([REST, replace(REST, is_over=True, signs=MOVED)], Standing.LIVE),
    "one look does not find it": ([Look(0.0, is_known=False)], Standing.UNDECIDED),
    "two looks do not find it": ([Look(0.0, is_known=False), Look(3.0, is_known=False)], Standing.UNKNOWN),
    "it appeared": ([Look(0.0, is_known=False), replace(REST, at=3.0)], Standing.LIVE),
    "it vanished": ([REST, Look(3.0, is_known=False)], Standing.LIVE),
    "its bucket is away": ([Look(0.0, trouble="no answer")], Standing.UNREACHABLE),
    "its bucket went away": ([REST, replace(ASKED, trouble="no answer")], Standing.UNREACHABLE),
    "its bucket was away and shows nothing now": (
        [Look(0.0, trouble="no answer"), Look(3.0, is_known=False), Look(6.0, is_known=False)],
        Standing.UNREACHABLE,
    ),
}


@pytest.mark.parametrize(("looks", "standing"), TABLE.values(), ids=TABLE)
def test_what_is_seen_of_a_campaign_gives_its_standing(looks: list[Look], standing: Standing) -> None:
    assert derive_standing(looks, silent_seconds=SILENT_SECONDS) is standing


@pytest.mark.parametrize("state", WorkerState)
@pytest.mark.parametrize("standing", Standing)
def test_the_standing_and_the_state_say_who_is_ended(standing: Standing, state: WorkerState) -> None:
    over = standing in {Standing.CLOSED, Standing.UNKNOWN} and state is not WorkerState.GONE
    silent = standing is Standing.SILENT and state is WorkerState.RUNNING
    assert decide_reaping(standing, state) is (over or silent)
    assert not decide_reaping(standing, state, user="somebody else")


@pytest.mark.parametrize(
    ("states", "since", "together"),
    [
        ((WorkerState.RUNNING, WorkerState.RUNNING), (5.0, 5.0), WorkerState.RUNNING),
        ((WorkerState.RUNNING, WorkerState.RUNNING), (None, None), WorkerState.RUNNING),
        ((WorkerState.RUNNING, WorkerState.RUNNING), (5.0, 60.0), WorkerState.STARTING),
        ((WorkerState.STARTING, WorkerState.RUNNING), (5.0, 60.0), WorkerState.STARTING),
        ((WorkerState.RECOVERING, WorkerState.RUNNING), (5.0, 5.0), WorkerState.STARTING),
        ((WorkerState.RUNNING, WorkerState.RECOVERING), (5.0, 60.0), WorkerState.RECOVERING),
    ],
)
def test_a_worker_that_was_brought_up_between_two_looks_still_starts(
    states: tuple[WorkerState, WorkerState], since: tuple[float | None, float | None], together: WorkerState
) -> None:
    assert derive_state(states, since=since) is together


def test_every_standing_has_words() -> None:
    said = {say_standing(each, [REST, replace(ASKED, trouble="no answer")]) for each in Standing}
    assert len(said) == len(Standing)
    assert "no answer" in said
    assert "its campaign has given no sign of life for 120 s" in said


@pytest.mark.parametrize(
    ("newest", "wanted"),
    [
        (replace(REST, at=59.0), False),
        (replace(REST, at=60.0), True),
        (replace(ASKED, at=60.0), False),
        (replace(REST, at=60.0, trouble="no answer"), False),
        (Look(60.0, is_known=False), False),
    ],
)
def test_the_launcher_is_asked_once_when_half_of_the_time_has_passed(newest: Look, *, wanted: bool) -> None:
    assert wants_request(REST, newest, silent_seconds=SILENT_SECONDS) is wanted


_SIGNS = st.frozensets(st.sampled_from(["claim 1", "ledger 7", "outbox a", "inbox b"]))
_LOOKS = st.lists(
    st.builds(
        Look,
        at=st.floats(0, 1000),
        trouble=st.sampled_from(["", "", "", "no answer"]),
        is_known=st.sampled_from([True, True, True, False]),
        is_over=st.booleans(),
        signs=_SIGNS,
        launcher_alive=st.sampled_from([True, False, None]),
        heartbeat_seconds=st.floats(0.1, 600),
        unanswered_seconds=st.none() | st.floats(0, 1000),
    ),
    min_size=1,
    max_size=6,
).map(lambda looks: sorted(looks, key=lambda look: look.at))


@given(looks=_LOOKS, silent_seconds=st.floats(0, 600), state=st.sampled_from(WorkerState))
def test_a_campaign_with_any_sign_of_life_is_never_reaped(
    looks: list[Look], silent_seconds: float, state: WorkerState
) -> None:
    moved = any(look.signs != looks[0].signs for look in looks)
    alive = any(look.launcher_alive for look in looks)
    answered = looks[-1].unanswered_seconds is None
    heard_rarely = any(looks[-1].at - looks[0].at < 2 * look.heartbeat_seconds for look in looks)
    assume(all(look.is_known for look in looks) and not all(look.is_over for look in looks))
    assume(moved or alive or answered or heard_rarely)
    assert not decide_reaping(derive_standing(looks, silent_seconds=silent_seconds), state)


@given(looks=_LOOKS, silent_seconds=st.floats(0, 600), state=st.sampled_from(WorkerState))
def test_a_bucket_that_once_did_not_answer_never_gets_a_worker_ended(
    looks: list[Look], silent_seconds: float, state: WorkerState
) -> None:
    assume(any(look.trouble for look in looks))
    assert not decide_reaping(derive_standing(looks, silent_seconds=silent_seconds), state)


@given(look=_LOOKS.map(lambda looks: looks[0]), silent_seconds=st.floats(0, 600))
def test_the_time_of_silence_is_longer_than_two_heartbeats(look: Look, silent_seconds: float) -> None:
    assert watch_seconds(look, silent_seconds) > 2 * look.heartbeat_seconds
    assert watch_seconds(look, silent_seconds) >= silent_seconds
