"""The whole command line, declared with argparse only, so that `--help` is fast.

Arguments shared by several verbs come first; `VERBS` is the command line itself.
"""

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from birdiedna.data.chromosomes import HELD_OUT

_ARM = {
    "birdie": "mixture of objectives, learned",
    "ntp": "next token",
    "uniform": "mixture in equal parts",
    "ul2r": "mixture of UL2R",
    "mlm": "masked tokens",
    "random": "not at all",
}
#: Copies of names in slower modules; a test compares them.
ARMS = tuple(_ARM)[:-1]
PLAN_ARMS = ("birdie", "ntp", "uniform")
DEVICES = ("any", "accelerator", "cpu", "gpu", "tpu")
SITES = ("donors", "acceptors", "all")
POOLINGS = ("mean", "start")
WEIGHT_TYPES = ("float32", "bfloat16")
TRACKERS = ("tensorboard",)

_NAMED = "a run folder, a folder of `export`, a .safetensors file, or a name of weights/"

_DESCRIPTION = "Pre-train, fine-tune and compare BirdieDNA and next-token prediction."
_EXAMPLES = """examples:
  birdiedna pretrain --arm birdie                      or --arm ntp: the same training loop
  birdiedna pretrain --genome my.fa --validation chr8  your own genome; or chr8:1-5000000
  birdiedna finetune --arm birdie --task promoter_all  pre-trains first if necessary
  birdiedna probe birdie                               frozen features, compared with random
  birdiedna predict RUN new.fa -o classes.csv          use a fine-tuned run
  birdiedna embed eighth-ntp my.fa -o features.csv     use a model of weights/; see also variants
  birdiedna data list                                  genomes and tasks you can fetch
  birdiedna data check my.fa                           is the file usable?
  birdiedna plan prepare --out build/plan              the paper's scale on an accelerator
  birdiedna book                                       every figure and table
"""
_PRETRAIN_EXAMPLES = """examples:
  birdiedna pretrain                                     birdie on the embedded sample
  birdiedna pretrain --arm ntp --genome my.fa --validation chr8
  birdiedna pretrain --arm ntp --from-llama my_llama --set pretrain.optimizer.peak=1e-4
"""
_FINETUNE_EXAMPLES = """examples:
  birdiedna finetune --task promoter_all                 a task of the embedded sample
  birdiedna finetune --start eighth-ntp --tasks my_tasks --task my_task
  birdiedna finetune --tasks my.csv --sequence-column dna --label-column class --labels no=0,yes=1
"""
_PROBE = """Score the frozen features of a model: a logistic regression on the mean over the bases
of each sequence, fitted to 1, 5, 25 and 100% of the train rows (five draws of each smaller share)
and scored on the test rows. The same model with random weights is scored for comparison: a probe
that does no better shows no effect of pre-training.
"""
_PROBE_EXAMPLES = """examples:
  birdiedna probe birdie                           the sample's tasks; pre-trains first if necessary
  birdiedna probe ntp --tasks my_tasks -o my.csv   your own tasks, every score in a table
  birdiedna probe RUN --tasks my_tasks             a run by its folder, whatever it was trained on
"""
_PREDICT = """Predict the class of each sequence, and the probability of every class, with a
fine-tuned run.

Sequences are read as the run read its rows. A sequence longer than the training rows is refused,
or its middle is read (--long centre)."""
_PREDICT_EXAMPLES = """examples:
  birdiedna finetune --arm birdie --task promoter_all      prints RUN, the folder of the run
  birdiedna predict RUN new.fa -o classes.csv
  birdiedna predict RUN regions.bed --genome my.fa -o classes.parquet --both-strands
"""
_EMBED = """Write a model's features of each sequence: one vector per sequence, or one per base.

Sequences longer than the training rows are read in pieces (the vector is their mean, by bases), or
only their middle is read, or they are refused (--long)."""
_EMBED_EXAMPLES = """examples:
  birdiedna pretrain --arm birdie                          prints RUN, the folder of the run
  birdiedna embed RUN my.fa -o features.parquet
  birdiedna embed RUN my.fa -o bases.parquet --per-base --layer 1 --both-strands
  birdiedna embed eighth-ntp my.csv -o features.csv        one of the models in weights/
"""
_VARIANTS = """Score every variant of a file by the log-likelihood ratio of the alternative and the
reference allele, in nats, mean of both strands. No training on variants is needed.

Substitutions, insertions and deletions of up to 50 bases are scored. REF is compared with the
genome; alleles that disagree get a note and no score in the table. Expect little of a small model:
outside splice sites its scores are hardly better than chance."""
_VARIANTS_EXAMPLES = """examples:
  birdiedna variants RUN calls.vcf.gz --genome hg.fa -o scores.parquet
  birdiedna variants eighth-ntp calls.csv --genome hg.fa -o scores.csv     chrom,pos,ref,alt
  birdiedna variants eighth-ntp pairs.csv -o scores.csv                    ref_seq,alt_seq
"""
_EXPLAIN = """Show how a pre-training objective transforms a sequence: the prompt, the target that
the model predicts, and where in the sequence every token comes from."""
_EXPLAIN_EXAMPLES = """examples:
  birdiedna explain ACGTTGCATTGACCATGCAATGCA --objective infill_50_3
  birdiedna explain my.fa --objective deshuffling_50 --seed 3
"""
#: How long sequences are treated, as in `inference.sequences`.
_LONG = {"tile": "read in pieces", "centre": "read the middle", "refuse": "stop with an error"}
_LIST = """examples:
  birdiedna data list                what can be fetched, and what is in the cache
  birdiedna data list chm13v2.0_noY  all details of one entry, with its pitfalls
"""
_FETCH = """examples:
  birdiedna data fetch chm13v2.0_noY
  birdiedna data fetch GRCh38 --contigs chr20,chrX
  birdiedna data fetch nt_revised --contigs promoter_all,enhancers
  birdiedna data fetch https://example.org/my.fa.gz
  birdiedna data fetch chm13v2.0 --from-file /media/stick/chm13v2.0.fa.gz    without network

Run the command again to resume an interrupted download. Cached data need no network:
--genome chm13v2.0_noY, --genome GRCh38:chr20,chrX, --tasks nt_revised.
"""
_CHECK = """examples:
  birdiedna data check my.fa              is the genome usable?
  birdiedna data check my_tasks/ my.csv   tasks in any known layout, or a table of rows
  birdiedna data check nt_revised         a catalogue entry; fetched if necessary
"""
_AUDIT = """examples:
  birdiedna data audit                                     the sample
  birdiedna data audit --tasks my_tasks/ --genome my.fa    also: rows seen in pre-training
  birdiedna data audit --tasks intervals/                  interval files of Genomic Benchmarks
"""
_BUILD = """examples:
  birdiedna data build --genome my.fa --peaks peaks.bed --task my_mark --out my_tasks --decoys
  birdiedna data build --genome my.fa --tss starts.bed --task my_promoters --out my_tasks
  birdiedna data build --genome my.fa --exons genes.gtf --sites all --task my_sites --out my_tasks
  birdiedna data build --genome my.fa --bed enhancers.bed --length 400 --task mine --out my_tasks
  birdiedna finetune --tasks my_tasks --task my_mark

Coordinates must be of the genome's assembly. All rows are on the + strand; each contig gets as many
negative as positive rows; skipped elements are counted and recorded.
"""
_SETTINGS = """examples:
  birdiedna settings --profile paper
  birdiedna pretrain --set pretrain.steps=200 --set pretrain.optimizer.peak=1e-3
  birdiedna finetune --task promoter_all --set finetune.head=pooled
  birdiedna pretrain --set pretrain.reverse_complement=true     rows from a random strand
  birdiedna finetune --task promoter_all --set finetune.reverse_complement=true \\
    --set finetune.both_strands=true        also averages the logits of both strands
  birdiedna pretrain --profile my.json      such as {"base": "paper", "pretrain.steps": 2048}
  birdiedna settings --profile paper --json > mine.json

`pretrain.NAME` sets all arms that have this setting, `pretrain.birdie.NAME` only one. Changing the
steps scales the evaluations and the director's warm-up with them; fine-tuning takes the sizes of
the pre-trained model; a constant learning rate stays constant. Such implied changes are printed.
"""
_EXPORT = """examples:
  birdiedna export runs/quick/pretrain-ntp-seed0-1a2b3c4d my_model
  birdiedna export eighth-birdie my_model --type bfloat16

Open it with transformers; it needs no custom code:
  AutoModelForCausalLM.from_pretrained("my_model")
Rows with a bidirectional prompt need the attention mask shown in its README.md.
"""
_IMPORT = """examples:
  birdiedna import my_model runs/mine/pretrain-imported
  birdiedna import eighth-ntp runs/mine/eighth-ntp

Only models of birdiedna have its vocabulary; pickles (.bin, .pt) are never opened.
"""
_PLAN = """Prepare on any machine, train on the accelerator in slices of time, collect:

  birdiedna plan prepare --out build/plan --genome my.fa.gz --validation chr8 --tasks my_tasks
  python -m birdiedna plan work build/plan --budget-minutes 9     until it exits with 0
  birdiedna plan collect build/plan --name my-results
  make book PROFILE=my-results

`plan run` prepares and works on the same machine; `plan work --shard 2/4` runs the second of four
shards on one of several machines. `birdiedna remote work` does everything on a borrowed machine.
"""
_REMOTE = """Use a borrowed machine that has only the training core (and, for
probes, scikit-learn), with one command:

  python -m birdiedna remote work build/plan --budget-minutes 12 --workers 2 --out packed

It measures the device, makes the runs of the plan (pre-trainings, probes, then fine-tunings,
grouped by task) and packs finished runs into files of at most 15 MB, weights in bfloat16, and
unfinished pre-trainings with their newest checkpoint. At home, or on the next machine, which
resumes them:

  birdiedna remote unpack build/plan packed
  birdiedna plan collect build/plan --name my-results

Once all pre-trainings are finished, the plan's genome.npz need not be copied.

Several workers pay off if runs are small.
"""


