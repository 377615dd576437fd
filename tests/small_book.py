"""Small books with a small package, to test the page builder, and chapters of the real one."""

import json
from collections.abc import Sequence
from pathlib import Path

import made_files
import yaml

import birdiedna
from book._ext import strip
from book._ext.layout import Layout

ROOT = Path(__file__).resolve().parents[1]

PARAMETERS = 'profile: str = "quick"  # quick | paper\nseed: int = 0  # any'

FIGURE = """
import altair as alt
import polars as pl
from birdiedna.figures import show

rate = alt.param(name="rate", value=1, bind=alt.binding_range(min=0, max=3, step=1, name="rate "))
frame = pl.DataFrame({"step": [0, 1, 2], "loss": [3.0, 2.0, 1.5], "</script>": ["a", "b", "<img>"]})
chart = (
    alt.Chart(frame, width=480, height=200)
    .mark_line(point=True)
    .encode(x="step:Q", y=alt.Y("scaled:Q", title="loss (nats)"), tooltip="step:Q")
    .transform_calculate(scaled="datum.loss * rate")
    .add_params(rate)
)
made = show.computed(profile, seed, {"genome": "0123456789abcdef"})
show.figure("fig-small", chart, made, "The loss $x^2$ falls {cite}`birdie`.")
"""

TABLE = """
wide = pl.DataFrame({f"a rather long heading {i}": [f"value {i} of a row"] for i in range(9)})
wide = wide.with_columns(pl.Series("<b>|name|</b>", ["</script><img src=x onerror=alert(1)>"]))
wide = wide.with_columns(remark=pl.lit("A remark is a sentence, and is read with " + "ease " * 6))
show.table("tab-small", wide, "Some values {cite}`birdie`.", made)
"""

OPENING = r"""# Figures

See {numref}`fig-small` and {numref}`tab-small`; the loss is {glue:text}`loss` nats.
A {term}`mixture` is a word of the glossary.

$$
\mathrm{reward} = \operatorname{clip}\left(
100\,e\,\tanh\left(e\,\sqrt{ab}\,\delta^3\right), -1, 1\right)
$$
"""


#: Texts that would act on a page if parsed as HTML, MyST, maths or a template.
PAYLOADS = [
    *("<b id=harm>x</b>", "</script><script>window.harmed=1</script>", "<!--notebook--><b>x</b>"),
    *("<img src=x onerror='window.harmed=1'>", "<svg onload=window.harmed=1>", "</div></details>"),
    *("<style>*{display:none}</style>", "' onmouseover='x", '" onmouseover="x', "&lt;b&gt; &amp;"),
    *("a\n\n```{raw} html\n<b id=harm>x</b>\n```\n", "a\n\n:::{note}\nx\n:::\n", "{eval-rst}"),
    *("a\n\n```{include} ../_toc.yml\n```\n", "{download}`x <../_toc.yml>`", "{abbr}`x (y)`"),
    *("a\u2028```{literalinclude} ../_toc.yml\n```\n", "a\x85```{image} x.png\n```\n", "a\x0cb"),
    *("![i](http://beacon.example/x.png)", "[l](javascript:harm)", "<http://beacon.example>"),
    *("https://beacon.example/x", "www.beacon.example", "[x]: http://beacon.example", "[^1]"),
    *("# Heading", "\n# Heading\n", "Heading\n===\n", "(label)=\n", "---", "+++", "% comment"),
    *("$$x$$", "$x$", "\\(x\\)", "\\[x\\]", "{math}`x`", "{{ title }}", "{ref}`x`", "{glue}`n0`"),
    *("*b* _i_ **b** `c` ~~s~~", "- [ ] task", "1. one", "> quote", "    code", "| a |\n|--|\n"),
    *("|", "\\", "\\|", "`", "``", ":", "term\n: meaning", "{cite}`birdie`", "{numref}`fig-small`"),
    *("\u202etxt.exe", "a\x00b", "a\x1bb", "a\tb", "  two  blanks  ", "datum.value", "__name__"),
]

