"""What a block says, in the form in which the rest of the program takes it: variables of the environment."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class OpenedBlock:
    """The variables that a block stands for."""

    variables: dict[str, str | None] = field(default_factory=dict[str, str | None], repr=False)
    """What is to be set, and what is to be removed (none) so that nothing of two sources is mixed."""
    bucket: str | None = None
    """The bucket that the block names, as a URL; none when it holds credentials only."""
    warning: str = ""
    """What a person should know before a long campaign begins; empty when there is nothing."""


def plain(secret: object) -> str:
    """Return the text that a Pydantic secret, or a plain value, holds; empty when there is none."""
    if secret is None:
        return ""
    reveal = getattr(secret, "get_secret_value", None)
    return str(secret if reveal is None else reveal())


def join_url(scheme: str, bucket: str, *, folder: str | None) -> str:
    """Return the URL of a folder in a bucket."""
    return f"{scheme}://{bucket}/{(folder or '').strip('/')}".rstrip("/")
