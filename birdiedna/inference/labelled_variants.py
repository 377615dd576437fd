"""How well models tell harmful from harmless variants of a labelled table, class by class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.data import intervals
from birdiedna.data.genome import Genome
from birdiedna.data.variants import Variant
from birdiedna.evaluation import variant_sets
from birdiedna.evaluation.variant_sets import Disruption
from birdiedna.inference import variants
from birdiedna.training.weights import Model

#: Rows (of either label) that a stratum needs.
_FEWEST = 10


def harm(model: Model, made: Sequence[Disruption], slots: int = 0) -> np.ndarray:
    """How much less likely each change makes its window, in nats, mean of both strands, (n,).

    Arguments and errors as `variants.likelihood_ratios`.
    """
    edits = [variants.edit(d.window, d.place, d.alt) for d in made]
    return -variants.likelihood_ratios(model, edits, slots=slots).mean(axis=1)


def compare(
    path: Path,
    genomes: Sequence[Genome],
    models: Mapping[str, Model],
    most: int = 500,
    slots: int = 0,
) -> pl.DataFrame:
    """AUROC of models on the labelled variants of a table, within each class of consequence.

    Up to `most` variants of a class of the table (`variant_sets.labelled`) are scored. Its contigs
    are looked for in each of the genomes; a table with sequences of its own needs none. `slots` as
    in `variants.likelihood_ratios`.

    Returns:
      set, stratum, who, harmful, harmless (rows), auroc, low, high; no rows for a class with fewer
      than ten of either, or on contigs of no genome.
    """
    table = variant_sets.labelled(path, most)
    rarer = pl.min_horizontal(pl.col("label").sum(), (1 - pl.col("label")).sum())
    rows = []
    for stratum, part in _strata(table, rarer, genomes, models, slots):
        labels, groups = part["label"].to_numpy(), part["group"].to_numpy()
        counts = int(labels.sum()), int((1 - labels).sum())
        for who in models:
            harm = -part[who].to_numpy()
            edges = variant_sets.auroc_interval(labels, harm, groups)
            rows.append((stratum, who, *counts, variant_sets.auroc(labels, harm), *edges))
    return _frame(path, rows, ["harmful", "harmless"], ["auroc", "low", "high"])


def correlate(
    path: Path,
    genomes: Sequence[Genome],
    models: Mapping[str, Model],
    most: int = 500,
    slots: int = 0,
) -> pl.DataFrame:
    """Rank correlation of models with the measured effects of a table, within each element.

    Args as in `compare`; the table has `score` instead of `label`.

    Returns:
      set, stratum, who, rows, effect (Spearman of score and log-likelihood ratio), effect_low,
      effect_high, size (Spearman of its absolute value and minus the ratio), size_low, size_high;
      no rows for an element with fewer than ten variants.
    """
    table = variant_sets.labelled(path, most, value="score")
    rows = []
    for stratum, part in _strata(table, pl.len(), genomes, models, slots):
        measured = part["score"].to_numpy()
        for who in models:
            ratios = part[who].to_numpy()
            effect = variant_sets.spearman(measured, ratios)
            size = variant_sets.spearman(np.abs(measured), -ratios)
            rows.append((stratum, who, part.height, *effect, *size))
    values = [f"{of}{end}" for of in ("effect", "size") for end in ("", "_low", "_high")]
    return _frame(path, rows, ["rows"], values)


def _strata(
    table: pl.DataFrame,
    count: pl.Expr,
    genomes: Sequence[Genome],
    models: Mapping[str, Model],
    slots: int,
) -> list[tuple[str, pl.DataFrame]]:
    """The scored variants of each stratum that has enough by `count`, with ratios by model."""
    enough = count.over("stratum") >= _FEWEST
    table, found = table.filter(enough), []
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
    whole = pl.concat(found).drop_nulls().filter(enough)
    grouped = whole.sort("stratum", maintain_order=True).group_by("stratum", maintain_order=True)
    return [(str(stratum), part) for (stratum,), part in grouped]


def _frame(path: Path, rows: list[tuple], counts: list[str], values: list[str]) -> pl.DataFrame:
    """A table of results; its set is the name of the file."""
    kinds = [pl.String] * 2 + [pl.Int64] * len(counts) + [pl.Float64] * len(values)
    columns = zip(["stratum", "who", *counts, *values], kinds, strict=True)
    frame = pl.DataFrame(rows, dict(columns), orient="row")
    return frame.select(pl.lit(path.name.partition(".")[0]).alias("set"), pl.all())