class _Once(argparse._StoreAction):
    """Store a value; a second one is refused, of which argparse would silently take the last."""

    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        if option_string and self in parser.given:
            remedy = "give all values after one" if self.nargs == "+" else "leave one out"
            parser.error(f"{'/'.join(self.option_strings)} is given twice; {remedy}")
        parser.given.add(self)
        super().__call__(parser, namespace, values, option_string)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage; its texts keep their lines."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        self.given: set[argparse.Action] = set()
        self.register("action", None, _Once)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Parse arguments; refuse empty ones, as from an unset shell variable, and other bytes.

        `--out=~/x`, which most shells leave as it is, means the home folder.
        """
        for before, word in zip(["", *(args or ())], args or ()):
            if not word.replace(",", "").strip() or re.fullmatch("--.*=|--[^=]+=--|-[a-z]--", word):
                option = re.sub("=*(--)?$", "", word).strip(" ,") or before  # argparse drops `--`
                what = option if option[:1] == "-" else f"argument {word!r}"
                self.error(f"{what} has no value; give one")
            if re.search("[\ud800-\udfff]", word):
                remedy = "rename it, or set LC_ALL=C.UTF-8 if the name is UTF-8"
                self.error(f"{word} has bytes that are not text, which no run can record; {remedy}")
        self.given.clear()
        home = lambda match: match[1] + os.path.expanduser(match[2])
        words = [re.sub("^(--[a-z-]+=)(~/.*)", home, word) for word in args or ()]
        found, unknown = super().parse_known_args(words, namespace)
        if unknown:  # here rather than in `parse_args`, so that the verb's own help is named
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)}; see `{self.prog} --help`\n")


def one_line(message: str) -> str:
    """Escape line ends, control characters and undecodable bytes, which names may contain."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)


