"""A site that is asked in the background, for a loop that must not wait for it.

To ask a cloud what is there takes seconds, to start a worker a minute. `Watched` answers at once with what it saw last
and hands on what it is told. A site that cannot be asked stays as it was seen last; what cannot be started is tried
again, with growing pauses. Nothing is decided here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gliderport_prefect.campaign.runtime import Clock
from gliderport_prefect.errors import SiteError, UserError
from gliderport_prefect.sites.seam import Market, SiteWorker, WorkerState
from gliderport_prefect.sites.tries import Tries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gliderport_prefect.errors import GliderportError
    from gliderport_prefect.protocol.ids import WorkerName
    from gliderport_prefect.protocol.resources import Offer
    from gliderport_prefect.sites.seam import Quote, Site

_LONGEST_LOOK_PAUSE = 120.0
"""Seconds between two looks at a site that does not answer, at most."""
_FIRST_START_PAUSE = 10.0
_LONGEST_START_PAUSE = 600.0
"""Seconds before the first and, at most, before a later try to start what could not be started."""
_NO_START = "workers cannot be started"
_REFUSALS = 3
"""So many refusals in a row are final."""


@dataclass
class _Asked:
    """A worker that is to be started."""

    market: Market | None
    is_under_way: bool = False
    """Whether the site is being told."""
    was_started: bool = False
    """Whether the site has taken it; it is shown until a look has seen what became of it."""
    is_unwanted: bool = False
    """Whether it is to be ended as soon as it has been started."""


class Watched:
    """A site whose workers are started, listed and ended by threads of its own.

    Without threads, as long as it is not opened, `turn` does what they would do.
    """

    def __init__(self, site: Site, *, every: float = 2.0, clock: Clock | None = None) -> None:
        """Describe it; nothing is asked and no thread started.

        Args:
            site: The site.
            every: Seconds between two looks at it.
            clock: Time.
        """
        self._site, self._every, self._clock = site, every, clock or Clock()
        self._lock = threading.Lock()  # of what is remembered; never held while the site is asked
        self._asking = threading.Lock()  # held while the site starts or lists
        self._starting = threading.Lock()  # held while it starts
        self._bell, self._stop_bell, self._is_closed = threading.Event(), threading.Event(), threading.Event()
        self._known: list[SiteWorker] | None = None
        self._terms: tuple[Offer, Quote] | None = None
        self._asked: dict[WorkerName, _Asked] = {}
        self._dismissed: dict[WorkerName, None] = {}
        self._handed: dict[WorkerName, Market | None] = {}  # whom the site was told to start, and nobody sent away
        self._looks = Tries(every, _LONGEST_LOOK_PAUSE)
        markets = (None, *Market)  # one may be sold out while the other is not
        self._starts = {market: Tries(_FIRST_START_PAUSE, _LONGEST_START_PAUSE) for market in markets}
        self._stops = Tries(_FIRST_START_PAUSE, _LONGEST_START_PAUSE)
        self._defect: Exception | None = None

    def open(self) -> Self:
        """Start the threads."""
        for name, turn, bell in (("site", self.turn, self._bell), ("site-stop", self.stop_turn, self._stop_bell)):
            threading.Thread(target=self._run, args=(turn, bell), name=name, daemon=True).start()
        return self

    def close(self) -> None:
        """Start nothing more, and return when no start is under way; what runs at the site goes on."""
        self._is_closed.set()
        with self._lock:
            self._asked.clear()
            self._handed.clear()
        self._bell.set()
        self._stop_bell.set()
        with self._starting:  # whoever proves afterwards that nothing is left must not be too early
            self._site.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what is known ------------------------------------------------------------------------------------------

    @property
    def is_known(self) -> bool:
        """Whether the site has been asked once what is there; before that, nobody should start anything."""
        return self._defect is not None or (self._known is not None and self._terms is not None)

    @property
    def asked(self) -> int:
        """How many workers have been asked for and not been taken by the site yet."""
        with self._lock:
            return sum(len(names) for names in self._waiting().values())

    @property
    def is_taken(self) -> bool:
        """Whether any worker is there, or has been taken on by the site."""
        with self._lock:
            return any(each.state is not WorkerState.GONE for each in self._known or []) or any(
                each.was_started for each in self._asked.values()
            )

    @property
    def trouble(self) -> str:
        """Why the site cannot be asked, or cannot start or end workers; empty while it can."""
        return "; ".join(each.trouble for each in self._all_tries() if each.trouble)

    @property
    def refusal(self) -> str:
        """Why the site will never do what it is asked, and a person has to mend something; empty while it may."""
        return next((each.trouble for each in self._all_tries() if each.refusals >= _REFUSALS), "")

    @property
    def offer(self) -> Offer:
        """What a new worker will have."""
        return self._read_terms()[0]

    @property
    def quote(self) -> Quote:
        """What a new worker costs."""
        return self._read_terms()[1]

    def list_workers(self) -> list[SiteWorker]:
        """Return what was there at the last look, and what has been asked for since; the first time it looks.

        Raises:
            SiteError: The site has never been asked and cannot be asked.
        """
        if self._defect is not None:
            raise self._defect
        if self._known is None:
            with self._asking:
                if self._known is None:
                    self._look()
        with self._lock:
            known = {each.name: each for each in self._known or []}
            coming = [
                SiteWorker(name, WorkerState.STARTING, reason=self._starts[each.market].trouble)
                for name, each in self._asked.items()
            ]
        return [*known.values(), *(each for each in coming if each.name not in known)]

    # --- what is asked for --------------------------------------------------------------------------------------

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:
        """Start workers under these names soon, and return at once."""
        with self._lock:
            known = {each.name for each in self._known or []}
            self._asked.update({name: _Asked(market) for name in names if name not in known})
        self._bell.set()

    def dismiss(self, names: Sequence[WorkerName]) -> None:
        """Let these workers be ended soon, and return at once."""
        with self._lock:
            for name in names:
                self._handed.pop(name, None)
                asked = self._asked.get(name)
                if asked is not None and asked.is_under_way:
                    asked.is_unwanted = True
                elif asked is None or self._asked.pop(name).was_started:
                    self._dismissed[name] = None
        self._stop_bell.set()

    def stop(self, names: Sequence[WorkerName]) -> None:
        """End these workers and return when they have ended.

        Raises:
            SiteError: The site cannot end them, or cannot be asked.
        """
        with self._lock:
            for name in names:
                self._asked.pop(name, None)
                self._handed.pop(name, None)
        with self._asking:
            self._site.stop(names)
            self._look()

    def forget(self) -> None:
        """Drop what the site keeps of the campaign."""
        with self._lock:
            self._asked.clear()
            self._handed.clear()
        with self._asking:
            self._site.forget()
            self._look()

    # --- what the threads do ------------------------------------------------------------------------------------

    def turn(self) -> float:
        """Start and look, as far as it is due, and return in how many seconds something is due again."""
        with self._asking:
            has_tried = self._start_asked()
            if has_tried or self._clock.monotonic() >= self._looks.due_at:
                self._try(self._looks, self._look, said="the site cannot be asked what is there")
        with self._lock:
            dues = [self._looks.due_at, *(self._starts[market].due_at for market in self._waiting())]
        return max(0.0, min(dues) - self._clock.monotonic())

    def stop_turn(self) -> float:
        """End whom nobody needs any more, and return in how many seconds to try again."""
        with self._lock:
            names = list(self._dismissed)
        if not names:
            return _LONGEST_START_PAUSE
        if self._clock.monotonic() >= self._stops.due_at and self._try(
            self._stops, lambda: self._site.stop(names), said="workers that nobody needs cannot be ended"
        ):
            with self._lock:
                for name in names:
                    self._dismissed.pop(name, None)
            self._look_soon()
            return 0.0
        return max(0.0, self._stops.due_at - self._clock.monotonic())

    def _run(self, turn: Callable[[], float], bell: threading.Event) -> None:
        while not self._is_closed.is_set():
            try:
                seconds = turn()
            except Exception as error:  # noqa: BLE001 - whoever asks next is told; a silent thread would be a trap
                self._defect = error
                return
            bell.wait(seconds)
            bell.clear()

    def _start_asked(self) -> bool:
        """Hand on what is to be started and say whether there was anything."""
        now = self._clock.monotonic()
        with self._lock:
            due = {market: names for market, names in self._waiting().items() if now >= self._starts[market].due_at}
        for market, names in due.items():
            said = _NO_START
            self._try(self._starts[market], lambda n=names, m=market: self._start(n, m), said=said)
        return bool(due)

    def _start(self, names: list[WorkerName], market: Market | None, /) -> None:
        with self._starting:
            with self._lock:
                asked = {name: self._asked[name] for name in names if name in self._asked}
                for name, each in asked.items():
                    each.is_under_way = True
                    self._handed[name] = each.market
            try:
                if asked:
                    self._site.start(list(asked), market=market)
            except BaseException:
                self._note_started(asked, was_started=False)
                raise
            self._note_started(asked, was_started=True)

    def _note_started(self, asked: dict[WorkerName, _Asked], *, was_started: bool) -> None:
        """Note what became of a start; whom nobody wants any more is ended, even if the start failed half-way."""
        with self._lock:
            for name, each in asked.items():
                each.is_under_way, each.was_started = False, was_started
                if each.is_unwanted:
                    self._asked.pop(name, None)
                    self._dismissed[name] = None
        self._stop_bell.set()

    def _waiting(self) -> dict[Market | None, list[WorkerName]]:
        """Return the names that the site has not taken yet, by market."""
        waiting: dict[Market | None, list[WorkerName]] = {}
        for name, each in self._asked.items():
            if not each.was_started:
                waiting.setdefault(each.market, []).append(name)
        return waiting

    def _look(self) -> None:
        """Ask the site what is there, and drop what was asked for and has been seen or is not there after all.

        Raises:
            SiteError: It cannot be asked.
        """
        if self._terms is None:
            self._terms = (self._site.offer, self._site.quote)
        found = self._site.list_workers()
        refused = {each.name: each.refused for each in found if each.refused is not None}
        found = [each for each in found if each.name not in refused]
        present = {each.name for each in found}
        self._ask_again(refused)
        with self._lock:
            self._known = found
            done = [name for name, each in self._asked.items() if each.was_started or name in present]
            for name in done:
                del self._asked[name]
        self._looks.note_success(self._clock.monotonic(), pause=self._every)

    def _ask_again(self, refused: Mapping[WorkerName, GliderportError]) -> None:
        """Take back that the site has taken these; whoever is still wanted is started later, under the same name."""
        problems: dict[Market | None, GliderportError] = {}
        with self._lock:
            for name in refused.keys() & self._handed.keys():
                if name not in self._asked or self._asked[name].was_started:
                    market = self._handed[name]
                    self._asked[name] = _Asked(market)
                    problems[market] = refused[name]
        for market, problem in problems.items():
            said, is_refusal = f"{_NO_START}: {problem}", isinstance(problem, UserError)
            self._starts[market].note_undone(self._clock.monotonic(), said, is_refusal=is_refusal)

    def _look_soon(self) -> None:
        self._looks.due_at = 0.0
        self._bell.set()

    def _read_terms(self) -> tuple[Offer, Quote]:
        if self._terms is None:
            self._terms = (self._site.offer, self._site.quote)
        return self._terms

    def _all_tries(self) -> list[Tries]:
        return [self._looks, *self._starts.values(), self._stops]

    def _try(self, tries: Tries, act: Callable[[], None], *, said: str) -> bool:
        """Do it, note how it went, and say whether it went well."""
        try:
            act()
        except (SiteError, UserError) as error:
            tries.note_failure(self._clock.monotonic(), f"{said}: {error}", is_refusal=isinstance(error, UserError))
            return False
        if tries is not self._looks:  # a look notes its own success
            tries.note_success(self._clock.monotonic())
        return True
