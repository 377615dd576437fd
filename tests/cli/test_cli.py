"""The command line refuses mistakes in one line."""

import pytest

from birdiedna.cli import main


@pytest.mark.promise("Settings: a mistake on the command line is one line with a remedy")
@pytest.mark.parametrize("value", ["-1", "1.5", "x", "4294967296"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["pretrain"], "--seed"),
        (["finetune", "--task", "promoter_all"], "--seed"),
        (["finetune", "--task", "promoter_all"], "--finetune-seed"),
    ],
)
def test_what_is_no_seed_is_refused_in_one_line(capsys, words, option, value):
    with pytest.raises(SystemExit, match="2"):
        main.main([*words, option, value])
    error = capsys.readouterr().err
    assert f"argument {option}: '{value}' is no seed; give a whole number from 0" in error
    assert len(error.splitlines()) == 1


def test_a_seed_is_a_whole_number_from_zero_on():
    given = main.parser().parse_args(["pretrain", "--seed", "4294967295"])
    assert given.seed == 2**32 - 1
    assert main.parser().parse_args(["pretrain"]).seed == 0
