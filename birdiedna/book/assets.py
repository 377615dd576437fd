"""Local copies of what pages would otherwise fetch: Vega for the charts, MathJax for the maths."""

import importlib.util
import shutil
from pathlib import Path

import altair as alt
import vl_convert

VEGA = "vega-offline.js"
MATHJAX = "mathjax.js"
STYLE = "birdiedna.css"


def write(folder: Path) -> None:
    """Write the Vega bundle, MathJax and our style sheet to a page folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VEGA).write_text(vega_bundle(), "utf-8")
    shutil.copyfile(mathjax_file(), folder / MATHJAX)
    shutil.copyfile(Path(__file__).parent / "static" / STYLE, folder / STYLE)


def vega_bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that defines `window.vegaEmbed`.

    It also states the versions that Altair's own renderer asks for, so a chart shown without
    `show.figure` finds them loaded.
    """
    version = ".".join(alt.VEGALITE_VERSION.lstrip("v").split(".")[:2])
    code = vl_convert.javascript_bundle(vl_version=version)
    return (
        f"(function(){{{code}\n}})();\n"
        f'window.VEGA_DEBUG = Object.assign(window.VEGA_DEBUG || {{}}, {{vega_version: "'
        f'{alt.VEGA_VERSION}", vegalite_version: "{alt.VEGALITE_VERSION}", '
        f'vegaembed_version: "{alt.VEGAEMBED_VERSION}"}});\n'
    )


def mathjax_file() -> Path:
    """MathJax's self-contained build, which needs no other file.

    Raises:
      ValueError: the package that carries it is not installed.
    """
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.origin is None:
        raise ValueError("sphinx-mathjax-offline is not installed: pip install -e '.[book]'")
    return Path(found.origin).parent / "static" / "mathjax" / "tex-svg-full.js"
