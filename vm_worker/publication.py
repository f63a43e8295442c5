"""Makes a job's output appear at its destination, once, whoever ran it and whoever died on the way.

    staged files ▶ manifest ▶ commit (create-only: names the attempt that counts) ▶ destination ▶ mark ▶ staged files go

Whoever finds a commit without a mark can finish from the staged files; nothing of an attempt that is not named by the
commit ever reaches the destination.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gliderport_prefect.errors import StoreError, StoreKeyMissing
from gliderport_prefect.protocol.codec import decode, encode
from gliderport_prefect.protocol.ids import AttemptId, JobId, SessionId
from gliderport_prefect.protocol.keys import CampaignKeys, number_segment
from gliderport_prefect.protocol.records import Commit, Manifest, Published, PublishedMark, StagedFile
from gliderport_prefect.store.seam import Store
from gliderport_prefect.store.transfer import upload_many
from vm_worker.outputs import Chosen
from vm_worker.places import Places

_TOKEN_BYTES = 8


@dataclass(frozen=True)
class Owner:
    """Whose files."""

    job: JobId
    """The job."""
    attempt: AttemptId
    """The attempt of it."""


@dataclass(frozen=True)
class Publisher:
    """Publishes for one session."""

    store: Store
    """The runtime bucket."""
    keys: CampaignKeys
    """Of the campaign."""
    session: SessionId
    """Who publishes."""
    places: Places
    """Destinations."""

    def find_commit(self, job: JobId) -> Commit | None:
        """Return which attempt's output counts, if that is decided."""
        key = self.keys.commit(job)
        data = self.store.get(key)
        return None if data is None else decode(Commit, data, where=key)

    def publish(self, of: Owner, chosen: Sequence[Chosen], *, scratch: Path) -> tuple[Published, ...]:
        """Publish the files of the attempt, or those of the attempt that was committed before it.

        Args:
            of: Whose files.
            chosen: The files.
            scratch: Local folder for temporary copies.

        Raises:
            StoreError: The runtime bucket or the destination does not take them.
        """
        manifest = self._stage(of, chosen)
        commit = self._commit(of)
        if commit.attempt != of.attempt:
            self._remove_staged(of.job, manifest)
            return self.finish(of.job, commit, scratch=scratch)
        for destination in {each.destination for each in manifest.files}:
            place = self.places.locate(destination)
            pairs = zip(manifest.files, chosen, strict=True)
            mine = [(file.file, place.key(staged.path)) for staged, file in pairs if staged.destination == destination]
            upload_many(place.store, mine)
        return self._mark(of.job, manifest)

    def finish(self, job: JobId, commit: Commit, *, scratch: Path) -> tuple[Published, ...]:
        """Bring the committed attempt's output to its destination, unless that is done.

        Args:
            job: Whose output.
            commit: Which attempt.
            scratch: Local folder for temporary copies.

        Raises:
            StoreError: A staged file is gone, or the destination does not take it.
        """
        done = self._find_mark(job)
        if done is not None:
            return done.outputs
        try:
            manifest = self._read_manifest(job, commit)
            self._copy_staged(manifest, scratch)
        except StoreKeyMissing:
            # Somebody else may have finished in the meantime and cleared up.
            done = self._find_mark(job)
            if done is None:
                raise
            return done.outputs
        return self._mark(job, manifest)

    def keep(self, of: Owner, chosen: Sequence[Chosen]) -> tuple[Published, ...]:
        """Keep files of a failed attempt."""
        prefix = self.keys.kept(of.job, of.attempt)
        size_bytes = upload_many(self.store, ((each.file, f"{prefix}/{each.path}") for each in chosen))
        return (Published(f"{self.store.url}/{prefix}", len(chosen), size_bytes),) if chosen else ()

    def _stage(self, of: Owner, chosen: Sequence[Chosen]) -> Manifest:
        prefix = self.keys.staged(of.job, of.attempt)
        files = tuple(
            StagedFile(
                path=each.path,
                destination=each.output.destination or f"{self.store.url}/{self.keys.outputs(of.job)}",
                size_bytes=each.file.stat().st_size,
                key=f"{prefix}/{number_segment(number)}",
            )
            for number, each in enumerate(chosen, start=1)
        )
        upload_many(self.store, ((each.file, staged.key) for each, staged in zip(chosen, files, strict=True)))
        manifest = Manifest(secrets.token_hex(_TOKEN_BYTES), of.attempt, files)
        self.store.create(self.keys.manifest(of.job, of.attempt), encode(manifest))
        return manifest

    def _commit(self, of: Owner) -> Commit:
        key, own = self.keys.commit(of.job), Commit(secrets.token_hex(_TOKEN_BYTES), of.attempt, self.session)
        standing = self.store.create(key, encode(own))
        return own if standing is None else decode(Commit, standing, where=key)

    def _read_manifest(self, job: JobId, commit: Commit) -> Manifest:
        key = self.keys.manifest(job, commit.attempt)
        data = self.store.get(key)
        if data is None:
            raise StoreKeyMissing(f"there is no {key} in {self.store.url}: the committed output of {job} is lost")
        return decode(Manifest, data, where=key)

    def _copy_staged(self, manifest: Manifest, scratch: Path) -> None:
        for number, each in enumerate(manifest.files):
            place = self.places.locate(each.destination)
            copy = scratch / f".publish-{number}"
            try:
                self.store.download_file(each.key, copy)
                place.store.upload_file(copy, place.key(each.path))
            finally:
                copy.unlink(missing_ok=True)

    def _mark(self, job: JobId, manifest: Manifest) -> tuple[Published, ...]:
        outputs = summarise(manifest.files)
        mark = PublishedMark(secrets.token_hex(_TOKEN_BYTES), manifest.attempt, outputs)
        self.store.create(self.keys.published(job), encode(mark))
        self._remove_staged(job, manifest)
        return outputs

    def _find_mark(self, job: JobId) -> PublishedMark | None:
        key = self.keys.published(job)
        data = self.store.get(key)
        return None if data is None else decode(PublishedMark, data, where=key)

    def _remove_staged(self, job: JobId, manifest: Manifest) -> None:
        try:
            self.store.delete([*(each.key for each in manifest.files), self.keys.manifest(job, manifest.attempt)])
        except StoreError:
            # The output is where it belongs; what is left here goes with the campaign.
            return


def summarise(files: Sequence[StagedFile]) -> tuple[Published, ...]:
    """Return what is at each destination."""
    destinations = dict.fromkeys(each.destination for each in files)
    return tuple(
        Published(
            destination,
            files=sum(each.destination == destination for each in files),
            size_bytes=sum(each.size_bytes for each in files if each.destination == destination),
        )
        for destination in destinations
    )
