"""Workers as managed jobs of SkyPilot, one job each: a machine of the sky template that SkyPilot brings up and back."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from gliderport_prefect.errors import GliderportError, SiteError, UserError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.seam import Machine, Market, Quote, SiteWorker
from gliderport_prefect.sites.sky_api import PAUSE_SECONDS, end_jobs
from gliderport_prefect.sites.sky_jobs import ManagedJob, choose_jobs, describe_worker, with_price
from gliderport_prefect.sites.sky_launches import Launch, Launches
from gliderport_prefect.sites.sky_prices import Choice, derive_offer, read_choice
from gliderport_prefect.sites.sky_task import TaskBuilder, list_candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from gliderport_prefect.protocol.resources import Offer
    from gliderport_prefect.sites.sky_api import SkyApi

_CHECKED = WorkerName("worker-0000")
"""Stands for any worker where the template is checked."""
_SIDE_BY_SIDE = 8
_MANY = 1000
_LAST_LINES = 20
STOP_SECONDS = 600.0
"""Longest time in which SkyPilot should have ended managed jobs; with a cloud's machines it takes minutes."""
ANSWER_SECONDS = 30.0
"""SkyPilot answers within seconds when it has nothing else to do; when it has, looking goes before waiting."""

_log = logging.getLogger(__name__)


@dataclass
class SkySite:
    """SkyPilot, as a site of one campaign. Any thread may call it."""

    sky: SkyApi
    """SkyPilot's API."""
    tasks: TaskBuilder
    """Makes the tasks of the campaign's workers."""
    stop_seconds: float = STOP_SECONDS
    """Longest time that `stop` waits for SkyPilot."""
    answer_seconds: float = ANSWER_SECONDS
    """Longest time that `start` waits for SkyPilot's answers, once it has asked for all."""
    pause_seconds: float = PAUSE_SECONDS
    """Between two looks of `stop`."""
    _names: dict[str, WorkerName] = field(default_factory=dict[str, WorkerName])
    _last_words: dict[int, str] = field(default_factory=dict[int, str])
    _prices: dict[tuple[str, str, Market | None], float | None] = field(
        default_factory=dict[tuple[str, str, "Market | None"], "float | None"]
    )
    _starting: threading.Lock = field(default_factory=threading.Lock)
    _launches: Launches = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing that is awaited."""
        self._launches = Launches(self.sky)

    @property
    def offer(self) -> Offer:
        """What a new worker will have, by the machine that SkyPilot would choose now."""
        return derive_offer(self._choice, list_candidates(self.tasks.template))

    @property
    def quote(self) -> Quote:
        """What a new worker costs, by SkyPilot's own catalogs."""
        return self._quote

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:
        """Start a managed job for each name that has none yet, several at a time.

        SkyPilot may take minutes to answer: what it has not answered soon is awaited in the background.
        """
        with self._starting:
            there = {job.name for job in self._list()} | set(self._launches.list_unanswered())
            wanted = [name for name in names if self._job_name(name) not in there]
            # All are asked for before any is waited for: who takes over then finds most of them in the queue already.
            with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="sky-launch") as pool:
                asked = list(pool.map(partial(self._request, market=market), wanted))
            job_names = {self._job_name(name) for name in wanted}
            self._launches.wait(job_names, seconds=self.answer_seconds)
            failed = [each.problem for each in self._launches.take_failed(job_names)]
            problems = [each for each in [*asked, *failed] if each is not None]
            if problems:
                self._settle_problems(wanted, problems)

    def list_workers(self) -> list[SiteWorker]:
        """Return the workers of the campaign, as SkyPilot's queue tells of them, and those that it is to show soon."""
        launches = self._launches.list_all()  # before the look: what has been answered by now is in the queue
        jobs = self._list()
        there = {job.name for job in jobs}
        coming = [each for each in launches if each.job_name not in there]
        self._launches.drop(each for each in launches if each.job_name in there or each.is_done)
        workers = [self._describe(job) for job in jobs if self._worker_name(job) is not None]
        return [*workers, *(each.describe() for each in coming if not each.is_done)]

    def stop(self, names: Sequence[WorkerName]) -> None:
        """Cancel the managed jobs of these names and wait until SkyPilot says that they are over."""
        wanted = {self._job_name(name) for name in names}
        if wanted:
            self._launches.renounce(wanted)
            end_jobs(
                self.sky,
                self.tasks.owner.name_prefix,
                wanted=lambda job: job.name in wanted,
                seconds=self.stop_seconds,
                list_coming=lambda: self._launches.list_unanswered(wanted),
                pause=self.pause_seconds,
            )

    def forget(self) -> None:
        """Drop what is remembered; the history of managed jobs is SkyPilot's own."""
        self._last_words.clear()

    def close(self) -> None:
        """Return when SkyPilot has answered all that it was asked for."""
        with self._starting:
            if not self._launches.wait(None, seconds=self.stop_seconds):
                said = ", ".join(self._launches.list_unanswered())
                _log.warning("SkyPilot was asked for these and has not answered, they may still start: %s", said)

    # --- starting -----------------------------------------------------------------------------------------------

    def _request(self, name: WorkerName, *, market: Market | None) -> GliderportError | None:
        """Ask for the worker, and return what is wrong, if anything."""
        try:
            request = self.sky.request_launch(self.tasks.build(name, market=market, choice=self._choice))
        except GliderportError as error:
            return error
        self._launches.follow(Launch(name, self._job_name(name), request))
        return None

    def _settle_problems(self, wanted: Sequence[WorkerName], problems: Sequence[GliderportError]) -> None:
        """Raise the first problem unless each of the names is in the queue after all, or may still come.

        A request that failed may have left a job, whose state then tells why it does not run.
        """
        coming = self._launches.list_unanswered()
        there = {job.name for job in self._list()}.union(coming)
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