def _typed(pattern: str, expected: str, make: Callable[..., Any]) -> Callable[[str], Any]:
    """Return an argparse type: `make` of the pattern's groups, which is None if out of range."""

    def read(text: str) -> Any:
        match = re.fullmatch(pattern, text, re.ASCII)
        value = make(*match.groups()) if match else None
        if value is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
        return value

    return read


#: The seeds that give different random keys.
_seed = _typed(
    r"(\d{1,10})", f"a seed; give a whole number from 0 to {2**32 - 1}",
    lambda text: int(text) if int(text) < 2**32 else None,
)  # fmt: skip
#: A number of bases, rows or steps; its range is checked where it is used.
_whole = _typed("(-?[0-9]{1,9})", "a number; give a whole number of up to nine digits", int)
_count = _typed(r"([1-9]\d{0,3})", "a count; give a whole number from 1 to 9999", int)
_minutes = _typed(
    r"(\d{1,9}(?:\.\d+)?)",
    "a time; give minutes, such as 9 or 0.5",
    lambda text: float(text) or None,
)
_shard = _typed(
    r"(\d{1,6})/(\d{1,6})", "a shard; give I/N, such as 1/4 to 4/4",
    lambda i, n: (int(i), int(n)) if 1 <= int(i) <= int(n) else None,
)  # fmt: skip


