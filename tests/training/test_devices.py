"""One batch over any number of devices and processes gives the losses of one device."""

import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import jax
import many_devices
import numpy as np
import pytest
import small_plan
import tiny

from birdiedna.experiments import profiles
from birdiedna.experiments.runs import open_runs
from birdiedna.model import transformer
from birdiedna.training import devices, pretrain, run_writer

CLI = "import sys; from birdiedna.cli import main; sys.exit(main.main())"


def started(command, **environment) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = [sys.executable, *map(str, command)]
    return subprocess.Popen(words, env=os.environ | environment, **pipes)


@pytest.fixture
def script(forks, human):
    """Runs `many_devices.main` in a process of its own; returns its future."""
    return lambda *given: ProcessPoolExecutor(1, forks).submit(many_devices.main, human, *given)


def free_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.promise("Same bits: any number of devices reads the same rows and has the same losses")
def test_2_and_8_devices_have_the_losses_of_one_on_the_same_rows(script):
    by_count = script(8).result(300)
    one = by_count.pop("1")
    assert set(by_count) == {"2", "8", "8, divided"} and len(one["losses"]) == 4 + 2
    for many in by_count.values():
        assert many["rows"] == one["rows"]
        np.testing.assert_allclose(many["losses"], one["losses"], atol=1e-5, rtol=0)
    assert by_count["8"]["bytes"] == one["bytes"]
    assert by_count["8, divided"]["bytes"] < one["bytes"] / 7


@pytest.mark.promise("Same bits: any number of devices reads the same rows and has the same losses")
def test_two_processes_log_the_same_and_have_the_losses_of_one(script, human, own_objectives):
    address = free_address()
    first, second = (f.result(300) for f in [script(2, address, 2, number) for number in range(2)])
    assert first == second and [*first] == ["whole", "divided"]
    alone = many_devices.trained(human, shard_state=False)
    for many in first.values():
        assert (many["devices"], alone["devices"]) == (4, 1)
        assert many["rows"] == alone["rows"]
        np.testing.assert_allclose(many["losses"], alone["losses"], atol=1e-5, rtol=0)


@pytest.mark.promise("Devices: if the first of several processes cannot start a run, none does")
def test_when_the_first_process_cannot_begin_all_end_and_say_why(tmp_path):
    address, settings = free_address(), {"BIRDIEDNA_RUNS": tmp_path, "JAX_NUM_CPU_DEVICES": "1"}
    place = open_runs("quick").pretraining("birdie").name
    (tmp_path / "quick").mkdir()
    with run_writer.sole_writer(tmp_path / "quick" / f"{place}.lock"):
        processes = [
            started(["-c", CLI, "pretrain", "--hosts", f"{address},2,{number}"], **settings)
            for number in range(2)
        ]
        first, second = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1]
    assert f"is being made by process {os.getpid()}" in first
    assert "the first process could not start; see its message" in second


#: Gives commands, each as if JAX had been imported with a platform.
WITHOUT = """
import os, sys, jax
from birdiedna.cli import main
for command in sys.argv[1:]:
    os.environ["JAX_PLATFORMS"], *words = command.split()
    jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])
    print(main.main(words))
"""


@pytest.mark.promise("Devices: a device that was asked for and is absent is an error")
def test_an_absent_platform_is_reported_in_one_line():
    asked = ["tpu pretrain", "no-such pretrain", "cuda export eighth-ntp exported"]
    asked += ["cuda explain ACGTTGCATTGACCATGCAATGCA"]
    process = started(["-c", WITHOUT, *asked])
    out, errors = process.communicate(timeout=120)
    assert out.split() == ["1"] * 4 and "Traceback" not in errors
    for words, line in zip(asked, errors.splitlines()[-4:], strict=True):
        platform = words.partition(" ")[0]
        assert f"JAX finds no device for JAX_PLATFORMS={platform}; install" in line


@pytest.mark.parametrize("hosts", ["auto", "10.0.0.1", "a:1,2"])
def test_hosts_that_cannot_be_joined_are_refused_with_a_remedy(hosts):
    with pytest.raises(ValueError, match="auto"):
        devices.join(hosts)


@pytest.mark.promise("Devices: rows that do not divide over the devices are refused")
def test_rows_that_do_not_divide_are_refused_with_both_numbers(monkeypatch):
    monkeypatch.setattr(devices.jax, "device_count", lambda: 3)
    with pytest.raises(ValueError, match="32 rows do not divide over 3 devices; use a multiple"):
        devices.mesh(32)


