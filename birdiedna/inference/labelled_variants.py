"""How well models separate harmful from harmless variants of a labelled table, per class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.data import intervals
from birdiedna.data.genome import Genome
from birdiedna.data.names import listed
from birdiedna.data.table import header
from birdiedna.data.variants import Variant
from birdiedna.evaluation import variant_sets
from birdiedna.evaluation.variant_sets import Disruption
from birdiedna.inference import variants
from birdiedna.training.weights import Model

#: Minimum number of rows (of each label) in a stratum.
_FEWEST = 10


def harm(model: Model, made: Sequence[Disruption], slots: int = 0) -> np.ndarray:
    """Return how much each change lowers the log-likelihood, in nats, mean of both strands, (n,).

    Arguments and errors as in `variants.likelihood_ratios`.
    """
    edits = [variants.edit(d.window, d.place, 1, np.array([d.alt], np.uint8)) for d in made]
    return -variants.likelihood_ratios(model, edits, slots=slots).mean(axis=1)


def tables(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the csv tables of a folder, plain or gzip: with class labels, and with effects only.

    Tables without a column `label` or `score` are left out; ValueError if no table has one, or one
    has no readable header.
    """
    paths = sorted({*folder.glob("[!.]*.csv"), *folder.glob("[!.]*.csv.gz")})
    columns = {path: [name.lower() for name in header(path)] for path in paths}
    if unreadable := [path for path in paths if not columns[path]]:
        raise ValueError(f"{unreadable[0]} has no readable header; correct it, or take it away")
    labels = [path for path in paths if "label" in columns[path]]
    effects = [path for path in paths if "score" in columns[path] and path not in labels]
    if not labels + effects:
        raise ValueError(
            f"{folder}: no .csv or .csv.gz has a column label or score; give a folder of tables "
            "with chrom, pos, ref, alt and one of them"
        )
    return labels, effects


def compare(
    path: Path,
    genomes: Sequence[Genome],
    models: Mapping[str, Model],
    most: int = 500,
    slots: int = 0,
) -> pl.DataFrame:
    """Return the AUROC of models on a labelled table of variants, within each consequence class.

    Up to `most` variants per class (`variant_sets.labelled`) are scored. Contigs are looked up in
    each genome; a table that contains sequences needs none. `slots` as in
    `variants.likelihood_ratios`.

    Returns:
      set, stratum, who, harmful, harmless (numbers of rows), auroc, low, high. Classes with fewer
      than ten variants of either label, or on contigs of no genome, have no row.

    Raises:
      ValueError: as `variant_sets.labelled`, or no class has a row.
    """
    table = variant_sets.labelled(path, most)
    rarer = pl.min_horizontal(pl.col("label").sum(), (1 - pl.col("label")).sum())
    rows = []
    for stratum, part in _strata(path, table, rarer, genomes, models, slots):
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
    """Return the rank correlation of models with measured effects, within each element.

    Arguments as in `compare`; the table has `score` instead of `label`.

    Returns:
      set, stratum, who, rows, effect (Spearman of score and log-likelihood ratio), effect_low,
      effect_high, size (Spearman of |score| and minus the ratio), size_low, size_high. Elements
      with fewer than ten variants have no row.
    """
    table = variant_sets.labelled(path, most, value="score")
    rows = []
    for stratum, part in _strata(path, table, pl.len(), genomes, models, slots):
        measured = part["score"].to_numpy()
        for who in models:
            ratios = part[who].to_numpy()
            effect = variant_sets.spearman(measured, ratios)
            size = variant_sets.spearman(np.abs(measured), -ratios)
            rows.append((stratum, who, part.height, *effect, *size))
    values = [f"{name}{end}" for name in ("effect", "size") for end in ("", "_low", "_high")]
    return _frame(path, rows, ["rows"], values)


def _strata(
    path: Path,
    table: pl.DataFrame,
    count: pl.Expr,
    genomes: Sequence[Genome],
    models: Mapping[str, Model],
    slots: int,
) -> list[tuple[str, pl.DataFrame]]:
    """Return the scored variants of each stratum with enough rows (`count`), a column per model."""
    enough = count.over("stratum") >= _FEWEST
    table, found = table.filter(enough), []
    for genome in (None, *genomes):
        known = [*intervals.located(genome, table["contig"].unique().to_list())] if genome else []
        located = pl.col("contig").is_in(known) if genome else pl.col("window") != ""
        part, table = table.filter(located), table.filter(~located)
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
    if whole.is_empty():
        elsewhere = listed(table["contig"].unique(maintain_order=True).to_list())
        lacking = f"; no genome given has {elsewhere}" * bool(elsewhere)
        raise ValueError(
            f"{path}: in no class or element {_FEWEST} variants, of each label, can be scored, the "
            f"fewest that are compared{lacking}; give more, or take the file away"
        )
    grouped = whole.sort("stratum", maintain_order=True).group_by("stratum", maintain_order=True)
    return [(str(stratum), part) for (stratum,), part in grouped]


def _frame(path: Path, rows: list[tuple], counts: list[str], values: list[str]) -> pl.DataFrame:
    """Return a table of results; `set` is the name of the file without its suffix."""
    kinds = [pl.String] * 2 + [pl.Int64] * len(counts) + [pl.Float64] * len(values)
    columns = zip(["stratum", "who", *counts, *values], kinds, strict=True)
    frame = pl.DataFrame(rows, dict(columns), orient="row")
    return frame.select(pl.lit(path.name.partition(".")[0]).alias("set"), pl.all())
