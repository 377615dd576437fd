"""Tasks of one's own in the benchmark's form, from a genome and the coordinates of elements.

`peaks`, `starts`, `exons` and `stretches` read files of them into `Elements`;
`build` writes the task, by the rules in `birdiedna.recipe`; `rows` gives it as arrays.
"""

from birdiedna.elements.building import Plan, Rows, rows
from birdiedna.elements.exons import boundaries
from birdiedna.elements.kinds import Elements, exons, peaks, starts, stretches
from birdiedna.elements.writing import build, summary

__all__ = [
    "Elements",
    "Plan",
    "Rows",
    "boundaries",
    "build",
    "exons",
    "peaks",
    "rows",
    "starts",
    "stretches",
    "summary",
]
