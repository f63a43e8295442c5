"""What a block says, in the form in which the rest of the program takes it: variables of the environment."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PrivateFile:
    """A file that only this user can read, and that is there no longer than the block is used."""

    variable: str
    """The variable that is to name it."""
    content: str = field(repr=False)
    """What is in it."""


@dataclass(frozen=True)
class OpenedBlock:
    """The variables that a block stands for."""

    variables: dict[str, str | None] = field(default_factory=dict[str, str | None], repr=False)
    """What is to be set, and what is to be removed (none) so that nothing of two sources is mixed."""
    file: PrivateFile | None = field(default=None, repr=False)
    """A file that goes with them; none when variables say all."""
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
