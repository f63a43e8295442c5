"""What is free on this machine beside the running attempts, and which GPUs each of them has."""

from __future__ import annotations

from gliderport_prefect.protocol.resources import Offer, Resources

# Ten jobs of 0.1 cpus fit into one core, whatever binary fractions say.
_ROUNDING = 1e-6


class Capacity:
    """The unused part of an offer; its user holds the lock."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self._cpus = offer.cpus
        self._memory_bytes = offer.memory_bytes
        self._disk_bytes = offer.disk_bytes
        self._gpus = list(range(offer.gpus))

    def fits(self, need: Resources) -> bool:
        """Say whether an attempt of this need can start now."""
        return (
            need.cpus <= self._cpus + _ROUNDING
            and need.memory_bytes <= self._memory_bytes
            and need.disk_bytes <= self._disk_bytes
            and need.gpus <= len(self._gpus)
        )

    def occupy(self, need: Resources) -> tuple[int, ...]:
        """Give the attempt its share and return the indices of its GPUs."""
        self._cpus -= need.cpus
        self._memory_bytes -= need.memory_bytes
        self._disk_bytes -= need.disk_bytes
        given, self._gpus = self._gpus[: need.gpus], self._gpus[need.gpus :]
        return tuple(given)

    def release(self, need: Resources, gpus: tuple[int, ...]) -> None:
        """Take the share back."""
        self._cpus += need.cpus
        self._memory_bytes += need.memory_bytes
        self._disk_bytes += need.disk_bytes
        if gpus:
            self._gpus = sorted([*self._gpus, *gpus])
