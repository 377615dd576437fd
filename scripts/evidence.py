"""Make `results/small`: many seeds at a small scale, of all arms and available tasks.

    python scripts/evidence.py [--tasks ../shared/data/tasks] [--minutes 90] [--workers 2]

Prepares a plan in `build/evidence`, works on it, and collects `results/small` when all runs are
finished. The same command resumes. `--settle` tries protocols of fine-tuning.
`results/small/README.md` fixed what is compared before any test row was scored.
"""

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from birdiedna import tasks as benchmark
from birdiedna import vocab
from birdiedna.data import labelled, sample
from birdiedna.data.labelled import Labelled
from birdiedna.data.names import shell
from birdiedna.director.director import Birdie, Fixed, Recorded, wander
from birdiedna.director.reward_model import DNA_LINEAR
from birdiedna.evaluation import variant_sets
from birdiedna.evaluation.paper_table import ARM_TITLES
from birdiedna.evaluation.variant_sets import Disruption
from birdiedna.experiments import (
    collect,
    config_json,
    models,
    plan,
    prepare,
    profiles,
    remote,
    results,
    run_spec,
)
from birdiedna.experiments.plan import Plan
from birdiedna.experiments.profiles import Profile
from birdiedna.experiments.run_spec import RunSpec
from birdiedna.experiments.runs import Live
from birdiedna.inference import labelled_variants
from birdiedna.model import transformer
from birdiedna.objectives.definitions import BIRDIE_DNA, CLASSES, NTP, Infilling
from birdiedna.training import finetune, metrics, run_folder
from birdiedna.training.pretrain import PretrainConfig
from birdiedna.training.probe import ProbeConfig
from birdiedna.training.weights import Model

NAME = "small"
HERE = Path(__file__).parent
#: The ratios of a pilot: seed 100 of the arm birdie, which is not compared.
PILOT = HERE / "evidence_pilot.json"
PILOT_SEED = 100
SEEDS = tuple(range(10))
#: Compared on every task, with random weights.
MAIN = ("birdie", "ntp", "uniform", "mlm")
#: Each changes one thing: the objectives, the director or the reward.
VARIANTS = ("with_ntp", "random_actions", "averaged", "replayed", "linear", "no_exploration")
#: Birdie without one class of its objectives, in the order of `CLASSES`.
WITHOUT = tuple(arm.removeprefix("without_") for arm in ARM_TITLES if arm.startswith("without_"))
VARIANTS += tuple(f"without_{name}" for name in WITHOUT)
#: Infilling alone: share of hidden bases, and mean span.
#: Added after the scores of the other arms had been seen.
RATE_SPAN = {
    f"infill_{rate}_{span}": Infilling(rate / 100, span, vocab.objective_id("infill_50_3"))
    for rate, span in product((15, 50), (3, 8, 32))
}
VARIANTS += tuple(RATE_SPAN)
#: Birdie with a causal mask in training and fine-tuning, on every task.
CAUSAL = "trained_causally"
#: The same weights with the other mask: is a gap due to the mask or the objectives?
#: Added after the scores of the arms had been seen.
OTHER_MASK = {"birdie": "birdie_causal", "ntp": "ntp_both", "random": "random_causal"}
#: Tasks of the variants: one of each kind.
VARIED_ON = (
    "splice_sites_donors_decoy",
    "promoter_no_tata",
    "splice_sites_donors",
    "H2AFZ",
    "H3K4me3",
    "human_ocr_ensembl",
)
#: Also fine-tuned, at ten times the cost of a probe, with the first seeds only.
FINETUNED = ("promoter_no_tata", "splice_sites_donors", "H3K4me3")
FINETUNE_SEEDS = SEEDS[:5]
#: Tasks, arms and rates by which fine-tuning protocols are tried, on validation rows only.
SETTLED_ON = ("promoter_no_tata", "splice_sites_donors")
SETTLED_BY = ("birdie", "ntp", "random")
RATES = (5e-5, 5e-4, 2e-3)
#: Learning rates of the head relative to the body; 10 was tried after the choice.
HEAD_RATES = (1, 10)
#: Shares of the train rows; a quarter was tried after the choice, as was the head "objective".
SHARES_TRIED = (1.0, 0.25)
#: Columns of `settling.csv`.
SETTLING = ("task", "arm", "head", "rate", "head_rate", "share", "step", "mcc")
#: Bases around a variant: a row of pre-training.
SLOTS = 128
#: The best mean of the table `settling.csv`; the rate is that of `quick`, 2e-3.
HEAD, STEPS = "label", 90
#: At most this many rows of a task, drawn by seed 0.
TRAIN_ROWS, TEST_ROWS = 660, 600
#: The part that is read, by length of a row: with `<start>`, a row of pre-training.
CROPS = {300: (0, 127), 500: (186, 313), 600: (237, 364), 1000: (50, 177)}
READ = 127

