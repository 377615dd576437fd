"""What is published agrees: address, version, Pythons, requirements, the paper's authors."""

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec

import birdiedna
from book._ext import layout

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = {
    file.stem: yaml.safe_load(file.read_text())
    for file in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
#: Files that cannot look the address up: they are read where there is no checkout.
PAGES = [*NOTEBOOKS, *sorted((ROOT / "book").glob("*.md"))]
STATE_IT = {"README.md", "pyproject.toml", *(f"book/{file.name}" for file in PAGES)}


def tracked_texts():
    named = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, named.stdout.decode().split("\0")):
        if Path(name).suffix in (".py", ".md", ".yml", ".toml", ".ipynb", ".cff", ".sh", ""):
            yield name, (ROOT / name).read_text("utf-8", errors="replace")


def test_the_address_is_stated_in_pyproject_and_repeated_only_where_it_cannot_be_looked_up():
    ours = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    name, owner = re.escape(ours.split("/")[1]), r"github(?:\.com|/)/?([\w-]+/"
    found = {
        file: {match[1] for match in re.finditer(rf"{owner}{name})\b", text)}
        for file, text in tracked_texts()
    }
    stated = {file: places for file, places in found.items() if places}
    assert set(stated) <= STATE_IT and set.union(*stated.values()) == {ours}


def test_pages_notebooks_and_citation_are_of_this_version():
    tag = f"v{birdiedna.__version__}"
    pins = {}
    for file in NOTEBOOKS:
        text = file.read_text("utf-8")
        pins[file.name] = re.findall(rf"{re.escape(layout.address())}@([\w.]+)", text)
    assert pins.pop("colab.ipynb") == [] and all(pin == [tag] for pin in pins.values()), pins
    values = parameters(json.loads((ROOT / "book" / "colab.ipynb").read_text()))
    assert (values["source"], values["version"]) == (layout.address(), tag)
    badge = layout.on_colab(ROOT / "book" / "colab.ipynb")
    for page in ("README.md", "book/10_machines.md"):
        assert badge in (ROOT / page).read_text()
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(cited["version"]) == birdiedna.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == birdiedna.__version__


def parameters(notebook):
    (cell,) = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    body = ast.parse("".join(cell["source"])).body
    return {node.target.id: ast.literal_eval(node.value) for node in body}


def test_the_paper_is_cited_with_its_authors():
    (paper,) = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    authors = [f"{who['given-names']} {who['family-names']}" for who in paper["authors"]]
    assert authors == ["S. Blouir", "D. Circi", "A. Moldwin", "A. Shehu"]


def test_workflows_test_every_python_that_is_supported():
    tested = WORKFLOWS["ci"]["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert PROJECT["requires-python"] == ">=3.11,<3.15"
    assert tested == ["3.11", "3.12", "3.13", "3.14"]
    listed = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if "3." in line]
    assert listed == tested


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_job_runs_what_is_here_ends_in_time_and_may_do_little(name):
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[0].split())
    for job in workflow["jobs"].values():
        steps = job["steps"]
        assert all(re.search(r"@v\d+$", step["uses"]) for step in steps if "uses" in step)
        if any("make" in step.get("run", "") for step in steps):
            assert job["timeout-minutes"] <= 60
        for step in steps:
            assert {*re.findall(r"\bmake (\w+)", step.get("run", ""))} <= targets


def test_a_wheel_contains_the_mark_of_a_typed_package():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert "py.typed" in tool["setuptools"]["package-data"]["birdiedna"]
    assert (ROOT / "birdiedna" / "py.typed").is_file()


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
