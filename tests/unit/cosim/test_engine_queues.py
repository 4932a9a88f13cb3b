"""Queues in arrays beside what Python has for them: sorted lists, and a heap of keys."""

from __future__ import annotations

import bisect
import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine.kernels.queues import pop_ready, push_ready, put_time, queue_edge, segments
from cosim.engine.semantics import bus_key, dispatch_rank

# Few distinct values, so that ties are common.
TIMES_S = st.sampled_from([0.0, 0.5, 1.0, 1.5, 7.0, np.inf])
PRIORITIES = st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 2.0, np.inf]), min_size=1, max_size=24)
FREE = -7  # what stands in array entries that nobody may touch


def blank(n):
    return np.full(n, np.nan), np.full(n, FREE, np.int64)


def parts(device, n_devices):
    first = np.full(n_devices + 1, 99, np.int64)  # what was there before is of no account
    segments(np.array(device, np.int64), first)
    return first.tolist()


class Ready:
    """Ready tasks of one device, in the part first:first + size of an array that others use too."""

    def __init__(self, priority, first=0, size=None):
        self.priority, self.first, self.n = np.array(priority, float), first, 0
        self.heap = np.full(first + (size or len(priority)) + 2, FREE, np.int64)

    def push(self, task):
        self.n = push_ready(self.heap, self.first, self.n, self.priority, task)

    def pop(self):
        task = int(self.heap[self.first])
        self.n = pop_ready(self.heap, self.first, self.n, self.priority)
        return task

    def drain(self):
        return [self.pop() for _ in range(self.n)]


class TestSegments:
    def test_each_device_gets_as_many_places_as_it_has_tasks(self):
        assert parts([2, 0, 2, 2, 0], 4) == [0, 2, 2, 5, 5]  # 2, 0, 3 and 0 tasks

    def test_without_tasks_all_parts_are_empty(self):
        assert parts([], 3) == [0, 0, 0, 0]

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(0, 5), max_size=30))
    def test_parts_follow_each_other_and_hold_all_tasks(self, device):
        assert np.diff(parts(device, 6)).tolist() == [device.count(d) for d in range(6)]
        assert parts(device, 6)[-1] == len(device)


class TestExpiries:
    def test_a_later_one_goes_to_the_end_and_an_earlier_one_before_it(self):
        time_s, what = blank(3)
        tail = put_time(time_s, what, 0, 0, 2.0, 10)
        tail = put_time(time_s, what, 0, tail, 3.0, 11)
        tail = put_time(time_s, what, 0, tail, 1.0, 12)
        assert (tail, time_s.tolist(), what.tolist()) == (3, [1, 2, 3], [12, 10, 11])

    def test_of_equal_times_the_first_come_is_the_first(self):
        time_s, what = blank(3)
        for tail, item in enumerate((5, 4, 3)):
            put_time(time_s, what, 0, tail, 1.0, item)
        assert what.tolist() == [5, 4, 3]

    def test_what_has_been_taken_is_not_moved_even_if_it_is_later(self):
        """Entry 0 is behind the head; a time before it is put right at the head."""
        time_s, what = np.array([9.0, 10.0, np.nan]), np.array([1, 2, FREE])
        assert put_time(time_s, what, 1, 2, 3.0, 7) == 3
        assert (time_s.tolist(), what.tolist()) == ([9, 3, 10], [1, 7, 2])

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.one_of(TIMES_S, st.none()), max_size=30))
    def test_it_is_a_list_sorted_by_time_then_arrival(self, steps):
        """A time is put in, None takes the first out; the twin inserts after all entries that are not later."""
        (time_s, what), head, tail = blank(len(steps) + 1), 0, 0
        twin = []
        for item, when_s in enumerate(steps):
            if when_s is None:
                if twin:
                    assert (time_s[head], what[head]) == twin.pop(0)
                    head += 1
                continue
            tail = put_time(time_s, what, head, tail, when_s, item)
            bisect.insort_right(twin, (when_s, item), key=lambda entry: entry[0])
            assert list(zip(time_s[head:tail], what[head:tail], strict=True)) == twin
        assert (what[tail:] == FREE).all()