#: Test files of Genomic Benchmarks, by task.
_GENOMIC = {
    "human_enhancers_cohn": "human_enhancers_cohn.test",
    "human_enhancers_ensembl": "human_enhancers_ensembl.test.chr20X",
    "human_ensembl_regulatory": "human_ensembl_regulatory.test.chr20X",
    "human_ocr_ensembl": "human_ocr_ensembl.test.chr20X",
}

Row = dict[str, str]


def profile() -> Profile:
    """The sizes of `quick`, with more steps, ten pre-training seeds, all tasks and more arms."""
    quick = profiles.PROFILES["quick"]
    longer = {"steps": 400, "evaluations": tuple(range(40, 401, 40))}
    main = {arm: replace(quick.pretrain[arm], **longer) for arm in MAIN}
    birdie = main["birdie"]
    assert isinstance(birdie.director, Birdie)
    learned = replace(birdie.director, candidates=2048)
    main["birdie"] = replace(birdie, director=learned)
    return replace(
        quick,
        name=NAME,
        pretrain=main | variants(main["birdie"]),
        finetune=replace(quick.finetune, head=HEAD, steps=STEPS, evaluate_every=30),
        finetune_seeds=(0,),
        tasks=(),
        crops=CROPS,
        remake=False,
        probe=ProbeConfig(classes=2, rows=128),
        causal=("ntp", CAUSAL),
        pretrain_seeds=SEEDS,
    )


def variants(birdie: PretrainConfig) -> dict[str, PretrainConfig]:
    """The learned arm with one thing changed."""
    learned = birdie.director
    assert isinstance(learned, Birdie)
    pilot = json.loads(PILOT.read_text())
    ratios = np.array(pilot["ratios"])
    lasted = np.diff([*pilot["steps"], birdie.steps])
    mean = lasted @ ratios / lasted.sum()
    more = (*CLASSES, max(CLASSES) + 1)
    directors = {
        "random_actions": replace(wander(CLASSES), warmup_steps=learned.warmup_steps),
        "averaged": Fixed(tuple((mean / mean.sum()).tolist()), CLASSES),
        "replayed": Recorded(tuple(pilot["steps"]), tuple(map(tuple, pilot["ratios"])), CLASSES),
        "linear": replace(learned, reward=DNA_LINEAR),
        "no_exploration": replace(learned, explore=(0.0, 0.0)),
    }
    both = tuple((BIRDIE_DNA | NTP).items())
    added = replace(birdie, director=replace(learned, classes=more), objectives=both)
    changed = {arm: replace(birdie, director=director) for arm, director in directors.items()}
    fewer = {f"without_{name}": without(birdie, kind) for kind, name in enumerate(WITHOUT)}
    alone = {
        arm: replace(birdie, director=Fixed((1.0,)), objectives=((arm, objective),))
        for arm, objective in RATE_SPAN.items()
    }
    causal = {CAUSAL: replace(birdie, bidirectional=False)}
    return {"with_ntp": added, **changed, **fewer, **alone, **causal}


def without(birdie: PretrainConfig, kind: int) -> PretrainConfig:
    """The learned arm without the objectives of one class."""
    kept = [i for i, of in enumerate(CLASSES) if of != kind]
    classes = tuple(CLASSES[i] - (CLASSES[i] > kind) for i in kept)
    assert isinstance(birdie.director, Birdie)
    director = replace(birdie.director, classes=classes)
    objectives = tuple(birdie.objectives[i] for i in kept)
    return replace(birdie, director=director, objectives=objectives)


def write_tasks(source: Path, folder: Path) -> None:
    """Write tables of the rows: train rows of chrX, test rows of chr20.

    Args:
      source: `tasks` of the shared data, with `nt_recipe` and `gb`.

    Raises:
      FileNotFoundError: a file is missing.
    """
    for path in sorted((source / "nt_recipe").glob("*.csv.gz")):
        rows = read(path)
        parts = [[row for row in rows if row["chrom"] == c] for c in ("chrX", "chr20")]
        _write(folder, path.name.removesuffix(".csv.gz"), *parts)
    for task, test in _GENOMIC.items():
        train = read(source / "gb" / f"{task}.train.chr20X.csv.gz")
        scored = read(source / "gb" / f"{test}.csv.gz")
        parts = [
            [short(row) for row in rows if row.get("chrom", chromosome) == chromosome]
            for rows, chromosome in ((train, "chrX"), (scored, "chr20"))
        ]
        _write(folder, task, *parts)


