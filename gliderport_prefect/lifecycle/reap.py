"""End the workers that nobody needs any more, whatever has become of those who started them.

It goes from what the sites show to what the buckets say: a worker of a campaign that is over, unknown or silent is
ended; one of a campaign that may live is left, and it is said why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gliderport_prefect.campaign.runtime import Clock
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.errors import GliderportError, SiteError, Superseded, UserError
from gliderport_prefect.lifecycle.last_words import settle_last_words
from gliderport_prefect.lifecycle.launcher import Launcher, take_over
from gliderport_prefect.lifecycle.observing import Observation
from gliderport_prefect.lifecycle.opening import STARTED, sites_used_here
from gliderport_prefect.lifecycle.state_folder import state_folder
from gliderport_prefect.lifecycle.sweeping import Place, places_of, sweep
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.notation import unknown_key
from gliderport_prefect.protocol.records import LedgerRecord
from gliderport_prefect.scheduling.reaping import Standing, decide_reaping, derive_state, say_standing
from gliderport_prefect.sites.started import Started, StartedWorkers

_log = logging.getLogger(__name__)

SILENT_SECONDS = 120.0
"""Four heartbeats of a worker that has nothing to do."""
GRACE_SECONDS = 15.0
"""Time between TERM and KILL, where the site leaves it to us."""
_POLL_SECONDS = 3.0


@dataclass(frozen=True)
class Fate:
    """A worker, and what became of it."""

    site: str
    """Where it runs."""
    campaign: CampaignId
    """Whose jobs it runs."""
    bucket: str
    """Where that campaign lives."""
    worker: str
    """Its name."""
    reference: str
    """What its site calls it."""
    why: str
    """Why it was ended or left."""


@dataclass
class Reaped:
    """What a reaper did, or would do."""

    ended: list[Fate] = field(default_factory=list[Fate])
    """Workers that were ended."""
    left: list[Fate] = field(default_factory=list[Fate])
    """Workers that were left: their campaign may live, or they could not be ended."""
    removed: list[str] = field(default_factory=list[str])
    """Folders of this machine that were removed with the notes, logs and scratch of campaigns that are over."""
    kept: dict[str, str] = field(default_factory=dict[str, str])
    """Such folders about which nothing is known, and why."""
    site_troubles: list[str] = field(default_factory=list[str])
    """Sites that could not be asked or did not end a worker."""
    bucket_troubles: list[str] = field(default_factory=list[str])
    """Buckets with running workers that could not be read or written."""


def reap(
    site: str | None = None,
    *,
    bucket: str | None = None,
    silent_seconds: float = SILENT_SECONDS,
    grace_seconds: float = GRACE_SECONDS,
    dry_run: bool = False,
    clock: Clock | None = None,
) -> Reaped:
    """End the workers of campaigns that are over, unknown or silent, and say what was ended and what was left.

    It returns after some seconds when every campaign is clear, and after the observation time when one may be silent.

    Args:
        site: Where to look; every site that may have been used from here when not given.
        bucket: Whose campaigns; those of every bucket when not given.
        silent_seconds: For how long a campaign must give no sign of life to count as silent; never less than two
            heartbeats of its workers.
        grace_seconds: Time between TERM and KILL of a worker on this machine.
        dry_run: Whether to end and remove nothing.
        clock: Time.

    Raises:
        UserError: There is no such site, or it is not set up here.
    """
    reaped, sites = Reaped(), _open_sites(site, grace_seconds=grace_seconds)
    wanted = None if bucket is None else _as_url(bucket)
    started = [
        each for each in _find_started(sites, reaped, is_named=site is not None) if wanted in {None, each.bucket}
    ]
    own = [each for each in started if not each.user]
    _leave(reaped, (each for each in started if each.user), why="another user started it")
    working = {_place(each) for each in own}
    root = state_folder() if "local" in sites else None
    resting = set[Place]() if root is None else places_of(root, wanted) - working
    seen = _observe(working, resting, silent_seconds=silent_seconds, clock=clock or Clock())
    if any(each.standing is Standing.SILENT for each in seen.values()):
        own = _look_again(own, _find_started(sites, reaped, is_named=False))
    for place in sorted(working):
        here = [each for each in own if _place(each) == place]
        _treat(here, seen[place], sites=sites, reaped=reaped, dry_run=dry_run)
    if root is not None:
        busy = {(each.bucket, each.campaign) for each in reaped.left}
        reaped.removed, reaped.kept = sweep(root, seen, bucket=wanted, busy=busy, dry_run=dry_run)
    return reaped


# --- what is there ----------------------------------------------------------------------------------------------


def _open_sites(site: str | None, *, grace_seconds: float) -> dict[str, StartedWorkers]:
    if site is not None and site not in STARTED:
        raise unknown_key(site, STARTED, key="site")
    names = sites_used_here() if site is None else [site]
    return {name: STARTED[name](grace_seconds) for name in names}


def _as_url(bucket: str) -> str:
    url = bucket if "://" in bucket else Path(bucket).expanduser().absolute().as_uri()
    return url.rstrip("/")


def _find_started(sites: Mapping[str, StartedWorkers], reaped: Reaped, *, is_named: bool) -> list[Started]:
    found = list[Started]()
    for name, workers in sites.items():
        try:
            found += workers.find_started()
        except UserError as error:  # it was never used from here
            if is_named:
                raise
            _log.debug("site %s is left out: %s", name, error)
        except SiteError as error:
            reaped.site_troubles.append(f"site {name} cannot be asked: {error}")
    return found


def _look_again(first: Sequence[Started], second: Sequence[Started]) -> list[Started]:
    """Return those that are still there, with the states that both looks say together."""
    before = {(_place(each), each.worker): each for each in first}
    both = [(before[key], each) for each in second if (key := (_place(each), each.worker)) in before]
    return [
        replace(now, state=derive_state((then.state, now.state), since=(then.since, now.since))) for then, now in both
    ]


def _observe(
    working: set[Place], resting: set[Place], *, silent_seconds: float, clock: Clock
) -> dict[Place, Observation]:
    """Look at the campaigns until enough is known: of one without a worker, whether it is over or unknown."""
    seen = {
        (bucket, campaign): Observation(campaign, bucket, silent_seconds=silent_seconds, clock=clock)
        for bucket, campaign in sorted(working | resting)
    }
    unclear = list(seen.items())
    while unclear:
        for place, observation in unclear:
            observation.look()
            if place in working:
                observation.ask_when_due()
        unclear = [
            (place, each)
            for place, each in unclear
            if each.standing is Standing.UNDECIDED and (place in working or not each.looks[-1].is_known)
        ]
        if unclear:
            clock.sleep(_POLL_SECONDS)
    return seen


# --- what becomes of it -----------------------------------------------------------------------------------------


def _treat(
    workers: Sequence[Started],
    observation: Observation,
    *,
    sites: Mapping[str, StartedWorkers],
    reaped: Reaped,
    dry_run: bool,
) -> None:
    """End those workers of one campaign that are to be ended, if what was seen of it holds still."""
    observation.look()
    standing, why = observation.standing, say_standing(observation.standing, observation.looks)
    doomed = [each for each in workers if decide_reaping(standing, each.state)]
    spared = [each for each in workers if each not in doomed]
    _leave(reaped, spared, why=f"{why}, but it still starts" if standing is Standing.SILENT else why)
    if standing is Standing.UNREACHABLE:
        reaped.bucket_troubles.append(f"campaign {observation.campaign} in {observation.bucket}: {why}")
    if dry_run or not doomed:
        reaped.ended += [_fate(each, why) for each in doomed]
        return
    try:
        launcher = _take_over(observation) if standing is Standing.SILENT else None
    except Superseded as error:
        _leave(reaped, doomed, why=str(error))
    except GliderportError as error:
        reaped.bucket_troubles.append(str(error))
        _leave(reaped, doomed, why=f"its campaign cannot be taken over: {error}")
    else:
        ended = _end(doomed, sites, reaped=reaped, why=why)
        if launcher is not None:
            _settle(launcher, ended, is_all=len(ended) == len(workers), reaped=reaped)


def _take_over(observation: Observation) -> Launcher:
    """Become the campaign's launcher, unless somebody else has begun to drive it since the last look."""
    runtime = observation.runtime
    return take_over(runtime, SpecReader(runtime.store, runtime.keys).spec_of, after=observation.epoch)


