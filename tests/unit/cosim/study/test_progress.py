"""How a sweep tells how far it is: counts, lines of JSON, a bar, or nothing."""

import io
import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.study import progress as progress_module
from cosim.study.progress import Bar, Count, JsonLines, Silent


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


class TestCount:
    def test_what_is_stored_grows_with_what_is_acknowledged(self):
        count = Count(100, 40)
        count.add(10, 2)
        count.add(5, 0)
        assert (count.total, count.stored, count.acknowledged, count.failed) == (100, 55, 15, 2)

    def test_the_rest_takes_as_long_a_row_as_this_run_took(self, clock):
        count = Count(100, 40, start_s=clock[0])
        count.add(20, 0)  # 40 of 60 are left
        clock[0] += 10
        assert count.elapsed_s == 10
        assert count.remaining_s == 20

    def test_rows_that_were_there_before_say_nothing_about_the_pace(self, clock):
        counts = [Count(1000 + before, before, start_s=clock[0]) for before in (0, 900)]
        clock[0] += 8
        for count in counts:
            count.add(100, 0)
        assert [count.remaining_s for count in counts] == [72, 72]

    def test_before_the_first_row_nobody_knows(self, clock):
        count = Count(100, 40, start_s=clock[0])
        clock[0] += 10
        assert count.remaining_s is None

    def test_a_finished_run_has_nothing_left(self, clock):
        count = Count(10, 4, start_s=clock[0])
        clock[0] += 3
        count.add(6, 6)
        assert count.remaining_s == 0

    def test_time_runs_from_now(self):
        before = time.monotonic()
        assert before <= Count(1, 0).start_s <= time.monotonic()

    @given(st.lists(st.integers(1, 50), max_size=20), st.integers(0, 100))
    def test_counts_add_up(self, parts, before):
        count = Count(before + sum(parts), before)
        for n in parts:
            count.add(n, n // 2)
        assert count.stored == count.total
        assert count.acknowledged == sum(parts)
        assert count.failed == sum(n // 2 for n in parts)


class TestJsonLines:
    def test_a_line_says_what_is_safe_and_what_is_left(self, clock):
        stream, count = io.StringIO(), Count(100, 40, start_s=clock[0])
        lines = JsonLines(stream)
        clock[0] += 1.23456
        count.add(20, 3)
        lines.committed(count, 20)
        assert stream.getvalue() == (
            '{"acknowledged": 20, "rows": 20, "failed": 3, "stored": 60, "total": 100, "elapsed_s": 1.235, "remaining_s": 2.469}\n'
        )

    def test_a_line_a_commit(self, clock):
        stream, count = io.StringIO(), Count(60, 0, start_s=clock[0])
        lines = JsonLines(stream)
        for n in (10, 20, 30):
            clock[0] += 1
            count.add(n, 1)
            lines.committed(count, n)
        lines.close()
        found = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert [one["rows"] for one in found] == [10, 20, 30]
        assert [one["acknowledged"] for one in found] == [10, 30, 60]
        assert [one["failed"] for one in found] == [1, 2, 3]
        assert [one["remaining_s"] for one in found] == [5.0, 2.0, 0.0]  # 50 rows at 10 a second, 30 at 15, none

    def test_a_line_is_there_at_once(self):
        class Stream(io.StringIO):
            flushed = ""

            def flush(self):
                self.flushed = self.getvalue()

        stream, count = Stream(), Count(2, 0)
        count.add(1, 0)
        JsonLines(stream).committed(count, 1)
        assert json.loads(stream.flushed)["acknowledged"] == 1

    @pytest.mark.parametrize("left", [None, math.inf, math.nan])
    def test_a_time_that_nobody_knows_is_null(self, monkeypatch, left):
        monkeypatch.setattr(Count, "remaining_s", left)
        stream = io.StringIO()
        JsonLines(stream).committed(Count(5, 0), 0)
        assert json.loads(stream.getvalue())["remaining_s"] is None

    @pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left"), ValueError("I/O operation on closed file")])
    def test_nobody_listens_and_the_sweep_goes_on(self, error):
        class Deaf(io.StringIO):
            def write(self, text):
                raise error

        lines = JsonLines(Deaf())
        lines.committed(Count(5, 0), 0)
        lines.close()

    def test_a_stream_that_is_closed(self):
        stream = io.StringIO()
        stream.close()
        JsonLines(stream).committed(Count(5, 0), 0)


class TestBar:
    @pytest.fixture
    def terminal(self, monkeypatch):
        for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")

        class Terminal(io.StringIO):
            def isatty(self):
                return True

        return Terminal()

    def test_it_shows_rows_and_total(self, terminal):
        bar, count = Bar(terminal), Count(96, 30)
        count.add(10, 0)
        bar.committed(count, 10)
        count.add(8, 0)
        bar.committed(count, 8)
        bar.close()
        assert "48/96" in terminal.getvalue()
        assert "failed" not in terminal.getvalue()

    def test_it_counts_failures(self, terminal):
        bar, count = Bar(terminal), Count(96, 0)
        count.add(10, 3)
        bar.committed(count, 10)
        bar.close()
        assert "rows (3 failed)" in terminal.getvalue()

    def test_before_the_first_rows_it_shows_nothing(self, terminal):
        bar = Bar(terminal)
        assert terminal.getvalue() == ""
        bar.close()
        assert terminal.getvalue() == ""

    def test_it_gives_the_terminal_back(self, terminal):
        bar, count = Bar(terminal), Count(2, 0)
        count.add(1, 0)
        bar.committed(count, 1)
        bar.close()
        text = terminal.getvalue()
        assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor hidden and shown again


def test_silence(capsys):
    silent = Silent()
    silent.committed(Count(5, 0), 5)
    silent.close()
    assert capsys.readouterr() == ("", "")
