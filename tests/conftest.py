"""JAX settings of the whole suite, set before anything uses JAX, and what many tests share.

Of the long tests, `make stress`: BIRDIEDNA_EXAMPLES times as many examples of every property, and
`--tally`, which counts at the end what was promised and held.
"""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")
)

import counting
import hypothesis
import jax
import pytest

from birdiedna.data import fasta, genome, sample

# No test measures time, and a busy machine is no fault of a property.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(scope="session")
def human(tmp_path_factory: pytest.TempPathFactory) -> genome.Genome:
    """The embedded human sample."""
    return fasta.read(sample.GENOME, tmp_path_factory.mktemp("genome"))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, bool], None]:
    """Count a try: which of `counting.FEATS`, and whether it went well."""
    return lambda feat, good: request.node.user_properties.append(("tally", (feat, good)))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option `--tally`."""
    parser.addoption("--tally", action="store_true", help="count what was promised and held")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note the promises of every test, and ask for more examples if that is wished."""
    config.stash[counting.COLLECTED] = {}
    for item in items:
        promises = tuple(mark.args[0] for mark in item.iter_markers("promise"))
        item.user_properties += [("promise", promise) for promise in promises]
        place = item.path.relative_to(Path(__file__).parent).as_posix()
        config.stash[counting.COLLECTED][place, item.function.__name__] = promises
    times = int(os.environ.get("BIRDIEDNA_EXAMPLES", "1"))
    for test in {item.function for item in items} if times > 1 else ():
        if hypothesis.is_hypothesis_test(test):  # there is no public way to change its settings
            usual = test._hypothesis_internal_use_settings
            more = hypothesis.settings(usual, max_examples=times * usual.max_examples)
            test._hypothesis_internal_use_settings = more


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was promised and held, with `--tally`."""
    if terminalreporter.config.getoption("--tally"):
        ended = [r for reports in terminalreporter.stats.values() for r in reports]
        ended = [report for report in ended if isinstance(report, pytest.TestReport)]
        terminalreporter.section("promises")
        for line in counting.lines(*counting.promises_and_feats(ended)):
            terminalreporter.write_line(line)
