"""The whole command line, declared with argparse only: `--help` imports nothing else.

Arguments that verbs share are named first; `VERBS` is the command line itself.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from birdiedna.data.chromosomes import HELD_OUT

#: Names that belong to heavier modules; a test compares them.
ARMS = ("birdie", "ntp", "uniform", "ul2r", "mlm")
PLAN_ARMS = ("birdie", "ntp", "uniform")
DEVICES = ("any", "accelerator", "cpu", "gpu", "tpu")
SITES = ("donors", "acceptors", "all")
POOLINGS = ("mean", "start")
WEIGHT_TYPES = ("float32", "bfloat16")
TRACKERS = ("tensorboard",)

_NAMED = "a run folder, a folder of `export`, a .safetensors file, or a name of weights/"

_SAID = "Pre-train, fine-tune and compare BirdieDNA and next-token prediction."
_EXAMPLES = """examples:
  birdiedna pretrain --arm birdie                      both arms are one loop; see also --arm ntp
  birdiedna pretrain --genome my.fa --validation chr8  your own genome; also chr8:1-5000000
  birdiedna finetune --arm birdie --task promoter_all  pre-trains first if that is missing
  birdiedna probe birdie                               frozen features; random weights beside
  birdiedna predict RUN new.fa -o classes.csv          use a fine-tuned run; see also embed
  birdiedna data list                                  genomes and tasks that can be fetched
  birdiedna data check my.fa                           is the file fit for use?
  birdiedna plan prepare --out build/plan              the paper's scale on an accelerator
  birdiedna book                                       every figure and table
"""
_PROBE = """Score what a model computes, without training it: its features of each sequence (the
mean over the bases) are read by a logistic regression, fitted to 1, 5, 25 and 100 % of the train
rows (five draws of each smaller share) and scored on the test rows. The same model with random
weights is scored beside it: a probe that does no better than that shows nothing of pre-training.
"""
_PROBE_EXAMPLES = """examples:
  birdiedna probe birdie                           the sample's tasks; pre-trains first if need be
  birdiedna probe ntp --tasks my_tasks -o my.csv   your own tasks, every score as a table
  birdiedna probe RUN --tasks my_tasks             a run by its folder, whatever it was trained on
"""
_PREDICT = """Write the class of each sequence and the probability of every class, by a fine-tuned
run.

Sequences are read as the run read its rows. One that is longer than the rows of training is
refused, or its middle is read (--long centre)."""
_PREDICT_EXAMPLES = """examples:
  birdiedna finetune --arm birdie --task promoter_all      prints RUN, the folder of the run
  birdiedna predict RUN new.fa -o classes.csv
  birdiedna predict RUN regions.bed --genome my.fa -o classes.parquet --both-strands
"""
_EMBED = """Write what a model computes of each sequence: one vector for each, or one for each base.

Sequences longer than the rows of training are read in pieces (a vector is then the mean over
bases), by their middle, or refused (--long)."""
_EMBED_EXAMPLES = """examples:
  birdiedna pretrain --arm birdie                          prints RUN, the folder of the run
  birdiedna embed RUN my.fa -o features.parquet
  birdiedna embed RUN my.fa -o bases.parquet --per-base --layer 1 --both-strands
  birdiedna embed eighth-ntp my.csv -o features.csv        one of the models in weights/
"""
_VARIANTS = """Score every variant of a file by how much less likely a model finds it than the
reference: a log-likelihood ratio in nats, mean of both strands, without any training on variants.

Substitutions and insertions or deletions of up to 50 bases are scored. REF is compared with the
genome; alleles that disagree are listed in the table with a note and no score. Expect little of a
small model: outside splice sites its scores tell hardly more than chance (chapter 13)."""
_VARIANTS_EXAMPLES = """examples:
  birdiedna variants RUN calls.vcf.gz --genome hg.fa -o scores.parquet
  birdiedna variants eighth-ntp calls.csv --genome hg.fa -o scores.csv     chrom,pos,ref,alt
  birdiedna variants eighth-ntp pairs.csv -o scores.csv                    ref_seq,alt_seq