def _each(read: Callable[[str], Any]) -> dict[str, Any]:
    """Return the keywords of an option with several values, which contain no commas."""

    def one(text: str) -> Any:
        if "," in text:
            apart = " ".join(text.replace(",", " ").split())
            raise argparse.ArgumentTypeError(f"{text!r} has a comma; use blanks: {apart}")
        return read(text)

    return {"type": one, "nargs": "+"}


#: The names of an argument and its keywords for argparse.
Argument = tuple[list[str], dict[str, Any]]


def _arg(names: str, text: str = "", **how: Any) -> Argument:
    """Return an argument with names such as "-o --out FILE"; options default to ""."""
    words = names.split()
    if names.startswith("-"):
        if not words[-1].startswith("-"):
            how["metavar"] = words.pop()
        if not how.keys() & {"default", "type", "action", "required"}:
            how["default"] = ""
    return words, {"help": text or None, **how}


def _flag(name: str, text: str) -> Argument:
    return _arg(name, text, action="store_true")


class Verb(NamedTuple):
    """A verb of the command line.

    help: its line in the list of verbs. act: "module.function" in `birdiedna.cli`, imported when it
    runs. arguments: in order; a string starts a group with that title, exactly one of a list is
    required. description, examples: printed before and after the arguments; description defaults to
    `help`. verbs: sub-commands.
    """

    help: str
    act: str = ""
    arguments: tuple[Argument | str | list[Argument], ...] = ()
    description: str = ""
    examples: str = ""
    verbs: "dict[str, Verb]" = {}


# fmt: off
_SET = _arg("--set NAME=VALUE", "change a setting, such as finetune.head=pooled; `birdiedna "
    "settings` lists them; may be repeated", action="append", default=[], dest="changes")
_SEED = _arg("--seed", "seed of weights and batches (default: 0)", type=_seed, default=0)
_TASKS = _arg("--tasks", "folder of tasks, or file of rows; default: the sample", default="sample")
_MODEL = _arg("model", _NAMED, metavar="MODEL")
_PLAN_FOLDER = _arg("folder", "folder of the plan, from `birdiedna plan prepare`", type=Path)
_BUDGET = _arg("--budget-minutes N", "save a checkpoint and stop within N minutes; the same "
    "command resumes", type=_minutes)
_SHARD_STATE = _flag("--shard-state", "shard pre-training weights and moments over the devices")
_TRACK = _arg("--track", "also write scalars for `tensorboard --logdir` into the run folder",
    choices=TRACKERS, default="")
_VALIDATION = _arg("--validation CONTIGS", "contigs for the held-out loss, such as chr8,chr9 or "
    "chr8:1-5000000; default: chr8, else 5 to 10%% of the bases")
