"""Which specs this worker cannot run at all."""

from __future__ import annotations

from gliderport_prefect.protocol.records import Assignment
from gliderport_prefect.protocol.resources import Offer
from vm_worker.environment import JobEnvironment
from vm_worker.waiting import need_of


def find_objection(assignment: Assignment, *, offer: Offer, environment: JobEnvironment) -> str | None:
    """Return why the job cannot run here, as a sentence, or none if it can."""
    spec = assignment.spec
    missing = environment.missing_secrets(spec)
    if missing:
        return f"the worker's environment has no value for {', '.join(missing)}: give the secret to the site"
    if spec.image is not None:
        return f"this worker does not run containers (image {spec.image})"
    if (spec.run is None) == (spec.python is None):
        return "the spec needs exactly one of run and python"
    return None if offer.fits(need_of(assignment)) else _describe_lack(assignment, offer)


def _describe_lack(assignment: Assignment, offer: Offer) -> str:
    need = need_of(assignment)
    lacks = [
        (need.cpus > offer.cpus, f"{need.cpus:g} cpus, of which it has {offer.cpus:g}"),
        (need.memory_bytes > offer.memory_bytes, f"{need.memory_bytes} bytes of memory of {offer.memory_bytes}"),
        (need.disk_bytes > offer.disk_bytes, f"{need.disk_bytes} bytes of scratch space of {offer.disk_bytes}"),
        (need.gpus > offer.gpus, f"{need.gpus} GPUs of {offer.gpus}"),
        (need.gpu_type not in {None, offer.gpu_type}, f"GPUs of type {need.gpu_type}; it has {offer.gpu_type}"),
    ]
    return f"this worker cannot give the job {' and '.join(text for is_lacking, text in lacks if is_lacking)}"