"""
_EXPLAIN = """Show what a pre-training objective makes of a sequence: the prompt, the target that
the model has to write, and where in the sequence every token comes from."""
_EXPLAIN_EXAMPLES = """examples:
  birdiedna explain ACGTTGCATTGACCATGCAATGCA --objective infill_50_3
  birdiedna explain my.fa --objective deshuffling_50 --seed 3
"""
#: What is done with long sequences, as in `inference.sequences`.
_LONG = {"tile": "in pieces", "centre": "the middle", "refuse": "stop with an error"}
_LIST = """examples:
  birdiedna data list                what can be fetched, and what is in the cache
  birdiedna data list chm13v2.0_noY  all that is known of one entry, traps too
"""
_FETCH = """examples:
  birdiedna data fetch chm13v2.0_noY
  birdiedna data fetch GRCh38 --contigs chr20,chrX
  birdiedna data fetch nt_revised --contigs promoter_all,enhancers
  birdiedna data fetch https://example.org/my.fa.gz
  birdiedna data fetch chm13v2.0 --from-file /media/stick/chm13v2.0.fa.gz    without network

An interrupted transfer is resumed when the command is given again. What is in the cache is used
without network: --genome chm13v2.0_noY, --genome GRCh38:chr20,chrX, --tasks nt_revised.
"""
_CHECK = """examples:
  birdiedna data check my.fa              is the genome fit for use?
  birdiedna data check my_tasks/ my.csv   tasks in any known layout, or a table of rows
  birdiedna data check nt_revised         an entry of the catalogue; it is fetched if need be
"""
_AUDIT = """examples:
  birdiedna data audit                                     the sample
  birdiedna data audit --tasks my_tasks/ --genome my.fa    also: what was read in pre-training
  birdiedna data audit --tasks nt_revised --out audit.csv
  birdiedna data audit --tasks intervals/                  interval files of Genomic Benchmarks
"""
_BUILD = """examples:
  birdiedna data build --genome my.fa --peaks peaks.bed --task my_mark --out my_tasks --decoys
  birdiedna data build --genome my.fa --tss starts.bed --task my_promoters --out my_tasks
  birdiedna data build --genome my.fa --exons genes.gtf --sites all --task my_sites --out my_tasks
  birdiedna data build --genome my.fa --bed enhancers.bed --length 400 --task mine --out my_tasks
  birdiedna finetune --tasks my_tasks --task my_mark

Coordinates have to be of the genome's assembly. Rows are on the + strand always; as many negative
rows as positive ones are drawn on each contig; what is left out is counted and written down.
"""
_SETTINGS = """examples:
  birdiedna settings --profile paper
  birdiedna pretrain --set pretrain.steps=200 --set pretrain.optimizer.peak=1e-3
  birdiedna finetune --task promoter_all --set finetune.head=pooled
  birdiedna pretrain --set pretrain.reverse_complement=true     rows from a random strand
  birdiedna finetune --task promoter_all --set finetune.reverse_complement=true \
    --set finetune.both_strands=true        and scores of the mean over strands
  birdiedna pretrain --profile my.json      such as {"base": "paper", "pretrain.steps": 2048}
  birdiedna settings --profile paper --json > mine.json

`pretrain.NAME` is a setting of all arms that have it, `pretrain.birdie.NAME` of one. With the steps
of a run, its evaluations and the director's warm-up keep their shares of it; fine-tuning takes the
sizes of the pre-trained model; a constant learning rate stays constant. What changes so is said.
"""
_EXPORT = """examples:
  birdiedna export runs/quick/pretrain-ntp-seed0-1a2b3c4d my_model
  birdiedna export eighth-birdie my_model --type bfloat16

Open it with transformers, without code of its own:
  AutoModelForCausalLM.from_pretrained("my_model")
Rows with a prompt that is read in both directions need the mask that its README.md shows.
"""
_IMPORT = """examples:
  birdiedna import my_model runs/mine/pretrain-imported
  birdiedna import eighth-ntp runs/mine/eighth-ntp

Only models of birdiedna fit its vocabulary; pickles (.bin, .pt) are never opened.
"""
_PLAN = """Prepare on any machine, work on the accelerator's in slices, collect:

  birdiedna plan prepare --out build/plan --genome my.fa.gz --validation chr8 --tasks my_tasks
  python -m birdiedna plan work build/plan --budget-minutes 9     until it ends with 0
  birdiedna plan collect build/plan --name my-results
  make book PROFILE=my-results

