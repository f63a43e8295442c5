"""What workers on SkyPilot's machines get of the launcher's environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.sites.sky_options import SkyPilotOptions, WorkerEnvironment, check_bucket, derive_environment

KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_REGION": "eu-west-1"}


def derive(
    environment: dict[str, str], *, credentials: str | None = None, secrets: tuple[str, ...] = ()
) -> WorkerEnvironment:
    options = SkyPilotOptions(credentials=credentials)
    return derive_environment("s3://b", options, secrets=secrets, template={}, environment=environment)


def test_keys_are_secrets_and_the_rest_may_be_seen() -> None:
    found = derive(KEYS)
    assert found.public == {"AWS_REGION": "eu-west-1"}
    assert found.secret == {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s3cr3t"}


def test_machines_with_a_role_get_no_keys() -> None:
    found = derive(KEYS, credentials="machine")
    assert found.public == {"AWS_REGION": "eu-west-1"}
    assert found.secret == {}


def test_jobs_secrets_are_sent_whatever_the_machines_have() -> None:
    found = derive({**KEYS, "TOKEN": "t"}, credentials="machine", secrets=("TOKEN",))
    assert found.secret == {"TOKEN": "t"}


def test_a_secret_of_the_jobs_that_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match="TOKEN"):
        derive(KEYS, secrets=("TOKEN",))


def test_what_the_template_only_names_comes_from_the_environment() -> None:
    named = derive_environment(
        "s3://b",
        SkyPilotOptions(),
        secrets=(),
        template={"envs": {"MODE": None, "B": "1", "C": None}, "secrets": {"HF": None}},
        environment={**KEYS, "HF": "h", "MODE": "fast"},
    )
    assert named.public["MODE"] == "fast"
    assert not {"B", "C"} & named.public.keys()
    assert named.secret["HF"] == "h"


def test_who_wants_to_send_what_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", *KEYS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UserError, match="no credentials of the bucket"):
        derive({}, credentials="environment")


def test_only_known_ways_of_getting_credentials_are_taken() -> None:
    with pytest.raises(UserError, match="environment or machine"):
        SkyPilotOptions(credentials="magic")


@pytest.mark.parametrize("url", ["file:///data/runs", "memory://"])
def test_a_folder_of_this_machine_is_no_bucket_for_others(url: str) -> None:
    with pytest.raises(UserError, match="cannot reach"):
        check_bucket(url, SkyPilotOptions())
    check_bucket(url, SkyPilotOptions(shared_folder=True))
    check_bucket("s3://b/p", SkyPilotOptions())
