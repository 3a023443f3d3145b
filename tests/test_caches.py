"""Caches of a process: what is kept, for how long, and how much of it."""

import threading
from collections.abc import Callable
from sys import getsizeof
from types import SimpleNamespace

import pytest

from taskbadger import caches
from taskbadger.caches import SharedTexts, TimedCache


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of all caches, in seconds; it stands still unless a test moves it."""
    now = [100.0]
    monkeypatch.setattr(caches, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def render_into(rendered: list[str], text: str) -> Callable[[], str]:
    """Return a function that renders *text* and notes that it did."""

    def render() -> str:
        rendered.append(text)
        return text

    return render


def test_a_value_is_kept_for_its_seconds(clock: list[float]) -> None:
    cache: TimedCache[str, int] = TimedCache(3.0)
    cache.put("a", 1)

    clock[0] += 2.9
    young = cache.get("a")
    clock[0] += 0.1

    assert (young, cache.get("a")) == (1, None)


def test_a_changed_value_expires_when_the_old_one_would_have(clock: list[float]) -> None:
    cache: TimedCache[str, int] = TimedCache(3.0)
    cache.put("a", 1)

    clock[0] += 2.9
    cache.change("a", 2)
    young = cache.get("a")
    clock[0] += 0.1
    cache.change("a", 3)

    assert (young, cache.get("a")) == (2, None)


def test_a_value_that_is_put_again_is_kept_for_its_seconds_again(clock: list[float]) -> None:
    cache: TimedCache[str, int] = TimedCache(3.0)
    cache.put("a", 1)

    clock[0] += 2.9
    cache.put("a", 2)
    clock[0] += 2.9

    assert cache.get("a") == 2


def test_a_change_of_nothing_keeps_nothing() -> None:
    cache: TimedCache[str, int] = TimedCache(3.0)

    cache.change("a", 1)

    assert (cache.get("a"), len(cache)) == (None, 0)


def test_a_full_cache_forgets_what_was_used_longest_ago_and_keeps_the_rest() -> None:
    cache: TimedCache[int, int] = TimedCache(60.0, max_entries=3)
    for number in (1, 2, 3):
        cache.put(number, number)

    cache.get(1)
    cache.put(4, 4)

    assert [cache.get(number) for number in (1, 2, 3, 4)] == [1, None, 3, 4]


def test_forgotten_values_are_gone() -> None:
    cache: TimedCache[int, int] = TimedCache(60.0)
    for number in (1, 2, 3):
        cache.put(number, number)

    cache.forget(1)
    cache.forget(5)
    left = len(cache)
    cache.clear()

    assert (left, len(cache)) == (2, 0)


def test_threads_may_use_a_timed_cache_at_once() -> None:
    cache: TimedCache[int, int] = TimedCache(0.001, max_entries=10)
    failures: list[Exception] = []

    def work() -> None:
        try:
            for number in range(3_000):
                cache.put(number % 20, number)
                cache.change(number % 20, number)
                cache.get((number + 7) % 20)
                cache.forget((number + 3) % 20)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(cache) <= 10


def test_a_text_is_rendered_once_while_it_is_young(clock: list[float]) -> None:
    texts, rendered = SharedTexts(10_000, seconds=60.0), list[str]()

    given = [texts.get("a", render_into(rendered, "first"))]
    clock[0] += 59.0
    given.append(texts.get("a", render_into(rendered, "second")))
    clock[0] += 1.0
    given.append(texts.get("a", render_into(rendered, "third")))

    assert given == ["first", "first", "third"]
    assert rendered == ["first", "third"]


def test_texts_take_no_more_bytes_than_allowed_with_their_keys() -> None:
    text = "x" * 1_000
    each = getsizeof(text) + len(repr("key 0"))
    texts, rendered = SharedTexts(3 * each, seconds=60.0), list[str]()

    for number in range(5):
        texts.get(f"key {number}", lambda: text)
    used = texts.bytes
    for number in (2, 3, 4, 1):
        texts.get(f"key {number}", render_into(rendered, f"again {number}"))

    assert (used, rendered) == (3 * each, ["again 1"])


def test_a_text_that_is_larger_than_all_of_the_cache_is_given_but_not_kept() -> None:
    texts = SharedTexts(1_000, seconds=60.0)
    texts.get("small", lambda: "small")

    given = texts.get("large", lambda: "x" * 2_000)

    assert given == "x" * 2_000
    assert len(texts) == 1


def test_threads_that_want_the_same_text_wait_for_one_that_renders_it() -> None:
    texts, rendered = SharedTexts(10_000, seconds=60.0), list[str]()
    started, go_on = threading.Event(), threading.Event()
    given: list[str] = []

    def render() -> str:
        started.set()
        go_on.wait(10)
        return render_into(rendered, "text")()

    threads = [
        threading.Thread(target=lambda: given.append(texts.get("a", render))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    started.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert (given, rendered) == (["text"] * 4, ["text"])


def test_a_text_that_cannot_be_rendered_is_tried_again() -> None:
    texts = SharedTexts(10_000, seconds=60.0)

    with pytest.raises(ZeroDivisionError):
        texts.get("a", lambda: str(1 // 0))

    assert texts.get("a", lambda: "text") == "text"
