"""The paper as values: its arms and its Table 1."""

from typing import NamedTuple

#: The paper's two arms, and the titles of all arms; those from `with_ntp` on are of
#: `scripts/evidence.py`.
PRETRAINED = ("birdie", "ntp")
ARM_TITLES = {
    "birdie": "Birdie mixture",
    "ntp": "next token (NTP)",
    "random": "random weights",
    "uniform": "uniform mixture",
    "ul2r": "UL2R-like mixture",
    "mlm": "masked tokens (MLM)",
    "with_ntp": "Birdie with next token",
    "random_actions": "random actions",
    "averaged": "its mean mixture, fixed",
    "replayed": "its mixture, replayed",
    "linear": "Birdie, linear reward",
    "no_exploration": "Birdie, no exploration",
    "without_infilling": "Birdie without infilling",
    "without_prefix_lm": "Birdie without prefix LM",
    "without_deshuffling": "Birdie without deshuffling",
    "without_autoencoding": "Birdie without autoencoding",
    "without_copying": "Birdie without copying",
    "without_selective_copying": "Birdie without selective copying",
    "infill_15_3": "infilling 15/3 alone",
    "infill_15_8": "infilling 15/8 alone",
    "infill_15_32": "infilling 15/32 alone",
    "infill_50_3": "infilling 50/3 alone",
    "infill_50_8": "infilling 50/8 alone",
    "infill_50_32": "infilling 50/32 alone",
    "trained_causally": "Birdie (trained and read causally)",
    "birdie_causal": "Birdie (read causally)",
    "ntp_both": "NTP (read both ways)",
    "random_causal": "random weights (read causally)",
}


class PaperRow(NamedTuple):
    """One row of the paper's Table 1, with the benchmark's number of test rows.

    Scores are in percent, of `PRETRAINED` in turn.
    """

    task: str
    f1: tuple[float, float]
    accuracy: tuple[float, float]
    test_rows: int


TABLE_1 = (
    PaperRow("promoter_all", (83.31, 83.38), (83.93, 83.79), 1584),
    PaperRow("promoter_no_tata", (84.74, 84.63), (84.85, 84.77), 1372),
    PaperRow("promoter_tata", (92.44, 87.80), (91.67, 86.11), 212),
    PaperRow("splice_sites_donors", (84.75, 86.11), (83.38, 84.52), 3000),
    PaperRow("enhancers", (70.40, 71.02), (68.07, 68.14), 3000),
    PaperRow("H2AFZ", (72.03, 71.97), (67.67, 67.37), 3000),
    PaperRow("H3K27ac", (70.58, 70.20), (65.75, 65.25), 1616),
    PaperRow("H3K27me3", (75.47, 75.51), (71.90, 71.80), 3000),
    PaperRow("H3K36me3", (77.00, 77.43), (73.20, 73.60), 3000),
    PaperRow("H3K4me1", (71.29, 71.21), (65.97, 65.63), 3000),
    PaperRow("H3K4me2", (72.83, 73.53), (69.58, 69.50), 2138),
    PaperRow("H3K4me3", (75.36, 75.95), (75.75, 76.25), 776),
    PaperRow("H3K9ac", (72.69, 73.77), (68.25, 69.50), 1004),
    PaperRow("H3K9me3", (68.00, 65.20), (57.75, 58.75), 850),
)
