"""For `01_paper`: the scale of a profile and of the paper, and what the paper leaves open.

All numbers come from the configs, so that the book agrees with the code.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from birdiedna.evaluation.measured_objectives import corruption
from birdiedna.evaluation.paper_table import TABLE_1
from birdiedna.experiments.cost import flop
from birdiedna.experiments.profiles import Profile, profile
from birdiedna.model.transformer import count_parameters
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP
from birdiedna.objectives.program import window_bases
from birdiedna.training import run_folder


def row_lengths(slots: int) -> pl.DataFrame:
    """Bases and spans of each objective in a row of `slots` tokens; `spans` is a mean over rows."""
    rows = []
    for name, objective in {**BIRDIE_DNA, **NTP}.items():
        bases = window_bases(objective, slots)
        row = {"objective": name, "bases": bases}
        if hasattr(objective, "mean_span"):
            noise, most, fewer = corruption(objective, bases)
            spans = most - fewer
            row |= {"in spans": noise, "spans": float(spans), "mean span": noise / spans}
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def of_runs(settings: Profile, folders: Sequence[Path]) -> Profile:
    """The settings with only the tasks and crops of these fine-tunings, if there are any."""
    made = [run_folder.read(folder, "manifest") for folder in folders]
    tasks = tuple(dict.fromkeys(one["task"] for one in made)) if settings.tasks else ()
    used = {tuple(one.get("crop") or ()) for one in made}
    crops = {length: part for length, part in settings.crops.items() if tuple(part) in used}
    return replace(settings, tasks=tasks, crops=crops) if made else settings


def scales(settings: Profile) -> pl.DataFrame:
    """Settings of quick, of `settings` if they are others, and of paper, and their ratio."""
    one, own, other = map(_scale, (profile("quick"), settings, profile("paper")))
    rows = []
    for name, small in one.items():
        large = other[name]
        times = None if isinstance(small, str) or isinstance(large, str) else large / small
        rows.append((name, *map(_text, (small, own[name], large)), times))
    table = pl.DataFrame(rows, ["setting", "quick", "here", "paper", "times"], orient="row")
    return table.drop("here") if own in (one, other) else table


def _text(value: int | float | str) -> str:
    form = {str: "", int: ","}.get(type(value), ",g")
    return format(value, form)


def _scale(settings: Profile) -> dict[str, int | float | str]:
    birdie, tune = settings.pretrain["birdie"], settings.finetune
    crops = [f"{first} to {stop - 1} of {n:,}" for n, (first, stop) in settings.crops.items()]
    return {
        "parameters": count_parameters(birdie.model),
        "model width": birdie.model.width,
        "blocks": birdie.model.blocks,
        "row length (tokens)": birdie.slots,
        "rows per step": birdie.rows,
        "pre-training steps": birdie.steps,
        "pre-training tokens": birdie.slots * birdie.rows * birdie.steps,
        "pre-training TFLOP": flop(birdie) / 1e12,
        "rounds of the director": len(birdie.evaluations),
        "peak learning rate": birdie.optimizer.peak,
        "fine-tuning steps": tune.steps,
        "fine-tuning learning rate": tune.optimizer.peak,
        "fine-tuning seeds": len(settings.finetune_seeds),
        "pre-training seeds": len(settings.pretrain_seeds),
        "tasks": len(settings.tasks) or "all in the folder",
        "bases of a task that are read": ", ".join(crops) or "all",
    }


#: Open questions, one a line: question | paper | choice | alternative | setting.
_QUESTIONS = """
row length | nothing | {birdie.slots:,} tokens | another | pretrain.slots
tokens | nothing: bases are “often tokenized alone” | one base each | k-mers | the program's own
vocabulary | nothing | {model.vocabulary} ids, some unused | larger | pretrain.model.vocabulary
windows | nothing | start anywhere, none with an unknown base; drawn again each time \
    | each base once | the program's own
objective of a row | nothing | drawn by the mixture, row by row | exact shares of a batch \
    | the program's own
how many spans a row holds | averages | exact bases; a fixed number of spans, but infilling's \
    varies by one where a fixed number would miss the mean by over 1% (so up to 2 pads a row) \
    | random counts | the program's own
marks of masked spans | “mask” | one sentinel each, before its span in the label | behind it \
    | {spans}.infill_50_3.sentinel_first
what deshuffling shuffles | “subsequences” | spans, mean {shuffle.mean_span:g} bases \
    | single bases (1), as the public code does | {spans}.deshuffling_50.mean_span
autoencoding spans | “several spans”; half shuffled on average \
    | mean {auto.mean_span:g}, exactly {auto.shuffled:.0%} | other spans; no shuffle \
    | {spans}.autoencoding_30_50.mean_span
selective copying | {select.rate:.0%} of the text | spans of {select.shortest} or more, mean \
    {select.mean_span:g} (our choice), the clearest of {select.placements} placements; asked by \
    {select.before} bases before and {select.after} after | other lengths \
    | {spans}.selective_copying_15.before
its order | nothing | context first in {select.context_first:.0%} of rows | always or never \
    | {spans}.selective_copying_15.context_first
