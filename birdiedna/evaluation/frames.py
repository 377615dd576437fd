"""Read run folders as polars frames, for figures and tables.

Every row has the arm and the seed of its run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from birdiedna.data import stored
from birdiedna.evaluation import metrics
from birdiedna.evaluation.probabilities import METRICS as PROBABILITY_METRICS
from birdiedna.evaluation.probabilities import scores as probability_scores
from birdiedna.training import run_folder
from birdiedna.training.metrics import best_evaluation, of_tables, tables

Schema = dict[str, type[pl.DataType]]
_FINETUNED: Schema = {"run": pl.String, "arm": pl.String, "task": pl.String}
_FINETUNED |= {"seed": pl.Int64, "finetune_seed": pl.Int64}
_CURVES = _FINETUNED | {"step": pl.Int64, "validation": pl.Float64, "test": pl.Float64}
_RESULTS = _FINETUNED | {"kind": pl.String, "share": pl.Float64, "n_train": pl.Int64}
_RESULTS |= {"step": pl.Int64, "rows": pl.Int64, "collapsed": pl.Boolean, "metric": pl.String}
_RESULTS |= {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64}


def _tags(folder: Path, *fields: str) -> dict[str, Any]:
    manifest = run_folder.read(folder, "manifest", "name", *fields)
    tags = ("arm", "task", "seed", "finetune_seed", *fields)
    return {"run": manifest["name"]} | {tag: manifest[tag] for tag in tags if tag in manifest}


def _of_pretraining(folder: Path) -> dict[str, Any]:
    """`_tags` of a pre-training; ValueError for another run."""
    kind = run_folder.read(folder, "manifest").get("kind", "pretrain")
    if kind != "pretrain":
        raise ValueError(
            f"{folder} is a run of kind {kind!r:.40}; give the folder of a pre-training"
        )
    return _tags(folder)


def _events(folder: Path, kind: str, *fields: str) -> list[dict[str, Any]]:
    """The events of a kind, which have a step and these fields; ValueError if there is none."""
    found = run_folder.events(folder, kind, ["step", *fields])
    if not found:
        raise ValueError(f"{folder}: its log has no event of kind {kind}; get an intact copy")
    return found


def losses(folders: Iterable[Path]) -> pl.DataFrame:
    """Held-out loss: arm, seed, step, objective, loss, per_base, trained (on it).

    Losses are in nats per label token, and of those that are bases; logs of older code lack these.
    """
    rows = []
    for folder in folders:
        tags = _of_pretraining(folder)
        config = run_folder.read(folder, "config", "objectives")
        own = dict(config["objectives"])
        for event in _events(folder, "evaluation", "losses"):
            for name, loss in event["losses"].items():
                bases = event.get("base_losses", {}).get(name)
                values = {"objective": name, "loss": loss, "per_base": bases}
                values |= {"trained": name in own}
                rows.append(tags | {"step": event["step"]} | values)
    numbers = dict.fromkeys(("loss", "per_base"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)


#: Columns of `rounds` by objective, and their fields in the reward of a round.
_EARNED = {"reward": "rewards"} | {name: name for name in ("rows_share", "loss_tokens_share")}
_NUMBERS = ("predicted_total", "total", "ratio", *_EARNED)


def rounds(folders: Iterable[Path]) -> pl.DataFrame:
    """The finished rounds of directors, one row per objective of the mixture.

    Columns of a round: start and end (steps), explored (drawn at random), predicted_total and total
    (class-scaled reward). Of an objective: ratio (commanded), reward; rows_share and
    loss_tokens_share (realised).
    """
    rows = []
    for folder in folders:
        tags = _of_pretraining(folder)
        begun = _events(folder, "decision", "explored", "predicted_reward", "ratios")
        ended = _events(folder, "reward", "reward", *_EARNED.values())
        for made, came in zip(begun, ended):
            facts = {"start": made["step"], "end": came["step"], "explored": made["explored"]}
            facts |= {"predicted_total": made["predicted_reward"], "total": came["reward"]}
            for name, ratio in made["ratios"].items():
                values = {column: came[field].get(name) for column, field in _EARNED.items()}
                rows.append(tags | facts | {"objective": name, "ratio": ratio} | values)
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(_NUMBERS, pl.Float64))


def costs(folders: Iterable[Path]) -> pl.DataFrame:
    """One row per run: steps, tokens, bases, unique bases, wall time, device, energy if known."""
    rows = []
    for folder in folders:
        counts = ("tokens_seen", "bases_seen", "unique_bases_seen")
        manifest = run_folder.read(folder, "manifest", "wall_s", "device")
        tags, last = _of_pretraining(folder), _events(folder, "evaluation", *counts)[-1]
        row = tags | {"steps": last["step"]} | {name: last[name] for name in counts}
        known = [name for name in ("wall_s", "device", "joules") if name in manifest]
        rows.append(row | {name: manifest[name] for name in known})
    return pl.DataFrame(rows)


def chosen(folder: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Test labels (n,), test logits (n, classes) at the step with the best validation MCC, step.

    Errors as in `run_folder.predictions` and `training.metrics.best_evaluation`.
    """
    found = run_folder.predictions(folder)
    best = best_evaluation(found["validation_labels"], found["validation_logits"])
    return found["test_labels"], found["test_logits"][best], int(found["steps"][best])