@pytest.mark.promise("Devices: a device that was asked for and is absent is an error")
@pytest.mark.parametrize(
    ("kind", "found", "said"),
    [
        ("any", "cpu", ""),
        ("any", "tpu", ""),
        ("accelerator", "tpu", ""),
        ("gpu", "gpu", ""),
        ("gpu", "cpu", "gpu was asked for and JAX found only cpu"),
        ("tpu", "gpu", "tpu was asked for and JAX found only gpu"),
        ("accelerator", "cpu", "an accelerator was asked for and JAX found only cpu"),
        ("cpu", "gpu", "cpu was asked for and JAX found only gpu"),
        ("cuda", "gpu", "device 'cuda' is none of any, accelerator, cpu, gpu, tpu"),
    ],
)
def test_a_device_that_is_present_is_accepted_and_an_absent_one_an_error(
    monkeypatch, kind, found, said
):
    monkeypatch.setattr(jax, "default_backend", lambda: found)
    with pytest.raises(ValueError, match=said) if said else nullcontext():
        devices.require(kind)


@pytest.mark.promise("Same bits: settings of JAX that give other numbers are refused")
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("jax_default_prng_impl", "rbg"),
        ("jax_threefry_partitionable", False),
        ("jax_random_seed_offset", 1),
        ("jax_high_dynamic_range_gumbel", True),
        ("jax_legacy_prng_key", "error"),
        ("jax_enable_x64", True),
        ("jax_default_matmul_precision", "highest"),
        ("jax_numpy_dtype_promotion", "strict"),
        ("jax_softmax_custom_jvp", True),
        ("jax_disable_jit", True),
        ("jax_disable_most_optimizations", True),
    ],
)
def test_settings_that_change_numbers_are_refused_before_data_are_read(refused, setting, value):
    before = jax.config.values[setting]
    try:
        jax.config.update(setting, value)
        said = refused("finetune", "--arm", "random", "--tasks", "none.csv")
    finally:
        jax.config.update(setting, before)
    assert f"{setting.upper()} is {value!r}, which changes what runs compute" in said


@pytest.mark.promise("Bad input: a batch too large for the device says what would fit")
@pytest.mark.parametrize(
    ("copies", "width", "rows", "said"),
    [(4, 64, 8, ""), (1, 2**17, 8, "lower width"), (4, 64, 2**20, "lower rows, slots, or width")],
)
def test_what_is_too_large_for_this_machine_is_refused_before_memory_is_taken(
    copies, width, rows, said, monkeypatch
):
    monkeypatch.setattr(devices, "host_memory", lambda: 10**10)
    model = transformer.ModelConfig(width=width)
    sizes = replace(tiny.PROFILE.pretrain["ntp"], model=model, rows=rows, evaluation_rows=rows)
    batch = pretrain.least_bytes(replace(sizes, slots=1024))
    with pytest.raises(ValueError, match=f"GB of memory; {said}") if said else nullcontext():
        devices.check_memory(transformer.shapes(model), copies, batch)


@pytest.mark.promise("Bad input: a batch too large for the device says what would fit")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("model.mlp_width=131072", "GB of memory; lower"),
        ("model.head_width=100000", "times head_width 100,000 are more than 131,072"),
        ("model.head_width=1000000000", "head_width 1,000,000,000 are more than 131,072"),
    ],
)
@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_models_that_no_memory_holds_are_refused_before_a_program_is_compiled(
    kind, change, said, monkeypatch, refused
):
    monkeypatch.setattr(transformer, "init", lambda *_: pytest.fail("weights are made"))
    words = ["pretrain", "--arm", "ntp"] if kind == "pretrain" else ["finetune", "--arm", "random"]
    words += ["--task", "promoter_all"] * (kind == "finetune")
    monkeypatch.setattr(devices, "host_memory", lambda: 10**9)
    assert said in refused(*words, "--set", f"pretrain.{change}")


@pytest.mark.promise("Bad input: a batch too large for the device says what would fit")
def test_scores_of_rows_too_long_for_a_cpu_are_refused_before_a_program_is_compiled(
    monkeypatch, refused
):
    monkeypatch.setattr(pretrain, "train", lambda *_, **__: pytest.fail("compiled"))
    monkeypatch.setattr(devices, "host_memory", lambda: 10**12)
    asked = ["pretrain", "--arm", "ntp", "--set", "pretrain.slots=100000"]
    assert "lower rows, slots" in refused(*asked)


