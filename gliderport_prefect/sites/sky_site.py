"""Workers as managed jobs of SkyPilot, one job each: a machine of the sky template that SkyPilot brings up and back."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

from gliderport_prefect.errors import GliderportError, SiteError, UserError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.seam import Machine, Market, Quote, SiteWorker
from gliderport_prefect.sites.sky_jobs import ManagedJob, choose_jobs, describe_worker, with_price
from gliderport_prefect.sites.sky_prices import Choice, derive_offer, read_choice
from gliderport_prefect.sites.sky_task import TaskBuilder, list_candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from gliderport_prefect.protocol.resources import Offer

_CHECKED = WorkerName("worker-0000")
"""Stands for any worker where the template is checked."""
_SIDE_BY_SIDE = 8
_MANY = 1000
_LAST_LINES = 20
_PAUSE_SECONDS = 3.0
STOP_SECONDS = 600.0
"""Longest time in which SkyPilot should have ended managed jobs; with a cloud's machines it takes minutes."""

_log = logging.getLogger(__name__)


class SkyApi(Protocol):
    """What is asked of SkyPilot."""

    def check(self, task: Mapping[str, Any]) -> None: ...  # noqa: D102

    def optimize(self, task: Mapping[str, Any]) -> str: ...  # noqa: D102

    def request_launch(self, task: Mapping[str, Any]) -> str: ...  # noqa: D102

    def await_launch(self, request: str, name: str) -> None: ...  # noqa: D102

    def list_jobs(self, name_part: str, *, with_yaml: bool = False, is_own: bool = False) -> list[ManagedJob]: ...  # noqa: D102

    def cancel(self, jobs: Sequence[int]) -> None: ...  # noqa: D102

    def last_lines(self, job: int, lines: int) -> str: ...  # noqa: D102


