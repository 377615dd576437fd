"""Run `book/colab.ipynb` as Colab would, in the Python that runs this script.

    python3.13 -m venv replica
    replica/bin/python -m pip install -r constraints/colab-tpu-2026-08.txt
    replica/bin/python scripts/colab_replica.py build/colab chapters=04_pretraining profile=quick

The first argument is a new folder; the others replace parameters of the notebook. It installs the
committed state of this checkout and keeps runs in `kept` of the folder.
"""

import argparse
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]


def with_parameters(cell: str, given: dict[str, str]) -> str:
    """The parameters cell with other values; ValueError for an unknown parameter."""
    for name, value in given.items():
        cell, found = re.subn(rf"(?m)^({name}: str = ).*", lambda m: f"{m[1]}{value!r}", cell)
        if not found:
            raise ValueError(f"the notebook has no parameter {name!r}")
    return cell


def main(folder: Path, given: dict[str, str]) -> None:
    """Run the notebook and show what each cell prints."""
    notebook = nbformat.read(ROOT / "book" / "colab.ipynb", as_version=4)
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    ours = {"source": ROOT.as_uri(), "version": "HEAD", "keep": str(folder.resolve() / "kept")}
    cell.source = with_parameters(cell.source, ours | given)
    folder.mkdir(parents=True)

    def show(cell, cell_index, **_):
        for output in cell.get("outputs", []):
            said = output.get("text") or output.get("evalue") or ""
            print(f"[cell {cell_index}] {said.rstrip()}", flush=True)

    where = {"metadata": {"path": str(folder)}}
    run = NotebookClient(notebook, timeout=None, kernel_name="python3", resources=where)
    run.on_cell_executed = run.on_cell_error = show
    try:
        run.execute()
    finally:
        nbformat.write(notebook, folder / "colab.ipynb")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("parameter", nargs="*", type=lambda word: word.partition("=")[::2])
    given = parser.parse_args()
    main(given.folder, dict(given.parameter))