class TestBus:
    def test_at_one_instant_the_lower_edge_is_first(self):
        request_s, queue = blank(3)
        for tail, edge in enumerate((4, 9, 2)):
            queue_edge(request_s, queue, 0, tail, 1.0, edge)
        assert queue.tolist() == [2, 4, 9]

    def test_a_lower_edge_does_not_pass_an_earlier_request(self):
        request_s, queue = blank(2)
        queue_edge(request_s, queue, 0, 0, 1.0, 8)
        assert queue_edge(request_s, queue, 0, 1, 2.0, 3) == 2
        assert (queue.tolist(), request_s.tolist()) == ([8, 3], [1, 2])

    def test_an_edge_that_has_the_bus_keeps_it(self):
        """Edge 8 was granted (head is past it) before edge 3 asked at the same instant."""
        request_s, queue = blank(2)
        queue_edge(request_s, queue, 0, 0, 1.0, 8)
        queue_edge(request_s, queue, 1, 1, 1.0, 3)
        assert queue.tolist() == [8, 3]

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5]), max_size=20), st.randoms(use_true_random=False))
    def test_requests_in_the_order_of_time_are_granted_by_the_key_of_the_rules(self, gaps_s, random):
        edges = list(range(len(gaps_s)))
        random.shuffle(edges)
        asked = list(zip(np.cumsum(gaps_s).tolist(), edges, strict=True))
        request_s, queue = blank(len(asked))
        for tail, (now_s, edge) in enumerate(asked):
            assert queue_edge(request_s, queue, 0, tail, now_s, edge) == tail + 1
        found = list(zip(request_s.tolist(), queue.tolist(), strict=True))
        assert found == sorted(asked, key=lambda one: bus_key(*one))


class TestReady:
    def test_the_largest_priority_comes_first(self):
        ready = Ready([1.0, 3.0, 2.0])
        for task in range(3):
            ready.push(task)
        assert ready.drain() == [1, 2, 0]

    @pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
    def test_of_equal_priorities_the_lowest_id_comes_first_however_they_came(self, order):
        ready = Ready([5.0] * 4)
        for task in order:
            ready.push(task)
        assert ready.drain() == [0, 1, 2, 3]

    def test_a_negative_zero_is_a_zero(self):
        ready = Ready([0.0, -0.0])
        ready.push(1)
        ready.push(0)
        assert ready.drain() == [0, 1]

    def test_taking_the_only_one_leaves_none(self):
        ready = Ready([1.0])
        ready.push(0)
        assert ready.pop() == 0
        assert ready.n == 0

    @settings(max_examples=60, deadline=None)
    @given(PRIORITIES, st.data())
    def test_pushes_and_pops_in_any_mixture_give_what_a_heap_of_keys_gives(self, priority, data):
        ready, twin, waiting = Ready(priority, first=3), [], list(range(len(priority)))
        while waiting or twin:
            if waiting and (not twin or data.draw(st.booleans())):
                task = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
                ready.push(task)
                heapq.heappush(twin, (-priority[task], task))
            else:
                assert ready.pop() == heapq.heappop(twin)[1]
            assert ready.n == len(twin)
            assert sorted(ready.heap[3 : 3 + ready.n]) == sorted(task for _, task in twin)

    @settings(max_examples=50, deadline=None)
    @given(PRIORITIES)
    def test_the_order_is_that_of_the_dispatch_rank(self, priority):
        ready = Ready(priority)
        for task in reversed(range(len(priority))):
            ready.push(task)
        assert ready.drain() == np.argsort(dispatch_rank(np.array(priority))).tolist()

    @settings(max_examples=50, deadline=None)
    @given(PRIORITIES)
    def test_no_parent_stands_after_its_children(self, priority):
        ready = Ready(priority)
        for task in range(len(priority)):
            ready.push(task)
        keys = [(-priority[task], task) for task in ready.heap[: ready.n].tolist()]
        assert all(keys[(place - 1) // 2] < keys[place] for place in range(1, len(keys)))

    def test_devices_share_one_array_and_do_not_touch_each_other(self):
        """Tasks 0, 2, 4 are of device 0 and 1, 3, 5 of device 1; entries beyond belong to nobody."""
        priority = np.array([1.0, 9.0, 3.0, 9.0, 2.0, 10.0])
        device = np.array([0, 1, 0, 1, 0, 1])
        first, heap, n = np.empty(3, np.int64), np.full(7, FREE, np.int64), [0, 0]
        segments(device, first)
        for task in range(6):
            d = device[task]
            n[d] = push_ready(heap, first[d], n[d], priority, task)
        taken = [[], []]
        for _ in range(3):
            for d in (0, 1):
                taken[d].append(int(heap[first[d]]))
                n[d] = pop_ready(heap, first[d], n[d], priority)
        assert taken == [[2, 4, 0], [5, 1, 3]]
        assert heap[6] == FREE
