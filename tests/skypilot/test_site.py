"""What every site promises, held by the SkyPilot site against a real SkyPilot."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.skypilot.rig.stand import Rig
from tests.waiting import wait_until

CALM, RACED, FAILING, BROKEN = "worker-0001", "worker-0002", "worker-0003", "worker-0004"
_CLIENT = Path(__file__).with_name("site_client.py")


@dataclass
class Launcher:
    """Somebody who drives a campaign; every call is a process of its own, so a launcher that has just taken over."""

    environ: dict[str, str]
    campaign: str = field(default_factory=lambda: f"site-{secrets.token_hex(3)}")

    def ask(self, action: str, *names: str, behaviour: str = "calm") -> Any:  # noqa: ANN401 - whatever it answers
        """Do this at the site and return what came of it."""
        command = [sys.executable, "-W", "ignore", str(_CLIENT), self.campaign, behaviour, action, *names]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])
        return answer.get("result", answer)

    def wait_for(self, name: str, state: str, *, behaviour: str = "calm") -> dict[str, Any]:
        """Wait until the worker is in this state, and return it."""
        found: dict[str, dict[str, Any]] = {}

        def look() -> bool:
            found.update({each["name"]: each for each in self.ask("list", behaviour=behaviour)})
            return name in found and found[name]["state"].endswith(state)

        wait_until(look, f"{name} is {state}", timeout_seconds=400, poll_seconds=2)
        return found[name]


@pytest.fixture(scope="module")
def launcher(rig: Rig) -> Iterator[Launcher]:
    """Give a launcher of a campaign of its own that has started workers of several kinds; all are ended."""
    someone = Launcher({**os.environ, **rig.environment, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert someone.ask("list") == []
    someone.ask("start", CALM)
    someone.ask("launch-twice", RACED)
    someone.ask("start", FAILING, behaviour="failing")
    someone.ask("start", BROKEN, behaviour="no-setup")
    yield someone
    someone.ask("stop", CALM, RACED)


def test_a_worker_is_started_once_seen_by_everybody_and_ended_by_name(launcher: Launcher) -> None:
    launcher.ask("start", CALM)
    running = launcher.wait_for(CALM, "RUNNING")
    assert running["machine"]["infra"].startswith("slurm/rig")
    assert running["machine"]["cluster"]
    assert running["since"] > 0

    launcher.ask("stop", CALM)

    stopped = launcher.wait_for(CALM, "GONE")
    assert stopped["was_stopped"]
    launcher.ask("start", CALM)
    assert launcher.wait_for(CALM, "GONE")["reason"] == stopped["reason"]


def test_of_two_launchers_that_raced_one_managed_job_is_left(launcher: Launcher) -> None:
    launcher.wait_for(RACED, "RUNNING")

    def is_left_alone() -> bool:
        launcher.ask("list")
        raced = [(number, status) for number, name, status in launcher.ask("jobs") if name.endswith(RACED)]
        return len(raced) == 2 and min(raced)[1] == "RUNNING" and max(raced)[1] == "CANCELLED"

    wait_until(is_left_alone, "the younger job is cancelled", timeout_seconds=200, poll_seconds=2)


def test_a_worker_that_ends_is_told_with_exit_code_and_last_words(launcher: Launcher) -> None:
    gone = launcher.wait_for(FAILING, "GONE", behaviour="failing")
    assert gone["exit_code"] == 7
    assert "no room on this machine" in gone["reason"]
    assert not gone["lacks_capacity"]
    unset = launcher.wait_for(BROKEN, "GONE", behaviour="no-setup")
    assert "FAILED_SETUP" in unset["reason"]
    assert "about to fail" in unset["reason"]


def test_what_a_worker_will_have_and_cost_is_skypilots_word(launcher: Launcher) -> None:
    offer, quote = launcher.ask("offer"), launcher.ask("quote")
    assert (offer["cpus"], offer["gpus"]) == (1.0, 0)
    assert quote["on_demand"] == 0.0
    assert quote["kind"] == "slurm/rig"


@pytest.mark.parametrize(
    ("behaviour", "said"), [("large", "cpus=6400"), ("misspelt", "cpsu"), ("elsewhere", "sky check")]
)
def test_a_template_that_skypilot_refuses_is_refused_in_its_words(
    launcher: Launcher, behaviour: str, said: str
) -> None:
    refused = launcher.ask("offer", behaviour=behaviour)
    assert refused["error"] == "UserError"
    assert said in refused["said"]
