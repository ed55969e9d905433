"""API keys, compared in constant time, and a rate limit for each."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.errors import InvalidSetting, KeyRejected, RateExceeded


class KeyRing:
    """The valid API keys: those of the settings, and those of a file that is read again when it changes."""

    def __init__(self, keys: Sequence[str], file: Path | None = None) -> None:
        """Read the file as well; raise InvalidSetting if it cannot be read or has no key."""
        self._given = frozenset(_digest(key.encode()) for key in keys)
        self._file = file
        self._stamp: tuple[int, int] | None = None
        self._digests = self._given
        if file is not None:
            self._reload()
            if not self._digests - self._given:
                raise InvalidSetting("AGELENS_API_KEYS_FILE names a file without a key; write one key per line")

    @property
    def required(self) -> bool:
        """Whether clients must send a key."""
        return bool(self._given) or self._file is not None

    def identify(self, sent: str) -> str | None:
        """Return the digest of the client's key, or None if no keys are configured; raise KeyRejected.

        `sent` is the header's value, decoded as Latin-1 as ASGI does; its bytes are UTF-8.
        Every valid key is compared, each in constant time, so that timing reveals nothing.
        """
        if not self.required:
            return None
        self._reload()
        caller = _digest(sent.encode("latin-1", "replace").strip())
        matches = [hmac.compare_digest(caller, digest) for digest in self._digests]
        if not any(matches):
            raise KeyRejected("send a valid API key as `X-API-Key` or `Authorization: Bearer`")
        return caller

    def _reload(self) -> None:
        if self._file is None:
            return
        try:
            facts = self._file.stat()
            stamp = (facts.st_mtime_ns, facts.st_ino)
            if stamp == self._stamp:
                return
            lines = [line.strip() for line in self._file.read_text("utf-8-sig").splitlines()]
            keys = [line for line in lines if line.strip(",") and not line.startswith("#")]
        except (OSError, UnicodeError) as error:
            if self._stamp is not None:
                return  # in the middle of a rotation the keys read last stay valid
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise InvalidSetting(f"AGELENS_API_KEYS_FILE names a file that cannot be read: {reason}") from error
        self._stamp = stamp
        self._digests = self._given | {_digest(key.encode()) for key in keys}


PIXELS_OF_ONE: Final = 12_500_000
FACES_OF_ONE: Final = 10
"""A picture of up to so many pixels and faces counts as one, a larger one as more; a face takes 25 ms to estimate."""


def pictures_worth(pixels: int, faces: int) -> float:
    """Return how many pictures a picture counts as, by its pixels and faces."""
    return max(1.0, pixels / PIXELS_OF_ONE, faces / FACES_OF_ONE)


class RateLimit:
    """A token bucket for each key: `per_minute` pictures a minute, in bursts of up to one minute's worth.

    A picture costs one token when it is queued, so none if the queue refuses it, and once answered the rest of its
    worth by pixels and faces. A request is admitted while there is a token and may overdraw the bucket: a large batch
    passes, and its caller waits later.
    """

    def __init__(self, per_minute: int | None) -> None:
        """Start with full buckets; None limits nothing."""
        self._per_minute = per_minute
        self._buckets: dict[str, tuple[float, float]] = {}

    def check(self, key: str | None) -> None:
        """Raise RateExceeded if the key's bucket is empty."""
        if self._per_minute is None or key is None:
            return
        tokens = self._tokens(key)
        if tokens < 1:
            wait_s = (1 - tokens) * 60 / self._per_minute
            raise RateExceeded(f"this key may send {self._per_minute} pictures per minute", wait_s)

    def charge(self, key: str | None, pictures: float) -> None:
        """Take tokens for `pictures` out of the key's bucket."""
        if self._per_minute is not None and key is not None:
            self._buckets[key] = (self._tokens(key) - pictures, time.monotonic())

    def _tokens(self, key: str) -> float:
        limit = float(self._per_minute or 0)
        tokens, since = self._buckets.get(key, (limit, 0.0))
        return min(limit, tokens + (time.monotonic() - since) * limit / 60)


def _digest(key: bytes) -> str:
    """Return the SHA-256 of a key, which hides its length and keeps the key itself out of memory dumps."""
    return hashlib.sha256(key).hexdigest()
