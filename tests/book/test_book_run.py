"""Chapters run if and only if something they depend on has changed; errors stop early."""

import contextlib
import json
import os
import re
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import jax
import made_files
import pytest
import small_book
from waiting import until

from birdiedna.cli.main import _Shown
from birdiedna.data import files
from birdiedna.training import devices
from birdiedna.training.stop import Stopped
from book._ext import __main__, build, keys, layout, lifetime
from book._ext.build import Order

FAILS = ("x = 1", "raise KeyError('no such arm')", "y = 2")


def states(outcomes):
    return {outcome.chapter: outcome.state for outcome in outcomes}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A book of two chapters, run once: one imports the package, one does not."""
    chapters = {
        "01_alone": small_book.chapter("print(profile, seed)"),
        "02_dependent": small_book.chapter("import tinypackage.high"),
    }
    root = tmp_path_factory.mktemp("book")
    book = replace(small_book.make(root, chapters), package=root / "tinypackage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root))
        assert states(build.run_book(Order(), book)) == {"01_alone": "ran", "02_dependent": "ran"}
        yield book


@pytest.fixture
def no_kernel(monkeypatch):
    """A kernel that starts fails the test."""
    started = lambda *_, **__: pytest.fail("a kernel was started")
    monkeypatch.setattr(build.papermill, "execute_notebook", started)


def due(book, **asked):
    return [job.chapter.stem for job in build.plan(Order(**asked), book) if job.why]


def test_a_second_call_executes_nothing(ran):
    copies = [layout.executed(ran, "quick", chapter) for chapter in layout.chapters(ran)]
    before = [copy.stat().st_mtime_ns for copy in copies]
    assert set(states(build.run_book(Order(), ran)).values()) == {"fresh"}
    assert [copy.stat().st_mtime_ns for copy in copies] == before


def test_a_prose_edit_executes_nothing(ran):
    chapter = layout.chapters(ran)[0]
    chapter.write_text(chapter.read_text().replace("# A chapter", "# The first chapter"))
    assert due(ran) == []


DAMAGED = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "no object": lambda text: "[1]",
    "nothing in it": lambda text: "{}",
    "a number changed": lambda text: text.replace("quick 0", "quick 1"),
    "unsealed": lambda text: text.replace('"seal"', '"sael"'),
    "nested": lambda text: "[" * 200_000,
    "no text": lambda text: "\ud800",
}


@pytest.mark.promise("Damage: whatever is stored, a changed byte is found before it is shown")
@pytest.mark.parametrize("harm", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_copy_is_run_again_and_not_shown(ran, harm):
    copy = layout.executed(ran, "quick", layout.chapters(ran)[0])
    before = copy.read_text("utf-8")
    assert (text := harm(before)) != before
    copy.write_text(text, "utf-8", "surrogatepass")
    try:
        (job,) = build.plan(Order(only=("01_alone",)), ran)
        assert job.why == "its copy is damaged or of an older version"
        assert build.intact(copy) is None
    finally:
        copy.write_text(before, "utf-8")
    assert due(ran) == []


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
@pytest.mark.parametrize("text", ["", "[1]", '{"cells": 3}', '{"cells": [{}], "metadata": {}}'])
def test_a_chapter_that_is_no_notebook_is_named(tmp_path, text):
    book = small_book.make(tmp_path / "book", {"01_a": small_book.chapter("1")})
    layout.chapters(book)[0].write_text(text)
    with pytest.raises(ValueError, match=r"01_a.ipynb is damaged: [^\n]*git checkout book"):
        build.plan(Order(), book)


def test_a_folder_without_a_book_and_a_page_that_is_only_listed_are_named(tmp_path):
    with pytest.raises(ValueError, match=f"no _toc.yml in {tmp_path}: the book needs a checkout"):
        layout.here(tmp_path)
    (tmp_path / "_toc.yml").write_text("root: book/lost\n")
    with pytest.raises(ValueError, match="names 'book/lost', but there is no book/lost.ipynb or"):
        layout.chapters(layout.here(tmp_path))


def test_what_jupyter_book_says_is_shown_if_it_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lifetime, "run", lambda *_: (2, "page.md:3: WARNING: no target"))
    with pytest.raises(ValueError, match="jupyter-book build failed; its messages are above"):
        __main__.jupyter_book(Order(), layout.Layout(tmp_path, tmp_path, tmp_path), None)
    assert "page.md:3: WARNING: no target" in capsys.readouterr().err


def test_a_package_change_runs_dependent_chapters_again_and_no_other(ran):
    (ran.package / "low.py").write_text("x = 2\n")
    assert due(ran) == ["02_dependent"]
    outcomes = build.run_book(Order(), ran)
    assert states(outcomes) == {"01_alone": "fresh", "02_dependent": "ran"}
    assert outcomes[1].why == "package changed: low.py"
    assert due(ran) == []


def test_another_profile_or_parameter_is_another_run(ran):
    assert due(ran, profile="paper") == ["01_alone", "02_dependent"]
    assert due(ran, given={"seed": "1"}) == ["01_alone", "02_dependent"]


@pytest.mark.promise("Security: what is published names no folder and no host of the machine")
def test_parameters_reach_the_chapter_and_the_copy_names_no_path_of_ours(ran):
    copy = layout.executed(ran, "quick", layout.chapters(ran)[0])
    assert small_book.outputs(copy)[0]["text"] in ("quick 0\n", ["quick 0\n"])
    assert str(ran.root) not in copy.read_text()


def test_a_dry_run_says_what_would_run_and_runs_nothing(ran):
    outcomes = build.run_book(Order(only=("01_alone",), force=True, dry_run=True), ran)
    assert states(outcomes) == {"01_alone": "would run"} and outcomes[0].why == "forced"


def test_a_dry_run_whose_reader_has_gone_has_nothing_to_stop(ran, monkeypatch):
    monkeypatch.setattr(layout, "here", lambda: ran)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out, contextlib.redirect_stdout(_Shown(out)) as shown:
        assert __main__.main(["--dry-run"]) == 0
    assert shown.gone


@pytest.mark.promise("Settings: a chapter takes no parameter that it does not declare")
@pytest.mark.parametrize(
    "asked, message",
    [
        ({"given": {"sead": "1"}}, "no chapter has a parameter 'sead'; did you mean 'seed'"),
        ({"given": {"seed": "abc"}}, "'seed' is 'abc', but the chapter declares int"),
        ({"given": {"seed": "1.5"}}, "declares int"),
        ({"given": {"seed": "1_0"}}, "declares int"),
        ({"given": {"seed": True}}, "declares int"),
        ({"given": {"seed": "-1"}}, "'seed' is -1; give at least 0"),
        ({"given": {"seed": "4294967296"}}, "give at least 0, at most 4294967295"),
        ({"profile": "QUIK"}, "'QUIK'; did you mean 'quick'"),
        ({"profile": "../quick"}, "is no name"),
        ({"only": ("01_ALONE",)}, "no chapter '01_ALONE'; did you mean '01_alone'"),
    ],
)
def test_what_no_chapter_declares_is_refused_before_any_kernel(ran, asked, message, no_kernel):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        build.run_book(Order(**asked), ran)


def test_the_command_exits_1_without_a_traceback(ran, monkeypatch, capsys):
    missing = Mock(side_effect=FileNotFoundError(2, "No such file or directory", "absent.fa"))
    monkeypatch.setattr(layout, "here", lambda: ran)
    assert __main__.main(["-p", "stesp", "5"]) == 1
    assert "no chapter has a parameter 'stesp'" in capsys.readouterr().err
    monkeypatch.setattr(build, "run_book", missing)
    assert __main__.main([]) == 1
    assert "birdiedna book: absent.fa: No such file" in capsys.readouterr().err


LONG = "sequence,label\n" + "".join(f"{'ACGT' * (270 + i)},{i % 2}\n" for i in range(40))


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        ("dna,class\nACGT,0\nAGGT,1\n", "no --sequence-column and no --label-column: change"),
        (LONG, "no --length: change"),
    ],
    ids=["columns", "length"],
)
def test_a_remedy_that_only_other_commands_have_is_no_dead_end(lines, missing, tmp_path, capsys):
    (tmp_path / "own.csv").write_text(lines)
    assert __main__.main(["--tasks", str(tmp_path / "own.csv"), "--no-pages"]) == 1
    error = capsys.readouterr().err
    assert f"`birdiedna book` has {missing}" in error and error.count("\n") == 1


def test_genome_tasks_labels_validation_and_seed_reach_whoever_makes_the_runs(monkeypatch):
    from birdiedna.evaluation.paper_table import PRETRAINED
    from birdiedna.experiments import runs
    from birdiedna.experiments.sources import Sources
    from birdiedna.tasks import labelled_as

    monkeypatch.setattr(runs.Live, "pretrained", lambda of, arm: of)
    monkeypatch.setattr(runs, "every_run", lambda of: [of])
    sources = Sources("a.fa", "tasks", "chr8", labelled_as("no=0,yes=1"))
    assert sources.reading.columns.labels == (("no", 0), ("yes", 1))
    opened = runs.open_runs("quick", sources, 3)
    found = build.prepare(build.Wanted("quick", "a.fa", "tasks", 3, "chr8", labels="no=0,yes=1"))
    assert [*found] == [[opened] * len(PRETRAINED), [opened]]


@pytest.mark.promise("Settings: disk space and permissions are checked before anything runs")
def test_errors_of_runs_come_before_any_chapter_starts(needing, no_kernel):
    fails = Mock(side_effect=ValueError("no birdie"))
    with pytest.raises(ValueError, match="no birdie"):
        build.run_book(Order(), needing, maker(needing), fails)
    fails.assert_called_once_with(build.Wanted("quick"))


@pytest.mark.promise("Settings: disk space and permissions are checked before anything runs")
@pytest.mark.parametrize(
    "name, value, said",
    [
        ("genome", "nope.fa", "nope.fa: no such file; give the path of a FASTA file"),
        ("genome", "words.csv", "words.csv: the first line is 'sequence,label'; FASTA starts with"),
        ("genome", "short.fa", "short.fa has 4 bases without N; pre-training needs more than"),
        ("tasks", "words.csv", "or a label map: --labels=no=0,yes=1"),
        ("tasks", "nope", "nope: no such file or folder; give a folder of tasks"),
        ("validation", "chr99", "no contig 'chr99' in genome.fa.gz; choose from chr"),
        ("validation", "chr8:9-5", "'chr8:9-5'"),
        ("labels", "no=0,yes=2", "label map: the classes are [0, 2]; number them 0, 1, ..."),
        ("labelled", "nope,x.fa", "nope: no such file or folder"),
        ("rows_drawn", "0", "'rows_drawn' is 0; give at least 1"),
    ],
)
def test_data_of_chapters_without_runs_are_checked_before_a_kernel(
    tmp_path, monkeypatch, no_kernel, name, value, said
):
    lines = [small_book.PARAMETERS, "rows_drawn: int = 400"]
    lines += [f'{of}: str = ""' for of in ("genome", "tasks", "labels", "validation", "labelled")]
    chapter = small_book.chapter("1", parameters="\n".join(lines))
    book = small_book.make(tmp_path, {"01_plain": chapter})
    monkeypatch.chdir(tmp_path)
    Path("words.csv").write_text("sequence,label\nACGT,no\nAGGT,yes\n")
    Path("short.fa").write_text(">chr1\nACGT\n")
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(said)):
        build.run_book(Order(given={name: value}), book)


@pytest.mark.parametrize(("deaths", "state"), [(1, "ran"), (2, "failed")])
def test_a_kernel_that_dies_at_its_start_is_started_once_more(needing, monkeypatch, deaths, state):
    execute, begun = build.papermill.execute_notebook, []

    def dying(*words, **options):
        begun.append(words)
        shutil.copy(*words)  # as papermill does before it starts a kernel
        if len(begun) <= deaths:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return execute(*words, **options)

    monkeypatch.setattr(build.papermill, "execute_notebook", dying)
    (outcome,) = build.run_book(Order(only=("01_plain",)), needing)
    assert (outcome.state, len(begun)) == (state, 2)


@pytest.mark.promise("Same bits: settings of JAX that give other numbers are refused")
def test_chapters_do_not_compute_with_other_random_numbers(needing):
    try:
        jax.config.update("jax_default_prng_impl", "rbg")
        with pytest.raises(ValueError, match="JAX_DEFAULT_PRNG_IMPL is 'rbg'"):
            build.run_book(Order(), needing)
    finally:
        jax.config.update("jax_default_prng_impl", "threefry2x32")


@pytest.mark.promise("Settings: disk space and permissions are checked before anything runs")
def test_an_unwritable_home_moves_the_cache_and_unwritable_folders_are_named(
    needing, monkeypatch, capsys
):
    blocked = needing.root / "file"
    blocked.touch()
    for name in ("BIRDIEDNA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(blocked))
    build.run_book(Order(only=("01_plain",)), needing)
    assert os.environ["BIRDIEDNA_CACHE"] == str(needing.runs / "cache")
    assert "(Not a directory)" in capsys.readouterr().err
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(blocked / "cache"))
    with pytest.raises(OSError, match="cache folder .* set BIRDIEDNA_CACHE"):
        build.run_book(Order(force=True), needing)
    with pytest.raises(OSError, match="runs folder .* set BIRDIEDNA_RUNS"):
        build.run_book(Order(force=True), replace(needing, runs=blocked / "runs"))


def test_a_kernel_is_of_this_python_whatever_kernels_users_have_installed(tmp_path, monkeypatch):
    spec = json.dumps({"argv": ["/usr/bin/false"], "display_name": "other"})
    made_files.written(tmp_path / "kernels" / "python3", spec, "kernel.json")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    manager = build.Kernels(tmp_path, {}).manager(kernel_name="python3")
    assert manager.kernel_spec.argv[0] == sys.executable


def test_kernels_use_the_cpu_and_share_cores_and_compiled_programs(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")  # is left to the process that makes the runs
    for name in ("NPROC", *devices.cache_variables(tmp_path)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path))
    book = layout.Layout(tmp_path, tmp_path, tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    found = build.kernel_environment(book, "quick", 3)
    assert found["JAX_PLATFORMS"] == "cpu"
    assert found["NPROC"] == "3" and found["OPENBLAS_NUM_THREADS"] == "7"
    assert found["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "compiled")
    assert found["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    assert build.kernel_environment(book, "quick", 1)["JAX_COMPILATION_CACHE_DIR"] == "elsewhere"


def test_one_chapter_alone_leaves_the_pages_and_says_what_is_missing(needing, monkeypatch, capsys):
    monkeypatch.setattr(layout, "here", lambda: needing)
    assert __main__.main(["--only", "01_plain"]) == 0
    said = capsys.readouterr().out
    assert "pages not rendered, since these chapters must run first: 02_reads" in said


def test_values_are_read_as_the_declared_type_and_one_without_is_refused(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text(small_book.chapter("1").replace("seed: int = 0", "seed: float = 0.0"))
    for given, value in (("1e-3", 1e-3), (2, 2.0)):
        assert build.accepted([path], {"seed": given})[path] == {"seed": value}
    path.write_text(small_book.chapter("1").replace("# any", "# 0 | 1"))
    found = build.declared(path, ["mine"])
    assert [one.choices for one in found.values()] == [("quick", "paper", "mine"), ("0", "1")]
    path.write_text(small_book.chapter("1").replace("seed: int = 0", "seed = 0"))
    with pytest.raises(ValueError, match="'seed' has the type None; annotate it"):
        build.declared(path)
    path.write_text(small_book.chapter("1").replace("seed: int = 0", "seed: int = 2 * 3"))
    with pytest.raises(ValueError, match=r"'seed' has the default 2 \* 3; write a literal"):
        build.declared(path)


@pytest.mark.promise("Runs: a chapter that fails is named with its cell, and the status is 1")
def test_a_failing_chapter_exits_1_and_names_chapter_and_cell(tmp_path, monkeypatch, capsys):
    chapters = {"01_bad": small_book.chapter(*FAILS), "02_good": small_book.chapter("1")}
    book = small_book.make(tmp_path, chapters)
    monkeypatch.setattr(layout, "here", lambda: book)
    assert __main__.main(["--at-once", "1"]) == 1
    said = capsys.readouterr()
    assert "FAILED 01_bad: code cell 3 of 4: KeyError: 'no such arm'" in said.err
    assert "02_good               not run" in said.out
    copy = layout.executed(book, "quick", layout.chapters(book)[0])
    assert json.loads(copy.read_text())["metadata"]["papermill"]["exception"] is True
    assert not (book.root / "_build" / "html").exists()
    assert {job.chapter.stem: job.why for job in build.plan(Order(), book)} == {
        "01_bad": "failed last time",
        "02_good": "not run before",
    }


def test_a_dying_kernel_is_a_failure_and_the_next_chapter_can_still_run(tmp_path):
    dies = "os.mkdir('died')  # else this chapter was begun again", "os._exit(3)"
    chapters = {
        "01_dies": small_book.chapter("import os", "\n".join(dies), "1"),
        "02_good": small_book.chapter("1"),
    }
    order = Order(keep_going=True, at_once=1)
    outcomes = build.run_book(order, small_book.make(tmp_path, chapters))
    assert states(outcomes) == {"01_dies": "failed", "02_good": "ran"}
    assert outcomes[0].why.startswith("code cell 3 of 4: DeadKernelError")
    assert outcomes[0].why.endswith("; for lack of memory? --at-once 1 needs least")


@pytest.mark.parametrize(("memory", "at_once"), [(0, 1), (5 << 28, 1), (2 << 30, 2), (1 << 40, 4)])
def test_little_memory_runs_fewer_chapters_at_once(needing, monkeypatch, memory, at_once):
    """Else the kernel of the system kills them."""
    counts = []
    pool = lambda count: counts.append(count) or ThreadPoolExecutor(count)
    monkeypatch.setattr(build, "ThreadPoolExecutor", pool)
    monkeypatch.setattr(build.os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(devices, "host_memory", lambda: memory)
    build.run_book(Order(), needing)
    assert counts == [at_once]


def test_chapters_run_side_by_side_and_say_so_in_their_own_order(needing, monkeypatch):
    both, copied = threading.Barrier(2, timeout=30), build.papermill.execute_notebook
    meeting = lambda *words, **options: both.wait() < 2 and copied(*words, **options)
    monkeypatch.setattr(build.papermill, "execute_notebook", meeting)
    outcomes = build.run_book(Order(at_once=2), needing)
    assert list(states(outcomes).items()) == [("01_plain", "ran"), ("02_reads", "ran")]


def test_a_second_book_is_told_and_harms_nothing(ran):
    copies = ran.runs / "quick" / "chapters"
    before = {path: path.read_bytes() for path in copies.glob("*.ipynb")}
    for place, act in (
        (copies / build.RUNNING, lambda: build.run_book(Order(force=True), ran)),
        (ran.root / "_build", lambda: __main__.render(Order(), ran)),
    ):
        with files.sole(place, place), pytest.raises(ValueError, match="another process is writ"):
            act()
    assert before and {path: path.read_bytes() for path in copies.glob("*.ipynb")} == before


def test_python_is_parsed_in_one_thread_while_chapters_run_in_others(needing, monkeypatch):
    threads, imports = set(), keys._imports
    watched = lambda *given: threads.add(threading.current_thread()) or imports(*given)
    monkeypatch.setattr(keys, "_imports", watched)
    outcomes = build.run_book(Order(at_once=2), needing)
    assert set(states(outcomes).values()) == {"ran"}
    assert threads == {threading.main_thread()}


def test_an_interrupt_ends_every_kernel_and_leaves_the_former_copies(tmp_path):
    began = tmp_path / "began"
    endless = f"import os, pathlib, time\npathlib.Path({str(began)!r}).write_text(str(os.getpid()))"
    chapters = {
        "01_endless": small_book.chapter(endless, "time.sleep(600)"),
        "02_reads": small_book.chapter("1", needs=["pretrain"]),
    }
    book = small_book.make(tmp_path, chapters)
    copy = layout.executed(book, "quick", layout.chapters(book)[0])
    copy.parent.mkdir(parents=True)
    copy.write_text(before := small_book.chapter("1"))

    def interrupted(_):
        until(lambda: began.exists() and began.read_text())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.run_book(Order(force=True), book, interrupted)
    with pytest.raises(ProcessLookupError):
        os.kill(int(began.read_text()), 0)
    assert copy.read_text() == before


def test_a_stop_while_runs_are_made_keeps_the_status_of_the_signal(needing, monkeypatch, capsys):
    stopped = Mock(side_effect=Stopped("SIGTERM", 143))
    monkeypatch.setattr(layout, "here", lambda: needing)
    monkeypatch.setattr(build, "check", lambda _: None)
    monkeypatch.setattr(build, "prepare", stopped)
    assert __main__.main([]) == 143
    assert "SIGTERM; the same command, or cell, resumes" in capsys.readouterr().err


@pytest.fixture
def needing(tmp_path, monkeypatch):
    """A book whose second chapter reads run folders; kernels are replaced by a copy."""
    chapters = {
        "01_plain": small_book.chapter("1"),
        "02_reads": small_book.chapter("2", needs=["pretrain"]),
    }
    copied = lambda chapter, copy, **_: shutil.copyfile(chapter, copy)
    monkeypatch.setattr(build.papermill, "execute_notebook", copied)
    return small_book.make(tmp_path, chapters)


def maker(book):
    """A `prepare` that records its calls and makes two run folders, one after the other."""

    def prepare(wanted):
        folders = [book.runs / "quick" / f"{kind}-0" for kind in ("pretrain", "finetune")]
        for folder in folders:
            made_files.written(folder, json.dumps({"kind": folder.name[:-2]}), "manifest.json")
        yield folders[:1]
        yield folders

    return Mock(side_effect=prepare)


def test_run_folders_are_made_only_for_chapters_that_need_them_and_are_not_fresh(needing):
    prepare = maker(needing)
    build.run_book(Order(only=("01_plain",)), needing, prepare)
    prepare.assert_not_called()
    for text in ("1", "'edited'"):  # the other one is fresh then
        layout.chapters(needing)[0].write_text(small_book.chapter(text))
        build.run_book(Order(given={"seed": "3"}), needing, prepare)
        prepare.assert_called_once_with(build.Wanted("quick", seed=3))


def test_a_changed_run_folder_makes_its_readers_stale_and_no_other(needing):
    build.run_book(Order(), needing, maker(needing))
    changed = {"pretrain": ["02_reads"], "finetune": []}
    for kind, stale in changed.items():
        manifest = needing.runs / "quick" / f"{kind}-0" / "manifest.json"
        before = manifest.read_text()
        manifest.write_text(json.dumps({"kind": kind, "seed": 9}))
        assert due(needing) == stale
        manifest.write_text(before)
    (needing.runs / "quick" / "pretrain-0" / "manifest.json").unlink()
    assert due(needing) == ["02_reads"]


def test_a_fresh_chapter_runs_if_other_run_folders_are_made(needing):
    first = layout.chapters(needing)[0]
    first.write_text(small_book.chapter("1", needs=["finetune"]))
    build.run_book(Order(), needing, maker(needing))

    def other(wanted):
        *_, (pretrained, tuned) = maker(needing)(wanted)
        yield [shutil.copytree(pretrained, pretrained.with_name("pretrain-1")), tuned]

    for number, (prepare, why) in enumerate([(maker(needing), ""), (other, "runs changed")]):
        first.write_text(small_book.chapter(f"'{number}'", needs=["finetune"]))
        outcomes = build.run_book(Order(), needing, prepare)
        assert [outcome.why for outcome in outcomes] == ["code changed", why]


def test_a_needed_kind_that_nobody_makes_is_an_error(needing):
    chapter = layout.chapters(needing)[1]
    chapter.write_text(chapter.read_text().replace('"pretrain"', '"pretrian"'))
    with pytest.raises(ValueError, match="'pretrian'; there are only finetune, pretrain"):
        build.run_book(Order(), needing, maker(needing))


def test_a_chapter_begins_as_soon_as_the_run_folders_that_it_needs_are_made(needing):
    copy = layout.executed(needing, "quick", layout.chapters(needing)[1])

    def prepare(wanted):
        pretrained, every = maker(needing)(wanted)
        yield pretrained
        until(copy.exists)
        yield every

    layout.chapters(needing)[0].write_text(small_book.chapter("1", needs=["finetune"]))
    assert {*states(build.run_book(Order(), needing, prepare)).values()} == {"ran"}
