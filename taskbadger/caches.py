"""What one process keeps in memory: bounded by age and by size, safe for threads."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from sys import getsizeof
from typing import Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Kept(Generic[V]):
    """A value in a TTLCache; it may be replaced without a new expiry time."""

    value: V


class TimedCache(Generic[K, V]):
    """Values that are trusted for *seconds* each, at most *max_entries* of them.

    When it is full, only the least recently used entry is dropped.
    """

    def __init__(self, seconds: float, *, max_entries: int = 10_000) -> None:
        self._kept: TTLCache[K, _Kept[V]] = TTLCache(max_entries, seconds, timer=_now)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    def get(self, key: K) -> V | None:
        """Return the value of *key*, or None where there is none or it is too old."""
        with self._lock:
            kept = self._kept.get(key)
        return None if kept is None else kept.value

    def put(self, key: K, value: V) -> None:
        """Keep *value* for a full period."""
        with self._lock:
            self._kept[key] = _Kept(value)

    def change(self, key: K, value: V) -> None:
        """Replace the value of *key*, if there is one; it expires when the old one would have."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                kept.value = value

    def forget(self, key: K) -> None:
        """Forget the value of *key*."""
        with self._lock:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._kept.clear()


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    size: int
    """Bytes in memory, with the key."""


class SharedTexts:
    """Rendered texts that threads share: at most *max_bytes* of them, for *seconds* each.

    While one thread renders a text, the others that want the same one wait for it.
    """

    def __init__(self, max_bytes: int, *, seconds: float) -> None:
        self._max_bytes = max_bytes
        self._kept: TTLCache[Hashable, _Text] = TTLCache(
            max_bytes, seconds, timer=_now, getsizeof=lambda kept: kept.size
        )
        self._lock = threading.Lock()
        self._rendering: dict[Hashable, threading.Lock] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    @property
    def bytes(self) -> int:
        """How much memory the texts and their keys take."""
        with self._lock:
            return int(self._kept.currsize)

    def get(self, key: Hashable, render: Callable[[], str]) -> str:
        """Return the text of *key*, rendered where none is kept."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                return kept.text
            lock = self._rendering.setdefault(key, threading.Lock())
        with lock:
            return self._render(key, render)

    def _render(self, key: Hashable, render: Callable[[], str]) -> str:
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept.text
        try:
            text = render()
            self._put(key, text)
        finally:
            with self._lock:
                self._rendering.pop(key, None)
        return text

    def _put(self, key: Hashable, text: str) -> None:
        size = getsizeof(text) + len(repr(key))
        if size <= self._max_bytes:
            with self._lock:
                self._kept[key] = _Text(text, size)

    def clear(self) -> None:
        """Forget all texts."""
        with self._lock:
            self._kept.clear()


def _now() -> float:
    return time.monotonic()
