"""Files that pages load: scripts, styles, data of explorables."""

import functools
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from birdiedna.data import files, stored
from birdiedna.figures import show
from birdiedna.training import run_folder

VEGA = "vega-offline.js"
DATA = "book-data.js"
FIRST = (VEGA, DATA)  # files in STATIC use them
STATIC = Path(__file__).parent / "static"


@functools.cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that defines `window.vegaEmbed`.

    It declares the versions that Altair's own renderer asks for, which then loads nothing. To make
    it takes seconds, so it is kept in the cache.
    """
    version = ".".join(alt.VEGALITE_VERSION.lstrip("v").split(".")[:2])
    kept = files.default_cache() / f"vega-{vl_convert.__version__}-{version}.json"
    try:
        code = stored.read_json(kept, {"code": str, "seal": str})["code"]
    except (OSError, ValueError):  # missing or damaged
        code = vl_convert.javascript_bundle(vl_version=version)
        with suppress(OSError):  # pages do not need the cache
            kept.parent.mkdir(parents=True, exist_ok=True)
            run_folder.write_json(kept, stored.sealed({"code": code}))
    named = {"vega": alt.VEGA_VERSION, "vegalite": alt.VEGALITE_VERSION}
    named |= {"vegaembed": alt.VEGAEMBED_VERSION}
    asked = json.dumps({f"{name}_version": version for name, version in named.items()})
    return (
        f"(function(){{{code}\n}})();\n"
        f"window.VEGA_DEBUG = Object.assign(window.VEGA_DEBUG || {{}}, {asked});\n"
    )


def others() -> list[str]:
    """Names of the scripts and styles that pages load after `FIRST`."""
    return sorted(file.name for file in STATIC.glob("[!.]*"))


def write(folder: Path, data: Mapping[str, Any]) -> None:
    """Write all scripts and styles into a folder."""
    (folder / VEGA).write_text(vega_bundle(), "utf-8")
    (folder / DATA).write_text(f"const birdieData = {json.dumps(data)};\n", "utf-8")
    for name in others():
        shutil.copyfile(STATIC / name, folder / name)


def needed(scripts: Iterable[Any], body: str) -> list[Any]:
    """The scripts that a page uses, without repeated inline scripts, which would fail."""
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
    """The theme's script of 2,000 icons, cut to those that are used as `fa-<name>`."""
    names = {*re.findall(r"fa-([\w-]+)", used)}
    return _ICON.sub(lambda icon: icon[0] if icon[1] in names else "", script)


def lookups(notebooks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Data for explorables, from the package and from executed chapters."""
    from birdiedna.figures import explorables

    found = explorables.data()
    for notebook in notebooks:
        for output in (one for cell in notebook["cells"] for one in cell.get("outputs", [])):
            if entry := output.get("data", {}).get(show.EXPLORABLE):
                found[entry["kind"]] = entry["data"]
    return found
