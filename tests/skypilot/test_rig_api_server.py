"""The rig's API server can be ended and started again, as its machine can be lost."""

from __future__ import annotations

import pytest

from tests.skypilot.rig.stand import Rig


@pytest.mark.parametrize("end", [Rig.stop_api_server, Rig.kill_api_server])
def test_a_client_says_that_no_server_answers_until_it_is_started_again(rig: Rig, end: object) -> None:
    assert callable(end)
    end(rig)
    try:
        said = rig.run_sky("check", "slurm")
        assert said.returncode != 0
        assert "API server" in said.stdout
    finally:
        rig.start_api_server()
    assert rig.run_sky("check", "slurm").returncode == 0
