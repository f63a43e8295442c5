"""What a process on another machine needs in its environment to open a bucket as this one does.

`open_store` finds credentials in the environment, in files and in the role of the machine. Only the first can be sent,
so what lies in files here becomes variables there. What is found nowhere is not sent: the other machine's own role is
used, which is better anyway, because it never expires and no key leaves this machine.

The names are those that obstore 0.12 reads. Roles and tokens that belong to this machine stay here:
`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_CONTAINER_…`, `AZURE_FEDERATED_TOKEN_FILE`.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from gliderport_prefect.errors import UserError
from gliderport_prefect.store.cloud import ENVIRONMENT_CREDENTIALS, read_aws_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_BETTER = "give the machines a role (instance profile, service account, managed identity) that may use the bucket"

_S3_KEY = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_S3_ENCRYPTION = ("AWS_SSE_CUSTOMER_KEY_BASE64",)
_S3_PUBLIC = (
    *("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_S3_EXPRESS", "AWS_SKIP_SIGNATURE"),
    *("AWS_UNSIGNED_PAYLOAD", "AWS_CHECKSUM_ALGORITHM", "AWS_REQUEST_PAYER"),
    *("AWS_SERVER_SIDE_ENCRYPTION", "AWS_SSE_KMS_KEY_ID", "AWS_SSE_BUCKET_KEY_ENABLED"),
    *("AWS_DISABLE_TAGGING", "AWS_DISABLE_BULK_DELETE"),
)
_ROLES_OF_THIS_MACHINE = ("iam-role", "container-role", "assume-role-with-web-identity")
"""Methods by which botocore found what only this machine may use."""

_GCS_KEY = "GOOGLE_SERVICE_ACCOUNT_KEY"
_GCS_SECRET = (_GCS_KEY, "GOOGLE_BEARER_TOKEN")
_GCS_PUBLIC = ("GOOGLE_BASE_URL", "GOOGLE_SKIP_SIGNATURE")
_GCS_FILES = (
    *("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "SERVICE_ACCOUNT"),
    "GOOGLE_APPLICATION_CREDENTIALS",
)
_GCLOUD_LOGIN = ".config/gcloud/application_default_credentials.json"

_AZURE_SAS = ("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN")
_AZURE_SECRET = (
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY", *_AZURE_SAS),
    *("AZURE_STORAGE_CLIENT_SECRET", "AZURE_CLIENT_SECRET", "AZURE_STORAGE_TOKEN", "AZURE_ENCRYPTION_KEY"),
    "AZURE_FABRIC_SESSION_TOKEN",
)
_AZURE_WHO = (
    *("AZURE_STORAGE_CLIENT_ID", "AZURE_CLIENT_ID", "AZURE_OBJECT_ID", "AZURE_MSI_RESOURCE_ID"),
    *("AZURE_STORAGE_TENANT_ID", "AZURE_STORAGE_AUTHORITY_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_ID"),
)
_AZURE_PUBLIC = (
    *("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_STORAGE_USE_EMULATOR"),
    *("AZURE_STORAGE_AUTHORITY_HOST", "AZURE_AUTHORITY_HOST", "AZURE_CREDENTIAL_TYPE", "AZURE_SKIP_SIGNATURE"),
    *("AZURE_DISABLE_TAGGING", "AZURE_USE_FABRIC_ENDPOINT", "AZURE_FABRIC_TOKEN_SERVICE_URL"),
    *("AZURE_FABRIC_WORKLOAD_HOST", "AZURE_FABRIC_CLUSTER_IDENTIFIER"),
)


@dataclass(frozen=True)
class BucketEnvironment:
    """Variables with which `open_store` opens one bucket on another machine."""

    public: dict[str, str] = field(default_factory=dict[str, str])
    """What anybody may see: endpoint, region, account, switches."""
    secret: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """What nobody may see; empty when the other machine is to use its own role."""
    expires_at: datetime | None = None
    """When the secret is worth nothing any more, as far as it can be known; none when it does not expire."""
    warning: str = ""
    """What a person should know before a long campaign begins; empty when there is nothing."""


def bucket_environment(url: str, environment: Mapping[str, str], *, now: datetime | None = None) -> BucketEnvironment:
    """Return the variables that a process on another machine needs to open the bucket.

    Args:
        url: The bucket, as `open_store` takes it. A folder needs nothing.
        environment: Variables of this process. AWS profiles are read by boto3, which takes the places of its files
            from the process itself.
        now: The present moment; the clock's when not given.

    Raises:
        UserError: The credentials have expired, or a file that holds them cannot be read.
    """
    kinds: dict[str, Callable[[Mapping[str, str]], BucketEnvironment]] = {
        **dict.fromkeys(("s3", "s3a"), _s3),
        **dict.fromkeys(("gs", "gcs"), _gcs),
        **dict.fromkeys(("az", "azure", "abfs", "abfss"), _azure),
    }
    kind = kinds.get(url.partition("://")[0].lower() if "://" in url else "")
    found = BucketEnvironment() if kind is None else kind(environment)
    if found.expires_at is None:
        return found
    return _with_expiry(found, found.expires_at, now=now or datetime.now(timezone.utc))


def pick_secrets(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the variables that jobs name as their `secrets`.

    Raises:
        UserError: One has no value here.
    """
    wanted = sorted(set(names))
    missing = [name for name in wanted if name not in environment]
    if missing:
        raise UserError(
            f"jobs of the campaign need {', '.join(missing)}, which the environment does not have",
            key="secrets",
            hint="set it where you start or resume the campaign: " + "; ".join(f"export {name}=…" for name in missing),
        )
    return {name: environment[name] for name in wanted}


