"""Delete what nobody needs any more: uploaded inputs of jobs that asked for it, checkpoints of jobs that are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.jobspec import TreeEntry
from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.protocol.jobspec import JobSpec
    from gliderport_prefect.scheduling.state import CampaignState


def delete_inputs(runtime: Runtime, state: CampaignState) -> int:
    """Delete the blobs that only jobs with `delete_input` use that have succeeded, and return how many.

    A blob stays as long as one job may still need it: one that keeps its inputs, or one that may be retried.
    """
    unwanted, needed = set[str](), set[str]()
    for number, spec in enumerate(SpecReader(runtime.store, runtime.keys).specs()):
        done = spec.delete_input and state.jobs.state(number) is JobState.SUCCEEDED
        (unwanted if done else needed).update(_sources(spec))
    if not unwanted:
        return 0
    keep = set(_blobs(runtime, needed))
    gone = [runtime.keys.blob(sha256) for sha256 in set(_blobs(runtime, unwanted)) - keep]
    runtime.store.delete(gone)
    return len(gone)


def delete_checkpoints(runtime: Runtime, state: CampaignState) -> int:
    """Delete the checkpoints that workers have left of jobs that have succeeded, and return how many objects that were.

    Those of other jobs stay, however they ended: `retry` goes on from there.
    """
    keys = runtime.keys
    found = [each.key for each in runtime.store.list(keys.checkpoints)]
    if not found:
        return 0
    specs = enumerate(SpecReader(runtime.store, keys).specs())
    done = {spec.id for number, spec in specs if spec.checkpoint and state.jobs.state(number) is JobState.SUCCEEDED}
    gone = [key for key in found if keys.checkpoint_job(key) in done]
    runtime.store.delete(gone)
    return len(gone)


def _sources(spec: JobSpec) -> Iterator[str]:
    return (each.source for each in spec.inputs if each.source.startswith(("blob:", "tree:")))


def _blobs(runtime: Runtime, sources: set[str]) -> Iterator[str]:
    """Yield the content hashes behind the sources; of a folder, also those of its files."""
    for source in sources:
        kind, _, sha256 = source.partition(":")
        yield sha256
        if kind == "tree" and (tree := runtime.store.get(runtime.keys.blob(sha256))) is not None:
            entries = codec.decode(tuple[TreeEntry, ...], tree, where=source)
            yield from (entry.sha256 for entry in entries)
