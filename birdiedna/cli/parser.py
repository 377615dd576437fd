"""The whole command line, declared with argparse only: `--help` imports nothing else.

`act` of every verb is "module.function" in `birdiedna.cli`, imported when it runs.
"""

import argparse
import re
from pathlib import Path
from typing import NoReturn

from birdiedna.data.chromosomes import HELD_OUT

#: Names that belong to heavier modules; a test compares them.
ARMS = ("birdie", "ntp", "uniform", "ul2r", "mlm")
PLAN_ARMS = ("birdie", "ntp", "uniform")
DEVICES = ("any", "accelerator", "cpu", "gpu", "tpu")
SITES = ("donors", "acceptors", "all")
ANCHORS = ("centre", "start")
POOLINGS = ("mean", "start")
WEIGHT_TYPES = ("float32", "bfloat16")

_MODEL = "a run folder, a folder of `export`, a .safetensors file, or a name of weights/"

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
_VARIANTS = """Score every variant of a VCF file by how much less likely a model finds it than the
reference: a log-likelihood ratio in nats, mean of both strands, without any training on variants.

Substitutions and insertions or deletions of up to 50 bases are scored. REF is compared with the
genome; alleles that disagree are listed in the table with a note and no score. Expect little of a
small model: outside splice sites its scores tell hardly more than chance (chapter 5)."""
_VARIANTS_EXAMPLES = """examples:
  birdiedna variants RUN calls.vcf.gz --genome hg.fa -o scores.parquet
  birdiedna variants eighth-ntp calls.vcf --genome hg.fa -o scores.csv
"""
_EXPLAIN = """Show what a pre-training objective makes of a sequence: the prompt, the target that
the model has to write, and where in the sequence every token comes from."""
_EXPLAIN_EXAMPLES = """examples:
  birdiedna explain ACGTTGCATTGACCATGCAATGCA --objective infill_50_3
  birdiedna explain my.fa --objective deshuffling_50 --seed 3
"""
#: What is done with long sequences, as in `inference.sequences`.
_LONG = {
    "tile": "in pieces",
    "centre": "the middle",
    "refuse": "stop with an error",
}
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
together) and packs what is finished into files of at most 15 MB, weights in bfloat16. At home, or
on the next machine:

  birdiedna remote unpack build/plan packed
  birdiedna plan collect build/plan --name my-results

Where all pre-trainings are finished, the plan's genome.npz need not be carried.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage that `--help` gives."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As usual; but an option of no text, as from an unset variable, is no default."""
        for before, word in zip(["", *(args or ())], args or ()):
            if not word.strip() or re.fullmatch("--.*=", word):
                self.error(f"{word.rstrip('=').strip() or before} has no value; give one")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)}; see `{self.prog} --help`\n")


def one_line(message: str) -> str:
    """A message as one line that a terminal shows as it is.

    Names may hold line ends, control characters and bytes that are no text.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)


def seed(text: str) -> int:
    """A seed: 0 to 2^32 - 1, all that random keys tell apart."""
    if not re.fullmatch(r"\d{1,10}", text) or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no seed; give a whole number from 0 to {2**32 - 1}"
        )
    return int(text)


def minutes(text: str) -> float:
    """A time in minutes, more than 0."""
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give minutes, such as 9 or 0.5")
    return float(text)


def count(text: str) -> int:
    """A number of processes or of rows, at least 1."""
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no such number; give 1 or more")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """A share `I/N` of a plan's runs, I from 1 to N."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no shard; give I/N, such as 1/4 to 4/4")
    return int(match[1]), int(match[2])