def read(path: Path) -> list[Row]:
    """The rows of a table."""
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


def short(row: Row) -> Row:
    """A row, cut to its central bases unless its length is in `CROPS`."""
    bases = row["sequence"]
    start = max(0, (len(bases) - READ) // 2)
    return row if len(bases) in CROPS else row | {"sequence": bases[start : start + READ]}


def _write(folder: Path, task: str, train: Sequence[Row], test: Sequence[Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows, most in (("train", train, TRAIN_ROWS), ("test", test, TEST_ROWS)):
        chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:most])
        with (folder / f"{task}.{part}.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, ["sequence", "label", "name"], extrasaction="ignore")
            table.writeheader()
            table.writerows({"name": "", **rows[row]} for row in chosen)


def settle(source: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Validation scores of every protocol of fine-tuning, with a seed that is not compared.

    No test row is read: rows are of chrX, the first 60% by position for training, the others for
    validation. The rate is constant, so one run also shows fewer steps.

    Args:
      source: as in `write_tasks`.
      folder: for rows and runs.

    Yields:
      the columns `SETTLING`; mcc is that on validation.
    """
    for task in SETTLED_ON:
        start = lambda row: int(row["name"].split(":")[1].split("-")[0])
        every = read(source / "nt_recipe" / f"{task}.csv.gz")
        rows = sorted((row for row in every if row["chrom"] == "chrX"), key=start)
        edge = int(0.6 * len(rows))
        _write(folder, task, rows[:edge], rows[edge:])
        found = benchmark.read(benchmark.find(folder, task))
        crop = CROPS[found.train.tokens.shape[1]]
        parts = labelled.crop(found.train, *crop), labelled.crop(found.test, *crop)
        for tried in product(SETTLED_BY, finetune.HEADS, RATES, HEAD_RATES, SHARES_TRIED):
            at = folder / "-".join(map(str, (task, *tried)))
            if not (at / "predictions.npz").exists():
                at.mkdir(exist_ok=True)
                _tune(*tried, parts, at)
            saved = run_folder.predictions(at)
            counts = metrics.tables(saved["validation_labels"], saved["validation_logits"])
            for step, mcc in zip(saved["steps"], metrics.of_tables(counts, "mcc"), strict=True):
                values = task, *tried, int(step), round(float(mcc), 4)
                yield dict(zip(SETTLING, values, strict=True))


def _tune(
    arm: str,
    head: str,
    rate: float,
    times: float,
    share: float,
    parts: tuple[Labelled, Labelled],
    at: Path,
) -> None:
    """Fine-tune by one protocol, with validation rows in place of test rows."""
    tune = profile().finetune
    config = replace(
        tune,
        steps=120,
        evaluate_every=30,
        head=head,
        head_rate=times,
        share=share,
        optimizer=replace(tune.optimizer, peak=rate, final=rate),
        bidirectional=arm != "ntp",
    )
    net = transformer.init(config.model, PILOT_SEED)
    if arm != "random":
        net = config_json.pretrained(Live(NAME, profile(), seed=PILOT_SEED).pretrained(arm)).net
    start = finetune.Start(net, 0, at, config.bidirectional)
    for _ in finetune.train(config, [start], (*parts, parts[1])):
        pass


def variant_scores(made: Plan) -> Iterator[tuple[str, str, int, float]]:
    """Rows of `results.VARIANT_COLUMNS`: `splice_scores` of every finished main arm and seed, and
    of random weights with the mask of NTP.
    """
    done = [run for run in made.runs if run.kind == "pretrain" and run.arm in MAIN]
    for run in (run for run in done if run_folder.complete(made.place(run.name))):
        model = models.load(made.place(run.name))
        arms = {run.arm: model}
        if run.arm == "ntp":
            arms["random"] = model._replace(net=transformer.init(model.net.config, run.seed))
        for arm, one in arms.items():
            for task, value in splice_scores(one).items():
                yield task, arm, run.seed, round(value, 5)


def splice_scores(model: Model) -> dict[str, float]:
    """AUROC by task of disrupted splice sites of chr20 against controls, without training."""
    return {
        task: variant_sets.auroc(
            np.array([d.label for d in changed]), labelled_variants.harm(model, changed, SLOTS)
        )
        for task, changed in disrupted().items()
    }


@cache
def disrupted() -> dict[str, list[Disruption]]:
    """By task: disruptions of all splice sites of the sample's test rows, and controls."""
    found = {}
    for kind in ("donor", "acceptor"):
        task = f"splice_sites_{kind}s"
        test = benchmark.read(benchmark.find(sample.TASKS, task)).test
        found[task] = variant_sets.disruptions(variant_sets.sites(test, kind))
    return found


def in_order(runs: Iterable[RunSpec]) -> tuple[RunSpec, ...]:
    """The runs to make: main arms seed by seed, fine-tunings of a seed last, then variants."""
    stage = lambda run: (run.arm not in (*MAIN, "random"), run.seed, run.kind == "finetune")
    return tuple(sorted(filter(_made, runs), key=stage))


def masked(runs: Iterable[RunSpec]) -> list[RunSpec]:
    """The probes of `OTHER_MASK`."""
    return [by_the_other_mask(run) for run in runs if run.kind == "probe" and run.arm in OTHER_MASK]


def by_the_other_mask(run: RunSpec) -> RunSpec:
    """The probe of the same weights with the other mask."""
    assert isinstance(run.config, ProbeConfig)
    config = replace(run.config, bidirectional=not run.config.bidirectional)
    return run_spec.named(replace(run, arm=OTHER_MASK[run.arm], config=config))


def _made(run: RunSpec) -> bool:
    if run.kind == "finetune":
        compared = run.arm in (*MAIN, "random")
        return compared and run.task in FINETUNED and run.seed in FINETUNE_SEEDS
    return run.kind == "pretrain" or run.arm not in VARIANTS or run.task in VARIED_ON


def prepared(folder: Path, source: Path) -> Plan:
    """The plan in a folder, prepared if it is missing."""
    if (folder / "plan.json").exists():
        return plan.read(folder)
    data = folder.with_name(f"{folder.name}.data")
    if source.is_dir():
        write_tasks(source, data / "tasks")
        tasks = [f"{sample.TASKS}:splice_sites_donors_decoy", str(data / "tasks")]
    else:
        print(f"{source} is missing: only tasks of the embedded sample", flush=True)
        tasks = [str(sample.TASKS)]
    data.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(data / f"{NAME}.json", profiles.to_file(profile()))
    made = prepare.prepare(
        folder, str(data / f"{NAME}.json"), tasks=tasks, arms=(*MAIN, CAUSAL, *VARIANTS)
    )
    made = made._replace(runs=in_order([*made.runs, *masked(made.runs)]))
    plan.write(made)
    return made


def main(words: Sequence[str]) -> int:
    """Prepare, work, collect."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", type=Path, default=HERE.parent.parent / "shared/data/tasks")
    parser.add_argument("--plan", type=Path, default=HERE.parent / "build" / "evidence")
    parser.add_argument("--minutes", type=float, default=240, help="for the runs")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--settle", action="store_true", help="only rewrite settling.csv")
    parser.add_argument("--only", nargs="*", default=(), help="patterns of names of runs")
    given = parser.parse_args(words)
    if given.tasks != parser.get_default("tasks") and not given.tasks.is_dir():
        parser.error(f"{given.tasks}: no such folder; give another, or leave --tasks out")
    if given.settle:
        at = given.plan.with_name(f"{given.plan.name}.settling")
        tried = [*settle(given.tasks, at)]
        with (results.root() / NAME / "settling.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, SETTLING)
            table.writeheader()
            table.writerows(tried)
        return 0
    made = prepared(given.plan, given.tasks)
    status = remote.work(given.plan, given.minutes, given.workers, given.only)
    standings = [row["standing"] for row in plan.table(made)]
    if missing := len(standings) - standings.count("finished"):
        print(f"{missing:,} of {len(standings):,} runs are missing, so results/{NAME} stays as it "
              "is; the same command resumes. To collect what is there: "
              f"birdiedna plan collect {shell(str(given.plan))} --name mine")  # fmt: skip
        return status
    place = collect.collect(given.plan, NAME, probe_table=True)
    lines = [results.VARIANT_COLUMNS, *variant_scores(made)]
    results.add_table(NAME, results.VARIANTS, "".join(f"{','.join(map(str, x))}\n" for x in lines))
    print(collect.summary(place))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
