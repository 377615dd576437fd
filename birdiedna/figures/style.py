"""One colour and one title for every objective and every arm, the same in all chapters.

The colours differ for readers who confuse red and green too (simulated protan and deutan distances
were searched for the largest minimum) and stand out on light and dark pages. The two infilling
settings are both blue, because they are one class of the mixture.
"""

from collections.abc import Mapping, Sequence

import altair as alt

from birdiedna.evaluation import paper_table

#: In the order of `vocab.OBJECTIVES`.
OBJECTIVE_COLOURS: dict[str, str] = {
    "next_token": "#767676",
    "infill_50_3": "#4781f5",
    "infill_15_32": "#47bbf5",
    "prefix_lm_75": "#41aa64",
    "deshuffling_50": "#8d358d",
    "autoencoding_30_50": "#b8270a",
    "copying": "#df980c",
    "selective_copying_15": "#6720f3",
}
OBJECTIVE_TITLES: dict[str, str] = {
    "next_token": "Next token",
    "infill_50_3": "Infilling 50/3",
    "infill_15_32": "Infilling 15/32",
    "prefix_lm_75": "Prefix LM",
    "deshuffling_50": "Deshuffling",
    "autoencoding_30_50": "Autoencoding",
    "copying": "Copying",
    "selective_copying_15": "Selective copying",
}
ARM_COLOURS: dict[str, str] = {"birdie": "#d55e00", "ntp": "#0072b2", "random": "#888888"}
ARM_TITLES: dict[str, str] = dict(paper_table.ARM_TITLES)


def titled(names: Sequence[str]) -> list[str]:
    """The titles of objectives, in their order."""
    return [OBJECTIVE_TITLES[name] for name in names]


def scale(colours: Mapping[str, str], titles: Mapping[str, str] | None = None) -> alt.Scale:
    """A colour scale that gives every name, or its title, its own colour.

    Args:
      colours: name -> colour, as `OBJECTIVE_COLOURS`; a part of it keeps the same colours.
      titles: name -> title, if the data hold titles.
    """
    domain = [titles[name] if titles else name for name in colours]
    return alt.Scale(domain=domain, range=list(colours.values()))


def objective_colour(names: Sequence[str], title: str | None = None) -> alt.Color:
    """The colour channel of charts whose column `objective` holds the titles of `names`."""
    colours = {name: OBJECTIVE_COLOURS[name] for name in names}
    legend = alt.Legend(title=title, orient="bottom", columns=2, symbolOpacity=1)
    return alt.Color("objective:N", scale=scale(colours, OBJECTIVE_TITLES), legend=legend)
