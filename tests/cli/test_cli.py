"""The command line refuses mistakes in one line."""

import io
import logging
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
from jax.errors import JaxRuntimeError

from birdiedna import tasks
from birdiedna.cli import main, parser, train
from birdiedna.data import cache, fasta, names
from birdiedna.experiments import prepare, profiles, progress
from birdiedna.experiments.sources import Sources
from birdiedna.inference import sequences
from birdiedna.model import transformer
from birdiedna.tasks import elements
from birdiedna.training import devices, probe, weights

SEEDS = ["-1", "1.5", "x", "4294967296", "٣"]
TIMES = ["-1", "0", "x", "soon", "1e3", "nan", "9" * 400]
SHARDS = ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2"]


@pytest.mark.parametrize("words", [["settings"], ["book"], ["data", "list"]])
def test_a_package_that_a_bare_machine_lacks_is_named_in_one_line(refused, monkeypatch, words):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name="polars.frame")

    monkeypatch.setattr(main.importlib, "import_module", absent)
    assert "the package polars.frame is not installed: run `pip install" in refused(*words)


@pytest.mark.promise("Settings: a mistake on the command line is one line with a remedy")
@pytest.mark.parametrize(
    ("words", "option", "values", "why"),
    [
        (["pretrain"], "--seed", SEEDS, "is not a seed; give a whole number from 0 to 4294967295"),
        (["finetune"], "--seed", SEEDS, "is not a seed; give"),
        (["finetune"], "--finetune-seed", SEEDS, "is not a seed; give"),
        (["book"], "--seed", SEEDS, "is not a seed; give"),
        (["data", "check"], "--length", ["9" * 20, "1e3", "nan"], "is not a number; give"),
        (["embed", "m", "f"], "--layer", ["1.0", "x"], "is not a number; give"),
        (["book"], "--at-once", ["-3", "0", "x"], "is not a count; give"),
        (["pretrain"], "--budget-minutes", TIMES, "is not a time; give minutes"),
        (["plan", "work", "x"], "--shard", SHARDS, "is not a shard; give I/N, such as 1/4 to 4/4"),
        (["plan", "work", "folder"], "--only", ["a,b"], "has a comma; use blanks: a b"),
        (["plan", "prepare"], "--arms", ["birdie,ntp"], "has a comma; use blanks: birdie ntp"),
        (["plan", "prepare"], "--finetune-seeds", ["0,1", "0,1,"], "has a comma; use blanks: 0 1"),
        (["book"], "--only", ["01_paper,04_x"], "has a comma; use blanks: 01_paper 04_x"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_one_line(refused, words, option, values, why):
    for value in values:
        assert f"argument {option}: '{value}' {why}" in refused(*words, f"{option}={value}")


@pytest.mark.promise("Settings: a mistake on the command line is one line with a remedy")
@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["pretrain", "--validation", ""], "--validation"),
        (["book", "--validation="], "--validation"),
        (["pretrain", "--genome", " , "], "--genome"),
        (["data", "check", "my.fa", ""], "''"),
        (["predict", "run", "  "], "'  '"),
        (["predict", "run", "my.fa", "--out=--"], "--out"),
        (["predict", "run", "my.fa", "-o--"], "-o"),
        (["finetune", "--set=--"], "--set"),
    ],
)
def test_no_text_is_not_a_default_and_does_not_blame_the_word_before(refused, words, what):
    assert f"{what} has no value; give one" in refused(*words)


@pytest.mark.parametrize("words", ["pretrain --genome=", "plan work ", "book --tasks "])
def test_a_name_that_is_no_text_is_refused_before_a_run_records_it(refused, words):
    """Its manifest would be damaged."""
    said = refused(*f"{words}gen\udcf6m.fa".split())
    assert r"gen\udcf6m.fa has bytes that are not text" in said