def strand_agreement(folder: Path) -> float | None:
    """The share of test rows that have the same class on both strands, at the chosen step.

    None for a run that did not read both strands; errors as in `chosen`.
    """
    found = run_folder.predictions(folder)
    if "test_opposite" not in found:
        return None
    best = best_evaluation(found["validation_labels"], found["validation_logits"])
    mean, opposite = (
        found[f"test_{part}"][best].astype(np.float32) for part in ("logits", "opposite")
    )
    same = (2 * mean - opposite).argmax(axis=1) == opposite.argmax(axis=1)
    return float(same.mean())


def probabilities(folders: Iterable[Path]) -> pl.DataFrame:
    """Means over runs of `probabilities.scores` at the chosen step: task, arm, and its keys."""
    rows = []
    for folder in folders:
        labels, logits, _ = chosen(folder)
        if found := probability_scores(labels, logits):
            rows.append(_tags(folder) | found)
    columns: Schema = {"task": pl.String, "arm": pl.String}
    columns |= dict.fromkeys(PROBABILITY_METRICS, pl.Float64)
    return pl.DataFrame(rows, columns).group_by("task", "arm", maintain_order=True).mean()


def beside_leaks(folders: Iterable[Path], leaked: Mapping[str, Sequence[int]]) -> pl.DataFrame:
    """Test MCC of tasks with leaked rows: of all rows, of those not leaked, and of the leaked ones.

    `leaked` has the indices of test rows by task. Columns: task, arm, kind, leaked (their number),
    all, clean, leaks (means over runs; null without rows). Of probes those of all train rows count.
    """
    rows = []
    for folder in folders:
        tags = _tags(folder, "kind")
        if not (there := leaked.get(tags["task"])):
            continue
        *_, (labels, logits, _) = _scored(folder, tags["kind"])  # shares of a probe rise to 1
        leaks = np.isin(np.arange(len(labels)), there)
        parts = {"all": np.ones_like(leaks), "clean": ~leaks, "leaks": leaks}
        mcc = lambda part: metrics.scores(labels[part], logits[part])["mcc"] if part.any() else None
        rows.append(tags | {"leaked": len(there)} | {name: mcc(p) for name, p in parts.items()})
    columns: Schema = dict.fromkeys(("task", "arm", "kind"), pl.String) | {"leaked": pl.Int64}
    columns |= dict.fromkeys(("all", "clean", "leaks"), pl.Float64)
    keys = ["task", "arm", "kind", "leaked"]
    return pl.DataFrame(rows, columns).group_by(keys, maintain_order=True).mean()


def curves(folders: Iterable[Path]) -> pl.DataFrame:
    """MCC at every evaluation: step, validation, test."""
    rows = []
    for folder in folders:
        found, tags = run_folder.predictions(folder), _tags(folder)
        columns = {"step": found["steps"]}
        for split in ("validation", "test"):
            counts = tables(found[f"{split}_labels"], found[f"{split}_logits"])
            columns[split] = of_tables(counts, "mcc")
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        rows += [tags | dict(zip(columns, row, strict=True)) for row in values]
    return pl.DataFrame(rows, _CURVES)


def results(folders: Iterable[Path]) -> pl.DataFrame:
    """One test score per run and metric, at the step chosen on validation, with its interval.

    Probes have a score for each subset of train rows, numbered by `finetune_seed`, and no `step`.
    `kind` is that of the run, `share` and `n_train` describe the train rows, `rows` counts test
    rows, `collapsed` is as in `metrics`. `low` and `high` are the 95% bootstrap interval over test
    rows, not over seeds.
    """
    rows = []
    for folder in folders:
        tags = _tags(folder, "kind")
        for labels, logits, facts in _scored(folder, tags["kind"]):
            row = tags | facts | {"rows": len(labels)}
            row["collapsed"] = metrics.collapsed(labels, logits)
            edges = metrics.intervals(labels, logits)
            for metric, value in metrics.scores(labels, logits).items():
                low, high = edges[metric]
                rows.append(row | {"metric": metric, "value": value, "low": low, "high": high})
    return pl.DataFrame(rows, _RESULTS)


