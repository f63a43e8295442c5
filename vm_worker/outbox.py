"""Tells the launcher what happened, in as few records as possible; silence is broken by a heartbeat.

Nothing here waits for a file transfer. While the bucket is away, news pile up and are told when it is back.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass

from gliderport_prefect.errors import ProtocolError, StoreError
from gliderport_prefect.protocol.codec import encode
from gliderport_prefect.protocol.ids import SessionId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.records import IDLE_PATIENCE, Hello, OutboxRecord
from gliderport_prefect.store.seam import Store
from vm_worker.health import StoreHealth
from vm_worker.news import NewsDesk

_FLUSH_SECONDS = 0.8
_PAUSE_SECONDS = 1.0
_TOKEN_BYTES = 8


@dataclass(frozen=True)
class OutboxPlace:
    """Where a session writes."""

    store: Store
    """The runtime bucket, with little patience: this loop has its own."""
    keys: CampaignKeys
    """Of the campaign."""
    session: SessionId
    """Who writes."""


class Outbox:
    """The one writer of a session's outbox."""

    def __init__(self, place: OutboxPlace, news: NewsDesk, *, health: StoreHealth, heartbeat_seconds: float) -> None:
        self._place = place
        self._news = news
        self._health = health
        self._heartbeat_seconds = heartbeat_seconds
        self._sent = 0
        self._sent_at = time.monotonic()
        self._goodbye: str | None = None
        self._is_closing = threading.Event()
        self._is_closed = threading.Event()
        self.draining: str | None = None
        self.is_silent = False
        self.failure: Exception | None = None

    def send_hello(self, hello: Hello) -> None:
        """Write the first record.

        Raises:
            StoreError: The bucket does not take it.
        """
        self._put(self._encode(hello=hello))

    def run(self) -> None:
        """Write records until the goodbye is written."""
        try:
            while not self._is_closing.is_set():
                self._wait_for_news()
                if self._is_due():
                    self._send(self._encode())
            while self._news.oldest is not None:
                self._send(self._encode())
            self._send(self._encode(goodbye=self._goodbye))
        except ProtocolError as error:
            self.failure = error
        self._is_closed.set()

    def close(self, goodbye: str, *, timeout_seconds: float) -> bool:
        """Write what is left and the goodbye; say whether it was written in time."""
        self._goodbye = goodbye
        self._is_closing.set()
        self._news.has_news.set()
        return self._is_closed.wait(timeout_seconds) and self.failure is None

    def _wait_for_news(self) -> None:
        quiet = self._longest_silence() - (time.monotonic() - self._sent_at)
        if not self._news.has_news.wait(max(0.0, quiet)):
            return
        self._news.has_news.clear()
        oldest = self._news.oldest
        if oldest is not None and not self._news.is_urgent and not self._is_closing.is_set():
            self._news.has_news.wait(max(0.0, oldest + _FLUSH_SECONDS - time.monotonic()))

    def _is_due(self) -> bool:
        now = time.monotonic()
        oldest = self._news.oldest
        if oldest is not None and (self._news.is_urgent or now - oldest >= _FLUSH_SECONDS):
            return True
        return now - self._sent_at >= self._longest_silence()

    def _longest_silence(self) -> float:
        """Return after how many seconds the launcher is to hear something: soon while it may miss jobs."""
        return self._heartbeat_seconds * (1.0 if self._news.has_jobs else IDLE_PATIENCE)

    def _encode(self, *, hello: Hello | None = None, goodbye: str | None = None) -> bytes:
        news = self._news.take()
        return encode(
            OutboxRecord(
                session=self._place.session,
                token=secrets.token_hex(_TOKEN_BYTES),
                hello=hello,
                started=news.started,
                finished=news.finished,
                returned=news.returned,
                read=news.read,
                queued=news.queued,
                running=news.running,
                draining=self.draining,
                goodbye=goodbye,
            )
        )

    def _send(self, data: bytes) -> None:
        """Write the record, however long it takes, unless the session may say nothing more."""
        while not self.is_silent:
            try:
                self._put(data)
            except StoreError as error:
                self._health.note_failure(error)
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def _put(self, data: bytes) -> None:
        key = self._place.keys.outbox_record(self._place.session, self._sent + 1)
        standing = self._place.store.create(key, data)
        if standing is not None:
            raise ProtocolError(f"{key} was written by another process: two workers believe to be one session")
        self._health.note_success()
        self._sent += 1
        self._sent_at = time.monotonic()