def _end(doomed: Sequence[Started], sites: Mapping[str, StartedWorkers], *, reaped: Reaped, why: str) -> list[Started]:
    """End these workers, ask their sites whether they are gone, and return those that are."""
    ended = list[Started]()
    for site in sorted({each.site for each in doomed}):
        here = [each for each in doomed if each.site == site]
        try:
            sites[site].stop_started(here)
            still = {(_place(each), each.worker) for each in sites[site].find_started()}
        except SiteError as error:
            reaped.site_troubles.append(f"site {site}: {error}")
            _leave(reaped, here, why=f"its site could not end it: {error}")
            continue
        gone = [each for each in here if (_place(each), each.worker) not in still]
        left = [each for each in here if each not in gone]
        if left:
            reaped.site_troubles.append(f"site {site}: still there: {', '.join(each.reference for each in left)}")
        _leave(reaped, left, why="it is still there after it was ended")
        reaped.ended += [_fate(each, why) for each in gone]
        ended += gone
    return ended


def _settle(launcher: Launcher, ended: Sequence[Started], *, is_all: bool, reaped: Reaped) -> None:
    """Let the jobs that the ended workers had wait for whoever resumes the campaign."""
    names = {each.worker for each in ended}
    try:
        launcher.follow_requests()  # the question that nobody has answered is among them
        settle_last_words(launcher, names.__contains__, why="it was silent, and its worker was ended")
        launcher.note_gone(names, reason="its campaign was silent, and it was ended")
        if is_all:
            launcher.write_ledger(LedgerRecord(launcher.epoch, "", torn_down=True))
    except Superseded as error:
        _log.info("whoever drives the campaign now settles what was left: %s", error)
    except GliderportError as error:
        reaped.bucket_troubles.append(f"{error}; what its workers said last is settled by whoever resumes it")


def _leave(reaped: Reaped, workers: Iterable[Started], *, why: str) -> None:
    reaped.left += [_fate(each, why) for each in workers]


def _fate(started: Started, why: str) -> Fate:
    return Fate(started.site, started.campaign, started.bucket, started.worker, reference=started.reference, why=why)


def _place(started: Started) -> Place:
    return started.bucket, started.campaign
