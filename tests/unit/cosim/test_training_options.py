"""Words that commands which train or judge share: lists of seeds, bars, percentages."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cosim.cli.training_options import Seeds, percent, progress
from cosim.training.accuracy import Score


@pytest.mark.parametrize(("text", "seeds"), [("0", (0,)), ("0,1,2", (0, 1, 2)), (" 7 , 3", (7, 3)), ("007", (7,)), ((4, 5), (4, 5))])
def test_seeds_are_read_in_their_order(text, seeds):
    assert Seeds().convert(text, None, None) == seeds


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=6, unique=True))
def test_any_list_of_different_seeds_is_read_back(seeds):
    assert Seeds().convert(",".join(map(str, seeds)), None, None) == tuple(seeds)


@pytest.mark.parametrize("text", ["", "a", "-1", "1.5", "0,,1", "0,1,", "1 2", "1e3", "+1", "²", "0,²"])
def test_what_is_no_list_of_seeds_shows_one(text):
    with pytest.raises(click.BadParameter, match="is no list of seeds such as 0,1,2") as error:
        Seeds().convert(text, None, None)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("text", ["1,1", "0,2,0", "1,01"])
def test_a_seed_that_is_named_twice_is_refused(text):
    with pytest.raises(click.BadParameter, match=f"'{text}' names a seed twice"):
        Seeds().convert(text, None, None)


def test_as_an_option_it_has_a_default_and_an_exit_code():
    @click.command
    @click.option("--seeds", type=Seeds(), default="0,1")
    def command(seeds):
        click.echo(sum(seeds))

    assert CliRunner().invoke(command, []).output == "1\n"
    assert CliRunner().invoke(command, ["--seeds", "5,6"]).output == "11\n"
    bad = CliRunner().invoke(command, ["--seeds", "x"])
    assert bad.exit_code == 2
    assert "0,1,2" in bad.output


def test_without_a_terminal_one_line_says_that_it_began(capsys):
    with progress("Training it: 3 epochs", 3) as tell:
        tell("seed 0", 1)
        tell("seed 1", 2)
    captured = capsys.readouterr()
    assert captured.err.strip().endswith("Training it: 3 epochs")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_percentage_stands_with_its_spread_in_columns():
    assert percent(Score((90.0, 94.0))) == " 92.00 ± 2.83 %"
    assert percent(Score((100.0,))) == "100.00 ± 0.00 %"
    assert len(percent(Score((5.0,)))) == len(percent(Score((100.0,))))