#: Shows texts of `texts.json` in all places of a page that text from files can reach.
SHOWN = """
import json
from pathlib import Path

import altair as alt
import polars as pl
from birdiedna.figures import show

texts = json.loads(Path("texts.json").read_text())[which]
told = "; ".join(map(show.escaped, texts))
fields = ("name", "profile", "seed", "device", "git_commit", "code", "finished", "command")
made = [{**dict.fromkeys(fields, text), "data": {text: text}} for text in texts]
frame = pl.DataFrame({"at": range(len(texts)), "text": texts})
chart = alt.Chart(frame, title=texts, width=300).mark_point()
chart = chart.encode(x=alt.X("at:Q", title=texts), y=alt.Y("text:N", sort=texts), tooltip="text:N")
pick = alt.param(name="pick", value=texts[0], bind=alt.binding_select(options=texts, name=texts[1]))
show.figure(f"fig-{which}", chart.add_params(pick), made, told)
""", """
show.table(f"tab-{which}", frame.with_columns(**{text: pl.lit(text) for text in texts}), told, made)
""", """
for number, text in enumerate(texts):
    show.number(f"n{number}", text)
show.history("\\n".join(texts))
print(texts)
"""  # fmt: skip


def chapter(
    *cells: str, title: str = "# A chapter", needs: Sequence[str] = (), parameters: str = PARAMETERS
) -> str:
    """The text of a stripped chapter: a title, its parameters, then code cells."""
    made = [{"cell_type": "markdown", "metadata": {}, "source": title}]
    made += [{"cell_type": "code", "metadata": {}, "source": text.strip()} for text in cells]
    tags = {"tags": ["parameters"]}
    first = {"cell_type": "code", "metadata": tags, "source": parameters}
    metadata = {"birdiedna": {"needs": list(needs)}}
    return strip.text({"cells": [made[0], first, *made[1:]], "metadata": metadata})


def make(root: Path, chapters: dict[str, str]) -> Layout:
    """Write a book of the given chapters (name: text) with the real book's configuration.

    Beside it lies `tinypackage`, which can stand for the real package.
    """
    pages = root / "book"
    made_files.written(pages, "# Small book\n\n{cite}`birdiedna`\n", "index.md")
    for name, text in chapters.items():
        (pages / f"{name}.ipynb").write_text(text)
    for name in ("glossary.md", "references.md", "references.bib"):
        (pages / name).write_text((ROOT / "book" / name).read_text())
    listed = [{"file": f"book/{name}"} for name in [*chapters, "glossary", "references"]]
    toc = {"format": "jb-book", "root": "book/index", "chapters": listed}
    (root / "_toc.yml").write_text(yaml.safe_dump(toc))
    config = (ROOT / "_config.yml").read_text()
    (root / "_config.yml").write_text(config.replace('pages: "."', f'pages: "{ROOT}"'))
    for name, text in (("__init__", ""), ("low", "x = 1"), ("high", "from tinypackage import low")):
        made_files.written(root / "tinypackage", text + "\n", f"{name}.py")
    return Layout(root, root / "runs", Path(birdiedna.__file__).parent)


def outputs(copy: Path) -> list[dict]:
    """All outputs of an executed copy."""
    cells = json.loads(copy.read_text())["cells"]
    return [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]


def executed(chapter, given, without=("remove-cell",), until=None):
    """Names after a chapter of the real book ran in this process.

    given: parameters. without: tags of cells that are left out. until: text of the last cell.
    """
    notebook = json.loads((ROOT / "book" / f"{chapter}.ipynb").read_text())
    scope = {"__name__": "chapter"}
    for cell in notebook["cells"]:
        code, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and not {*without} & {*tags}:
            exec(code, scope)
            if "parameters" in tags:
                scope |= given
            if until and until in code:
                break
    return scope
