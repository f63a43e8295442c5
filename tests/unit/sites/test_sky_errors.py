"""SkyPilot's own errors, as they come, in our words."""

from __future__ import annotations

import pytest
from sky import ClusterStatus, exceptions

from gliderport_prefect.errors import SiteError, UserError
from gliderport_prefect.sites.sky_errors import says_no_jobs, translate_error

_DOING = "SkyPilot cannot do it"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (exceptions.ResourcesUnavailableError("no such machine"), "other resources"),
        (exceptions.NoCloudAccessError("none enabled"), "sky check"),
        (exceptions.InvalidSkyPilotConfigError("Invalid task YAML: resources.cpsu"), "correct the template"),
        (exceptions.NotSupportedError("spot on Slurm"), "correct the template"),
        (NotImplementedError(""), "sky check"),
        (ValueError("bad"), "correct the template"),
    ],
)
def test_what_a_person_can_mend_is_told_with_what_to_do(error: Exception, hint: str) -> None:
    ours = translate_error(error, _DOING)
    assert isinstance(ours, UserError)
    assert ours.key == "sky_template"
    assert hint in str(ours)
    assert (str(error) or "NotImplementedError") in str(ours)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (exceptions.ApiServerConnectionError("http://127.0.0.1:46580"), "sky api start"),
        (exceptions.ApiServerAuthenticationError("http://x"), "sky api login"),
        (exceptions.PermissionDeniedError("no"), "sky api login"),
        (exceptions.KubeAPIUnreachableError("timeout"), "sky check kubernetes"),
        (ConnectionResetError("gone"), "sky api info"),
        (RuntimeError("something"), "something"),
        (SystemExit(1), "1"),
    ],
)
def test_what_stands_between_here_and_the_machines_is_the_sites_trouble(error: BaseException, hint: str) -> None:
    ours = translate_error(error, _DOING)
    assert isinstance(ours, SiteError)
    assert str(ours).startswith(_DOING)
    assert hint in str(ours)


def test_colours_of_a_terminal_are_left_out() -> None:
    assert "\x1b" not in str(translate_error(ValueError("\x1b[31mred\x1b[0m"), _DOING))


def _not_up(status: ClusterStatus | None) -> exceptions.ClusterNotUpError:
    return exceptions.ClusterNotUpError("No in-progress managed jobs.", cluster_status=status)


@pytest.mark.parametrize("status", [None, ClusterStatus.STOPPED])
def test_a_jobs_controller_that_is_not_there_has_no_jobs(status: ClusterStatus | None) -> None:
    assert says_no_jobs(_not_up(status))


@pytest.mark.parametrize("status", [ClusterStatus.INIT, ClusterStatus.UP])
def test_a_jobs_controller_that_comes_up_may_have_jobs(status: ClusterStatus) -> None:
    assert not says_no_jobs(_not_up(status))


def test_another_trouble_never_means_that_there_are_no_jobs() -> None:
    assert not says_no_jobs(exceptions.ApiServerConnectionError("http://127.0.0.1:46580"))