`plan run` prepares and works on one machine; `plan work --shard 2/4` makes the second of four
shards, on one of several. `birdiedna remote work` does all that a borrowed machine is for.
"""
_REMOTE = """A borrowed or rented machine with the training core and nothing else, in one command:

  python -m birdiedna remote work build/plan --budget-minutes 12 --workers 2 --out packed

It measures the device, works on the plan (pre-trainings, probes, then fine-tunings, those of a task
together) and packs what is finished into files of at most 15 MB, weights in bfloat16, and begun
pre-trainings with their newest checkpoint. At home, or on the next machine, which resumes them:

  birdiedna remote unpack build/plan packed
  birdiedna plan collect build/plan --name my-results

Where all pre-trainings are finished, the plan's genome.npz need not be carried.

Workers help where runs are small (chapter 10).
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage that `--help` gives."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As usual; but an option of no text, as from an unset variable, is no default."""
        for before, word in zip(["", *(args or ())], args or ()):
            if not word.replace(",", "").strip() or re.fullmatch("--.*=", word):
                option = word.rstrip("=").strip(" ,") or before
                said = f"{option} has no value" if option[:1] == "-" else f"{word!r} is no value"
                self.error(f"{said}; give one")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)}; see `{self.prog} --help`\n")


def one_line(message: str) -> str:
    """A message as one line that a terminal shows as it is.

    Names may hold line ends, control characters and bytes that are no text.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)


def _typed(pattern: str, said: str, make: Callable[..., Any]) -> Callable[[str], Any]:
    """A type of argparse: what `make` makes of the groups of a text, None if it is out of range."""

    def read(text: str) -> Any:
        match = re.fullmatch(pattern, text, re.ASCII)
        value = make(*match.groups()) if match else None
        if value is None:
            raise argparse.ArgumentTypeError(f"{text!r} is no {said}")
        return value

    return read


#: All seeds that random keys tell apart.
_seed = _typed(
    r"(\d{1,10})", f"seed; give a whole number from 0 to {2**32 - 1}",
    lambda text: int(text) if int(text) < 2**32 else None,
)  # fmt: skip
#: A number of bases, rows or steps; what it may be is checked where it is used.
_whole = _typed("(-?[0-9]{1,9})", "such number; give a whole number of up to nine digits", int)
_count = _typed(r"([1-9]\d{0,3})", "such number; give 1 or more", int)
_minutes = _typed(
    r"(\d{1,9}(?:\.\d+)?)", "time; give minutes, such as 9 or 0.5", lambda text: float(text) or None
)
_shard = _typed(
    r"(\d{1,6})/(\d{1,6})", "shard; give I/N, such as 1/4 to 4/4",
    lambda i, n: (int(i), int(n)) if 1 <= int(i) <= int(n) else None,
)  # fmt: skip


#: Names of an argument, and what argparse is told of it.
Argument = tuple[list[str], dict[str, Any]]


def _arg(names: str, said: str = "", **how: Any) -> Argument:
    """An argument: `names` as in "-o --out FILE"; an option is a text, "" if it is not given."""
    words = names.split()
    if names.startswith("-"):
        if not words[-1].startswith("-"):
            how["metavar"] = words.pop()
        if not how.keys() & {"default", "type", "action", "required"}:
            how["default"] = ""
    return words, {"help": said or None, **how}


def _flag(name: str, said: str) -> Argument:
    return _arg(name, said, action="store_true")


class Verb(NamedTuple):
    """A verb of the command line.

    help: in the list of verbs. act: "module.function" in `birdiedna.cli`, imported when it runs.
    arguments: in order; a text begins a group of that title, of a list one has to be given. said,
    examples: before and after the arguments; said is `help` if it is empty. verbs: below this one.
    """

    help: str
    act: str = ""
    arguments: tuple[Argument | str | list[Argument], ...] = ()
    said: str = ""
    examples: str = ""
    verbs: "dict[str, Verb]" = {}


# fmt: off
_SET = _arg("--set NAME=VALUE", "change a setting, as finetune.head=pooled; `birdiedna settings` "
    "lists them; may be repeated", action="append", default=[], dest="changes")
_SEED = _arg("--seed", "of weights and batches (default: 0)", type=_seed, default=0)
_TASKS = _arg("--tasks", "folder of tasks, or a file of rows; default: the sample",
    default="sample")
_MODEL = _arg("model", _NAMED, metavar="MODEL")
_PLAN_FOLDER = _arg("folder", "of a plan, from `birdiedna plan prepare`", type=Path)
_BUDGET = _arg("--budget-minutes N", "stop in time, with a checkpoint; the same command resumes "
    "from there", type=_minutes)
_SHARD_STATE = _flag("--shard-state",
    "divide weights and moments of pre-training over the devices")
_TRACK = _arg("--track", "write scalars beside the log, for `tensorboard --logdir` of the runs",
    choices=TRACKERS, default="")
_ONLY = _arg("--only NAME", "parts of names, such as pretrain-ntp", nargs="+", default=[])
_WEIGHTS = _arg("--weights ARM=FILE", "place weights (.safetensors, .npz) as finished "
    "pre-trainings", nargs="+", default=[])


def _device(usual: str) -> Argument:
    return _arg("--device KIND", f"{', '.join(DEVICES)}; default: {usual}",
        choices=["", *DEVICES])


def _validation(such_as: str) -> Argument:
    return _arg("--validation CONTIGS", f"for held-out loss, such as {such_as} or chr8:1-5000000; "
        "default: chr8, else 5 to 10 %% of the bases")


def _arm(arms: tuple[str, ...]) -> Argument:
    return _arg("--arm", f"one of {', '.join(arms)} (default: birdie)", default="birdie")


def _sequences(*long: str) -> tuple[Argument, ...]:
    known = "; ".join(f"{name}: {_LONG[name]}" for name in long)
    return (
        _arg("file", "FASTA; csv, tsv, parquet with a column `sequence`; BED, with --genome",
            type=Path, metavar="SEQUENCES"),
        _arg("--genome FASTA", "for BED: the genome the intervals are of"),
        _flag("--both-strands", "average over the sequence and its reverse complement"),
        _arg("--long", f"sequences longer than the model was trained on: {known} "
            f"(default: {long[0]})", default=long[0], choices=long),
        *_TABLE,
    )


_TABLE = (
    _arg("-o --out FILE", "table to write: .csv, .tsv or .parquet", type=Path, required=True),
    _arg("--rows N", "computed at once (default: 64)", type=_count, default=64),
    _device("any"),
)
_MAKING = (
    _arg("--profile", "quick: minutes on two cores; paper: the paper's sizes; a name of results/; "
        "or a file .json", default="quick"),
    _SET,
    _arg("--genome", "FASTA to pre-train on; default: the embedded sample", default="sample"),
    _validation("chr8,chr9"),
    _SEED,
    _arg("--from-llama FOLDER", "pre-training continues a Llama of Hugging Face (config.json, "
        ".safetensors), its vocabulary cut to bases; it wants a lower learning rate, such as 1e-4"),
    "how the run is made", _device("any (quick), accelerator (paper)"), _SHARD_STATE, _BUDGET,
)
_READING = (
    "how rows are read",
    _arg("--sequence-column NAME", "default: sequence, or seq"),
    _arg("--label-column NAME", "default: label"),
    _arg("--name-column NAME", "default: name, if there is one"),
    _arg("--labels WORD=0,...", "classes of labels that are words"),
    _arg("--length BASES", "read the first bases of each row", type=_whole, default=0),
    _arg("--reference FASTA", "for intervals: the genome they are from"),
    _flag("--skip-missing", "leave out intervals on contigs it lacks"),
)
_CACHE = _arg("--cache DIR", "default: $BIRDIEDNA_CACHE, or the user's cache", type=Path)
_SUITE = (
    _arg("--profile", "default: paper; or a file .json", default="paper"),
    _SET,
    _arg("--genome", "FASTA to pre-train on; default: the sample", default="sample"),
    _validation("chr3,chr4"),
    _arg("--tasks FOLDER[:TASK,...]", "folders of tasks; names behind a colon choose some",
        nargs="+", default=["sample"]),
    _arg("--arms ARM", f"default: {' '.join(PLAN_ARMS)}; random weights are fine-tuned, too",
        nargs="+", default=PLAN_ARMS),
    _arg("--seeds --seed SEED", "of weights and batches; a verdict takes 3; default: the profile's",
        type=_seed, nargs="+", default=()),
    _arg("--finetune-seeds SEED", "default: the profile's", type=_seed, nargs="+", default=()),
    _arg("--patience N", "end a fine-tuning after N evaluations in a row without a better "
        "validation MCC, as --set finetune.patience_evaluations=N; default: never",
        type="finetune.patience_evaluations={}".format, action="append", default=[],
        dest="changes"),
)
_WORK = (
    _device("what the plan says"), _BUDGET, _SHARD_STATE, _TRACK, _ONLY,
    _arg("--shard I/N", "make the I-th of N shares of these runs, as others make theirs",
        type=_shard, default=(1, 1)),
)
_PLAN_OUT = _arg("--out FOLDER", "of the plan", type=Path, required=True)

_DATA_VERBS = {
    "list": Verb("say what can be fetched, and what is known of it", "data.list_entries", (
        _CACHE,
        _arg("name", "entries to describe in full", nargs="*"),
    ), examples=_LIST),
    "fetch": Verb("bring a genome or tasks into the cache, checked", "data.fetch", (
        _CACHE,
        _arg("what", "an entry of `birdiedna data list`, or an https address"),
        _arg("--from-file F", "take these instead of the network", nargs="+", type=Path),
        _arg("--contigs A,B", "contigs of a genome, or names of tasks"),
    ), examples=_FETCH),
    "check": Verb("say what files hold, and whether they can be used", "data.check", (
        _arg("path", "FASTA files, tables, folders of tasks, entries", nargs="*"),
        *_READING,
    ), examples=_CHECK),
    "sample": Verb("say what the embedded sample contains", "data.describe_sample"),
    "audit": Verb("say what tasks share between their splits, and how easy they are",
        "data.audit", (
        _arg("--tasks", "folder of tasks or intervals; default: the sample", default="sample"),
        _arg("--genome", "FASTA of pre-training, to count rows that were read in it"),
        _flag("--no-baselines", "leave out the methods without a model"),
        _arg("--out FILE.csv", "write all numbers into a table too", type=Path),
        *_READING,
    ), examples=_AUDIT),
    "build": Verb("make a task of one's own from a genome and coordinates", "data.build_task", (
        _arg("--genome", "FASTA, or an entry of `birdiedna data list`", required=True),
        [
            _arg("--peaks BED", "peaks of a histone mark", type=Path),
            _arg("--tss BED", "transcription starts, with strands", type=Path),
            _arg("--exons GTF", "transcripts, for splice sites", type=Path),
            _arg("--bed BED", "other intervals; needs --length", type=Path),
        ],
        _arg("--task NAME", "name of the task, and of its folder", required=True),
        _arg("--out DIR", "folder of tasks to write it into", required=True, type=Path),
        _flag("--decoys", "also NAME_decoy, with harder negatives"),
        _arg("--sites", "with --exons: which of them (default: donors)", default=None,
            choices=SITES),
        _arg("--length BASES", "with --bed: bases of a window, around the middle", type=_whole),
        _arg("--held-out A,B", "chromosomes of the test rows, contigs, or parts of them "
            "(chr1:1-5000000)", default=",".join(HELD_OUT)),
        _arg("--rows N", "at most N in a file; default: all", type=_whole, default=0),
        _arg("--seed", "of all draws (default: 0)", type=_whole, default=0),
        _flag("--skip-missing",
            "leave out, and count, elements on contigs that the genome lacks"),
    ), examples=_BUILD),
}
_PLAN_VERBS = {
    "prepare": Verb("write every run and all data into a folder", "plan.prepare",
        (_PLAN_OUT, *_SUITE)),
    "run": Verb("prepare, if that is to be done, and work", "plan.run",
        (_PLAN_OUT, *_SUITE, "how runs are made", *_WORK)),
    "work": Verb("make what is not finished; the training core is enough", "plan.work",
        (_PLAN_FOLDER, *_WORK, _WEIGHTS)),
    "status": Verb("what is done, what is left, minutes so far", "plan.status", (_PLAN_FOLDER,)),
    "collect": Verb("write finished runs into results/", "plan.collect", (
        _PLAN_FOLDER,
        _arg("--name", "of the results", required=True),
        _arg("--into", "default: results/ of the checkout", type=Path),
        _flag("--probe-table", "of probes keep the scores alone, all in one table"),
    )),
}
_REMOTE_VERBS = {
    "work": Verb("measure the device, make runs, pack what is finished", "remote.work", (
        _PLAN_FOLDER,
        _arg("--budget-minutes N", "for all of it", type=_minutes, required=True),
        _arg("--workers N", "processes that share the device", type=_count, default=1),
        _arg("--out FOLDER", "pack finished runs and begun pre-trainings into it at the end",
            type=Path),
        _arg("--unpack FOLDER", "unpack these first", type=Path),
        _ONLY, _WEIGHTS, _device("what the plan says"),
        _arg("--work-only", "measure nothing", action="store_false", dest="measure"),
        _flag("--tiny", "small measurements, to try it on a CPU"),
    )),
    "pack": Verb("write finished runs into files of at most 15 MB", "remote.pack", (
        _PLAN_FOLDER,
        _arg("--out FOLDER", type=Path, required=True),
        _ONLY,
        _flag("--unfinished", "begun runs too: newest checkpoint and log, six times the bytes"),
    )),
    "unpack": Verb("put packed runs into a plan", "remote.unpack",
        (_PLAN_FOLDER, _arg("parts", "folder of packed runs", type=Path))),
}
VERBS = {
    "pretrain": Verb("pre-train one arm on a genome", "train.pretrain", (
        _arm(ARMS),
        _arg("--replay RUN", "command the ratios of this run again, without its reward model"),
        _arg("--hosts HOSTS",
            "of several processes: auto (pod, Slurm), or host:port,processes,number"),
        *_MAKING, _TRACK,
    ), "Pre-train one arm and print its run folder; a finished run is not repeated."),
    "finetune": Verb("fine-tune an arm on a task, and score it", "train.finetune", (
        _arm((*ARMS, "random")),
        _TASKS,
        _arg("--task", "such as promoter_all; may be left out if there is one only"),
        _arg("--finetune-seed", "of the order of the rows", type=_seed, default=0),
        _arg("--start MODEL", "fine-tune this in place of an arm: a run folder, a folder of "
            "`export`, a .safetensors file, or eighth-birdie"),
        *_MAKING, _TRACK, *_READING,
    ), "Fine-tune an arm on a task; print the test scores and the run folder."),
    "export": Verb("write a model as a Hugging Face folder", "train.export", (
        _MODEL,
        _arg("folder", "a new folder", type=Path),
        _arg("--type", "of the numbers", default="float32", choices=WEIGHT_TYPES),
    ), "Write a model in the layout of Llama, with tokenizer and model card.", _EXPORT),
    "import": Verb("read such a folder into a run folder", "train.read_into_run", (
        _MODEL,
        _arg("run", "a new folder", type=Path),
    ), "Read an exported model into a run folder; its log stays empty.", _IMPORT),
    "probe": Verb("score what a model computes, by logistic regression", "train.probe", (
        _arg("model", f"an arm ({', '.join((*ARMS, 'random'))}), {_NAMED}", metavar="MODEL"),
        _TASKS,
        _arg("--task", "one of them; default: all (of the sample, the profile's)"),
        _arg("-o --out FILE.csv", "write every score into a table too", type=Path),
        *_MAKING, *_READING,
    ), _PROBE, _PROBE_EXAMPLES),
    "predict": Verb("the class of new sequences, by a fine-tuned run", "inference.predict", (
        _arg("run", "folder that `birdiedna finetune` printed", metavar="RUN"),
        *_sequences("refuse", "centre"),
    ), _PREDICT, _PREDICT_EXAMPLES),
    "embed": Verb("features of sequences, as a table", "inference.embed", (
        _MODEL,
        *_sequences("tile", "centre", "refuse"),
        _flag("--per-base", "a row for every base; default: for every sequence"),
        _arg("--pooling", "mean over the bases (default), or the feature at the <start> behind "
            "them", default="mean", choices=POOLINGS),
        _arg("--layer N", "0: embeddings, 1: after block 1, ...; default: -1, the last",
            type=_whole, default=-1),
    ), _EMBED, _EMBED_EXAMPLES),
    "variants": Verb("score variants without any training", "inference.variants", (
        _MODEL,
        _arg("file", "VCF; or csv, tsv, parquet with chrom, pos, ref, alt, or with the sequences "
            "in ref_seq and alt_seq", type=Path, metavar="VARIANTS"),
        _arg("--genome FASTA", "of the assembly of the variants; only ref_seq needs none"),
        *_TABLE,
    ), _VARIANTS, _VARIANTS_EXAMPLES),
    "explain": Verb("what an objective makes of a sequence", "inference.explain", (
        _arg("sequence", "letters such as ACGTTGCA, or a FASTA file of one", metavar="SEQUENCE"),
        _arg("--objective NAME", "default: each of them in turn"),
        _arg("--seed", "of the draw of spans (default: 0)", type=_seed, default=0),
    ), _EXPLAIN, _EXPLAIN_EXAMPLES),
    "book": Verb("run the chapters that are not fresh, render the pages", arguments=(
        _arg("--profile", "quick: the embedded sample, minutes; paper: hours; a name of results/: "
            "nothing is trained; or a file .json", default="quick"),
        _SET,
        _arg("--genome", "a FASTA file, or a name of `birdiedna data list`; default: the sample"),
        _arg("--tasks", "a folder of tasks, a file of rows, or a name of `birdiedna data list`; "
            "default: the sample"),
        _validation("chr8,chr9"),
        _arg("--seed", "of runs and figures", type=_seed),
        _arg("-p", "set another parameter that a chapter declares; may be repeated", nargs=2,
            action="append", default=[], metavar=("NAME", "VALUE"), dest="given"),
        _arg("--only CHAPTER", "such as 02_objectives", nargs="+", default=[]),
        _flag("--force", "run chapters even if they are fresh"),
        _flag("--keep-going", "run the other chapters after one that fails"),
        _flag("--dry-run", "say what would run and why, and run nothing"),
        _arg("--at-once N", "chapters that run side by side; default: one a core, but not more "
            "than four", type=_count, default=0),
        _flag("--no-pages", "run chapters, but do not render the pages"),
    )),
    "data": Verb("list, fetch, check and audit genomes and tasks", verbs=_DATA_VERBS,
        said="Genomes and tasks: list what can be fetched, fetch, check, audit, build."),
    "plan": Verb("many runs on a borrowed accelerator, as results", said=_PLAN,
        verbs=_PLAN_VERBS),
    "remote": Verb("one command for a borrowed machine", said=_REMOTE, verbs=_REMOTE_VERBS),
    "settings": Verb("list the settings of a profile", "train.settings", (
        _arg("--profile", "default: quick; or a file .json", default="quick"),
        _SET,
        _flag("--json", "the whole profile, to write a file of"),
    ), "List every setting of a profile with its value.", _SETTINGS),
    "checkpoint": Verb("say whether a run's checkpoints are undamaged", "train.verify", (
        _arg("action", choices=["verify"]),
        _arg("run", "run folders, or single checkpoints", nargs="+", type=Path),
    ), "Compare every file of a run's checkpoints with the checksum saved with it."),
}
# fmt: on


def parser() -> argparse.ArgumentParser:
    """The parser of `birdiedna`."""
    raw = argparse.RawDescriptionHelpFormatter
    top = Parser("birdiedna", description=_SAID, epilog=_EXAMPLES, formatter_class=raw)
    _add(top, "verb", VERBS)
    return top


def _add(parent: argparse.ArgumentParser, dest: str, verbs: dict[str, Verb]) -> None:
    """Verbs, and those below them."""
    actions = parent.add_subparsers(dest=dest, required=True)
    for name, verb in verbs.items():
        said, raw = verb.said or verb.help, argparse.RawDescriptionHelpFormatter
        one = actions.add_parser(
            name, help=verb.help, description=said, epilog=verb.examples, formatter_class=raw
        )
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
