"""Busy intervals of devices against plain lists of intervals: the first gap is found by trying every start that could be one."""

from __future__ import annotations

import bisect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.scheduling.kernels.timeline import earliest_start, first_after, occupy, release

ROOM = 40
TIMES = st.integers(0, 30)
LENGTHS = st.integers(1, 6)
TASKS = st.lists(st.tuples(st.integers(0, 2), TIMES, LENGTHS), max_size=ROOM)


def empty():
    return np.zeros((3, ROOM)), np.zeros((3, ROOM)), np.zeros(3, np.int64)


def filled(tasks):
    """Each task in its device's first gap; beside the arrays, the same intervals as one plain list a device."""
    line, lists = empty(), [[], [], []]
    for device, ready, length in tasks:
        begin = earliest_start(*line, device, float(ready), float(length))
        occupy(*line, device, begin, begin + length)
        bisect.insort(lists[device], (begin, begin + length))
    return line, lists


def shown(line, device):
    begins_s, stops_s, n_busy = line
    n = n_busy[device]
    return list(zip(begins_s[device, :n].tolist(), stops_s[device, :n].tolist(), strict=True))


def fits(intervals, begin, length):
    return all(stop <= begin or start >= begin + length for start, stop in intervals)


@settings(max_examples=60, deadline=None)
@given(TASKS, TIMES, LENGTHS)
def test_the_earliest_start_is_the_least_of_all_that_fit(tasks, ready, length):
    """A start that is earliest is the ready time or the end of another task: moved earlier, it would still fit."""
    line, lists = filled(tasks)
    for device in range(3):
        candidates = [float(ready), *(stop for _, stop in lists[device] if stop >= ready)]
        expected = min(start for start in candidates if fits(lists[device], start, length))
        assert earliest_start(*line, device, float(ready), float(length)) == expected


@settings(max_examples=60, deadline=None)
@given(TASKS)
def test_intervals_of_a_device_are_in_order_and_never_overlap(tasks):
    line, lists = filled(tasks)
    for device in range(3):
        assert shown(line, device) == lists[device]
        assert all(stop <= begin for (_, stop), (begin, _) in zip(lists[device], lists[device][1:], strict=False))
    assert line[2].sum() == len(tasks)


@settings(max_examples=60, deadline=None)
@given(TASKS, TIMES)
def test_the_first_after_counts_what_has_ended(tasks, time):
    line, lists = filled(tasks)
    for device in range(3):
        assert first_after(line[1], line[2], device, float(time)) == sum(stop <= time for _, stop in lists[device])


@settings(max_examples=60, deadline=None)
@given(TASKS, st.lists(st.tuples(st.integers(0, 2), TIMES, LENGTHS), max_size=5))
def test_what_is_tried_and_taken_back_leaves_no_trace(tasks, tried):
    """As lookahead does: some tasks placed on top, and released last first."""
    line, lists = filled(tasks[: ROOM - 5])
    places = []
    for device, ready, length in tried:
        begin = earliest_start(*line, device, float(ready), float(length))
        places.append((device, occupy(*line, device, begin, begin + length)))
    for device, place in reversed(places):
        release(*line, device, place)
    assert [shown(line, device) for device in range(3)] == lists


@settings(max_examples=60, deadline=None)
@given(TASKS, st.data())
def test_any_interval_can_be_taken_out(tasks, data):
    line, lists = filled(tasks)
    for device in range(3):
        while lists[device]:
            place = data.draw(st.integers(0, len(lists[device]) - 1))
            release(*line, device, place)
            del lists[device][place]
            assert shown(line, device) == lists[device]


@settings(max_examples=60, deadline=None)
@given(TASKS, TIMES, st.integers(0, 5), LENGTHS, st.integers(0, 5))
def test_a_later_or_longer_task_never_starts_earlier(tasks, ready, later, length, longer):
    line, _ = filled(tasks)
    start = earliest_start(*line, 0, float(ready), float(length))
    assert earliest_start(*line, 0, float(ready + later), float(length)) >= start >= ready
    assert earliest_start(*line, 0, float(ready), float(length + longer)) >= start


@pytest.mark.parametrize(
    ("ready", "length", "start"),
    [
        (0.0, 1.0, 0.0),  # before all
        (0.0, 1.5, 3.0),  # too long for the second before the first task, just right between the two
        (1.5, 1.0, 3.0),  # ready within a task
        (3.25, 1.25, 3.25),  # the gap from 3 to 4.5, from its middle on
        (3.5, 1.5, 6.0),  # what is left of the gap is too short
        (9.0, 5.0, 9.0),  # after all
    ],
)
def test_gaps_of_a_device_by_hand(ready, length, start):
    """Busy from 1 to 3 s and from 4.5 to 6 s."""
    line = empty()
    assert occupy(*line, 2, 4.5, 6.0) == 0
    assert occupy(*line, 2, 1.0, 3.0) == 0
    assert earliest_start(*line, 2, ready, length) == start


def test_devices_do_not_see_each_other():
    line = empty()
    occupy(*line, 0, 0.0, 10.0)
    assert earliest_start(*line, 0, 0.0, 1.0) == 10.0
    assert earliest_start(*line, 1, 0.0, 1.0) == 0.0
    assert line[2].tolist() == [1, 0, 0]
