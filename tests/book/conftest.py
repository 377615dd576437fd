"""A headless browser without network."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

#: No name resolves: requests outside the folder show up in the log.
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND"
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic "
    "--no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--window-size=1300,1000"
).split()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser; without Chromium tests are skipped, or fail if it is required."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        required = os.environ.get("BIRDIEDNA_REQUIRE_BROWSER") == "1"
        (pytest.fail if required else pytest.skip)("needs chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*FLAGS, NO_NETWORK, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe; without its package the test is skipped."""
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("needs axe-core-python: pip install -e '.[test]'")
    return (Path(found.origin).parent / "axe.min.js").read_text("utf-8")
