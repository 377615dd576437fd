"""What a run was made by: versions, device, commit and the code of the training core."""

import ast
import hashlib
import os
import platform
import subprocess
import tokenize
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

#: Modules whose code decides what a run computes; their hash is stored with it.
CORE = (
    "vocab objectives/program data/labelled objectives/spans data/genome data/chromosomes "
    "objectives/definitions objectives/mixture model/attention model/cpu_kernels "
    "model/transformer director/reward_model director/director training/optimizer "
    "training/log training/checkpoint training/devices training/pretrain training/replay "
    "training/finetune".split()
)
_PACKAGE = Path(__file__).parents[1]
_STATUS = "status --porcelain -uno -- :/ :(top,exclude)benchmarks/results".split()


@cache
def code_fingerprint() -> str:
    """sha256 of the training core without comments and docstrings: prose edits keep it."""
    sources = (_PACKAGE / f"{name}.py" for name in CORE)
    return hashlib.sha256(
        "\n".join(_bare(source.read_text()) for source in sources).encode()
    ).hexdigest()


def _bare(source: str) -> str:
    """The source without comments, docstrings and empty lines, the same by every Python."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            text = node.body[0]
            lines[text.lineno - 1 : text.end_lineno] = [""] * (text.end_lineno - text.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def git_commit() -> tuple[str | None, bool]:
    """The checkout's commit, and whether tracked files differ from it; (None, False) outside.

    Kept figures do not count: every part of the benchmark writes its own, and no run reads them.
    """
    if not (_PACKAGE.parent / "_toc.yml").exists():
        return None, False
    ask = ["git", "-C", str(_PACKAGE)]
    try:
        commit = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*ask, *_STATUS], capture_output=True)
    except OSError:
        return None, False
    return (
        (commit.stdout.strip() or None, bool(changed.stdout))
        if not commit.returncode
        else (None, False)
    )


def surroundings() -> dict[str, Any]:
    """Versions, device and commit, as a manifest records them; no path and no host name."""
    names = ("birdiedna", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    commit, dirty = git_commit()
    device = jax.devices()[0]
    return {
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in names},
        "device": f"{jax.device_count()} x {device.device_kind}",
        "backend": jax.default_backend(),
        "cores": os.cpu_count(),
        "git_commit": commit,
        "git_dirty": dirty,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
