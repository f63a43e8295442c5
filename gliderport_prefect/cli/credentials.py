"""`--credentials`: the Prefect block that opens the bucket. Prefect is imported only when one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gliderport_prefect.blocks.opened import OpenedBlock
    from gliderport_prefect.errors import StoreAccessDenied

Command = Any

VARIABLE = "GLIDERPORT_CREDENTIALS"
"""Environment variable that names the block."""
_NAME, _OPENED = f"{__name__}.name", f"{__name__}.opened"


def credentials_option(command: Command) -> Command:
    """Add `--credentials`, which takes effect before anything else is read."""
    return click.option(
        "--credentials",
        metavar="TYPE/NAME",
        envvar=VARIABLE,
        is_eager=True,
        expose_value=False,
        callback=_take,
        help=f"Prefect block that opens the bucket, such as aws-credentials/lab.  [env: {VARIABLE}]",
    )(command)


def use_credentials(reference: str) -> None:
    """Let the command use the credentials of the block to its end, unless it uses some already."""
    context = click.get_current_context().find_root()
    if _NAME not in context.meta:
        from gliderport_prefect.blocks import use_block

        context.meta[_OPENED] = context.with_resource(use_block(reference))
        context.meta[_NAME] = reference


def used_credentials() -> str | None:
    """Return the block whose credentials the command uses."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_NAME)


def bucket_of_block() -> str | None:
    """Return the bucket that the block names, if it is one that does."""
    opened: OpenedBlock | None = click.get_current_context().meta.get(_OPENED)
    return None if opened is None else opened.bucket


def blame_block(error: StoreAccessDenied, context: click.Context) -> StoreAccessDenied:
    """Return the error, with the name of the block whose credentials the bucket refused if there was one."""
    reference: str | None = context.meta.get(_NAME)
    if reference is None:
        return error
    from gliderport_prefect.blocks.use import name_block

    return name_block(error, reference)


def _take(context: click.Context, option: click.Parameter, value: str | None) -> None:  # noqa: PLR0917 - click's signature
    del option
    if value and not context.resilient_parsing:
        use_credentials(value)
