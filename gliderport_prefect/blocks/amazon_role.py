"""A role that a block assumes, as a profile of AWS's own configuration file.

Keys of an assumed role last an hour; boto3 renews those of a profile by itself, for the launcher and for workers of
this machine alike. The file holds the block's key, so it is private and is deleted with the end of the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gliderport_prefect.blocks.opened import plain
from gliderport_prefect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_aws import AwsCredentials

PROFILE = "gliderport-role"
"""Name of the profile."""
_SOURCE = "gliderport-role-source"
_KEYS = {"DurationSeconds": "duration_seconds", "ExternalId": "external_id", "RoleSessionName": "role_session_name"}
"""What a profile can say of the arguments of `AssumeRole`."""


def write_profile(block: AwsCredentials, environment: Mapping[str, str]) -> str | None:
    """Return the text of a configuration file with the profile, after what the user's own file says.

    None when a profile cannot say what the block does: further arguments, or a key that is not the block's own.
    """
    arguments = block.assume_role_kwargs.get_params_override()
    if not arguments.keys() <= _KEYS.keys() or not (block.aws_access_key_id or block.profile_name):
        return None
    role = {"role_arn": block.assume_role_arn, **{_KEYS[name]: value for name, value in arguments.items()}}
    if block.region_name:
        role["region"] = block.region_name
    if not block.aws_access_key_id:
        return _read_own(environment) + _section(PROFILE, {**role, "source_profile": block.profile_name})
    source = {
        "aws_access_key_id": block.aws_access_key_id,
        "aws_secret_access_key": plain(block.aws_secret_access_key),
        **({"aws_session_token": block.aws_session_token} if block.aws_session_token else {}),
    }
    return _section(_SOURCE, source) + _section(PROFILE, {**role, "source_profile": _SOURCE})


def _read_own(environment: Mapping[str, str]) -> str:
    path = Path(environment.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    try:
        return path.read_text(encoding="utf-8") + "\n"
    except OSError:
        return ""


def _section(name: str, settings: Mapping[str, object]) -> str:
    lines = [f"{key} = {value}" for key, value in settings.items()]
    if any("\n" in line for line in lines):
        raise UserError("a field of the block has a line break", key="credentials", hint="remove it")
    return "\n".join([f"[profile {name}]", *lines, ""])