token that names the objective | nothing | one, first in the prompt | none | {spans}.copying.token
who sees later bases | the prompt of prefix LM | {seeing} | nobody (causal) | pretrain.bidirectional
NTP in the mixture | listed, and removed | only measured | a ratio above 0 | a profile's objectives
layers | “four layer” | {model.blocks} blocks | 2 blocks | pretrain.model.blocks
MLP width | nothing | {model.mlp_width:,} | 8/3 of the width | pretrain.model.mlp_width
norms, biases, dropout | “Transformer++” | RMSNorm before each part, no biases, no dropout \
    | others | pretrain.model.norm_epsilon
weights of input and output tokens | nothing | apart | tied | the program's own
initial weights | nothing | normal, 1/sqrt(inputs), cut at two deviations | others \
    | the program's own
precision | nothing | {model.compute} products, float32 weights and moments | float32 \
    | pretrain.model.compute
held-out loss of pre-training | nothing | on {validation} | other contigs | --validation
chromosomes that are never read | nothing | {held_out} | none | pretrain.held_out
strand | nothing | as in the reference | a random one; in fine-tuning also the mean of both \
    | pretrain.reverse_complement, finetune.reverse_complement, finetune.both_strands
rows of a held-out loss | nothing | {birdie.evaluation_rows} an objective | more \
    | pretrain.evaluation_rows
reward | “delta losses” | Birdie's rule, power {director.reward.power:g}, improvement positive \
    | another power; linear | pretrain.director.reward.power
total reward | nothing | classes alike: two settings of infilling count half each \
    | objectives alike | pretrain.birdie.director.classes
reward model | “reward model” | gated state space, {director.model.blocks} blocks of width \
    {director.model.width} | another | pretrain.director.model.width
its fit | nothing | to the last {director.fit.rows} rounds, {director.fit.iterations} updates \
    after each | others | pretrain.director.fit.iterations
rounds | “a period” | {rounds} | others | pretrain.evaluations
candidates of the director | random actions | {director.candidates:,}, half of them sparse; the \
    mean of the best {director.best} | others \
    | pretrain.director.candidates, pretrain.director.best
least shares | nothing | {director.floor:.0%} of the rows are spread evenly | none \
    | pretrain.director.floor
exploration | nothing | {explored} of the rounds | none | pretrain.director.explore
mixture of a round that explores | nothing | one or two classes, 0.5% for all others | any \
    | the program's own
warm-up of the director | nothing | {director.warmup_steps} steps | none \
    | pretrain.director.warmup_steps
mixture of the warm-up | nothing | classes alike, then their objectives | objectives alike \
    | the program's own
loss average | nothing | over all label {birdie.loss_average}s of a batch | per row \
    | pretrain.loss_average
warm-up of the learning rate | nothing | {rate.warmup:.0%} of the steps | none \
    | pretrain.optimizer.warmup
optimizer | nothing | AdamW, betas {rate.b1} and {rate.b2} | others \
    | pretrain.optimizer.b1, pretrain.optimizer.b2
weight decay | nothing | {rate.weight_decay}, on matrices, embeddings included | none \
    | pretrain.optimizer.weight_decay
clipping of gradients | nothing | norm {rate.clip:g} | another | pretrain.optimizer.clip
optimizer of fine-tuning | a fixed rate, no decay | AdamW, betas and clipping as above | others \
    | finetune.optimizer.b2
rows of fine-tuning | batches of 32 | every epoch in another order | drawn again each time \
    | the program's own
fine-tuning head | nothing | {tune.head} token | after an objective token; linear on the mean \
    (pooled) | finetune.head
learning rate of the head | nothing | that of the body | a multiple of it | finetune.head_rate
fine-tuning mask | nothing | as pre-trained | two by two | causal
validation rows of a task | nothing | a tenth of train, by chromosome or block | the test rows \
    | the program's own
which checkpoint | nothing | best MCC on validation, of all steps; test once | last, or best on \
    test; an early stop | finetune.patience_evaluations
which F1 | nothing | of class 1; over more classes their mean | weighted | the program's own
seeds | nothing | {pretrained} of pre-training, {tuned} of fine-tuning each | more \
    | pretrain_seeds, finetune_seeds
benchmark | NT; the appendix lists GenomicBenchmarks | Table 1's {tasks} tasks | both | tasks
"""


def ambiguities(settings: Profile) -> pl.DataFrame:
    """Open questions: question, what the paper says, our choice, alternative, setting.

    The setting has names for `--set`, or an option, or says why there is none.
    """
    birdie, named = settings.pretrain["birdie"], dict[str, Any](BIRDIE_DNA)
    director: Any = birdie.director
    facts = {
        "birdie": birdie,
        "model": birdie.model,
        "rate": birdie.optimizer,
        "director": director,
        "tune": settings.finetune,
        "shuffle": named["deshuffling_50"],
        "auto": named["autoencoding_30_50"],
        "select": named["selective_copying_15"],
        "spans": "pretrain.objectives",
        "seeing": "every Birdie prompt" if birdie.bidirectional else "nobody",
        "validation": ", ".join(birdie.validation),
        "held_out": ", ".join(birdie.held_out),
        "rounds": len(birdie.evaluations),
        "explored": "{:.2f} to {:.2f}".format(*director.explore),
        "pretrained": len(settings.pretrain_seeds),
        "tuned": len(settings.finetune_seeds),
        "tasks": len(TABLE_1),
    }
    lines = [line.split(" | ") for line in _QUESTIONS.strip().splitlines()]
    rows = [[" ".join(cell.split()).format_map(facts) for cell in line] for line in lines]
    names = ["question", "paper", "choice", "alternative", "setting"]
    return pl.DataFrame(rows, names, orient="row")
