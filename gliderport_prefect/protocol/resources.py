"""What a job needs of a machine and what a worker offers, in the same terms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """What one job needs while it runs."""

    cpus: float = 1.0
    """CPU cores; fractions share a core."""
    memory_bytes: int = 0
    """Memory of all its processes together; enforced when above 0, and 0 takes what is there."""
    disk_bytes: int = 0
    """Scratch space; 0 takes what is there."""
    gpus: int = 0
    """Whole GPUs; a job that asks for none sees none."""
    gpu_type: str | None = None
    """Name of the GPU as the site calls it, such as `A100`; any when not given."""


@dataclass(frozen=True)
class Offer:
    """What one worker has to give to the jobs that run on it side by side."""

    cpus: float
    """CPU cores."""
    memory_bytes: int
    """Memory, in bytes."""
    disk_bytes: int
    """Free scratch space when the worker started, in bytes."""
    gpus: int = 0
    """GPUs."""
    gpu_type: str | None = None
    """Name of the GPUs, all of one kind."""
    preemptible: bool = False
    """Whether the machine was asked for as one that may be taken back at any time."""

    def fits(self, need: Resources) -> bool:
        """Say whether a job of this need can run here when nothing else does."""
        return (
            need.cpus <= self.cpus
            and need.memory_bytes <= self.memory_bytes
            and need.disk_bytes <= self.disk_bytes
            and need.gpus <= self.gpus
            and (need.gpu_type is None or need.gpu_type == self.gpu_type)
        )

    def without(self, need: Resources) -> Offer:
        """Return what is left beside a job of this need."""
        return Offer(
            cpus=self.cpus - need.cpus,
            memory_bytes=self.memory_bytes - need.memory_bytes,
            disk_bytes=self.disk_bytes - need.disk_bytes,
            gpus=self.gpus - need.gpus,
            gpu_type=self.gpu_type,
            preemptible=self.preemptible,
        )
