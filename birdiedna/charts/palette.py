"""One colour and one title for every objective and every arm, the same in all chapters.

The colours are chosen for light and dark pages and for readers who confuse red and green: the two
infilling settings share a hue (they are one class of the mixture), all others differ.
"""

from collections.abc import Mapping

import altair as alt

#: In the order of `vocab.OBJECTIVES`.
OBJECTIVE_COLOURS: dict[str, str] = {
    "next_token": "#888888",
    "infill_50_3": "#0072b2",
    "infill_15_32": "#56b4e9",
    "prefix_lm_75": "#009e73",
    "deshuffling_50": "#cc79a7",
    "autoencoding_30_50": "#d55e00",
    "copying": "#e69f00",
    "selective_copying_15": "#8a63d2",
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
ARM_TITLES: dict[str, str] = {
    "birdie": "Birdie mixture",
    "ntp": "Next-token prediction",
    "random": "Random initialisation",
}


def scale(colours: Mapping[str, str], titles: Mapping[str, str] | None = None) -> alt.Scale:
    """A colour scale that gives every name, or its title, its own colour.

    Args:
      colours: name -> colour, as `OBJECTIVE_COLOURS`; a part of it keeps the same colours.
      titles: name -> title, if the data hold titles.
    """
    domain = [titles[name] if titles else name for name in colours]
    return alt.Scale(domain=domain, range=list(colours.values()))