#: Metrics and columns of the stored tables of scores, which later metrics do not change.
_STORED = ("accuracy", "f1", "mcc")
_PROBED: Schema = {"arm": pl.String, "task": pl.String, "seed": pl.Int64, "subset": pl.Int64}
_PROBED |= {"share": pl.Float64, "n_train": pl.Int64, "rows": pl.Int64}
_PROBED |= dict.fromkeys(_STORED, pl.Float64)
_VARIANTS: Schema = {"task": pl.String, "arm": pl.String, "seed": pl.Int64, "auroc": pl.Float64}


def probe_table(text: bytes, path: Path = Path("probes.csv")) -> pl.DataFrame:
    """Read a table of `results.PROBE_COLUMNS` into the columns of `results`.

    Intervals over test rows and `collapsed` are null, since the table has no predictions. `path`
    names the table in messages. ValueError for other columns, an invalid value, or a duplicate row.
    """
    wide = _stored_table(text, path, _PROBED, "arm", "task", "seed", "subset", "share")
    wide = wide.rename({"subset": "finetune_seed"})
    facts = [column for column in wide.columns if column not in _STORED]
    long = wide.unpivot(_STORED, index=facts, variable_name="metric")
    name = pl.format("probe-{}-{}-seed{}", "task", "arm", "seed")
    known = long.with_columns(run=name, kind=pl.lit("probe"))
    return pl.concat([pl.DataFrame(schema=_RESULTS), known], how="diagonal").select(*_RESULTS)


def variant_table(text: bytes, path: Path = Path("variants.csv")) -> pl.DataFrame:
    """Read a table of `results.VARIANT_COLUMNS` as scores: task, arm, seed, value, finetune_seed.

    The last is 0. An empty text is a table without rows. Errors as in `probe_table`.
    """
    empty = pl.DataFrame(schema=_VARIANTS)
    found = _stored_table(text, path, _VARIANTS, "task", "arm", "seed") if text else empty
    return found.rename({"auroc": "value"}).with_columns(finetune_seed=pl.lit(0))


def _stored_table(text: bytes, path: Path, kinds: Schema, *keys: str) -> pl.DataFrame:
    """A table of exactly these columns with unique `keys`; errors as in `probe_table`."""
    try:
        if (columns := pl.read_csv(text, n_rows=0).columns) != [*kinds]:
            raise ValueError(f"its columns are {', '.join(columns)}")
        found = pl.read_csv(text, schema_overrides=kinds)
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise stored.damaged(path, error) from None
    fits: dict[Any, Callable[[pl.Expr], pl.Expr]] = {
        pl.String: lambda column: column.str.len_bytes() > 0,
        pl.Int64: lambda column: column.is_between(0, 2**32),
        pl.Float64: lambda column: column.is_between(-1, 1),
    }
    for name, kind in kinds.items():
        valid = fits[kind](pl.col(name)).fill_null(False)
        invalid = found.with_row_index("row", offset=1).filter(~valid)
        for row, value in invalid.select("row", name).head(1).iter_rows():
            raise stored.damaged(path, f"row {row} has {name} {value!r:.40}")
    if found.select(keys).is_duplicated().any():
        raise stored.damaged(path, "a row occurs twice")
    return found


def _scored(folder: Path, kind: str) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    """Test labels (n,), test logits (n, classes) and further columns of `results`.

    At the step chosen on validation, or for each subset of the train rows of a probe.
    """
    if kind != "probe":
        labels, logits, step = chosen(folder)
        manifest = run_folder.read(folder, "manifest", "rows")
        facts = {"share": manifest.get("share", 1.0), "n_train": manifest["rows"]["train"]}
        yield labels, logits, {"step": step, **facts}
        return
    found = run_folder.predictions(folder)
    events = _events(folder, "evaluation", "share", "subset", "n_train")
    for event, logits in zip(events, found["test_logits"], strict=True):
        facts = {"finetune_seed": event["subset"], "n_train": event["n_train"]}
        yield found["test_labels"], logits, {"step": None, "share": event["share"], **facts}