@pytest.mark.promise("Settings: a mistake on the command line is one line with a remedy")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("finetune --task a --task b", "--task is given twice; leave one out; see `birdiedna fine"),
        ("pretrain --seed 0 --see 0", "--seed is given twice; leave one out"),
        ("data build --bed a --bed a", "--bed is given twice"),
        ("embed m f -o a.csv --out b.csv", "-o/--out is given twice"),
        ("book --profile quick --profile small", "--profile is given twice"),
        ("book --only 01_paper --only 04_x", "--only is given twice; give all values after one"),
        ("book -p worlds 3 -p worlds 4", "parameter 'worlds' is given twice; leave one out"),
        ("book -p profile paper --profile small", "parameter 'profile' is given twice"),
        ("book -p changes a=1 --set b=2", "parameter 'changes' is given twice"),
        ("plan prepare --out o --seeds 1 --seed 2", "--seeds/--seed is given twice; give all"),
    ],
)
def test_an_option_of_one_value_is_given_once(refused, words, why):
    assert why in refused(*words.split())


def test_options_that_may_be_repeated_add_up_and_a_parser_reads_again():
    read = parser.parser().parse_args
    for _ in range(2):
        words = "book --set a=1 --set b=2 -p x 1 -p y 2 --force --force --seed 1".split()
        given = read(words)
        assert (given.changes, given.given) == (["a=1", "b=2"], [["x", "1"], ["y", "2"]])


def test_a_tilde_behind_an_equals_sign_is_the_home_folder(monkeypatch):
    """Only some shells expand it; else a folder named `~` would be made."""
    monkeypatch.setenv("HOME", "/home/me")
    read = parser.parser().parse_args
    assert str(read(["predict", "r", "s", "--out=~/x"]).out) == "/home/me/x"
    assert read(["book", "--profile=~me"]).profile == "~me"


#: The command line with verbs that import nothing.
LIGHT = """
import sys
from types import SimpleNamespace
from birdiedna import cli
act = SimpleNamespace(list_entries=lambda _: print("entries") or 0, check=lambda _: open("nowhere"))
sys.modules["birdiedna.cli.data"] = act
sys.exit(cli.run())
"""


