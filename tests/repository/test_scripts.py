"""The scripts for clusters and rented machines give every machine a shard of its own."""

import ast
import os
import runpy
import shlex
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from birdiedna.data import catalog, files
from birdiedna.training import weights

SCRIPTS = Path(__file__).parents[2] / "scripts"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def slurm(tmp_path):
    """Starts the script as the second task of an array; `python` and `scontrol` are stand-ins."""

    def started(python: str, *words: str) -> subprocess.Popen:
        program(tmp_path / "bin" / "scontrol", 'echo "scontrol $*"')
        variables = {
            **os.environ,
            "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": str(program(tmp_path / "python", python)),
            "SLURM_ARRAY_JOB_ID": "77",
            "SLURM_ARRAY_TASK_ID": "2",
        }
        command = ["sh", str(SCRIPTS / "slurm_array.sh"), *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=variables, **pipes)

    return started


@pytest.mark.parametrize(("status", "queued"), [(0, False), (1, False), (75, True), (143, True)])
def test_a_task_of_an_array_works_on_its_shard_and_is_queued_again(slurm, status, queued):
    words = ("my plan", "4", "--budget-minutes", "9")
    task = slurm(f'echo "$*"; exit {status}', *words)
    said, _ = task.communicate(timeout=20)
    assert task.returncode == status
    first, *rest = said.splitlines()
    assert first == "-m birdiedna plan work my plan --shard 2/4 --budget-minutes 9"
    assert rest == (["scontrol requeue 77_2"] if queued else [])


def test_a_task_saves_and_is_queued_again_when_its_time_is_up(slurm):
    save = "trap 'sleep .1; echo saved; exit 143' TERM; echo begun; while :; do sleep .05; done"
    task = slurm(save, "plan", "4")
    assert task.stdout.readline() == "begun\n"
    task.send_signal(signal.SIGTERM)
    said, _ = task.communicate(timeout=20)
    assert said.splitlines() == ["saved", "scontrol requeue 77_2"] and task.returncode == 143


def test_the_script_for_an_array_reports_missing_arguments(slurm):
    for words, said in [((), "folder of a plan"), (("plan",), "the number of shards")]:
        task = slurm("echo started", *words)
        out, error = task.communicate(timeout=20)
        assert task.returncode and said in error and not out


@pytest.mark.parametrize(("status", "ended"), [(0, 0), (75, 0), (1, 1)])
def test_every_rented_node_works_on_a_shard_and_does_not_fail_when_its_time_is_up(
    tmp_path, status, ended
):
    task = yaml.safe_load((SCRIPTS / "skypilot.yaml").read_text())
    assert task["file_mounts"]["~/plan"] == "${PLAN}"
    needed = "jax[cuda12] flax optax numpy scikit-learn"
    assert {*needed.split()} <= {*shlex.split(task["setup"])}
    program(tmp_path / "core" / "bin" / "python", f'echo "$*"; exit {status}')
    for node in range(task["num_nodes"]):
        given = {"HOME": str(tmp_path), "SKYPILOT_NODE_RANK": str(node), "SKYPILOT_NUM_NODES": "3"}
        variables = {**os.environ, **task["envs"], **given}
        command = ["bash", "-c", task["run"]]
        said = subprocess.run(command, env=variables, capture_output=True, text=True)
        plan = f"-m birdiedna plan work {tmp_path}/plan --budget-minutes 240"
        assert said.returncode == ended and said.stdout == f"{plan} --shard {node + 1}/3\n"


COLAB = """echo "$1 $4 $5 $6" >> "$MACHINE/calls"
case $1 in
  upload) cp "$4" "$MACHINE/${5##*/}" ;;
  exec) cp "$5" "$MACHINE/work.py" ;;
  download) mkdir "$MACHINE/packed" && tar -cf "$5" -C "$MACHINE" packed ;;
esac"""


def test_a_machine_of_colab_gets_code_and_plan_and_is_given_back(tmp_path):
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "plan.json").write_text("{}")
    (tmp_path / "machine").mkdir()
    program(tmp_path / "bin" / "colab", COLAB)
    variables = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHON": str(program(tmp_path / "python", 'echo "$1 $2 $3 $4 ${5##*/}"; ls -d "$6"')),
        "MACHINE": str(tmp_path / "machine"),
    }
    command = ["sh", str(SCRIPTS / "colab_plan.sh"), "plan", "30", "--tpu", "v5e1"]
    pipes = {"cwd": tmp_path, "env": variables, "text": True, "check": True}
    said = subprocess.run(command, stdout=subprocess.PIPE, **pipes).stdout.splitlines()
    assert said[0] == "-m birdiedna remote unpack plan" and said[1].endswith("/packed")
    calls = [line.split()[0] for line in (tmp_path / "machine" / "calls").read_text().splitlines()]
    assert calls == ["new", "upload", "upload", "exec", "download", "stop"]
    names = lambda file: tarfile.open(tmp_path / "machine" / file).getnames()
    assert "./plan.json" in names("plan.tar") and "birdiedna/__main__.py" in names("code.tar")
    work = (tmp_path / "machine" / "work.py").read_text()
    assert "remote work ../plan --out ../packed --budget-minutes 30" in work
    assert not {"jax", "birdiedna"} & {
        alias.name for node in ast.walk(ast.parse(work)) for alias in getattr(node, "names", [])
    }


def test_the_replica_of_colab_refuses_an_unknown_parameter_before_it_makes_its_folder(tmp_path):
    run = runpy.run_path(str(SCRIPTS / "colab_replica.py"))["main"]
    with pytest.raises(ValueError, match="no parameter 'chapter'"):
        run(tmp_path / "new", {"chapter": "02_objectives"})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["eighth-birdie", "eighth-ntp"])
def test_weights_have_the_bytes_that_are_pinned_and_a_card_of_these_results(name, tmp_path):
    make_weights = runpy.run_path(str(SCRIPTS / "make_weights.py"))
    file = SCRIPTS.parent / "weights" / f"{name}.safetensors"
    make_weights["write"](tmp_path / file.name, weights.read(file))
    (pinned,) = catalog.named(name).files
    assert files.digest(tmp_path / file.name) == files.digest(file) == pinned.sha256
    assert make_weights["card"](file) == file.with_suffix(".md").read_text("utf-8")
