"""The life of one attempt, from assignment to report, as its slot's thread goes through it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from gliderport_prefect.errors import StoreError
from gliderport_prefect.protocol.ids import JobId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment, AttemptReport, StreamLog, Usage
from gliderport_prefect.store.seam import Store
from vm_worker import leftovers, tree
from vm_worker.ahead import Ahead
from vm_worker.attempt import Attempt
from vm_worker.checkpoint import Stock, Upkeep
from vm_worker.delivery import Delivery, deliver, finish_committed
from vm_worker.environment import JobEnvironment
from vm_worker.gate import Gate
from vm_worker.high_water import HighWater
from vm_worker.inputs import InputMissing, Pantry
from vm_worker.logbook import Event, note_trouble
from vm_worker.outputs import list_files
from vm_worker.process import Ended, Shell, collect_end, describe_end, wait_for_end
from vm_worker.publication import Publisher
from vm_worker.result import Result, write_report
from vm_worker.result_file import read_result
from vm_worker.scratch import AttemptFolder, Scratch, is_as_made
from vm_worker.streams import Stream
from vm_worker.waiting import need_of
from vm_worker.watch import OomCounter

_KILLED = 9
_KILLED_INSIDE = 128 + _KILLED


@dataclass(frozen=True)
class Workshop:
    """What every attempt of this worker needs."""

    store: Store
    """The runtime bucket, with the patience that transfers have."""
    keys: CampaignKeys
    """Of the campaign."""
    scratch: Scratch
    """Local disk."""
    shell: Shell
    """Starts commands."""
    environment: JobEnvironment
    """What all jobs see."""
    pantry: Pantry
    """Fetches inputs."""
    publisher: Publisher
    """Publishes outputs."""
    stock: Stock
    """Keeps checkpoints."""
    own_memory: HighWater
    """To tell a job's memory from the worker's."""
    oom: OomCounter
    """Whether the kernel killed for want of memory."""


def run_attempt(attempt: Attempt, shop: Workshop) -> AttemptReport:
    """Run the attempt and return its report, whatever happens."""
    try:
        result = _run_in_folder(attempt, shop)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong fails this attempt, never the worker
        job = attempt.spec.id
        note_trouble(Event.ATTEMPT_TROUBLE, "an attempt failed outside of its command", job=job, error=repr(error))
        result = Result(Outcome.FAILED, f"the worker could not run it: {error}")
    return write_report(attempt, result)


def start_ahead(assignment: Assignment, shop: Workshop) -> Ahead | None:
    """Start the shell of an attempt that may come next and let it wait; none when it cannot be started now."""
    folder = shop.scratch.make_attempt_folder(assignment)
    variables = shop.environment.of_attempt(assignment, folder, need=need_of(assignment), gpus=())
    gate = Gate()
    try:
        leader = shop.shell.start(assignment.spec, folder, variables=variables, gate=gate)
    except (OSError, ValueError):
        # It is tried again when its turn has come, and fails then if it must.
        gate.close()
        shop.scratch.remove(folder)
        return None
    finally:
        gate.leave_to_shell()
    return Ahead(folder, leader, gate)


def discard_ahead(ahead: Ahead, shop: Workshop) -> None:
    """End a shell whose job will not run here, and remove its folder."""
    ahead.discard()
    shop.scratch.remove(ahead.folder)


def _run_in_folder(attempt: Attempt, shop: Workshop) -> Result:
    ahead = attempt.ahead
    folder = ahead.folder if ahead is not None else shop.scratch.make_attempt_folder(attempt.assignment)
    try:
        published = (
            finish_committed(attempt, shop.publisher, scratch=Path(folder.tmp)) if attempt.spec.outputs else None
        )
        if published is not None and published.outcome is Outcome.SUCCEEDED:
            shop.stock.forget(attempt)
        return published or _run_with_files(attempt, shop, folder=folder)
    finally:
        shop.scratch.clear(folder)


def _run_with_files(attempt: Attempt, shop: Workshop, *, folder: AttemptFolder) -> Result:
    began = time.monotonic()
    try:
        bytes_in = shop.pantry.lay_out(attempt.spec.inputs, Path(folder.work)) if attempt.spec.inputs else 0
        upkeep = shop.stock.open_for(attempt, folder) if attempt.spec.checkpoint else None
    except InputMissing as error:
        return Result(Outcome.INPUT_MISSING, str(error))
    stage_in_seconds = round(time.monotonic() - began, 6) if attempt.spec.inputs or upkeep else 0.0
    if attempt.ending is not None and attempt.ahead is None:
        return Result(attempt.ending.outcome, attempt.ending.reason)
    if upkeep is None:
        result = _run_and_deliver(attempt, shop, folder=folder)
    else:
        with closing(upkeep):
            result = upkeep.conclude(_run_and_deliver(attempt, shop, folder=folder, upkeep=upkeep))
    if stage_in_seconds:
        usage = replace(result.usage, stage_in_seconds=stage_in_seconds, bytes_in=bytes_in)
        result = replace(result, usage=usage)
    return result


def _run_and_deliver(
    attempt: Attempt, shop: Workshop, *, folder: AttemptFolder, upkeep: Upkeep | None = None
) -> Result:
    inputs = list_files(Path(folder.work)) if attempt.spec.inputs and attempt.spec.outputs else {}
    result = _run_command(attempt, shop, folder=folder, upkeep=upkeep)
    if attempt.spec.outputs:
        result = deliver(attempt, shop.publisher, delivery=Delivery(folder, inputs, result))
    return result


def _run_command(attempt: Attempt, shop: Workshop, *, folder: AttemptFolder, upkeep: Upkeep | None) -> Result:
    attempt.streams = _open_streams(attempt, shop.keys, folder=folder)
    try:
        leader = _start_command(attempt, shop, folder=folder, upkeep=upkeep)
    except (OSError, ValueError) as error:
        return Result(Outcome.FAILED, f"the command could not be started: {error}")
    attempt.on_running()
    if upkeep is not None:
        upkeep.begin()
    wait_for_end(leader)
    wall_seconds = time.monotonic() - attempt.command_began
    attempt.end_command()
    had_to_kill = leftovers.clear_up(attempt, tree.Kin(leader, folder.tmp))
    ended = collect_end(leader)
    if upkeep is not None:
        upkeep.stop(was_killed=had_to_kill or _was_killed(ended))
    if all(stream.is_short for stream in attempt.streams) and is_as_made(folder):
        attempt.on_over()
    result = _judge(attempt, shop, ended=ended, wall_seconds=wall_seconds)
    values, trouble = read_result(folder.tmp)
    return replace(result, values=values, reason=result.reason or trouble) if values or trouble else result


def _start_command(attempt: Attempt, shop: Workshop, *, folder: AttemptFolder, upkeep: Upkeep | None) -> int:
    if attempt.ahead is not None:
        return attempt.ahead.leader
    variables = shop.environment.of_attempt(attempt.assignment, folder, need=attempt.need, gpus=attempt.gpus)
    if upkeep is not None:
        variables.update(upkeep.variables())
    attempt.command_began = time.monotonic()
    leader = shop.shell.start(attempt.spec, folder, variables=variables)
    attempt.begin_command(leader, folder.tmp)
    return leader


def _judge(attempt: Attempt, shop: Workshop, *, ended: Ended, wall_seconds: float) -> Result:
    outcome, reason = _decide_outcome(attempt, ended, oom=shop.oom)
    stdout, stderr = (_conclude(stream, shop.store, job=attempt.spec.id) for stream in attempt.streams)
    usage = Usage(
        wall_seconds=round(wall_seconds, 6),
        cpu_seconds=ended.cpu_seconds,
        peak_memory_bytes=_peak_memory(attempt, ended, own=shop.own_memory),
    )
    return Result(outcome, reason, ended, usage, stdout, stderr)


def _decide_outcome(attempt: Attempt, ended: Ended, *, oom: OomCounter) -> tuple[Outcome, str]:
    if attempt.ending is not None and attempt.was_signalled and not _has_finished_anyway(attempt, ended):
        return attempt.ending.outcome, attempt.ending.reason
    reason = describe_end(ended)
    if not reason:
        return Outcome.SUCCEEDED, ""
    if _was_killed(ended) and oom.has_risen_since(attempt.command_began):
        return Outcome.OUT_OF_MEMORY, f"{reason}; the machine ran out of memory"
    return Outcome.FAILED, reason


def _has_finished_anyway(attempt: Attempt, ended: Ended) -> bool:
    """Say whether a preempted command came to its own end in the time that was left.

    Whoever has a routine for TERM may end with 0 because it has saved its state, not because it is done: such a job
    runs again.
    """
    is_preempted = attempt.ending is not None and attempt.ending.outcome is Outcome.PREEMPTED
    return is_preempted and ended.exit_code == 0 and not attempt.was_interrupted


def _was_killed(ended: Ended) -> bool:
    return ended.signal == _KILLED or ended.exit_code == _KILLED_INSIDE


def _peak_memory(attempt: Attempt, ended: Ended, *, own: HighWater) -> int | None:
    peak = max(attempt.peak_rss_bytes, ended.max_rss_bytes if own.is_passed_by(ended.max_rss_bytes) else 0)
    return peak or None


def _open_streams(attempt: Attempt, keys: CampaignKeys, *, folder: AttemptFolder) -> tuple[Stream, Stream]:
    job, number = attempt.spec.id, attempt.ref.attempt
    return (
        Stream(folder.stdout, lambda part: keys.log_part(job, number, "stdout", part)),
        Stream(folder.stderr, lambda part: keys.log_part(job, number, "stderr", part)),
    )


def _conclude(stream: Stream, store: Store, *, job: JobId) -> StreamLog:
    try:
        return stream.conclude(store)
    except StoreError as error:
        note_trouble(Event.ATTEMPT_TROUBLE, "a log could not be uploaded", job=job, error=str(error))
        return stream.describe()