@pytest.mark.parametrize("reason", ["No space left on device", "Broken pipe"])
def test_standard_output_that_cannot_be_written_is_one_line_or_a_status(monkeypatch, reason):
    """With Python's own buffer, which is written at exit."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    reader, out = os.pipe()
    os.close(reader)
    expected = 128 + signal.SIGPIPE, ""
    if reason != "Broken pipe":
        if not os.path.exists("/dev/full"):
            pytest.skip("this system has no full device")
        os.dup2(os.open("/dev/full", os.O_WRONLY), out)
        expected = 1, f"birdiedna data: standard output: {reason}; free disk space\n"
    words = [sys.executable, "-c", LIGHT, "data", "list"]
    done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == expected
    assert subprocess.call(words, stdout=out, stderr=out) == expected[0]  # `2>&1 | head`
    refused = [*words[:-1], "check", "nowhere.fa"]
    assert subprocess.call(refused, stdout=subprocess.DEVNULL, stderr=out) == 1


def test_no_file_gets_the_number_of_a_closed_standard_stream(tmp_path):
    program = "import os, sys; from birdiedna import cli; cli._open_streams(); print()\n"
    program += "kept = not (sys.stdin.read() or sys.stdout.isatty() or sys.stderr.isatty())\n"
    program += "sys.exit(kept and os.open(sys.argv[1], os.O_CREAT) == 3 and 44)"
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        words = ["sh", "-c", f'exec "$0" -c "$1" "$2" {closed}', sys.executable, program]
        assert subprocess.call([*words, tmp_path / "file"], stdin=subprocess.DEVNULL) == 44


@pytest.mark.parametrize("words", [[], ["pretrain"], ["data", "build"], ["plan", "work"]])
def test_help_imports_argparse_only(words):
    """Not even numpy, so that help is fast."""
    program = "import runpy, sys\nsys.argv[1:] = %r\ntry:\n" % [*words, "--help"]
    program += "    runpy.run_module('birdiedna', run_name='__main__')\nfinally:\n"
    program += "    print(*(n for n in ('numpy', 'jax', 'polars') if n in sys.modules), '!')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("usage: birdiedna") and done.stdout.endswith("\n!\n")


@pytest.mark.parametrize(
    "command",
    "pretrain finetune export import book plan data/list data/fetch data/check data/audit "
    "predict embed probe variants explain".split(),
)
def test_every_command_explains_itself(command, capsys):
    words = command.split("/")
    with pytest.raises(SystemExit, match="0"):
        main.main([*words, "--help"])
    said = capsys.readouterr().out
    assert len(said.splitlines()) > 5
    assert words[0] != "data" or f"examples:\n  birdiedna {' '.join(words)}" in said


@pytest.mark.promise("Settings: a mistake on the command line is one line with a remedy")
def test_the_room_is_the_command_too():
    command = [sys.executable, "-m", "birdiedna.cli", "pretrain", "--typo"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "unrecognized arguments: --typo" in done.stderr


@pytest.mark.promise("Settings: a mistake on the command line is one line with a remedy")
def test_a_message_is_one_line_whatever_names_contain(refused):
    said = refused("data", "check", "a\nb\x1b[31m.fa")
    assert r"a\nb\x1b[31m.fa: no such file" in said
    assert r"unrecognized arguments: --a\nb\x1b;" in refused("pretrain", "--a\nb\x1b")


def test_an_unknown_argument_leads_to_the_help_of_its_verb(refused):
    assert "`birdiedna data list --help`" in refused("data", "list", "--out", "x")
    assert "`birdiedna --help`" in refused("--typo", "data", "list")


@pytest.mark.parametrize(
    ("what", "one"),
    [
        ("bases in lower case, read as upper case", "base in lower case, read as upper case"),
        ("ambiguity codes (R 1), read as N", "ambiguity code (R 1), read as N"),
        ("U read as T", "U read as T"),
        ("train rows that repeat another", "train row that repeats another"),
        ("sequences with two labels", "sequence with two labels"),
        ("train rows whose sequence is in train", "train row whose sequence is in train"),
        ("rows with coordinates, which keep", "row with coordinates, which keeps"),
        ("files are missing", "file is missing"),
        ("of 8 train rows repeat an earlier one", "of 8 train rows repeats an earlier one"),
        ("of 8 rows do not have 2 fields", "of 8 rows does not have 2 fields"),
        ("of 8 rows (first: row 1, chr1:0-4) are out", "of 8 rows (first: row 1, chr1:0-4) is out"),
    ],
)
def test_what_is_counted_once_is_singular(what, one):
    assert [names.quantity(n, what) for n in (0, 1, 2)] == [f"0 {what}", f"1 {one}", f"2 {what}"]
    assert names.quantity(1234, what) == f"1,234 {what}"


def test_what_is_printed_cannot_steer_the_terminal(said, tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(">\x1b]0;x\x07\u202eone\n" + "ACGT" * 99 + "\n>two\n" + "ACGT" * 99)
    assert r"\x1b]0;x\x07\u202eone" in said("data", "check", path)
    record = logging.makeLogRecord({"msg": "a\x1b[31m\nb"})
    assert logging.lastResort.format(record) == "a\\x1b[31m\nb"


@pytest.mark.parametrize(("code", "shown"), [("utf-8", "\u00e9"), ("ascii", r"\xe9")])
def test_a_name_that_the_terminal_cannot_show_is_escaped(monkeypatch, tmp_path, code, shown):
    (tmp_path / "a.fa").write_text(">\u00e9\n" + "ACGT" * 99 + "\n>b\n" + "ACGT" * 99, "utf-8")
    out = io.TextIOWrapper(io.BytesIO(), encoding=code)
    monkeypatch.setattr(main.sys, "stdout", out)
    assert main.main(["data", "check", str(tmp_path / "a.fa")]) == 0
    out.flush()
    assert f" {shown} " in out.buffer.getvalue().decode(code)


@pytest.mark.promise("Settings: suggested commands can be pasted into a shell")
@pytest.mark.parametrize("suffix", ["", ".fa", ".safetensors"])
def test_a_suggested_command_survives_the_shell(said, monkeypatch, tmp_path, suffix):
    what = "https://example.org/a?b=$(c)&d e"
    path = tmp_path / f"file{suffix}"
    path.write_text(">a\nACGT\n") if suffix else path.mkdir()
    monkeypatch.setattr(cache, "fetch", lambda *_, **__: path)
    lines = said("data", "fetch", what).splitlines()
    for command in (line.partition(": ")[2] for line in lines if "birdiedna" in line):
        assert what in shlex.split(command)
    assert names.shell("-x.fa") == "./-x.fa"


@pytest.mark.promise("Settings: what is wrong in a config is refused by name before it runs")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("pretrain --set pretrain.model.attention=flash", "'flash' needs a tpu"),
        ("pretrain --set pretrain.model.attention=cudnn", "'cudnn' needs a gpu"),
        (
            "finetune --task promoter_tata --arm random --set finetune.model.attention=cudnn",
            "'cudnn' needs a gpu, and JAX found a cpu; attention=auto takes any device",
        ),
    ],
)
def test_a_kernel_of_another_device_is_refused(refused, monkeypatch, words, why):
    monkeypatch.setattr(transformer, "init", lambda *_: pytest.fail("weights were made"))
    assert why in refused(*words.split())


@pytest.mark.promise("Settings: names are checked before data are read")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["pretrain", "--arm", "birdy"], "unknown arm 'birdy'; choose one of birdie, ntp"),
        (["pretrain", "--arm", "random"], "unknown arm 'random'"),
        (["finetune", "--arm", "birdy"], "unknown arm 'birdy'; choose one of birdie, ntp"),
        (["finetune", "--profile", "quik"], "did you mean 'quick'"),
        (["finetune", "--device", "tpu"], "tpu was asked for"),
        (["finetune", "--start", "m", "--genome", "a.fa"], "--genome is for pre-training, and m"),
        (["finetune", "--start", "m", "--arm", "ntp"], "--arm is for pre-training, and m is"),
        (["finetune", "--start", "m", "--seed", "1"], "--seed is for pre-training, and m is"),
        (["finetune", "--start", "m", "--shard-state"], "--shard-state is for pre-training"),
        (
            ["finetune", "--start", "eighth-ntp", "--set", "finetune.model.width=64"],
            "--set finetune.model.width=64: eighth-ntp has width 512; leave it out",
        ),
        (["finetune", "--start", "m", "--arm", "random", "--seed", "1"], "no model 'm'"),
        (["finetune", "--start", "m"], "no model 'm'; give a run folder"),
        (["finetune", "--profile", "small", "--from-llama", "m"], "--from-llama is for training"),
        (["pretrain", "--profile", "small", "--replay", "m"], "results small are trained; leave"),
        (["pretrain", "--profile", "small", "--track", "tensorboard"], "--track is for training"),
        (["probe", "m"], "no model 'm'; give a run folder"),
        (["pretrain", "--replay", "m"], "m contains no config.json; give a"),
        (["pretrain", "--from-llama", "m"], "m contains no config.json; give the folder of a"),
        (["probe", "m", "--budget-minutes", "1"], "--budget-minutes is for pre-training, and m"),
        (["probe", "m", "--tasks", "./a.csv", "-o", "a.csv"], "a.csv is in the tasks ./a.csv; w"),
        (["probe", "m", "--tasks", ".", "-o", "a.csv"], "a.csv is in the tasks .; write"),
    ],
)
def test_names_and_folders_are_checked_before_data_are_read(refused, monkeypatch, words, why):
    monkeypatch.setattr(fasta, "read", lambda *_: pytest.fail("a genome was read"))
    monkeypatch.setattr(tasks, "read", lambda *_: pytest.fail("rows were read"))
    assert why in refused(*words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tasks", "mine"], True),
        (["--tasks", "mine", "--arm", "random"], False),
        (["--tasks", "mine", "--profile", "small"], False),
        ([], False),
    ],
)
def test_whoever_gives_rows_and_no_genome_is_told_that_the_arm_is_of_the_sample(
    capsys, words, told
):
    given = parser.parser().parse_args(["finetune", *words])
    with train._runs(given, Sources(given.genome, given.tasks)):
        assert ("birdie is pre-trained on the embedded sample" in capsys.readouterr().out) == told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("pretrain.slots=4096", ["infill_50_3 fills 2,052 of 4,096 slots"]),  # of 256 sentinels
        ("pretrain.birdie.objectives.infill_50_3.rate=0.8", ["infill_50_3 fills 37 of 128 slots"]),
        ("pretrain.slots=1024", []),
    ],
)
def test_rows_that_are_mostly_pads_are_told_before_training(capsys, change, said):
    given = parser.parser().parse_args(["pretrain", "--set", change])
    with train._runs(given, Sources()):
        found = re.findall("(.* fills .*) of a row", capsys.readouterr().out)
    assert found == said


def test_random_weights_say_that_they_read_no_genome(capsys):
    given = parser.parser().parse_args(["finetune", "--arm", "random", "--genome", "absent.fa"])
    sources = Sources(given.genome, validation="8")
    with train._runs(given, sources) as runs:
        assert "not pre-trained: without effect: --genome\n" in capsys.readouterr().out
        assert "absent.fa" not in runs.finetuning("random", "promoter_all").command()


@pytest.mark.parametrize(
    ("words", "changes", "idle"),
    [
        (["pretrain"], ["pretrain.steps=40", "finetune.steps=30", "device=any"], [1]),
        (["pretrain", "--arm", "ntp"], ["pretrain.ntp.slots=64", "pretrain.birdie.slots=64"], [1]),
        (["finetune"], ["pretrain.steps=40", "finetune.head=pooled", "probe.subsets=2"], [2]),
        (["finetune"], ["tasks=promoter_all", "simulated_seeds=2"], [0, 1]),
        (["finetune", "--arm", "random"], ["pretrain.steps=40", "pretrain.model.blocks=1"], [0]),
        (["finetune"], ["pretrain.ntp.model.recompute=true", "probe.subsets=2"], [1]),
        (["finetune", "--arm", "random"], ["pretrain.director.model.width=32"], [0]),
        (["probe", "ntp"], ["tasks=promoter_all", "probe.subsets=2", "finetune.rows=8"], [2]),
    ],
)
def test_settings_that_a_run_does_not_read_are_named(capsys, words, changes, idle):
    sets = [word for change in changes for word in ("--set", change)]
    given = parser.parser().parse_args([*words, *sets])
    given.arm = getattr(given, "arm", words[-1])
    with train._runs(given, Sources()):
        said = f"without effect on this run: {', '.join(changes[i] for i in idle)}\n"
        assert said in capsys.readouterr().out


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
def test_a_folder_of_runs_that_cannot_be_written_is_named_before_data_are_read(
    refused, monkeypatch, tmp_path
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BIRDIEDNA_RUNS", str(tmp_path / "file" / "runs"))
    monkeypatch.setattr(tasks, "read", lambda *_: pytest.fail("rows were read"))
    said = refused("finetune", "--arm", "random")
    assert "runs folder" in said and "(Not a directory)" in said
    assert "set BIRDIEDNA_RUNS" in said


@pytest.mark.promise("Settings: a mistake on the command line is one line with a remedy")
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ArithmeticError("3 updates in a row"), "birdiedna settings: 3 updates in a row"),
        (NotImplementedError("no such kernel"), "no such kernel"),
        (MemoryError(), "out of memory; use fewer rows"),
        (MemoryError("Unable to allocate 9 TiB"), "out of memory (Unable to allocate 9 TiB); "),
        (
            OSError(28, "No space left on device", "/a/b"),
            "/a/b: No space left on device; free disk space",
        ),
        (  # as that of a copy: only what is written can be full
            OSError(122, "Disk quota exceeded", "/read", None, "/written"),
            "/written: Disk quota exceeded; free disk space",
        ),
        (
            IsADirectoryError(21, "Is a directory", "/a/b"),
            "/a/b: Is a directory; give another path",
        ),
        (
            JaxRuntimeError("RESOURCE_EXHAUSTED: 9 bytes asked for.\nmore\nlines"),
            "out of memory (9 bytes asked for.); ",
        ),
        (
            JaxRuntimeError("INTERNAL: YNNPACK operation failed: error"),
            "perhaps for lack of memory (INTERNAL: YNNPACK operation failed: error); ",
        ),
    ],
)
def test_an_error_that_a_user_can_mend_is_one_line(refused, monkeypatch, error, why):
    def fail(_):
        raise error

    monkeypatch.setattr(train, "settings", fail)
    assert why in refused("settings")


def test_an_error_of_ours_is_a_traceback(monkeypatch):
    monkeypatch.setattr(train, "settings", lambda _: {}["a key"])
    with pytest.raises(KeyError, match="a key"):
        main.main(["settings"])


def test_names_in_the_parser_are_those_of_the_modules_that_use_them():
    assert parser.ARMS == tuple(profiles.PROFILES["quick"].pretrain)
    assert parser.PLAN_ARMS == prepare.ARMS and parser.DEVICES == devices.KINDS
    assert parser.WEIGHT_TYPES == weights.TYPES and parser.POOLINGS == probe.POOLINGS
    assert tuple(parser._LONG) == sequences.LONG and parser.TRACKERS == progress.TRACKERS
    assert parser.SITES == tuple(elements.SITES)
