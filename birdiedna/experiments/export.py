"""Export a model as a Hugging Face folder with tokenizer and model card, and import one."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from birdiedna import vocab
from birdiedna.data.files import digest, whole
from birdiedna.data.page_text import escaped
from birdiedna.experiments import config_json, make, models
from birdiedna.training import run_folder, weights
from birdiedna.training.finetune import Classifier, FinetuneConfig
from birdiedna.training.weights import Model


def export(name: str | Path, folder: Path | str, kind: str = "float32") -> Path:
    """Write a model as a folder that `transformers` opens as a `LlamaForCausalLM`.

    Args:
      name: as in `models.load`.
      folder: new or empty.
      kind: type of the numbers, one of `weights.TYPES`.

    Raises:
      FileNotFoundError: there is no such model.
      ValueError: the folder is not empty, the type is unknown, or the model has another head.
    """
    model, folder = models.load(name), Path(folder)
    if (head := model.config.get("head", "label")) != "label":
        raise ValueError(f"{model.name} has the head {head!r}, which is no part of a Llama")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; give a new folder")
    with whole(folder) as temporary:
        weights.write(temporary, model, kind)
        write_tokenizer(temporary, model.slots)
        path, sha256 = models.find(name), digest(temporary / "model.safetensors")
        events = run_folder.each_event(path) if run_folder.complete(path) else ()
        (temporary / "README.md").write_text(card(model, sha256, events), "utf-8")
    return folder


def read_into_run(name: str | Path, folder: Path | str) -> Path:
    """Import an exported model as a run folder, which fine-tuning and all verbs accept.

    Config and manifest are those of the exported run, and the manifest names the weights file. The
    log is empty. ValueError if the folder exists, or the model's config is of another version;
    FileNotFoundError if there is no such model.
    """
    model, place, folder = models.load(name), models.find(name), Path(folder)
    config = dict(model.config)
    own = config_json.of_run(config)
    if folder.exists():
        raise ValueError(f"{folder} exists; give a new folder")
    file = place / "model.safetensors" if place.is_dir() else place
    source = {"file": file.name, "sha256": digest(file) if file.is_file() else None}
    facts = {**model.manifest, "name": folder.name}
    tuned = isinstance(own, FinetuneConfig)  # whose weights are stored as those of a classifier
    net = Classifier(model.net, own, nnx.Rngs(0)) if tuned else model.net
    make.adopt(folder, config, facts, net, source | {"manifest": _of_training(model)})
    return folder


def _of_training(model: Model) -> dict[str, Any]:
    """The manifest of the run that trained a model, which may have been imported since."""
    return dict(model.manifest.get("imported", {}).get("manifest", model.manifest))


def write_tokenizer(folder: Path, slots: int) -> None:
    """Write the tokenizer: a token per base, lower case as upper, U as T, everything else as N.

    Unlike `vocab.encode` it reads blanks, line breaks and invalid letters as N. It adds no token.
    """
    run_folder.write_json(folder / "tokenizer.json", _tokenizer())
    named = {"pad": vocab.PAD, "eos": vocab.EOS, "mask": vocab.MASK, "unk": vocab.N}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": slots,
        "clean_up_tokenization_spaces": False,
        **{f"{name}_token": vocab.NAMES[token] for name, token in named.items()},
    }
    run_folder.write_json(folder / "tokenizer_config.json", config)


def _tokenizer() -> dict[str, Any]:
    """The contents of `tokenizer.json`."""
    special = [
        {"id": i, "content": name, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for i, name in enumerate(vocab.NAMES)
        if name.startswith("<")
    ]
    upper = [
        {"type": "Replace", "pattern": {"String": letter}, "content": base}
        for letter, base in zip("acgtnuU", "ACGTNTT", strict=True)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "Sequence", "normalizers": upper},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "[\\s\\S]"},
            "behavior": "Isolated",
            "invert": False,
        },
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {name: i for i, name in enumerate(vocab.NAMES)},
            "unk_token": vocab.NAMES[vocab.N],
        },
    }


def card(model: Model, sha256: str, events: Iterable[Mapping[str, Any]]) -> str:
    """The model card, `README.md`: description, use, training, limits.

    `sha256` is that of the weights file, `events` the log of the run, which may be empty.
    """
    size = model.net.config
    count = sum(leaf.size for leaf in jax.tree.leaves(model.net))
    reads = "in both directions" if model.bidirectional else "from left to right"
    masked = any(of["type"] == "MaskedTokens" for _, of in model.config.get("objectives", []))
    own = {"row": "ACGTACGT", "prefix": "L  # all tokens"} if masked else _PROMPT
    continued = "llama" in _of_training(model).get("data", {})
    mask = _MASK.format_map(own) if model.bidirectional else _CAUSAL
    *_, last = {}, *(event for event in events if event["event"] == "evaluation")
    known = _facts(model, last).items()
    facts = "\n".join(f"| {name} | {_cell(value)} |" for name, value in known if value)
    return _CARD.format(
        name=escaped(model.name),
        licence="other" if continued else "apache-2.0",
        continued=_CONTINUED if continued else "",
        count=f"{count / 1e6:.1f}",
        blocks=size.blocks,
        width=size.width,
        reads=reads,
        facts=facts,
        losses=_losses(model, last),
        mask=mask,
        sha256=sha256,
    )


def _cell(value: str | int) -> str:
    """A value as a cell of a table; text from files is code, so that no markup acts."""
    if isinstance(value, int):
        return f"{value:,}"
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in value)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    blank = " " * ("`" in shown)
    return fence + blank + shown.replace("|", "\\|") + blank + fence


def _facts(model: Model, last: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of the card's table; empty values are unknown."""
    config, manifest = model.config, _of_training(model)
    names = [name for name, _ in config.get("objectives", [])]
    return {
        "made by": manifest.get("command", "unknown"),
        "arm": manifest.get("arm"),
        "objectives": ", ".join(names),
        "task": manifest.get("task"),
        "steps": config.get("steps"),
        "rows of a step": config.get("rows"),
        "tokens of a row": config.get("slots"),
        "bases read": last.get("bases_seen"),
        "never read": ", ".join(config.get("held_out", [])),
        "held-out loss on": ", ".join(config.get("validation", [])),
        "seed": str(manifest.get("seed", "")),
        "data (sha256)": ", ".join(f"{k} {v[:12]}" for k, v in manifest.get("data", {}).items()),
        "device": manifest.get("device"),
        "code (sha256)": manifest.get("code"),
        "git commit": manifest.get("git_commit"),
    }


