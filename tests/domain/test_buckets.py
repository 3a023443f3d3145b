"""The buckets of metrics."""

from taskbadger.domain.buckets import LIMITS, Durations, read_stored


def durations(*seconds: float) -> Durations:
    found = Durations()
    for each in seconds:
        found.add(each)
    return found


def test_limit_belongs_to_its_bucket() -> None:
    found = durations(0, 0.1, 0.11, 21600, 21601)

    assert found.counts == [2, 1, *[0] * 8, 1, 1]
    assert found.cumulative == [2, *[3] * 9, 4, 5]
    assert found.seconds == 43201.21
    assert len(found.counts) == len(LIMITS) + 1


def test_merged_durations_are_counted_together() -> None:
    found = durations(0.2)
    found.merge(durations(0.3, 7))

    assert found == durations(0.2, 0.3, 7)


def test_durations_are_stored_whole() -> None:
    found = durations(2, 2, 70)

    assert read_stored(found.stored(), found.seconds) == found