_ONLY = _arg("--only NAME", "only runs whose name contains one of these, such as pretrain-ntp",
    **_each(str), default=[])
_WEIGHTS = _arg("--weights ARM=FILE", "use these weights (.safetensors) as finished "
    "pre-trainings", nargs="+", default=[])


def _device(usual: str) -> Argument:
    return _arg("--device KIND", f"{', '.join(DEVICES)}; default: {usual}", choices=DEVICES)


def _arm(arms: tuple[str, ...]) -> Argument:
    known = ", ".join(f"{arm} ({_ARM[arm]})" for arm in arms)
    return _arg("--arm", f"how it is pre-trained: {known}; default: birdie", default="birdie")


_COLUMNS = (
    _arg("--sequence-column NAME", "of a table; default: sequence, or seq"),
    _arg("--name-column NAME", "of a table; default: name, coordinates or alike, if any"),
)


def _sequences(*long: str) -> tuple[Argument, ...]:
    known = "; ".join(f"{name}: {_LONG[name]}" for name in long)
    return (
        _arg("file", "FASTA, csv, tsv, parquet; BED with --genome", type=Path, metavar="SEQUENCES"),
        *_COLUMNS,
        _arg("--genome FASTA", "for BED: the genome of the intervals"),
        _flag("--both-strands", "average over the sequence and its reverse complement"),
        _arg("--long", f"sequences longer than the model was trained on: {known} "
            f"(default: {long[0]})", default=long[0], choices=long),
        *_TABLE,
    )


_TABLE = (
    _arg("-o --out FILE", "table to write: .csv, .tsv or .parquet", type=Path, required=True),
    _arg("--rows N", "rows at once; fewer need less memory (default: 64)", type=_count, default=64),
    _device("any"),
)
_MAKING = (
    _arg("--profile", "quick (default): minutes on two cores; paper: the paper's sizes; a name in "
        "results/; or a .json file", default="quick"),
    _SET,
    _arg("--genome", "FASTA to pre-train on; default: the embedded sample", default="sample"),
    _VALIDATION,
    _SEED,
    _arg("--from-llama FOLDER", "continue pre-training a Hugging Face Llama (config.json, "
        ".safetensors) with the vocabulary cut to bases; use a lower learning rate, such as 1e-4"),
    "how the run is made", _device("any (quick), accelerator (paper)"), _SHARD_STATE, _BUDGET,
)
_LABELS = _arg("--labels WORD=0,...", "class numbers of labels that are words")
_READING = (
    "how rows are read", *_COLUMNS,
    _arg("--label-column NAME", "default: label"),
    _LABELS,
    _arg("--length BASES", "read only the first BASES of each row", type=_whole, default=0),
    _arg("--reference FASTA", "for intervals: their genome"),
    _flag("--skip-missing", "skip intervals on contigs missing from the genome"),
)
_SUITE = (
    _arg("--profile", "default: paper; or a .json file", default="paper"),
    _SET,
    _arg("--genome", "FASTA to pre-train on; default: the sample", default="sample"),
    _VALIDATION,
    _arg("--tasks FOLDER[:TASK,...]", "folders of tasks; names after a colon select some",
        nargs="+", default=["sample"]),
    _arg("--arms ARM", f"default: {' '.join(PLAN_ARMS)}; random weights are always fine-tuned too",
        **_each(str), default=PLAN_ARMS),
    _arg("--seeds --seed SEED", "seeds of weights and batches; a verdict needs 3; default: the "
        "profile's", **_each(_seed), default=()),
    _arg("--finetune-seeds SEED", "default: the profile's", **_each(_seed), default=()),
)
_WORK = (
    _device("the plan's"), _BUDGET, _SHARD_STATE, _TRACK, _ONLY,
    _arg("--shard I/N", "make the I-th of N shards of these runs; other machines make the others",
        type=_shard, default=(1, 1)),
)
_PLAN_OUT = _arg("--out FOLDER", "folder of the plan", type=Path, required=True)

