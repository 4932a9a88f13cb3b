"""Processes of one thread each that end with their parent."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

from cosim.study import processes
from cosim.study.processes import THREADS, one_thread_each


def test_inside_every_library_is_told_one_thread_and_after_it_all_is_as_before(monkeypatch):
    monkeypatch.setenv(THREADS[0], "4")
    monkeypatch.delenv(THREADS[1], raising=False)
    before = dict(os.environ)
    with one_thread_each():
        assert {os.environ[name] for name in THREADS} == {"1"}
    assert dict(os.environ) == before


def test_where_the_kernel_cannot_end_it_a_thread_does(monkeypatch):
    ended = []
    monkeypatch.setattr(processes.sys, "platform", "darwin")
    monkeypatch.setattr(processes.os, "_exit", ended.append)
    reading, writing = os.pipe()
    monkeypatch.setattr(processes, "parent_process", lambda: SimpleNamespace(sentinel=reading))
    processes.end_with_parent()
    time.sleep(0.05)
    assert ended == []
    os.close(writing)
    end_s = time.monotonic() + 5
    while not ended and time.monotonic() < end_s:
        time.sleep(0.01)
    os.close(reading)
    assert ended == [1]
