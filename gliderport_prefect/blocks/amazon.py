"""Blocks of prefect-aws as variables: `AwsCredentials`, `MinIOCredentials`, `S3Bucket`."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from prefect_aws import AwsCredentials, MinIOCredentials, S3Bucket

from gliderport_prefect.blocks.amazon_role import PROFILE, write_profile
from gliderport_prefect.blocks.opened import OpenedBlock, PrivateFile, join_url, plain
from gliderport_prefect.errors import UserError

if TYPE_CHECKING:
    from prefect_aws.client_parameters import AwsClientParameters

# Where else a key could come from, of another source than the block.
_OTHERS: dict[str, str | None] = dict.fromkeys(
    (
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_TOKEN", "AWS_CREDENTIAL_EXPIRATION"),
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    )
)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_SESSION_SECONDS = 3600
"""How long a role is assumed when the block does not say."""


def open_block(block: AwsCredentials | MinIOCredentials | S3Bucket) -> OpenedBlock:
    """Return the variables of the keys that the block has, and the bucket if it is one."""
    if isinstance(block, S3Bucket):
        url = join_url("s3", block.bucket_name, folder=block.bucket_folder)
        return replace(_open_credentials(block.credentials), bucket=url)
    return _open_credentials(block)


def _open_credentials(block: AwsCredentials | MinIOCredentials) -> OpenedBlock:
    """Return the variables of a block of keys; one that holds none leaves what is there."""
    if isinstance(block, MinIOCredentials):
        _refuse_aws(block)
        opened = _keys(block.minio_root_user, plain(block.minio_root_password))
    elif block.assume_role_arn:
        opened = _keep_role(block)
    elif block.aws_access_key_id:
        opened = _keys(block.aws_access_key_id, plain(block.aws_secret_access_key), token=block.aws_session_token)
    else:
        opened = OpenedBlock({**_OTHERS, "AWS_PROFILE": block.profile_name} if block.profile_name else {})
    place = _place(block.aws_client_parameters, region=block.region_name)
    return replace(opened, variables={**opened.variables, **place})


def _keys(key: str, secret: str, *, token: str | None = None) -> OpenedBlock:
    if not secret:
        raise UserError("the block has an access key without its secret", key="credentials", hint="give it both")
    return OpenedBlock(
        {**_OTHERS, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token or None}
    )


def _refuse_aws(block: MinIOCredentials) -> None:
    """Send nobody's password to AWS."""
    if not (block.aws_client_parameters.endpoint_url or any(map(os.environ.get, _ENDPOINTS))):
        raise UserError(
            "it does not say where the server is",
            key="credentials",
            hint="give the block's client parameters an endpoint_url",
        )


def _keep_role(block: AwsCredentials) -> OpenedBlock:
    """Let AWS's own library assume the role again and again; where it cannot be told how, assume it once."""
    config = write_profile(block, os.environ)
    if config is None:
        return _assume_role(block)
    return OpenedBlock({**_OTHERS, "AWS_PROFILE": PROFILE}, file=PrivateFile("AWS_CONFIG_FILE", config))


def _assume_role(block: AwsCredentials) -> OpenedBlock:
    """Assume the role now; AWS takes its keys back after the session's time, which the block cannot prevent."""
    given = block.assume_role_kwargs.get_params_override()
    ends = datetime.now(UTC) + timedelta(seconds=int(given.get("DurationSeconds", _SESSION_SECONDS)))
    botocore_exceptions = import_module("botocore.exceptions")
    try:
        session: Any = block.get_boto3_session()
        frozen = session.get_credentials().get_frozen_credentials()
    except (botocore_exceptions.BotoCoreError, botocore_exceptions.ClientError) as error:
        raise UserError(f"the role {block.assume_role_arn} cannot be assumed: {error}", key="credentials") from error
    opened = _keys(frozen.access_key, frozen.secret_key, token=frozen.token)
    warning = (
        f"the role {block.assume_role_arn} is assumed until {ends:%Y-%m-%d %H:%M} UTC; then the campaign stops and "
        "`gliderport resume` goes on. For a longer run give the machines the role itself"
    )
    return OpenedBlock({**opened.variables, "AWS_CREDENTIAL_EXPIRATION": ends.isoformat()}, warning=warning)


def _place(parameters: AwsClientParameters, *, region: str | None) -> dict[str, str | None]:
    if not parameters.verify and parameters.verify is not None:
        raise UserError("the block says not to verify certificates, which is not done here", key="credentials")
    if parameters.verify_cert_path is not None:
        raise UserError(
            "the block has a certificate file of its own, which is not read here",
            key="credentials",
            hint="add the certificate to those that the system trusts",
        )
    place: dict[str, str | None] = {}
    if parameters.endpoint_url:
        place["AWS_ENDPOINT_URL_S3"] = parameters.endpoint_url
    if region:
        place |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    return place
