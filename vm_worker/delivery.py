"""What happens to an attempt's files once its command has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gliderport_prefect.errors import GliderportError
from gliderport_prefect.protocol.outcomes import FREE, Outcome
from gliderport_prefect.protocol.records import Published
from vm_worker.attempt import Attempt
from vm_worker.logbook import Event, note_trouble
from vm_worker.outputs import OutputMissing, Stamp, choose_kept, choose_outputs
from vm_worker.publication import Owner, Publisher
from vm_worker.result import Result
from vm_worker.scratch import AttemptFolder


@dataclass(frozen=True)
class Delivery:
    """What is there to be delivered."""

    folder: AttemptFolder
    """Where the attempt worked."""
    inputs: Mapping[str, Stamp]
    """The files that were in its working folder before."""
    result: Result
    """How its command went."""


def finish_committed(attempt: Attempt, publisher: Publisher, *, scratch: Path) -> Result | None:
    """Finish the publication of an earlier attempt of the job that was committed; none when there is no such."""
    began = time.monotonic()
    try:
        commit = publisher.find_commit(attempt.spec.id)
        if commit is None:
            return None
        outputs = publisher.finish(attempt.spec.id, commit, scratch=scratch)
    except (GliderportError, OSError) as error:
        return Result(Outcome.OUTPUT_FAILED, _explain(error))
    return _with_outputs(Result(Outcome.SUCCEEDED), outputs, began=began)


def deliver(attempt: Attempt, publisher: Publisher, *, delivery: Delivery) -> Result:
    """Publish the outputs of a command that succeeded; keep what the spec wants kept of one that did not."""
    began, result = time.monotonic(), delivery.result
    if result.outcome is Outcome.SUCCEEDED:
        try:
            return _with_outputs(result, _publish(attempt, publisher, delivery=delivery), began=began)
        except OutputMissing as error:
            result = replace(result, outcome=Outcome.FAILED, reason=str(error))
        except (GliderportError, OSError) as error:
            result = replace(result, outcome=Outcome.OUTPUT_FAILED, reason=_explain(error))
    return replace(result, outputs=_keep(attempt, publisher, delivery=delivery, outcome=result.outcome))


def _publish(attempt: Attempt, publisher: Publisher, *, delivery: Delivery) -> tuple[Published, ...]:
    folder, spec = delivery.folder, attempt.spec
    chosen = choose_outputs(spec.outputs, Path(folder.work), inputs=delivery.inputs, checkpoint=spec.checkpoint)
    return publisher.publish(_owner(attempt), chosen, scratch=Path(folder.tmp))


def _keep(attempt: Attempt, publisher: Publisher, *, delivery: Delivery, outcome: Outcome) -> tuple[Published, ...]:
    # A worker that has to go uses its last seconds for those that it can save.
    if outcome in FREE or not any(each.keep_on_failure for each in attempt.spec.outputs):
        return ()
    try:
        return publisher.keep(_owner(attempt), choose_kept(attempt.spec.outputs, Path(delivery.folder.work)))
    except (GliderportError, OSError) as error:
        job = attempt.spec.id
        note_trouble(Event.ATTEMPT_TROUBLE, "files of a failed attempt were not kept", job=job, error=str(error))
        return ()


def _with_outputs(result: Result, outputs: tuple[Published, ...], *, began: float) -> Result:
    usage = replace(
        result.usage,
        stage_out_seconds=round(time.monotonic() - began, 6),
        bytes_out=sum(each.size_bytes for each in outputs),
    )
    return replace(result, outputs=outputs, usage=usage)


def _owner(attempt: Attempt) -> Owner:
    return Owner(attempt.spec.id, attempt.ref.attempt)


def _explain(error: Exception) -> str:
    return f"the outputs could not be published: {error}"