@dataclass
class SkySite:
    """SkyPilot, as a site of one campaign. Any thread may call it."""

    sky: SkyApi
    """SkyPilot's API."""
    tasks: TaskBuilder
    """Makes the tasks of the campaign's workers."""
    stop_seconds: float = STOP_SECONDS
    """Longest time that `stop` waits for SkyPilot."""
    _names: dict[str, WorkerName] = field(default_factory=dict[str, WorkerName])
    _last_words: dict[int, str] = field(default_factory=dict[int, str])
    _prices: dict[tuple[str, str, Market | None], float | None] = field(
        default_factory=dict[tuple[str, str, "Market | None"], "float | None"]
    )
    _starting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def offer(self) -> Offer:
        """What a new worker will have, by the machine that SkyPilot would choose now."""
        return derive_offer(self._choice, list_candidates(self.tasks.template))

    @property
    def quote(self) -> Quote:
        """What a new worker costs, by SkyPilot's own catalogs."""
        return self._quote

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:
        """Start a managed job for each name that has none yet, several at a time."""
        with self._starting:
            there = {job.name for job in self._list()}
            wanted = [name for name in names if self._job_name(name) not in there]
            # All are asked for before any is waited for: who takes over then finds most of them in the queue already.
            with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="sky-launch") as pool:
                asked = list(pool.map(partial(self._request, market=market), wanted))
                problems = [each for each in pool.map(self._await, wanted, asked) if each]
            if problems:
                self._settle_problems(wanted, problems)

    def list_workers(self) -> list[SiteWorker]:
        """Return the workers of the campaign, as SkyPilot's queue tells of them."""
        jobs = self._list()
        return [self._describe(job) for job in jobs if self._worker_name(job) is not None]

    def stop(self, names: Sequence[WorkerName]) -> None:
        """Cancel the managed jobs of these names and wait until SkyPilot says that they are over."""
        wanted = {self._job_name(name) for name in names}
        if wanted:
            prefix = self.tasks.owner.name_prefix
            end_jobs(self.sky, prefix, wanted=lambda job: job.name in wanted, seconds=self.stop_seconds)

    def forget(self) -> None:
        """Drop what is remembered; the history of managed jobs is SkyPilot's own."""
        self._last_words.clear()

    # --- starting -----------------------------------------------------------------------------------------------

    def _request(self, name: WorkerName, *, market: Market | None) -> str | GliderportError:
        """Ask for the worker, and return the number of the request or what is wrong."""
        try:
            return self.sky.request_launch(self.tasks.build(name, market=market, choice=self._choice))
        except GliderportError as error:
            return error

    def _await(self, name: WorkerName, asked: str | GliderportError, /) -> GliderportError | None:
        """Wait until the request has been dealt with, and return what is wrong, if anything."""
        if isinstance(asked, GliderportError):
            return asked
        try:
            self.sky.await_launch(asked, str(name))
        except GliderportError as error:
            return error
        return None

    def _settle_problems(self, wanted: Sequence[WorkerName], problems: Sequence[GliderportError]) -> None:
        """Raise the first problem unless each of the names is in the queue after all.

        A request that failed may have left a job, whose state then tells why it does not run.
        """
        there = {job.name for job in self._list()}
        missing = [name for name in wanted if self._job_name(name) not in there]
        if not missing:
            _log.warning("SkyPilot reported a problem, yet all workers are in its queue: %s", problems[0])
            return
        if isinstance(problems[0], UserError):
            raise problems[0]
        raise SiteError(f"{len(missing)} of {len(wanted)} workers were not started: {problems[0]}") from problems[0]

    # --- looking ------------------------------------------------------------------------------------------------

    def _list(self) -> list[ManagedJob]:
        """Return the job of each name, and end those that make no sense.

        These are surplus ones, left by two launchers that raced, and those that SkyPilot starts again and again.
        """
        prefix = self.tasks.owner.name_prefix
        found = [job for job in self.sky.list_jobs(prefix) if job.name.startswith(prefix)]
        chosen, surplus = choose_jobs(found)
        looping = [job for job in chosen.values() if job.is_looping and not job.is_over]
        for job in surplus:
            _log.warning("cancelling managed job %d: an older one has its name, %s", job.id, job.name)
        for job in looping:
            _log.warning("cancelling %s: it was started %d times and kept ending", job.name, job.recoveries + 1)
        self.sky.cancel([job.id for job in [*surplus, *looping] if job.status != "CANCELLING"])
        return list(chosen.values())

    def _describe(self, job: ManagedJob) -> SiteWorker:
        name = self._worker_name(job)
        worker = describe_worker(name or WorkerName(job.name), job, last_words=self._read_last_words(job))
        if worker.machine.price_per_hour is None and worker.machine.infra:
            return with_price(worker, self._price_of(worker.machine))
        return worker

    def _read_last_words(self, job: ManagedJob) -> str:
        if not job.has_last_words:
            return ""
        if job.id not in self._last_words:
            try:
                self._last_words[job.id] = self.sky.last_lines(job.id, _LAST_LINES)
            except GliderportError as error:
                return f"(its log cannot be read: {error})"
        return self._last_words[job.id]

    def _job_name(self, name: WorkerName) -> str:
        job_name = self.tasks.owner.job_name(name)
        self._names[job_name] = name
        return job_name

    def _worker_name(self, job: ManagedJob) -> WorkerName | None:
        """Return whose job it is; a name that was hashed is known to those only who started it."""
        known = self._names.get(job.name)
        if known is not None:
            return known
        rest = job.name.removeprefix(self.tasks.owner.name_prefix)
        return WorkerName(rest) if self.tasks.owner.job_name(WorkerName(rest)) == job.name else None

    # --- prices -------------------------------------------------------------------------------------------------

    @cached_property
    def _choice(self) -> Choice | None:
        task = self.tasks.build(_CHECKED)
        self.sky.check(task)
        return self._choose(task)

    def _choose(self, task: Mapping[str, Any]) -> Choice | None:
        """Return the machine that SkyPilot would choose for a task, with its price to a thousandth of a cent.

        The table has whole cents, and there are machines for less: so the price of many of them is asked for.
        """
        choice = read_choice(self.sky.optimize(task))
        if choice is None or choice.is_shared:
            return choice
        try:
            many = read_choice(self.sky.optimize({**task, "num_nodes": _MANY}))
        except UserError:
            return choice
        if many is None or (many.infra, many.instance_type) != (choice.infra, choice.instance_type):
            return choice
        return replace(choice, price_per_hour=many.price_per_hour / _MANY)

    @cached_property
    def _quote(self) -> Quote:
        chosen = self._choice
        if chosen is None:
            return Quote()
        if chosen.is_shared:
            return Quote(on_demand=chosen.price_per_hour, market=Market.ON_DEMAND, kind=chosen.kind)
        prices = {chosen.market: chosen.price_per_hour}
        for market in Market:
            if market not in prices and (other := self._ask_price(market)) is not None:
                prices[market] = other
        return Quote(
            spot=prices.get(Market.SPOT),
            on_demand=prices.get(Market.ON_DEMAND),
            market=chosen.market,
            kind=chosen.kind,
        )

    def _ask_price(self, market: Market) -> float | None:
        """Return the price on that market; none where the template or the clouds do not have it."""
        try:
            choice = self._choose(self.tasks.build(_CHECKED, market=market))
        except UserError:
            return None
        return choice.price_per_hour if choice is not None and choice.market is market else None

    def _price_of(self, machine: Machine) -> float | None:
        """Return what a machine costs, by the server's catalogs; none when they do not know it."""
        key = (machine.infra, machine.instance_type, machine.market)
        if key not in self._prices:
            spot = machine.market is Market.SPOT
            wanted = {"infra": machine.infra, "instance_type": machine.instance_type, "use_spot": spot}
            try:
                choice = self._choose({"name": "price", "run": "true", "resources": wanted})
            except GliderportError as error:
                _log.debug("no price for %s: %s", machine, error)
                choice = None
            self._prices[key] = None if choice is None else choice.price_per_hour
        return self._prices[key]


def end_jobs(sky: SkyApi, name_part: str, *, wanted: Callable[[ManagedJob], bool], seconds: float) -> None:
    """Cancel managed jobs and wait until SkyPilot says that they are over.

    Args:
        sky: SkyPilot's API.
        name_part: What their names have in common.
        wanted: Says whether a job is one of them.
        seconds: How long to wait for it.

    Raises:
        SiteError: SkyPilot cannot be asked, or some are not over after that time.
    """
    asked: set[int] = set()
    give_up_at = time.monotonic() + seconds
    while left := [job for job in sky.list_jobs(name_part) if wanted(job) and not job.is_over]:
        unasked = [job.id for job in left if job.id not in asked]
        if unasked:
            sky.cancel(unasked)
            asked.update(unasked)
        if time.monotonic() > give_up_at:
            said = ", ".join(f"{job.name} (managed job {job.id}, {job.status})" for job in left)
            raise SiteError(f"SkyPilot has not ended these within {seconds:g} s: {said}")
        time.sleep(_PAUSE_SECONDS)