@pytest.mark.skipif(devices.resource is None, reason="Windows has no such limits")
@pytest.mark.parametrize(
    ("own", "limited"),
    [
        (None, "memory.max"),
        ("0::/", "memory.max"),
        ("9:cpu:/a\n4:memory:/elsewhere\n0::/\n", "memory/memory.limit_in_bytes"),
        ("9:cpu:/a\n4:memory:/slurm/job_1/step_0\n", "memory/slurm/job_1/memory.limit_in_bytes"),
        ("0::/slurm.scope/job_1/step_0/task_0\n", "slurm.scope/job_1/memory.max"),
    ],
)
def test_memory_is_limited_by_ulimit_and_by_a_container_or_job(tmp_path, monkeypatch, own, limited):
    machine = devices.host_memory()
    assert machine > 2**28
    monkeypatch.setattr(devices, "CGROUP", tmp_path)
    monkeypatch.setattr(devices, "OWN_GROUP", tmp_path / "cgroup")
    if own is not None:
        devices.OWN_GROUP.write_text(own)
    (tmp_path / limited).parent.mkdir(parents=True, exist_ok=True)
    for limit, least in (("max", machine), (str(2**28), 2**28), (str(2**62), machine)):
        (tmp_path / limited).write_text(f"{limit}\n")
        assert devices.host_memory() <= least
    monkeypatch.setattr(devices.resource, "getrlimit", lambda _: (2**27, -1))
    assert devices.host_memory() == 2**27


@pytest.mark.promise("Devices: a device that was asked for and is absent is an error")
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="for machines without an accelerator")
@pytest.mark.parametrize("profile", ["tiny", "paper"])
def test_no_command_falls_back_to_the_cpu(tmp_path, monkeypatch, refused, profile):
    small_plan.settings(monkeypatch, tmp_path)
    monkeypatch.setattr(pretrain, "train", lambda *_, **__: pytest.fail("trained"))
    device = ["--device", "gpu"] if profile == "tiny" else []
    said = refused("pretrain", "--profile", profile, *device)
    assert "was asked for and JAX found only cpu" in said
    assert said.endswith("or give --device cpu (`birdiedna book`: --set device=cpu)\n")
    assert not list(tmp_path.rglob("*.partial"))


def nvml(cards=2, **failing):
    """NVML of two cards, the second with three times the energy of the first."""

    def put(place, value):
        place._obj.value = value
        return 0

    energy = {100: 1_500, 101: 4_500}
    calls = {
        "nvmlInit_v2": lambda: 0,
        "nvmlDeviceGetCount_v2": lambda count: put(count, cards),
        "nvmlDeviceGetHandleByIndex_v2": lambda number, card: put(card, 100 + number),
        "nvmlDeviceGetTotalEnergyConsumption": lambda card, used: put(used, energy[card.value]),
    }
    return SimpleNamespace(**calls | failing)


def test_energy_is_the_sum_over_cards_that_report_it_and_else_unknown(monkeypatch):
    assert devices.joules() is None  # a CPU
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    assert devices.joules() is None  # no driver
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _: nvml())
    assert devices.joules() == 6.0
    fails = lambda *_: 3  # NVML_ERROR_NOT_SUPPORTED
    unknown = [nvml(3), nvml(nvmlInit_v2=fails), object()]
    for library in [*unknown, nvml(nvmlDeviceGetTotalEnergyConsumption=fails)]:
        monkeypatch.setattr(devices.ctypes, "CDLL", lambda _, library=library: library)
        assert devices.joules() is None


def test_an_accelerator_makes_runs_together_up_to_the_batch_of_the_papers_pretraining(monkeypatch):
    paper = profiles.PROFILES["paper"].pretrain["birdie"]
    batch = paper.rows * paper.slots * paper.model.width * paper.model.blocks
    assert devices.runs_at_once(batch // 8) == 1, "a CPU"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert [devices.runs_at_once(work) for work in (2 * batch, batch, batch // 8)] == [1, 1, 8]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert devices.runs_at_once(batch // 8) == 1


CUT = """
import sys, jax
from pathlib import Path
from birdiedna.training import devices
devices.enable_compilation_cache(Path(sys.argv[1]))
for name in ("whole", "cut", "again"):
    print(name, jax.jit(lambda x: x * 3 + 1)(2.0), file=sys.stderr)
    jax.clear_caches()  # as a new process
    for path in Path(sys.argv[1]).glob("compiled/*-cache") if name == "whole" else ():
        path.write_bytes(path.read_bytes()[:99])
"""


def test_a_cut_program_in_the_cache_is_compiled_again_once(tmp_path):
    process = started(["-W", "always", "-c", CUT, tmp_path], JAX_COMPILATION_CACHE_DIR="")
    said = process.communicate(timeout=120)[1]
    whole, warned, cut, again = re.split(r"(?:whole|cut|again) 7\.0\n", said)
    assert "Error reading persistent compilation cache" in warned
    assert "persistent compilation cache" not in whole + cut + again


def test_compiled_programs_are_cached_where_jax_has_no_folder_for_them(tmp_path):
    usual = jax.config.jax_compilation_cache_dir
    try:
        for known, kept in ((usual, usual), (None, str(tmp_path / "compiled"))):
            jax.config.update("jax_compilation_cache_dir", known)
            devices.enable_compilation_cache(tmp_path)
            assert jax.config.jax_compilation_cache_dir == kept
    finally:
        jax.config.update("jax_compilation_cache_dir", usual)
