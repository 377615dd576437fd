"""One batch over any number of devices and processes gives the losses of one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from birdiedna import devices

SCRIPT = Path(__file__).with_name("many_devices.py")


def started(*arguments) -> subprocess.Popen:
    cache = Path(__file__).resolve().parent.parent / ".pytest_cache" / "jax"
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment |= {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def told(process: subprocess.Popen) -> dict:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(out.splitlines()[-1])


@pytest.mark.promise("Same bits: any number of devices reads the same rows and loses the same")
def test_2_4_and_8_devices_lose_what_one_loses_on_the_same_rows():
    by_count = told(started(8))
    one = by_count.pop("1")
    assert set(by_count) == {"2", "4", "8"} and len(one["losses"]) == 4 + 2
    for many in by_count.values():
        assert many["rows"] == one["rows"]
        np.testing.assert_allclose(many["losses"], one["losses"], atol=1e-5, rtol=0)


@pytest.mark.promise("Same bits: any number of devices reads the same rows and loses the same")
def test_two_processes_lose_what_one_loses_and_tell_the_same_story():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    first, second = map(told, [started(2, address, 2, number) for number in range(2)])
    alone = told(started(1))
    assert (first["devices"], alone["devices"]) == (4, 1) and first == second
    assert first["rows"] == alone["rows"]
    np.testing.assert_allclose(first["losses"], alone["losses"], atol=1e-5, rtol=0)


@pytest.mark.promise("Devices: rows that do not divide over the devices are refused")
def test_rows_that_do_not_divide_are_refused_with_both_numbers(monkeypatch):
    monkeypatch.setattr(devices.jax, "device_count", lambda: 3)
    with pytest.raises(ValueError, match="32 rows do not divide over 3 devices; use a multiple"):
        devices.mesh(32)
