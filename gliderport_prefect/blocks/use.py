"""Let this process, and what it starts, use the credentials of a block."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from gliderport_prefect.blocks.loading import open_block
from gliderport_prefect.errors import StoreAccessDenied

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from gliderport_prefect.blocks.opened import OpenedBlock, PrivateFile

_log = logging.getLogger(__name__)


@contextmanager
def use_block(reference: str) -> Generator[OpenedBlock]:
    """Put what the block says into the environment of this process while the context is open.

    The environment belongs to the whole process: two campaigns with different blocks need a process each.

    Args:
        reference: Type and name of the block, such as `aws-credentials/lab`.

    Raises:
        UserError: The block cannot be had or makes no sense.
        StoreAccessDenied: The bucket refuses its credentials; the message names the block.
    """
    opened = open_block(reference)
    if opened.warning:
        _log.warning("block %s: %s", reference, opened.warning)
    with put_into_environment(opened):
        try:
            yield opened
        except StoreAccessDenied as error:
            raise name_block(error, reference) from error


@contextmanager
def put_into_environment(opened: OpenedBlock) -> Generator[None]:
    """Set and remove the variables while the context is open, and keep the file that goes with them."""
    with ExitStack() as stack:
        variables = dict(opened.variables)
        if opened.file is not None:
            variables[opened.file.variable] = stack.enter_context(_written(opened.file))
        stack.callback(_change_environment, {name: os.environ.get(name) for name in variables})
        _change_environment(variables)
        yield


@contextmanager
def _written(file: PrivateFile) -> Generator[str]:
    """Keep the file in a folder of this user, in memory where the system has such a place."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = runtime if runtime and os.access(runtime, os.W_OK | os.X_OK) else None
    with TemporaryDirectory(prefix="gliderport-", dir=place) as folder:
        path = Path(folder, "credentials")
        path.touch(mode=0o600)
        path.write_text(file.content, encoding="utf-8")
        yield str(path)


def name_block(error: StoreAccessDenied, reference: str) -> StoreAccessDenied:
    """Return the error with the name of the block whose credentials were refused."""
    return StoreAccessDenied(f"{error} (these are the credentials of the Prefect block {reference})")


def _change_environment(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
