"""environment.yml has the requirements of pyproject.toml."""

import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
CONDA = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
PIP = next(line["pip"] for line in ENVIRONMENT["dependencies"] if isinstance(line, dict))


def required() -> dict[str, str]:
    """Name and version of every requirement of pyproject.toml with run, book and test."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["run"], *extras["book"], *extras["test"]]
    found = [Requirement(line) for line in lines]
    python = {"python": normal(PROJECT["requires-python"])}
    return python | {r.name: normal(str(r.specifier)) for r in found if r.name != "birdiedna"}


def normal(specifier: str) -> str:
    return ",".join(sorted(part.strip() for part in specifier.split(",")))


def test_names_and_versions_equal_pyproject():
    conda = dict(line.split(" ", 1) for line in CONDA if line != "pip")
    pip = [Requirement(line) for line in PIP if not line.startswith("-e")]
    listed = {name.replace("_", "-"): normal(spec) for name, spec in conda.items()}
    assert listed | {r.name: normal(str(r.specifier)) for r in pip} == required()


def test_the_environment_is_of_open_channels_and_installs_the_package_in_place():
    assert all(MatchSpec(line, strict=True).name for line in CONDA)
    assert PIP[-1] == "-e ." and "pip" in CONDA
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]


def test_the_lock_pins_every_requirement():
    lock = (ROOT / "constraints" / "lock.txt").read_text()
    pinned = {line.split("==")[0].lower() for line in lock.splitlines() if "==" in line}
    assert set(required()) - {"python"} <= pinned
