"""The command line refuses mistakes in one line."""

import subprocess
import sys

import pytest

from birdiedna.cli import main, parser
from birdiedna.experiments import prepare, profiles
from birdiedna.tasks import elements
from birdiedna.training import devices, weights


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
def test_invalid_seeds_are_refused_in_one_line(capsys, words, option, value):
    with pytest.raises(SystemExit, match="2"):
        main.main([*words, option, value])
    error = capsys.readouterr().err
    assert f"argument {option}: '{value}' is no seed; give a whole number from 0" in error
    assert len(error.splitlines()) == 1


def test_seeds_are_whole_numbers_from_zero():
    given = parser.parser().parse_args(["pretrain", "--seed", "4294967295"])
    assert given.seed == 2**32 - 1
    assert parser.parser().parse_args(["pretrain"]).seed == 0


@pytest.mark.parametrize("words", [[], ["pretrain"], ["data", "build"], ["plan", "work"]])
def test_help_imports_argparse_only(words):
    """Not even numpy, so that it comes at once."""
    program = "import runpy, sys\nsys.argv[1:] = %r\ntry:\n" % [*words, "--help"]
    program += "    runpy.run_module('birdiedna', run_name='__main__')\nfinally:\n"
    program += "    print(*(n for n in ('numpy', 'jax', 'polars') if n in sys.modules), '!')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("usage: birdiedna") and done.stdout.endswith("\n!\n")


@pytest.mark.parametrize(
    "command",
    "pretrain finetune export import book plan data/list data/fetch data/check data/audit".split(),
)
def test_every_command_explains_itself(command, capsys):
    words = command.split("/")
    with pytest.raises(SystemExit, match="0"):
        main.main([*words, "--help"])
    said = capsys.readouterr().out
    assert len(said.splitlines()) > 5
    assert words[0] != "data" or f"examples:\n  birdiedna {' '.join(words)}" in said


def test_names_in_the_parser_are_those_of_the_modules_that_use_them():
    assert parser.ARMS == tuple(profiles.PROFILES["quick"].pretrain)
    assert parser.PLAN_ARMS == prepare.ARMS and parser.DEVICES == devices.KINDS
    assert parser.WEIGHT_TYPES == weights.TYPES
    assert parser.SITES == tuple(elements.SITES) and parser.ANCHORS == elements.ANCHORS