def _losses(model: Model, last: Mapping[str, Any]) -> str:
    """The last held-out losses as a table, if known."""
    losses = last.get("losses")
    if not losses:
        return "Not recorded with these weights."
    own = {name for name, _ in model.config.get("objectives", [])}
    rows = [
        f"| {escaped(name)}{'' if name in own else ', not trained on'} | {loss:.3f} |"
        for name, loss in losses.items()
        if loss is not None
    ]
    return "\n".join(["| objective | nats per label token |", "| :--- | ---: |", *rows])


_CAUSAL = "It reads from left to right: use it as any causal language model."
_MASK = """It was trained to read what is before `<start>` in both directions. `transformers` is
causal by default, so such rows need a 4-D mask, with `attn_implementation="sdpa"`:

```python
import torch

ids = tokenizer("{row}", return_tensors="pt").input_ids
L, place = ids.shape[1], torch.arange(ids.shape[1])
prefix = {prefix}
seen = (place[None, :] <= place[:, None]) | ((place[:, None] < prefix) & (place[None, :] < prefix))
logits = model(ids, attention_mask=seen[None, None]).logits
```

Without the mask the output is wrong, without any error. `generate()` with it is untested."""
_PROMPT = {
    "row": "ACGTACGT<start>",
    "prefix": 'ids[0].tolist().index(tokenizer.convert_tokens_to_ids("<start>"))',
}
_CONTINUED = "\n\nIt continues a Llama that was trained on text, whose licence applies to it."
_CARD = """---
library_name: transformers
license: {licence}
tags: [dna, genomics]
---
# {name}

A Transformer of {count} M parameters ({blocks} blocks, width {width}) in the layout of Llama,
trained on DNA by birdiedna, a companion to *BirdieDNA: Reward-Based Pre-Training for Genomic
Sequence Modeling*. It reads what is before `<start>` {reads}.{continued}

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
ids = tokenizer("<start>ACGTACGT", return_tensors="pt").input_ids
logits = model(ids).logits
```

One base is one token. Strip blanks and line breaks first: the tokenizer reads unknown letters as N.
It adds no token: next-token prediction begins at `<start>`.

{mask}

## Training

| | |
| :--- | :--- |
{facts}

## Held-out loss at the end

{losses}

Guessing one of four bases costs 1.386 nats.

## Limits

A small model, trained once. Compare its features with those of random weights on your task, by the
same probe. Not for clinical use.

The weights file has sha256 `{sha256}`.
"""
