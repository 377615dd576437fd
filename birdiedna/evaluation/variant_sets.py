"""Labelled variants for zero-shot scores: splice-site disruptions, with baselines.

Disruptions are built from the windows of a splice-site task by changing a base of the site's two
letters. The control is the same change in the same three letters, 30 to 60 bases inside an intron,
so that a score that only counts short words cannot tell them apart.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy

from birdiedna import vocab
from birdiedna.data import table, variants
from birdiedna.data.labelled import Labelled
from birdiedna.data.words import short_word_codes
from birdiedna.evaluation.metrics import RESAMPLES
from birdiedna.tasks import benchmark_rules as rules

#: Accepted column names of a labelled table, beside those of all variants.
_COLUMNS = {
    "group": ("pair_id", "group_id"),
    "stratum": ("consequence", "element"),
    "barcodes": ("barcodes",),
}
#: Distances of controls from their site, inside the intron.
_INSIDE = range(30, 61)
#: Reach of a position weight matrix, before and from the first of the site's two letters on.
_REACH = {"donor": (3, 6), "acceptor": (20, 5)}


class Disruption(NamedTuple):
    """A changed base in a window, in the direction of the gene.

    window: base ids uint8 (W,). place: index of the base. alt: its new id. label: 1 in a splice
    site, 0 in its control. pair: number of the site.
    """

    window: np.ndarray
    place: int
    alt: int
    label: int
    pair: int


class Sites(NamedTuple):
    """Windows of one kind of site along the gene, uint8 (n, W), with its two letters at `first`."""

    kind: str
    windows: np.ndarray
    first: int


def sites(rows: Labelled, kind: str) -> Sites:
    """The sites of a splice-site task: rows of class 1 with the two letters on exactly one strand.

    `kind` is "donor" or "acceptor". ValueError for rows whose length is not that of such a task.
    """
    if rows.tokens.shape[1] != rules.SPLICE_BASES:
        raise ValueError(f"rows of {rows.tokens.shape[1]} bases; give {rules.SPLICE_BASES}")
    windows = rows.tokens[rows.labels == 1]
    (pair, plus), (_, minus) = (rules.MARKS[kind, strand] for strand in "+-")
    letters = vocab.encode(pair)
    turned = vocab.reverse_complement(windows)
    other = rules.SPLICE_BASES - minus - 2  # index of the - strand letters in `turned`
    forward = (windows[:, plus : plus + 2] == letters).all(1)
    backward = (turned[:, other : other + 2] == letters).all(1)
    # crop both so that the letters are at the same index
    first = min(plus, other)
    width = rules.SPLICE_BASES - max(plus, other) + first
    one = windows[forward & ~backward, plus - first : plus - first + width]
    two = turned[backward & ~forward, other - first : other - first + width]
    return Sites(kind, np.concatenate([one, two]), first)


def disruptions(found: Sites) -> list[Disruption]:
    """Disruptions of all sites that have a control, each followed by it.

    The base, its replacement and the control are drawn; controls come from the site's own intron if
    one fits there, else from other introns.
    """
    rng = np.random.default_rng(0)
    inward = 1 if found.kind == "donor" else -1
    fitting: dict[bytes, list[tuple[int, int]]] = {}  # three letters -> windows and places
    for number, window in enumerate(found.windows):
        for place in (found.first + inward * step for step in _INSIDE):
            fitting.setdefault(window[place - 1 : place + 2].tobytes(), []).append((number, place))
    made: list[Disruption] = []
    for number, window in enumerate(found.windows):
        place = found.first + int(rng.integers(2))
        alt = int(rng.choice([base for base in range(vocab.A, vocab.N) if base != window[place]]))
        controls = fitting.get(window[place - 1 : place + 2].tobytes(), [])
        controls = [at for at in controls if at[0] == number] or controls
        if controls:
            pair = len(made) // 2
            other, control = controls[rng.integers(len(controls))]
            made.append(Disruption(window, place, alt, 1, pair))
            made.append(Disruption(found.windows[other], control, alt, 0, pair))
    return made


def weight_matrix(found: Sites) -> np.ndarray:
    """Log-odds (K, 4) of A, C, G, T at the positions around a site against overall shares."""
    before, behind = _REACH[found.kind]
    places = found.windows[:, found.first - before : found.first + behind].astype(int) - vocab.A
    counts = np.stack([(places == base).sum(0) for base in range(4)], axis=1) + 1.0
    shares = np.stack([(found.windows == vocab.A + base).sum() for base in range(4)])
    return np.log(counts / counts.sum(1, keepdims=True)) - np.log(shares / shares.sum())


def logo(windows: np.ndarray, first: int, reach: tuple[int, int]) -> pl.DataFrame:
    """Bits of each base around index `first` of windows (n, W), stacked from the rarest up.

    `reach` is the number of positions before `first` and from it on. Returns place, base, low, high
    (bits), without bases below 0.01 bits.
    """
    cut = windows[:, first - reach[0] : first + reach[1]].astype(int) - vocab.A
    shares = np.stack([(cut == base).mean(axis=0) for base in range(4)], axis=1)
    bits = 2 + np.sum(shares * np.log2(np.maximum(shares, 1e-12)), axis=1)
    order = np.argsort(shares, axis=1)
    heights = np.take_along_axis(shares * bits[:, None], order, axis=1)
    tops = heights.cumsum(axis=1)
    return pl.DataFrame(
        [
            (place - reach[0], "ACGT"[base], top - height, top)
            for place, row in enumerate(zip(order, heights, tops, strict=True))
            for base, height, top in zip(*row, strict=True)
            if height >= 0.01
        ],
        {"place": pl.Int64, "base": pl.String, "low": pl.Float64, "high": pl.Float64},
        orient="row",
    )


def _around(made: Sequence[Disruption], reach: int) -> tuple[np.ndarray, np.ndarray]:
    """The bases (n, 2 reach + 1) around each variant, before and after the change."""
    before = np.stack([d.window[d.place - reach : d.place + reach + 1] for d in made])
    after = before.copy()
    after[:, reach] = [d.alt for d in made]
    return before, after


def matrix_scores(matrix: np.ndarray, made: Sequence[Disruption]) -> np.ndarray:
    """How much each change weakens the best site around it, (n,); sites below 0 count as 0."""
    size = len(matrix)

    def best(around: np.ndarray) -> np.ndarray:
        words = np.lib.stride_tricks.sliding_window_view(around, size, axis=1)
        letters = words.astype(int) - vocab.A
        strengths = matrix[np.arange(size), np.minimum(letters, 3)]
        return np.where(letters < 4, strengths, 0).sum(-1).max(-1).clip(min=0)

    before, after = _around(made, size - 1)
    return best(before) - best(after)


def word_scores(genome: np.ndarray, made: Sequence[Disruption], k: int = 11) -> np.ndarray:
    """Log ratio (n,) of the counts of the k bases around each variant, before and after the change.

    Counted in a genome of base ids (G,), on both strands, plus one: a baseline that knows words but
    no biology.
    """
    codes = short_word_codes(genome[None], k)
    counts = np.bincount(codes[codes >= 0], minlength=4**k)

    def seen(words: np.ndarray) -> np.ndarray:
        strands = (words, vocab.reverse_complement(words))
        codes = np.concatenate([short_word_codes(strand, k) for strand in strands], axis=1)
        return np.where(codes < 0, 0, counts[codes]).sum(1)

    before, after = map(seen, _around(made, k // 2))
    return np.log(before + 1) - np.log(after + 1)


def labelled(path: Path, most: int = 500, value: str = "label") -> pl.DataFrame:
    """Read labelled or measured variants from a csv table, plain or gzip, up to `most` per stratum.

    The table has `ref`, `alt`, the value, and `contig` and `contig_pos`, or `chrom` and `pos`
    (1-based); optionally `pair_id` or `group_id` of rows that belong together, and `consequence` or
    `element`. The value is "label" (1 is harmful, 0 harmless) or "score", which needs ten
    `barcodes` if there is such a column; rows without it are left out. Rows of a stratum are drawn,
    of both labels in turn; with groups, the first are taken. Columns: contig, position, ref, alt,
    label or score, group, stratum (consequence or element, or "all"; variants are comparable within
    a stratum only) and window: the column `ref_seq`, or "". ValueError if a column is missing, or a
    field is wrong.
    """
    grouped: dict[str, int] = {}
    made = []
    for row in table.rows(path, partial(_roles, path, value)):
        try:
            fields, found = row.fields, _value(value, row.fields["value"])
            if found is None or (_value("barcodes", fields.get("barcodes", "10")) or 0) < 10:
                continue
            group = grouped.setdefault(fields.get("group") or f"row {row.number}", len(grouped) + 1)
            rest = found, group, fields.get("stratum", "all"), fields.get("ref_seq", "")
            made += [(*one[:2], *one[3:5], *rest) for one in variants.alleles(row.line, fields)]
        except ValueError as error:
            raise ValueError(f"{path}, line {row.line}: {error}") from None
    kinds = {"contig": pl.String, "position": pl.Int64, "ref": pl.String, "alt": pl.String}
    kinds |= {value: pl.Int64 if value == "label" else pl.Float64, "group": pl.Int64}
    rows = pl.DataFrame(made, kinds | {"stratum": pl.String, "window": pl.String}, orient="row")
    if all(name.startswith("row ") for name in grouped):
        rows = rows.sample(fraction=1, shuffle=True, seed=0)
        if value == "label":  # in turn, since a rare one would hardly be drawn
            rows = rows.sort(pl.int_range(pl.len()).over("stratum", "label"), maintain_order=True)
    return rows.filter(pl.int_range(pl.len()).over("stratum") < most)


def _roles(path: Path, value: str, names: list[str]) -> dict[str, str]:
    """Return role -> column of a table of labelled variants, ignoring case."""
    found = table.known(names, variants.COLUMNS | _COLUMNS | {"value": (value,)})
    needed = {"contig": "chrom", "position": "pos", "ref": "ref", "alt": "alt", "value": value}
    if missing := [column for role, column in needed.items() if role not in found]:
        raise ValueError(f"{path}: no column {missing[0]!r}; it has {', '.join(names[:8])}")
    return found


def _value(name: str, field: str) -> float | None:
    """Return a label or score, None if it is missing; ValueError if it is another word."""
    try:
        number = float(field.replace("_", "x") or "nan")  # Python reads 1_0 as 10
    except ValueError:
        number = float("nan") if field.upper() in table.MISSING else float("inf")
    if np.isnan(number):
        return None
    if number not in (0, 1) if name == "label" else np.isinf(number):
        wanted = "1 (harmful), 0 (harmless)" if name == "label" else "a finite number"
        raise ValueError(f"{name} {field[:40]!r} is not {wanted} or empty; correct it")
    return int(number) if name == "label" else number


def spearman(measured: np.ndarray, scores: np.ndarray) -> tuple[float, float, float]:
    """Rank correlation of n pairs and its 95% interval, by Fisher's z (Bonett and Wright 2000).

    NaN for fewer than four pairs, or if one side is constant.
    """
    n = len(measured)
    if n < 4 or min(len(np.unique(measured)), len(np.unique(scores))) < 2:
        return (float("nan"),) * 3
    value = float(scipy.stats.spearmanr(measured, scores).statistic)
    z = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
    half = 1.96 * np.sqrt((1 + value**2 / 2) / (n - 3))
    return value, float(np.tanh(z - half)), float(np.tanh(z + half))


def compared(made: Sequence[Disruption], harm: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """How well scores separate disruptions from controls: who, auroc, low, high (95% interval).

    `harm` is name of a scorer -> scores (n,) of `made`, higher for disruptions.
    """
    labels, pairs = (np.array([getattr(d, name) for d in made]) for name in ("label", "pair"))
    rows = [
        (who, auroc(labels, scores), *auroc_interval(labels, scores, pairs))
        for who, scores in harm.items()
    ]
    return pl.DataFrame(rows, ["who", "auroc", "low", "high"], orient="row")


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Probability that a row of label 1 scores higher than one of label 0; ties count half.

    ValueError if a label does not occur.
    """
    positive = labels == 1
    if positive.all() or not positive.any():
        raise ValueError("AUROC needs rows of both labels")
    return float(_aurocs(positive, scores, np.ones((1, len(labels))))[0])


def _aurocs(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC (R,) of n scored rows, once for each of R `weights` (R, n) of the rows."""
    order = np.argsort(scores)
    first = np.flatnonzero(np.diff(np.unique(scores, return_inverse=True)[1][order], prepend=-1))
    sides = (weights[:, order] * side[order] for side in (positive, ~positive))
    ones, zeros = (np.add.reduceat(side, first, axis=1) for side in sides)  # of equal scores
    below = zeros.cumsum(1) - zeros / 2
    with np.errstate(invalid="ignore"):  # NaN where a label was not drawn
        return (ones * below).sum(1) / (ones.sum(1) * zeros.sum(1))


def auroc_interval(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray
) -> tuple[float, float]:
    """95% percentile bootstrap of the AUROC over groups of rows, such as site and control."""
    names, of = np.unique(groups, return_inverse=True)
    rng, equal = np.random.default_rng(0), np.full(len(names), 1 / len(names))
    some = (rng.multinomial(len(names), equal, 10) for _ in range(RESAMPLES // 10))  # saves memory
    values = [_aurocs(labels == 1, scores, times[:, of]) for times in some]
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)