def _with_expiry(found: BucketEnvironment, expires_at: datetime, *, now: datetime) -> BucketEnvironment:
    moment = expires_at.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    if expires_at <= now:
        raise UserError(f"the bucket's credentials expired at {moment}", hint=f"get new ones, or {_BETTER}")
    warning = f"the bucket's credentials expire at {moment}; workers lose the bucket then. For a longer run {_BETTER}"
    return BucketEnvironment(found.public, found.secret, expires_at, warning)


def _take(environment: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: environment[name] for name in names if environment.get(name)}


# --- S3 ---------------------------------------------------------------------------------------------------------


def _s3(environment: Mapping[str, str]) -> BucketEnvironment:
    public, encryption = _take(environment, _S3_PUBLIC), _take(environment, _S3_ENCRYPTION)
    if public.get("AWS_SKIP_SIGNATURE", "").lower() == "true":
        return BucketEnvironment(public, encryption)
    if environment.get("AWS_ACCESS_KEY_ID"):
        return _s3_from_variables(public, encryption, environment=environment)
    if any(environment.get(name) for name in ENVIRONMENT_CREDENTIALS):
        return BucketEnvironment(public, encryption)
    return _s3_from_profile(public, encryption, profile=environment.get("AWS_PROFILE"))


def _s3_from_variables(
    public: dict[str, str], secret: dict[str, str], *, environment: Mapping[str, str]
) -> BucketEnvironment:
    secret |= _take(environment, _S3_KEY)
    if environment.get("AWS_TOKEN"):
        secret.setdefault("AWS_SESSION_TOKEN", environment["AWS_TOKEN"])
    if "AWS_SESSION_TOKEN" not in secret:
        return BucketEnvironment(public, secret)
    expires_at = _read_time(environment.get("AWS_CREDENTIAL_EXPIRATION", ""))
    if expires_at is not None:
        return BucketEnvironment(public, secret, expires_at)
    warning = (
        "AWS_SESSION_TOKEN is set, so the bucket's credentials expire, at a time that the environment does not tell; "
        f"workers lose the bucket then. For a run of more than an hour {_BETTER}"
    )
    return BucketEnvironment(public, secret, warning=warning)


