"""What pages load beside their text: scripts, styles, data of explorables."""

import functools
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from birdiedna.figures import explorables, show

VEGA = "vega-offline.js"
DATA = "book-data.js"
STATIC = Path(__file__).parent / "static"


@functools.cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that defines `window.vegaEmbed`.

    It also states the versions that Altair's own renderer asks for, so a chart shown without
    `show.figure` finds them loaded.
    """
    version = ".".join(alt.VEGALITE_VERSION.lstrip("v").split(".")[:2])
    code = vl_convert.javascript_bundle(vl_version=version)
    named = {"vega": alt.VEGA_VERSION, "vegalite": alt.VEGALITE_VERSION}
    named |= {"vegaembed": alt.VEGAEMBED_VERSION}
    asked = json.dumps({f"{name}_version": version for name, version in named.items()})
    return (
        f"(function(){{{code}\n}})();\n"
        f"window.VEGA_DEBUG = Object.assign(window.VEGA_DEBUG || {{}}, {asked});\n"
    )


def write(folder: Path, data: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Write all files into the pages' folder; names of those to load first, and of the others."""
    (folder / VEGA).write_text(vega_bundle(), "utf-8")
    (folder / DATA).write_text(f"const birdieData = {json.dumps(data)};\n", "utf-8")
    files = sorted(STATIC.iterdir())
    for file in files:
        shutil.copyfile(file, folder / file.name)
    return [VEGA, DATA], [file.name for file in files]


def needed(scripts: Iterable[Any], body: str) -> list[Any]:
    """The scripts that a page uses: charts and explorables bring theirs only where there are some.

    Inline scripts that two extensions add twice are dropped: the second run is an error.
    """
    idle = [] if "vega" in body else [VEGA]
    if "data-explore" not in body:
        idle += [DATA, *(file.name for file in STATIC.glob("explore*"))]
    kept: dict[Any, Any] = {}
    for script in scripts:
        inline = getattr(script, "attributes", {}).get("body")
        if Path(str(getattr(script, "filename", None) or "")).name not in idle:
            kept.setdefault(id(script) if inline is None else inline, script)
    return list(kept.values())


_ICON = re.compile(
    r'"?([\w-]+)"?:\[\d+,\d+,\[[^\]]*\],"[0-9a-f]+",(?:"[^"]*"|\["[^"]*"(?:,"[^"]*")*\])\],?'
)


def fewer_icons(script: str, used: str) -> str:
    """The theme's script of 2,000 icons with those that texts name as `fa-<name>`."""
    names = {*re.findall(r"fa-([\w-]+)", used)}
    return _ICON.sub(lambda icon: icon[0] if icon[1] in names else "", script)


def lookups(notebooks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the explorables look up: the data of the package, and of executed chapters."""
    found = explorables.data()
    for notebook in notebooks:
        for output in (one for cell in notebook["cells"] for one in cell.get("outputs", [])):
            if entry := output.get("data", {}).get(show.EXPLORABLE):
                found[entry["kind"]] = entry["data"]
    return found


_BOX = re.compile(r'(<div class="birdie-explore" data-explore="([^"]*)">)')


def without_scripts(body: str) -> str:
    """A page whose explorables say to readers without JavaScript what is missing."""
    return _BOX.sub(r"\1<noscript><p>This figure needs JavaScript.</p></noscript>", body)
