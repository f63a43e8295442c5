"""What our log says that a person at a terminal should know: troubles, and what a site does for minutes."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gliderport_prefect.board.wording import make_printable
from gliderport_prefect.cli.defects import is_debug

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_OURS = "gliderport_prefect"
_SITES = "gliderport_prefect.sites"


@contextmanager
def show_log(say: Callable[[str], None]) -> Generator[None]:
    """Hand warnings, and whatever sites tell, to `say`; those who debug see all of the log already."""
    if is_debug():
        yield
        return
    ours, shown = logging.getLogger(_OURS), _Shown(say)
    level, propagates = ours.level, ours.propagate
    ours.addHandler(shown)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    try:
        yield
    finally:
        ours.removeHandler(shown)
        ours.setLevel(level)
        ours.propagate = propagates


class _Shown(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith(_SITES))

    def emit(self, record: logging.LogRecord) -> None:
        self._say(make_printable(record.getMessage()))
