"""What a campaign says of the SkyPilot site, and what its workers get of the launcher's environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from gliderport_prefect.errors import UserError
from gliderport_prefect.store.environment import bucket_environment, pick_secrets

_CREDENTIALS = ("environment", "machine")


@dataclass(frozen=True)
class SkyPilotOptions:
    """What workers on SkyPilot's machines get."""

    credentials: str | None = None
    """Where workers take the bucket's credentials from: `environment` sends those of the launcher as SkyPilot secrets,
    `machine` sends none and relies on the machine's role; by default the launcher's are sent when it has any."""
    scratch: str | None = None
    """Folder for the jobs on the machine; a local disk is looked for when not given."""
    shared_folder: bool = False
    """Whether a bucket that is a folder is on a file system that all machines share."""

    def __post_init__(self) -> None:
        """Refuse what is no choice.

        Raises:
            UserError: A value makes no sense.
        """
        if self.credentials not in {None, *_CREDENTIALS}:
            raise UserError(
                f"expected {' or '.join(_CREDENTIALS)}, got {self.credentials!r:.80}", key="site_options.credentials"
            )


@dataclass(frozen=True)
class WorkerEnvironment:
    """What a worker on another machine gets of this one's environment."""

    public: dict[str, str] = field(default_factory=dict[str, str])
    """What anybody may see."""
    secret: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """What nobody may see."""


def check_bucket(url: str, options: SkyPilotOptions) -> None:
    """Refuse a bucket that machines elsewhere cannot reach.

    Raises:
        UserError: It is a folder of this machine.
    """
    if url.startswith(("file://", "memory://")) and not options.shared_folder:
        raise UserError(
            f"workers on other machines cannot reach {url}",
            key="bucket",
            hint="name a bucket such as s3://bucket/prefix; or, for a file system that all machines share, set "
            "site_options: {shared_folder: true}",
        )


def derive_environment(
    url: str,
    options: SkyPilotOptions,
    *,
    secrets: Iterable[str],
    template: Mapping[str, Any],
    environment: Mapping[str, str],
) -> WorkerEnvironment:
    """Return what the workers of a campaign get.

    Args:
        url: The runtime bucket.
        options: What the campaign says.
        secrets: Names of the variables that its jobs' `secrets` are.
        template: The sky template; its variables and secrets without a value have the one of this process, if any.
        environment: Variables of this process.

    Raises:
        UserError: Credentials or a secret are missing or have expired.
    """
    wanted = {**_take_unset(template.get("secrets"), environment), **pick_secrets(secrets, environment)}
    found = bucket_environment(url, environment)
    public = {**_take_unset(template.get("envs"), environment), **found.public}
    if options.credentials == "machine":
        return WorkerEnvironment(public, wanted)
    if options.credentials == "environment" and not found.secret:
        raise UserError(
            "there are no credentials of the bucket here that could be sent to workers",
            key="site_options.credentials",
            hint="set them in the environment, or rely on the machines' role: credentials: machine",
        )
    return WorkerEnvironment(public, {**found.secret, **wanted})


def _take_unset(written: object, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment has of the names that stand without a value."""
    if not isinstance(written, Mapping):
        return {}
    unset = [str(name) for name, value in cast("Mapping[object, object]", written).items() if value is None]
    return {name: environment[name] for name in unset if name in environment}
