"""A page from its source and its executed copy: prose of the one, outputs of the other."""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from birdiedna import show
from birdiedna.book import keys

_NOTEBOOK_ONLY = re.compile("{}.*?{}".format(*map(re.escape, show.NOTEBOOK_ONLY)), re.DOTALL)
_PATH = re.compile(r"""(?<=['"])/(?:[^'"/]+/)*(?=[^'"/]+['"])""")


def merged(source: Mapping[str, Any], executed: Mapping[str, Any] | None, stale: str = "") -> dict:
    """The notebook to render: all of the source, outputs and counts of the executed copy.

    Args:
      source: the chapter as written.
      executed: its executed copy; None if there is none.
      stale: why the outputs are out of date; empty if they are not. Stated on the page.

    Returns:
      A notebook. Without outputs unless the code cells of both are equal one by one.
    """
    page = copy.deepcopy(dict(source))
    page["metadata"] = {**page["metadata"], "mystnb": {"execution_mode": "off"}}
    if executed is not None and same_code(source, executed):
        page["cells"] = _with_outputs(page["cells"], executed)
    elif not stale:
        stale = "code changed" if executed is not None else "not run before"
    if stale:
        page["cells"].insert(1, _badge(stale))
    return page


def same_code(source: Mapping[str, Any], executed: Mapping[str, Any]) -> bool:
    """Whether the author's code cells are equal one by one."""
    both = [[keys.source(cell) for cell in keys.code_cells(n)] for n in (source, executed)]
    return both[0] == both[1]


def _with_outputs(cells: list[dict], executed: Mapping[str, Any]) -> list[dict]:
    """The source's cells with outputs, and the injected parameters folded behind their cell."""
    outputs = iter(keys.code_cells(executed))
    injected = [cell for cell in executed["cells"] if keys.INJECTED in keys.tags(cell)]
    result = []
    for cell in cells:
        result.append(_filled(cell, next(outputs)) if cell["cell_type"] == "code" else cell)
        if "parameters" in keys.tags(cell):
            result += [_folded(other) for other in injected]
    return result


def _filled(cell: dict, executed: Mapping[str, Any]) -> dict:
    """A code cell with the outputs of its executed twin, as the book's pages need them."""
    outputs = [_cleaned(output) for output in executed["outputs"]]
    metadata = dict(cell.get("metadata", {}))
    figures = [o["metadata"]["birdiedna"]["figure"] for o in outputs if _captioned(o)]
    if len(figures) > 1:
        raise ValueError(
            f"one cell shows {len(figures)} figures ({', '.join(f['name'] for f in figures)}); "
            "show each in its own cell, so that each gets its number and caption"
        )
    if figures:
        mystnb = metadata.get("mystnb", {})
        metadata["mystnb"] = {"figure": figures[0], **mystnb}
    count = executed["execution_count"]
    return {**cell, "metadata": metadata, "outputs": outputs, "execution_count": count}


def _captioned(output: Mapping[str, Any]) -> bool:
    return "figure" in output.get("metadata", {}).get("birdiedna", {})


def _cleaned(output: Mapping[str, Any]) -> dict:
    """An output without the parts that only notebooks outside the book need."""
    data = dict(output.get("data", {}))
    if "text/html" not in data:
        return dict(output)
    data["text/html"] = _NOTEBOOK_ONLY.sub("", "".join(data["text/html"]))
    return {**output, "data": data}


def _folded(cell: Mapping[str, Any]) -> dict:
    """The injected parameters, hidden behind a button, paths shortened to file names."""
    text = _PATH.sub("", keys.source(cell))
    metadata = {"tags": ["hide-input"], "mystnb": {"code_prompt_show": "Parameters of this run"}}
    return {**cell, "source": text, "outputs": [], "metadata": metadata}


def _badge(stale: str) -> dict:
    text = (
        f":::{{warning}}\nThe results on this page are out of date ({stale}): run `make book`.\n:::"
    )
    return {"cell_type": "markdown", "id": "stale", "metadata": {}, "source": text}


def page_text(source: str, executed: str | None, stale: str = "") -> str:
    """`merged` on the texts of the notebooks."""
    copied = json.loads(executed) if executed is not None else None
    return json.dumps(merged(json.loads(source), copied, stale))
