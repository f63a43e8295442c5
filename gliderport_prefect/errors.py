"""Every exception that Gliderport raises on purpose.

Below a shell (the command line, a flow, the worker's main) these are raised
and never logged; the shell prints the message without a traceback. A failed
command of a job is data, not an exception, and has no place here.

    GliderportError
    ├── UserError              a person's mistake: names file, line and key
    │   └── UserErrors         several of them, found before anything was done
    ├── StoreError             the bucket did not do what was asked
    │   ├── StoreUnreachable   no answer within the deadline; the only transient one
    │   ├── StoreAccessDenied  the credentials are missing, wrong or too weak
    │   ├── StoreNotFound      no such bucket or folder
    │   ├── StoreKeyMissing    no such object, though the caller needs it
    │   ├── StoreKeyInvalid    a key that not every store can hold
    │   ├── StoreUnsafe        create-only puts do not hold: never run there
    │   └── StoreFull          no space, or a quota is used up
    ├── Superseded             a launcher of a higher epoch drives the campaign
    ├── SiteError              the place where workers run cannot start or stop them
    ├── Stuck                  a campaign cannot go on by itself
    │   └── BudgetReached      it has cost what it may cost
    └── ProtocolError          a record that cannot be read, or of a newer protocol

A message says what happened, to which job, key, worker or file, and what to
do about it. All of them survive pickling, because Prefect stores them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class GliderportError(Exception):
    """Something went wrong that the message explains in full."""


class UserError(GliderportError):
    """A person's input is wrong, and the message says where and how to mend it.

    Attributes:
        message: What is wrong, as a sentence without the place.
        file: The file that contains the mistake.
        line: The line in that file, counted from 1.
        key: The dotted path of the field, for example `resources.cpus`.
        hint: What to do about it, for example the nearest right name.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep the parts; `str()` joins them."""
        super().__init__(message)
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        self.key = key
        self.hint = hint

    def __str__(self) -> str:
        """Say `file:line: key: message`, and the hint on a line of its own."""
        text = ": ".join(part for part in (self.place, self.key, self.message) if part)
        return f"{text}\n  {self.hint}" if self.hint else text

    @property
    def place(self) -> str:
        """Name the file and line as editors and compilers do; empty when unknown."""
        if self.file is None:
            return "" if self.line is None else f"line {self.line}"
        return self.file if self.line is None else f"{self.file}:{self.line}"


class UserErrors(UserError):
    """Several mistakes that were found in one look.

    Attributes:
        problems: The first of them.
        more: How many there are besides.
    """

    def __init__(self, problems: Sequence[UserError], more: int = 0) -> None:
        """Keep the mistakes; `str()` shows them one below the other."""
        super().__init__(f"{len(problems) + more} mistakes")
        self.problems = tuple(problems)
        self.more = more
        # What pickle calls the class with.
        self.args = (self.problems, more)

    def __str__(self) -> str:
        """Show each mistake, and how many more there are."""
        shown = [str(problem) for problem in self.problems]
        return "\n".join([*shown, f"… and {self.more} more"] if self.more else shown)


class StoreError(GliderportError):
    """The bucket or folder did not do what was asked of it."""


class StoreUnreachable(StoreError):
    """The store gave no usable answer within the deadline; trying later may help."""


class StoreAccessDenied(StoreError):
    """The store refuses these credentials, or they may not do this."""


class StoreNotFound(StoreError):
    """The bucket, container or folder does not exist."""


class StoreKeyMissing(StoreError):
    """An object that the caller cannot do without does not exist."""


class StoreKeyInvalid(StoreError):
    """A key that not every store can hold was about to be used."""


class StoreUnsafe(StoreError):
    """A second create of one key succeeded, so two launchers could both win."""


class StoreFull(StoreError):
    """The disk has no space left, or the bucket's quota is used up."""


class Superseded(GliderportError):
    """A launcher of a higher epoch drives this campaign; this one stops."""


class ProtocolError(GliderportError):
    """A record cannot be read, or is written in a newer protocol than ours."""


class SiteError(GliderportError):
    """The place where workers run cannot start or stop them, and says why."""


class Stuck(GliderportError):
    """A campaign cannot go on by itself, and the message says what it waits for."""


class BudgetReached(Stuck):
    """A campaign has cost what it may cost, and the message says how to raise that."""
