"""JAX settings of the whole suite, set before JAX is used, and shared fixtures.

Most of the suite's time is spent compiling programs that run for milliseconds, so they are compiled
without optimisation, also in processes that tests start. `XLA_FLAGS= make test` and `make stress`
compile as users do.

`make stress` runs longer: BIRDIEDNA_EXAMPLES times as many examples of every property, and
`--tally` prints how many tests of every promise passed.
"""

import gc
import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

# A shell script starts background jobs (`make test &`) with SIGINT ignored, nohup starts them with
# SIGHUP ignored, and all child processes would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(  # jaxlib 0.11 no longer knows the last flag
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    + " --xla_cpu_use_fusion_emitters=false" * (int(version("jaxlib").split(".")[1]) < 11),
)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of two workers, which would wait for cores
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")  # a tenth of tracing and lowering
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import hypothesis
import jax
import pytest

from birdiedna.cli import COLLECT_LESS, main
from birdiedna.data import fasta, genome, sample
from birdiedna.training import pretrain

gc.set_threshold(*COLLECT_LESS)

# No test measures time: properties must not fail on a busy machine.
_FINE = [hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=_FINE)
hypothesis.settings.load_profile("suite")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def human(tmp_path_factory: pytest.TempPathFactory) -> genome.Genome:
    """The embedded human sample."""
    return fasta.read(sample.GENOME, tmp_path_factory.mktemp("genome"))


@pytest.fixture(scope="module")
def own_objectives() -> Iterator[None]:
    """Evaluations measure the arm's own objectives only, so that less is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BIRDIE_DNA", "NTP"):
            patch.setattr(pretrain, name, {})
        yield


@pytest.fixture
def said(capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Run the command line on words and expect success; returns what it prints."""

    def run(*words: object) -> str:
        status = main.main([*map(str, words)])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Run the command line on words with a mistake; returns its one-line message."""

    def run(*words: object) -> str:
        capsys.readouterr()
        try:
            assert main.main([*map(str, words)]) == 1
        except SystemExit as ended:  # a mistake found by the parser
            assert ended.code == 2
        error = capsys.readouterr().err
        assert error.startswith("birdiedna") and error.count("\n") == 1, error
        return error

    return run


#: What `--tally` counts. A test of these topics counts once, unless it calls `tally` itself.
FEATS = ("kills survived", "kills in a save survived", "damages detected", "bad inputs answered")
FEATS += ("made-up tables", "made-up FASTA files")
TRIES = {"Damage": FEATS[2], "Settings": FEATS[3], "Bad input": FEATS[3]}


@pytest.fixture
def times() -> int:
    """The factor for numbers of examples: BIRDIEDNA_EXAMPLES."""
    return int(os.environ.get("BIRDIEDNA_EXAMPLES", "1"))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, bool], None]:
    """Count a try: which of `FEATS`, and whether it succeeded."""
    return lambda feat, good: request.node.user_properties.append(("tally", (feat, good)))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option `--tally`."""
    parser.addoption("--tally", action="store_true", help="count what was promised and held")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Record the promises of every test; apply BIRDIEDNA_EXAMPLES, and BIRDIEDNA_ORDER, the seed of
    a random order of files and tests.
    """
    for item in items:
        promises = [mark.args[0] for mark in item.iter_markers("promise")]
        item.user_properties += [("promise", promise) for promise in promises]
    long = {item.path for item in items if any(item.iter_markers("slow"))}
    items.sort(key=lambda item: item.path not in long)  # long ones first: workers end together
    if seed := os.environ.get("BIRDIEDNA_ORDER"):
        rng, files = random.Random(seed), {}
        items.sort(key=lambda item: (files.setdefault(item.path, rng.random()), rng.random()))
    times = int(os.environ.get("BIRDIEDNA_EXAMPLES", "1"))
    for test in {item.function for item in items} if times > 1 else ():
        if hypothesis.is_hypothesis_test(test):  # no public API changes its settings
            usual = test._hypothesis_internal_use_settings
            more = hypothesis.settings(usual, max_examples=times * usual.max_examples)
            test._hypothesis_internal_use_settings = more


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tally, with `--tally`."""
    if terminalreporter.config.getoption("--tally"):
        ended = [r for reports in terminalreporter.stats.values() for r in reports]
        terminalreporter.section("promises")
        for line in tallied(r for r in ended if isinstance(r, pytest.TestReport)):
            terminalreporter.write_line(line)


def tallied(reports: Iterable[pytest.TestReport]) -> list[str]:
    """The tally as text: tries by feat, then tests by promise, without skipped tests."""
    passed: dict[str, bool] = {}
    noted: dict[str, list] = {}
    for report in reports:
        if report.outcome in ("passed", "failed"):
            passed[report.nodeid] = passed.get(report.nodeid, True) and report.outcome == "passed"
            noted[report.nodeid] = report.user_properties
    promises: dict[str, list[bool]] = {}
    feats: dict[str, list[bool]] = {feat: [] for feat in FEATS}
    for test, good in passed.items():
        held = [value for name, value in noted[test] if name == "promise"]
        tries = [value for name, value in noted[test] if name == "tally"]
        topics = {promise.partition(": ")[0] for promise in held}
        for feat, well in tries or [(feat, good) for feat in {TRIES.get(t) for t in topics}]:
            if feat:
                feats[feat].append(well)
        for promise in held:
            promises.setdefault(promise, []).append(good)
    rows = [f"{feat + ':':27}{sum(tries):,} of {len(tries):,}" for feat, tries in feats.items()]
    by_promise = [f"  {sum(g):4} of {len(g):<4} {name}" for name, g in sorted(promises.items())]
    return [*rows, "", "tests passed, by promise:", *by_promise]