def parser() -> argparse.ArgumentParser:
    """The parser of `birdiedna`."""
    top = _Parser(
        "birdiedna",
        description="Pre-train, fine-tune and compare BirdieDNA and next-token prediction.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True)
    _pretrain(verbs.add_parser("pretrain", help="pre-train one arm on a genome"))
    _finetune(verbs.add_parser("finetune", help="fine-tune an arm on a task, and score it"))
    _export(verbs.add_parser("export", help="write a model as a Hugging Face folder"))
    _import(verbs.add_parser("import", help="read such a folder into a run folder"))
    _probe(verbs.add_parser("probe", help="score what a model computes, by logistic regression"))
    _predict(verbs.add_parser("predict", help="the class of new sequences, by a fine-tuned run"))
    _embed(verbs.add_parser("embed", help="features of sequences, as a table"))
    _variants(verbs.add_parser("variants", help="score variants (VCF) without any training"))
    _explain(verbs.add_parser("explain", help="what an objective makes of a sequence"))
    verbs.add_parser("book", help="run the chapters that are not fresh, render the pages")
    _data(verbs.add_parser("data", help="list, fetch, check and audit genomes and tasks"))
    _plan(verbs.add_parser("plan", help="many runs on a borrowed accelerator, as results"))
    _remote(verbs.add_parser("remote", help="one command for a borrowed machine"))
    _settings(verbs.add_parser("settings", help="list the settings of a profile"))
    part = verbs.add_parser("checkpoint", help="say whether a run's checkpoints are undamaged")
    part.description = "Compare every file of a run's checkpoints with the checksum saved with it."
    part.add_argument("action", choices=["verify"])
    part.add_argument("run", nargs="+", type=Path, help="run folders, or single checkpoints")
    part.set_defaults(act="train.verify")
    return top


def _pretrain(part: argparse.ArgumentParser) -> None:
    part.description = "Pre-train one arm and print its run folder; a finished run is not repeated."
    _run(part, ARMS)
    part.add_argument("--replay", default="", metavar="RUN",
        help="command the ratios of this run again, without its reward model")  # fmt: skip
    part.add_argument("--hosts", default="", metavar="HOSTS",
        help="of several processes: auto (pod, Slurm), or host:port,processes,number")  # fmt: skip
    part.set_defaults(act="train.pretrain")


def _finetune(part: argparse.ArgumentParser) -> None:
    part.description = "Fine-tune an arm on a task; print the test scores and the run folder."
    _run(part, (*ARMS, "random"))
    add = part.add_argument
    add("--tasks", default="sample", help="folder of tasks, or a file of rows; default: the sample")
    add("--task", default="", help="such as promoter_all; may be left out if there is one only")
    add("--finetune-seed", type=seed, default=0, help="of the order of the rows")
    add("--start", default="", metavar="MODEL",
        help="fine-tune this in place of an arm: a run folder, a folder of `export`, a "
        ".safetensors file, or eighth-birdie")  # fmt: skip
    _reading(part)
    part.set_defaults(act="train.finetune")


def _export(part: argparse.ArgumentParser) -> None:
    part.formatter_class, part.epilog = argparse.RawDescriptionHelpFormatter, _EXPORT
    part.description = "Write a model in the layout of Llama, with tokenizer and model card."
    part.add_argument("model", help=_MODEL)
    part.add_argument("folder", type=Path, help="a new folder")
    part.add_argument("--type", default="float32", choices=WEIGHT_TYPES, help="of the numbers")
    part.set_defaults(act="models.export")


def _import(part: argparse.ArgumentParser) -> None:
    part.formatter_class, part.epilog = argparse.RawDescriptionHelpFormatter, _IMPORT
    part.description = "Read an exported model into a run folder; its log stays empty."
    part.add_argument("model", help=_MODEL)
    part.add_argument("run", type=Path, help="a new folder")
    part.set_defaults(act="models.read_into_run")


def _predict(part: argparse.ArgumentParser) -> None:
    _described(part, _PREDICT, _PREDICT_EXAMPLES)
    part.add_argument("run", metavar="RUN", help="folder that `birdiedna finetune` printed")
    _sequences(part, ("refuse", "centre"))
    part.set_defaults(act="inference.predict")


def _embed(part: argparse.ArgumentParser) -> None:
    _described(part, _EMBED, _EMBED_EXAMPLES)
    part.add_argument("model", metavar="MODEL", help=_MODEL)
    _sequences(part, ("tile", "centre", "refuse"))
    add = part.add_argument
    add("--per-base", action="store_true", help="a row for every base; default: for every sequence")
    _features(part)
    part.set_defaults(act="inference.embed")


def _variants(part: argparse.ArgumentParser) -> None:
    _described(part, _VARIANTS, _VARIANTS_EXAMPLES)
    part.add_argument("model", metavar="MODEL", help=_MODEL)
    add = part.add_argument
    add("file", type=Path, metavar="VCF", help="variants, plain or gzip")
    add("--genome", required=True, metavar="FASTA", help="of the assembly of the variants")
    _table(part)
    part.set_defaults(act="inference.variants")


def _explain(part: argparse.ArgumentParser) -> None:
    _described(part, _EXPLAIN, _EXPLAIN_EXAMPLES)
    add = part.add_argument
    add("sequence", metavar="SEQUENCE", help="letters such as ACGTTGCA, or a FASTA file of one")
    add("--objective", default="", metavar="NAME", help="default: each of them in turn")
    add("--seed", type=seed, default=0, help="of the draw of spans (default: 0)")
    part.set_defaults(act="inference.explain")


def _described(part: argparse.ArgumentParser, said: str, examples: str) -> None:
    part.formatter_class = argparse.RawDescriptionHelpFormatter
    part.description, part.epilog = said, examples


def _features(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add("--pooling", default="mean", choices=POOLINGS, help="mean over the bases (default), or the "
        "feature at the <start> behind them")  # fmt: skip
    add("--layer", type=int, default=-1, metavar="N",
        help="0: embeddings, 1: after block 1, ...; default: -1, the last")  # fmt: skip


def _sequences(part: argparse.ArgumentParser, long: tuple[str, ...]) -> None:
    add = part.add_argument
    add("file", type=Path, metavar="SEQUENCES",
        help="FASTA; csv, tsv, parquet with a column `sequence`; BED, with --genome")  # fmt: skip
    add("--genome", default="", metavar="FASTA", help="for BED: the genome the intervals are of")
    add("--both-strands", action="store_true",
        help="average over the sequence and its reverse complement")  # fmt: skip
    add("--long", default=long[0], choices=long,
        help="sequences longer than the model was trained on: " + "; ".join(
            f"{name}: {_LONG[name]}" for name in long) + f" (default: {long[0]})")  # fmt: skip
    _table(part)


def _table(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add("-o", "--out", type=Path, required=True, metavar="FILE",
        help="table to write: .csv, .tsv or .parquet")  # fmt: skip
    add("--rows", type=count, default=64, metavar="N", help="computed at once (default: 64)")
    _device(part, "any")


def _probe(part: argparse.ArgumentParser) -> None:
    _described(part, _PROBE, _PROBE_EXAMPLES)
    known = ", ".join((*ARMS, "random"))
    part.add_argument("model", metavar="MODEL", help=f"an arm ({known}), {_MODEL}")
    _making(part)
    add = part.add_argument
    add("--tasks", default="sample", help="folder of tasks, or a file of rows; default: the sample")
    add("--task", default="", help="one of them; default: all (of the sample, the profile's)")
    add("-o", "--out", type=Path, metavar="FILE.csv", help="write every score into a table too")
    _reading(part)
    part.set_defaults(act="train.probe")


def _run(part: argparse.ArgumentParser, arms: tuple[str, ...]) -> None:
    part.add_argument("--arm", default="birdie",
        help=f"one of {', '.join(arms)} (default: birdie)")  # fmt: skip
    _making(part)


def _making(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add("--profile", default="quick", help="quick: minutes on two cores; paper: the paper's sizes; "
        "a name of results/; or a file .json")  # fmt: skip
    _set(part)
    add("--genome", default="sample", help="FASTA to pre-train on; default: the embedded sample")
    add("--validation", default="", metavar="CONTIGS", help="for held-out loss, such as chr8,chr9 "
        "or chr8:1-5000000; default: chr8, else 5 to 10 %% of the bases")  # fmt: skip
    add("--seed", type=seed, default=0, help="of weights and batches (default: 0)")
    add("--from-llama", default="", metavar="FOLDER",
        help="pre-training continues a Llama of Hugging Face (config.json, .safetensors), its "
        "vocabulary cut to bases; it wants a lower learning rate, such as 1e-4")  # fmt: skip
    making = part.add_argument_group("how the run is made")
    _device(making, "any (quick), accelerator (paper)")
    _shard_state(making)
    _budget(making)


def _set(part: argparse.ArgumentParser) -> None:
    part.add_argument("--set", action="append", default=[], dest="changes", metavar="NAME=VALUE",
        help="change a setting, as finetune.head=pooled; `birdiedna settings` lists them; may be "
        "repeated")  # fmt: skip


def _settings(part: argparse.ArgumentParser) -> None:
    part.formatter_class, part.epilog = argparse.RawDescriptionHelpFormatter, _SETTINGS
    part.description = "List every setting of a profile with its value."
    part.add_argument("--profile", default="quick", help="default: quick; or a file .json")
    _set(part)
    part.add_argument("--json", action="store_true", help="the whole profile, to write a file of")
    part.set_defaults(act="train.settings")


def _device(part: argparse._ActionsContainer, usual: str) -> None:
    part.add_argument("--device", default="", choices=["", *DEVICES], metavar="KIND",
        help=f"{', '.join(DEVICES)}; default: {usual}")  # fmt: skip


def _shard_state(part: argparse._ActionsContainer) -> None:
    part.add_argument("--shard-state", action="store_true",
        help="divide weights and moments of pre-training over the devices")  # fmt: skip


def _budget(part: argparse._ActionsContainer) -> None:
    part.add_argument("--budget-minutes", type=minutes, metavar="N",
        help="stop in time, with a checkpoint; the same command resumes from there")  # fmt: skip


def _reading(part: argparse.ArgumentParser) -> None:
    add = part.add_argument_group("how rows are read").add_argument
    add("--sequence-column", default="", metavar="NAME", help="default: sequence, or seq")
    add("--label-column", default="", metavar="NAME", help="default: label")
    add("--name-column", default="", metavar="NAME", help="default: name, if there is one")
    add("--labels", default="", metavar="WORD=0,...", help="classes of labels that are words")
    add("--length", type=int, default=0, metavar="BASES", help="read the first bases of each row")
    add("--reference", default="", metavar="FASTA", help="for intervals: the genome they are from")
    add("--skip-missing", action="store_true", help="leave out intervals on contigs it lacks")


def _data(part: argparse.ArgumentParser) -> None:
    part.description = "Genomes and tasks: list what can be fetched, fetch, check, audit, build."
    actions = part.add_subparsers(dest="action", required=True)

    def action(name: str, act: str, said: str, examples: str = "") -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        one = actions.add_parser(
            name, help=said, description=said, epilog=examples, formatter_class=raw
        )
        one.set_defaults(act=f"data.{act}")
        if name in ("list", "fetch"):
            one.add_argument("--cache", type=Path, metavar="DIR",
                help="default: $BIRDIEDNA_CACHE, or the user's cache")  # fmt: skip
        return one

    one = action("list", "list_entries", "say what can be fetched, and what is known of it", _LIST)
    one.add_argument("name", nargs="*", help="entries to describe in full")
    one = action("fetch", "fetch", "bring a genome or tasks into the cache, checked", _FETCH)
    add = one.add_argument
    add("what", help="an entry of `birdiedna data list`, or an https address")
    add("--from-file", nargs="+", type=Path, metavar="F", help="take these instead of the network")
    add("--contigs", default="", metavar="A,B", help="contigs of a genome, or names of tasks")
    one = action("check", "check", "say what files hold, and whether they can be used", _CHECK)
    one.add_argument("path", nargs="*", help="FASTA files, tables, folders of tasks, entries")
    _reading(one)
    action("sample", "describe_sample", "say what the embedded sample contains")
    said = "say what tasks share between their splits, and how easy they are"
    one = action("audit", "audit", said, _AUDIT)
    _reading(one)
    add = one.add_argument
    add("--tasks", default="sample", help="folder of tasks or intervals; default: the sample")
    add("--genome", default="", help="FASTA of pre-training, to count rows that were read in it")
    add("--no-baselines", action="store_true", help="leave out the methods without a model")
    add("--out", type=Path, metavar="FILE.csv", help="write all numbers into a table too")
    said = "make a task of one's own from a genome and coordinates"
    _build(action("build", "build_task", said, _BUILD))


def _build(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add("--genome", required=True, help="FASTA, or an entry of `birdiedna data list`")
    kind = part.add_mutually_exclusive_group(required=True)
    kind.add_argument("--peaks", type=Path, metavar="BED", help="peaks of a histone mark")
    kind.add_argument("--tss", type=Path, metavar="BED", help="transcription starts, with strands")
    kind.add_argument("--exons", type=Path, metavar="GTF", help="transcripts, for splice sites")
    kind.add_argument("--bed", type=Path, metavar="BED", help="other intervals; needs --length")
    add("--task", required=True, metavar="NAME", help="name of the task, and of its folder")
    add("--out", required=True, type=Path, metavar="DIR", help="folder of tasks to write it into")
    add("--decoys", action="store_true", help="also NAME_decoy, with harder negatives")
    add("--sites", choices=SITES, help="with --exons: which of them (default: donors)")
    add("--length", type=int, metavar="BASES", help="with --bed: bases of a window")
    add("--anchor", choices=ANCHORS, help="with --bed: where the window is (default: centre)")
    add("--held-out", default=",".join(HELD_OUT), metavar="A,B",
        help="chromosomes of the test rows")  # fmt: skip
    add("--rows", type=int, default=0, metavar="N", help="at most N in a file; default: all")
    add("--seed", type=int, default=0, help="of all draws (default: 0)")
    add("--skip-missing", action="store_true",
        help="leave out, and count, elements on contigs that the genome lacks")  # fmt: skip


def _plan(part: argparse.ArgumentParser) -> None:
    part.formatter_class, part.description = argparse.RawDescriptionHelpFormatter, _PLAN
    verbs = part.add_subparsers(dest="action", required=True)

    def action(name: str, said: str, folder: str) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=said, description=said)
        one.set_defaults(act=f"plan.{name}")
        if folder.startswith("--"):
            one.add_argument(folder, required=True, type=Path, metavar="FOLDER", help="of the plan")
        else:
            one.add_argument(folder, type=Path, help="of a plan, from `birdiedna plan prepare`")
        return one

    _suite(action("prepare", "write every run and all data into a folder", "--out"))
    one = action("run", "prepare, if that is to be done, and work", "--out")
    _suite(one)
    _work(one.add_argument_group("how runs are made"))
    one = action("work", "make what is not finished; the training core is enough", "folder")
    _work(one)
    _weights(one)
    action("status", "what is done, what is left, minutes so far", "folder")
    one = action("collect", "write finished runs into results/", "folder")
    one.add_argument("--name", required=True, help="of the results")
    one.add_argument("--into", type=Path, help="default: results/ of the checkout")


def _remote(part: argparse.ArgumentParser) -> None:
    part.formatter_class, part.description = argparse.RawDescriptionHelpFormatter, _REMOTE
    verbs = part.add_subparsers(dest="action", required=True)

    def action(name: str, said: str) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=said, description=said)
        one.set_defaults(act=f"remote.{name}")
        one.add_argument("folder", type=Path, help="of a plan, from `birdiedna plan prepare`")
        return one

    one = action("work", "measure the device, make runs, pack what is finished")
    add = one.add_argument
    add("--budget-minutes", type=minutes, required=True, metavar="N", help="for all of it")
    add("--workers", type=count, default=1, metavar="N", help="processes that share the device")
    add("--out", type=Path, metavar="FOLDER", help="pack finished runs into it at the end")
    add("--unpack", type=Path, metavar="FOLDER", help="unpack these first")
    _only(one)
    _weights(one)
    _device(one, "what the plan says")
    add("--work-only", dest="measure", action="store_false", help="measure nothing")
    add("--tiny", action="store_true", help="small measurements, to try it on a CPU")
    one = action("pack", "write finished runs into files of at most 15 MB")
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    one = action("unpack", "put packed runs into a plan")
    one.add_argument("parts", type=Path, help="folder of packed runs")


def _only(part: argparse._ActionsContainer) -> None:
    part.add_argument("--only", nargs="+", default=[], metavar="NAME",
        help="parts of names, such as pretrain-ntp")  # fmt: skip


def _weights(part: argparse._ActionsContainer) -> None:
    part.add_argument("--weights", nargs="+", default=[], metavar="ARM=FILE",
        help="place weights (.safetensors, .npz) as finished pre-trainings")  # fmt: skip


def _work(part: argparse._ActionsContainer) -> None:
    _device(part, "what the plan says")
    _budget(part)
    _shard_state(part)
    _only(part)
    part.add_argument("--shard", type=shard, default=(1, 1), metavar="I/N",
        help="make the I-th of N shares of these runs, as others make theirs")  # fmt: skip


def _suite(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add("--profile", default="paper", help="default: paper; or a file .json")
    _set(part)
    add("--genome", default="sample", help="FASTA to pre-train on; default: the sample")
    add("--validation", default="", metavar="CONTIGS", help="for held-out loss, such as chr3,chr4 "
        "or chr8:1-5000000; default: chr8, else 5 to 10 %% of the bases")  # fmt: skip
    add("--tasks", nargs="+", default=["sample"], metavar="FOLDER[:TASK,...]",
        help="folders of tasks; names behind a colon choose some")  # fmt: skip
    add("--arms", nargs="+", default=PLAN_ARMS, metavar="ARM",
        help=f"default: {' '.join(PLAN_ARMS)}; random weights are fine-tuned, too")  # fmt: skip
    add("--seeds", "--seed", type=seed, nargs="+", default=(), metavar="SEED",
        help="of weights and batches; a verdict takes 3; default: the profile's")  # fmt: skip
    add("--finetune-seeds", type=seed, nargs="+", default=(), metavar="SEED",
        help="default: the profile's")  # fmt: skip
    add("--patience", type=int, default=0, metavar="N",
        help="end a fine-tuning after N evaluations in a row without a better validation MCC; "
        "default: 0, never")  # fmt: skip