def _s3_from_profile(public: dict[str, str], secret: dict[str, str], *, profile: str | None) -> BucketEnvironment:
    """Freeze what boto3 finds in `~/.aws`: keys, a role to be assumed, or the login of a person."""
    provider: Any = read_aws_profile(profile)
    if provider is None or provider.credentials.method in _ROLES_OF_THIS_MACHINE:
        return BucketEnvironment(public, secret)
    if region := provider.config.get("region"):
        public.setdefault("AWS_REGION", region)
    botocore_exceptions = importlib.import_module("botocore.exceptions")
    try:
        frozen = provider.credentials.get_frozen_credentials()
    except (botocore_exceptions.BotoCoreError, botocore_exceptions.ClientError) as error:
        named = f"profile {profile!r}" if profile else "default profile"
        login = f"aws sso login --profile {profile}" if profile else "aws sso login"
        raise UserError(f"the AWS {named} gives no credentials: {error}", hint=f"log in again: {login}") from error
    secret |= {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
    if frozen.token:
        secret["AWS_SESSION_TOKEN"] = frozen.token
    # botocore has no public name for it; AWS's own command line reads it so.
    expires_at: datetime | None = getattr(provider.credentials, "_expiry_time", None)
    return BucketEnvironment(public, secret, expires_at)


# --- Google Cloud Storage ---------------------------------------------------------------------------------------


def _gcs(environment: Mapping[str, str]) -> BucketEnvironment:
    public, secret = _take(environment, _GCS_PUBLIC), _take(environment, _GCS_SECRET)
    if public.get("GOOGLE_SKIP_SIGNATURE", "").lower() == "true":
        return BucketEnvironment(public)
    if secret:
        warning = (
            ""
            if _GCS_KEY in secret
            else f"GOOGLE_BEARER_TOKEN expires within the hour; workers lose the bucket then. {_BETTER.capitalize()}"
        )
        return BucketEnvironment(public, secret, warning=warning)
    named = next((name for name in _GCS_FILES if environment.get(name)), None)
    if named is not None:
        return _gcs_from_file(public, Path(environment[named]), named=named)
    login = Path(environment.get("HOME") or Path.home()) / _GCLOUD_LOGIN
    return _gcs_from_file(public, login, named=str(login)) if login.is_file() else BucketEnvironment(public)


def _gcs_from_file(public: dict[str, str], file: Path, *, named: str) -> BucketEnvironment:
    """Turn the file of a service account into a variable; the login of a person cannot be one."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        is_key = "private_key" in content
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{file} cannot be read: {error}", key=named, hint="name the key of a service account"
        ) from error
    if is_key:
        return BucketEnvironment(public, {_GCS_KEY: json.dumps(content)})
    warning = (
        f"{named} holds a login that stays on this machine; workers elsewhere use the service account of their own "
        "machine, which must be allowed to use the bucket"
    )
    return BucketEnvironment(public, warning=warning)


# --- Azure ------------------------------------------------------------------------------------------------------


def _azure(environment: Mapping[str, str]) -> BucketEnvironment:
    public, secret = _take(environment, _AZURE_PUBLIC), _take(environment, _AZURE_SECRET)
    # An identity that goes with this machine's token file would only mislead another machine's own.
    if not environment.get("AZURE_FEDERATED_TOKEN_FILE") or secret:
        public |= _take(environment, _AZURE_WHO)
    warning = ""
    if "AZURE_STORAGE_TOKEN" in secret:
        warning = f"AZURE_STORAGE_TOKEN expires within hours; workers lose the bucket then. {_BETTER.capitalize()}"
    elif not secret and environment.get("AZURE_USE_AZURE_CLI", "").lower() == "true":
        warning = f"the login of 'az' stays on this machine: {_BETTER}"
    signature = next((secret[name] for name in _AZURE_SAS if name in secret), "")
    ends = parse_qs(signature.lstrip("?")).get("se", [""])[0]
    return BucketEnvironment(public, secret, _read_time(ends), warning)


def _read_time(text: str) -> datetime | None:
    """Return the moment that ISO 8601 text names, UTC unless it says otherwise; none when it is no such text."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