_DATA_VERBS = {
    "list": Verb("list what can be fetched", "data.list_entries", (
        _arg("name", "entries to describe in full", nargs="*"),
    ), examples=_LIST),
    "fetch": Verb("fetch a genome or tasks into the cache and check them", "data.fetch", (
        _arg("what", "an entry of `birdiedna data list`, or an https address"),
        _arg("--from-file F", "use these files instead of the network", nargs="+", type=Path),
        _arg("--contigs A,B", "only these contigs of a genome, or these tasks"),
    ), examples=_FETCH),
    "check": Verb("describe files and check whether they are usable", "data.check", (
        _arg("path", "FASTA files, tables, folders of tasks, entries", nargs="*"),
        *_READING,
    ), examples=_CHECK),
    "audit": Verb("report leakage between splits of tasks, and how easy they are", "data.audit", (
        _arg("--tasks", "folder of tasks or intervals; default: the sample", default="sample"),
        _arg("--genome", "FASTA of pre-training, to count rows that occur in it"),
        _flag("--no-baselines", "skip the baselines without a model"),
        *_READING,
    ), examples=_AUDIT),
    "build": Verb("build your own task from a genome and coordinates", "data.build_task", (
        _arg("--genome", "FASTA, or an entry of `birdiedna data list`", required=True),
        [
            _arg("--peaks BED", "peaks of a histone mark", type=Path),
            _arg("--tss BED", "transcription start sites with strands, or EPDnew's", type=Path),
            _arg("--exons GTF", "transcripts, for splice sites", type=Path),
            _arg("--bed BED", "other intervals; needs --length", type=Path),
        ],
        _arg("--task NAME", "name of the task and of its folder", required=True),
        _arg("--out DIR", "folder of tasks to write it to", required=True, type=Path),
        _flag("--decoys", "also build NAME_decoy, with harder negatives"),
        _arg("--sites", "with --exons: the site (default: donors)", default=None, choices=SITES),
        _arg("--length BASES", "with --bed: length of the window around each middle", type=_whole),
        _arg("--held-out A,B", "chromosomes or contigs of the test rows, or parts of them "
            "(chr1:1-5000000)", default=",".join(HELD_OUT)),
        _arg("--rows N", "at most N rows per file; default: all", type=_whole, default=0),
        _arg("--seed", "seed of all random draws (default: 0)", type=_whole, default=0),
        _flag("--skip-missing", "skip, and count, elements on contigs missing from the genome"),
    ), examples=_BUILD),
}
_PLAN_VERBS = {
    "prepare": Verb("write the plan, with all data, to a folder", "plan.prepare",
        (_PLAN_OUT, *_SUITE, *_READING)),
    "run": Verb("prepare the plan, unless it exists, and work on it", "plan.run",
        (_PLAN_OUT, *_SUITE, *_READING, "how runs are made", *_WORK)),
    "work": Verb("make unfinished runs; needs the training core, probes scikit-learn", "plan.work",
        (_PLAN_FOLDER, *_WORK, _WEIGHTS)),
    "status": Verb("show all runs and their minutes", "plan.status", (_PLAN_FOLDER,)),
    "collect": Verb("write finished runs to results/", "plan.collect", (
        _PLAN_FOLDER,
        _arg("--name", "name of the results", required=True),
        _arg("--into", "default: results/ of the checkout", type=Path),
        _flag("--probe-table", "of probes, keep only the scores, in one table"),
    )),
}
_REMOTE_VERBS = {
    "work": Verb("measure the device, make runs, pack finished runs", "remote.work", (
        _PLAN_FOLDER,
        _arg("--budget-minutes N", "for everything", type=_minutes, required=True),
        _arg("--workers N", "processes that share the device", type=_count, default=1),
        _arg("--out FOLDER", "at the end, pack finished runs and begun pre-trainings", type=Path),
        _ONLY, _WEIGHTS, _device("the plan's"),
        _arg("--work-only", "skip the measurements", action="store_false", dest="measure"),
        _flag("--tiny", "small measurements, to test on a CPU"),
    )),
    "pack": Verb("pack finished runs into files of at most 15 MB", "remote.pack", (
        _PLAN_FOLDER,
        _arg("--out FOLDER", type=Path, required=True),
        _ONLY,
        _flag("--unfinished", "also unfinished runs (newest checkpoint, log): six times the size"),
    )),
    "unpack": Verb("unpack runs into a plan", "remote.unpack",
        (_PLAN_FOLDER, _arg("parts", "folder of packed runs", type=Path))),
}
VERBS = {
    "pretrain": Verb("pre-train one arm on a genome", "train.pretrain", (
        _arm(ARMS),
        _arg("--replay RUN", "repeat this run: its settings, arm, seed and ratios, without its "
            "reward model"),
        _arg("--hosts HOSTS", "several processes: auto (pod, Slurm) or host:port,processes,number"),
        *_MAKING, _TRACK,
    ), "Pre-train one arm and print its run folder; a finished run is not repeated.",
        _PRETRAIN_EXAMPLES),
    "finetune": Verb("fine-tune an arm on a task, and score it", "train.finetune", (
        _arm((*ARMS, "random")),
        _TASKS,
        _arg("--task", "such as promoter_all; optional if there is only one"),
        _arg("--finetune-seed SEED", "seed of the row order (default: 0)", type=_seed, default=0),
        _arg("--start MODEL", f"fine-tune this model instead of an arm: {_NAMED}"),
        *_MAKING, _TRACK, *_READING,
    ), "Fine-tune an arm on a task, and pre-train it first if necessary; print the test scores\n"
        "and the run folder.", _FINETUNE_EXAMPLES),
    "export": Verb("write a model as a Hugging Face folder", "train.export", (
        _MODEL,
        _arg("folder", "a new folder", type=Path),
        _arg("--type", "data type of the weights (default: float32)", default="float32",
            choices=WEIGHT_TYPES),
    ), "Write a model in the layout of Llama, with tokenizer and model card.", _EXPORT),
    "import": Verb("read an exported model into a run folder", "train.read_into_run", (
        _MODEL,
        _arg("run", "a new folder", type=Path),
    ), "Read an exported model into a run folder; its log stays empty.", _IMPORT),
    "probe": Verb("score frozen features by logistic regression", "train.probe", (
        _arg("model", f"an arm ({', '.join((*ARMS, 'random'))}), {_NAMED}", metavar="MODEL"),
        _TASKS,
        _arg("--task", "only this task; default: all (for the sample: the profile's)"),
        _arg("-o --out FILE", "also write all scores: .csv, .tsv or .parquet", type=Path),
        *_MAKING, *_READING,
    ), _PROBE, _PROBE_EXAMPLES),
    "predict": Verb("predict classes of new sequences with a fine-tuned run", "inference.predict", (
        _arg("run", "folder printed by `birdiedna finetune`, or an export of it", metavar="RUN"),
        *_sequences("refuse", "centre"),
    ), _PREDICT, _PREDICT_EXAMPLES),
    "embed": Verb("write features of sequences to a table", "inference.embed", (
        _MODEL,
        *_sequences("tile", "centre", "refuse"),
        _flag("--per-base", "one row per base; default: one per sequence"),
        _arg("--pooling", "mean over bases (default), or feature at the <start> after them",
            default="mean", choices=POOLINGS),
        _arg("--layer N", "0: embeddings, 1: block 1, ...; default: -1, the last", type=_whole,
            default=-1),
    ), _EMBED, _EMBED_EXAMPLES),
    "variants": Verb("score variants zero-shot", "inference.variants", (
        _MODEL,
        _arg("file", "VCF; or csv, tsv, parquet with chrom, pos, ref, alt, or with the sequences "
            "in ref_seq and alt_seq", type=Path, metavar="VARIANTS"),
        _arg("--genome FASTA", "the variants' assembly; not needed with ref_seq"),
        *_TABLE,
    ), _VARIANTS, _VARIANTS_EXAMPLES),
    "explain": Verb("show how an objective transforms a sequence", "inference.explain", (
        _arg("sequence", "letters such as ACGTTGCA, or a FASTA file with one sequence",
            metavar="SEQUENCE"),
        _arg("--objective NAME", "default: every objective"),
        _arg("--seed", "seed of the random spans (default: 0)", type=_seed, default=0),
    ), _EXPLAIN, _EXPLAIN_EXAMPLES),
    "book": Verb("run outdated chapters and render the pages", arguments=(
        _arg("--profile", "quick: the embedded sample, minutes; paper: hours; a name in results/: "
            "no training; or a .json file", default="quick"),
        _SET,
        _arg("--genome", "a FASTA file, or an entry of `birdiedna data list`; default: the sample"),
        _arg("--tasks", "folder of tasks, file of rows, or entry of the list; default: the sample"),
        _LABELS,
        _VALIDATION,
        _arg("--seed", "seed of runs and figures", type=_seed),
        _arg("-p", "set another parameter that a chapter declares; may be repeated", nargs=2,
            action="append", default=[], metavar=("NAME", "VALUE"), dest="given"),
        _arg("--only CHAPTER", "such as 02_objectives", **_each(str), default=[]),
        _flag("--force", "also run chapters that are up to date"),
        _flag("--keep-going", "run the other chapters after one fails"),
        _flag("--dry-run", "show what would run and why, but run nothing"),
        _arg("--at-once N", "chapters run in parallel; default: one per core and GB, at most four",
            type=_count, default=0),
        _flag("--no-pages", "do not render the pages"),
    )),
    "data": Verb("list, fetch, check, audit and build genomes and tasks", verbs=_DATA_VERBS,
        description="List, fetch, check, audit and build genomes and tasks."),
    "plan": Verb("make many runs on a borrowed accelerator", "", (), _PLAN, verbs=_PLAN_VERBS),
    "remote": Verb("use a borrowed machine by one command", "", (), _REMOTE, verbs=_REMOTE_VERBS),
    "settings": Verb("list the settings of a profile", "train.settings", (
        _arg("--profile", "default: quick; or a .json file", default="quick"),
        _SET,
        _flag("--json", "print the whole profile as a profile file"),
    ), "List every setting of a profile with its value.", _SETTINGS),
    "checkpoint": Verb("check whether a run's checkpoints are intact", "train.verify", (
        _arg("action", choices=["verify"]),
        _arg("run", "run folders, or single checkpoints", nargs="+", type=Path),
    ), "Compare every file of a run's checkpoints with its saved checksum."),
}
# fmt: on


def options(given: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the values of options by name, for functions whose arguments have the same names."""
    return {name: getattr(given, name) for name in names}


def parser() -> argparse.ArgumentParser:
    """Return the parser of `birdiedna`."""
    top = Parser("birdiedna", description=_DESCRIPTION, epilog=_EXAMPLES)
    _add(top, "verb", VERBS)
    return top


def _add(parent: argparse.ArgumentParser, dest: str, verbs: dict[str, Verb]) -> None:
    """Add verbs and, recursively, their sub-commands."""
    actions = parent.add_subparsers(dest=dest, required=True, metavar=dest.upper())
    for name, verb in verbs.items():
        text = verb.description or verb.help
        one = actions.add_parser(name, help=verb.help, description=text, epilog=verb.examples)
        one.set_defaults(act=verb.act)
        if verb.verbs:
            _add(one, "action", verb.verbs)
        part: argparse._ActionsContainer = one
        for argument in verb.arguments:
            if isinstance(argument, str):
                part = one.add_argument_group(argument)
            elif isinstance(argument, list):
                one_of = one.add_mutually_exclusive_group(required=True)
                for names, how in argument:
                    one_of.add_argument(*names, **how)
            else:
                part.add_argument(*argument[0], **argument[1])
