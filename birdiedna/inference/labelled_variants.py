"""How well models tell harmful from harmless variants of a labelled table, class by class."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.data import intervals
from birdiedna.data.genome import Genome
from birdiedna.data.variants import Variant
from birdiedna.evaluation import variant_sets
from birdiedna.inference import variants
from birdiedna.training.weights import Model

#: Rows of either label that a stratum needs.
_FEWEST = 10


def compare(
    path: Path,
    genomes: Sequence[Genome],
    models: Mapping[str, Model],
    most: int = 500,
    slots: int = 0,
) -> pl.DataFrame:
    """AUROC of models on the labelled variants of a table, within each class of consequence.

    Args:
      path: as in `variant_sets.labelled`.
      genomes: the contigs of the table are looked for in each of them, in order; a table with
        sequences of its own needs none.
      models: name -> model.
      most: variants of a class that are scored.
      slots: as in `variants.likelihood_ratios`.

    Returns:
      set, stratum, who, harmful, harmless (rows), auroc, low, high; no rows for a class with fewer
      than ten of either, or on contigs of no genome.
    """
    rows = []
    for stratum, part in _strata(path, "label", genomes, models, most, slots):
        harmful = int(part["label"].sum())
        if min(harmful, part.height - harmful) < _FEWEST:
            continue
        labels, groups = part["label"].to_numpy(), part["group"].to_numpy()
        for who in models:
            harm = -part[who].to_numpy()
            edges = variant_sets.auroc_interval(labels, harm, groups)
            counts = (harmful, part.height - harmful)
            score = variant_sets.auroc(labels, harm)
            rows.append((_name(path), stratum, who, *counts, score, *edges))
    columns = {"set": pl.String, "stratum": pl.String, "who": pl.String, "harmful": pl.Int64}
    columns |= {"harmless": pl.Int64, "auroc": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, columns, orient="row").sort("stratum", maintain_order=True)


def correlate(
    path: Path,
    genomes: Sequence[Genome],
    models: Mapping[str, Model],
    most: int = 500,
    slots: int = 0,
) -> pl.DataFrame:
    """Rank correlation of models with the measured effects of a table, within each element.

    Args:
      path, genomes, models, most, slots: as in `compare`; the table has `score` instead of `label`.

    Returns:
      set, stratum, who, rows, effect (Spearman of score and log-likelihood ratio), effect_low,
      effect_high, size (Spearman of its absolute value and minus the ratio), size_low, size_high;
      no rows for an element with fewer than ten variants.
    """
    rows = []
    for stratum, part in _strata(path, "score", genomes, models, most, slots):
        measured = part["score"].to_numpy()
        for who in models if part.height >= _FEWEST else ():
            ratios = part[who].to_numpy()
            effect = variant_sets.spearman(measured, ratios)
            size = variant_sets.spearman(np.abs(measured), -ratios)
            rows.append((_name(path), stratum, who, part.height, *effect, *size))
    columns = {"set": pl.String, "stratum": pl.String, "who": pl.String, "rows": pl.Int64}
    ends = ("", "_low", "_high")
    columns |= {f"{of}{end}": pl.Float64 for of in ("effect", "size") for end in ends}
    return pl.DataFrame(rows, columns, orient="row").sort("stratum", maintain_order=True)


def _name(path: Path) -> str:
    return path.name.partition(".")[0]


def _strata(
    path: Path,
    value: str,
    genomes: Sequence[Genome],
    models: Mapping[str, Model],
    most: int,
    slots: int,
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The variants of each stratum that can be scored, with the ratios of each model."""
    table, found = variant_sets.labelled(path, most, value=value), []
    for genome in (None, *genomes):
        known = [*intervals.located(genome, table["contig"].unique().to_list())] if genome else []
        mine = pl.col("contig").is_in(known) if genome else pl.col("window") != ""
        part, table = table.filter(mine), table.filter(~mine)
        rows = part.select("contig", "position", "ref", "alt", "window").iter_rows()
        alleles = [
            Variant(contig, position, ".", ref, alt, 0, vocab.encode(window), len(window) // 2)
            for contig, position, ref, alt, window in rows
        ]
        ratios = {
            who: variants.scored(model, genome, alleles, slots=slots)["llr"]
            for who, model in models.items()
        }
        found.append(part.with_columns(**ratios))
    whole = pl.concat(found).drop_nulls()
    for (stratum,), part in whole.group_by("stratum", maintain_order=True):
        yield str(stratum), part
