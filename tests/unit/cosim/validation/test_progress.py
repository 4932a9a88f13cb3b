"""The bar of long comparisons: for somebody who looks at it, and never in the way of the items."""

from __future__ import annotations

import io
import sys

import pytest

from cosim.validation.progress import shown, weighed


class Terminal(io.StringIO):
    """A screen that keeps all that was ever written to it."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Make stderr one that somebody looks at, once a test has begun: between its phases pytest sets its own."""

    def look():
        monkeypatch.setattr(sys, "stderr", Terminal())
        monkeypatch.setenv("TERM", "xterm")
        return sys.stderr

    return look


@pytest.mark.parametrize("items", [[], ["only"], [3, 1, 2, 3]])
def test_all_items_come_in_their_order(items):
    assert list(shown(items, "comparing")) == items


def test_nothing_is_written_where_nobody_looks(capsys):
    assert list(shown(range(5), "comparing")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_it_says_what_is_done_on_stderr_only(terminal, capsys):
    screen = terminal()
    assert list(shown([1, 2], "comparing networks")) == [1, 2]
    assert "comparing networks" in screen.getvalue()
    assert capsys.readouterr().out == ""


def test_items_are_handed_on_one_by_one():
    """What is compared can be seen before the next item is taken."""
    taken = []

    class Items(list):
        def __iter__(self):
            for item in super().__iter__():
                taken.append(item)
                yield item

    one_by_one = iter(shown(Items("abc"), "comparing"))
    assert (next(one_by_one), taken) == ("a", ["a"])
    assert (list(one_by_one), taken) == (["b", "c"], ["a", "b", "c"])


def test_an_error_in_the_middle_is_not_swallowed(terminal):
    screen = terminal()
    with pytest.raises(ZeroDivisionError):
        [1 / item for item in shown([1, 0], "dividing")]
    assert "dividing" in screen.getvalue()


def test_uneven_pieces_are_told_and_nothing_is_shown_without_a_terminal(capsys):
    with weighed("Training", 3.0) as tell:
        tell(1.0)
        tell(2.0)
    assert capsys.readouterr() == ("", "")
