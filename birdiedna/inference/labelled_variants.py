"""How well models tell harmful from harmless variants of a labelled table, class by class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from birdiedna.data import intervals
from birdiedna.data.genome import Genome
from birdiedna.data.vcf import Variant
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
    """AUROC of models on the variants of a table, within each class of consequence.

    Args:
      path: as in `variant_sets.labelled`.
      genomes: the contigs of the table are looked for in each of them, in order.
      models: name -> model.
      most: variants of a class that are scored.
      slots: as in `variants.likelihood_ratios`.

    Returns:
      set, stratum, who, harmful, harmless (rows), auroc, low, high; no rows for a class with fewer
      than ten of either, or on contigs of no genome.
    """
    table, found = variant_sets.labelled(path, most), []
    for genome in genomes:
        known = [*intervals.located(genome, table["contig"].unique().to_list())]
        part = table.filter(pl.col("contig").is_in(known))
        table = table.filter(~pl.col("contig").is_in(known))
        alleles = [
            Variant(contig, position, ".", ref, alt, 0)
            for contig, position, ref, alt in part.select(
                "contig", "position", "ref", "alt"
            ).iter_rows()
        ]
        scores = {
            who: -variants.scored(model, genome, alleles, slots=slots)["llr"]
            for who, model in models.items()
        }
        found.append(part.with_columns(**scores))
    rows = []
    for (stratum,), part in pl.concat(found).drop_nulls().group_by("stratum", maintain_order=True):
        harmful = int(part["label"].sum())
        if min(harmful, part.height - harmful) < _FEWEST:
            continue
        labels, groups = part["label"].to_numpy(), part["group"].to_numpy()
        for who in models:
            harm = part[who].to_numpy()
            edges = variant_sets.auroc_interval(labels, harm, groups)
            counts = (harmful, part.height - harmful)
            name = path.name.partition(".")[0]
            rows.append((name, stratum, who, *counts, variant_sets.auroc(labels, harm), *edges))
    columns = {"set": pl.String, "stratum": pl.String, "who": pl.String, "harmful": pl.Int64}
    columns |= {"harmless": pl.Int64, "auroc": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, columns, orient="row").sort("stratum", maintain_order=True)
