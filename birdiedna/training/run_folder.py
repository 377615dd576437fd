"""A run folder: the only thing that figures read of a run.

    config.json       the frozen configs and the seed
    manifest.json     versions, device, git commit, data fingerprints, command, times, checksums
    events.jsonl      the log, one JSON object per line; packed as events.jsonl.gz in `results/`
    predictions.npz   fine-tunings and probes only
    model/            the weights
    checkpoints/      removed when the run finishes

`run_writer` writes the folder and moves it into place when complete. Readers then verify each file
against its checksum in the manifest, and the manifest against its own.
"""

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from birdiedna.data import stored
from birdiedna.data.files import digest, folder_of, replacing
from birdiedna.data.stored import NUMBER

_PACKAGE = Path(__file__).parents[1]
_LOGS = ("events.jsonl", "events.jsonl.gz")
_SUMMED = ("config.json", *_LOGS, "predictions.npz")
_MODEL_SUMS = "model/*/SHA256SUMS"
_PARTS = ("validation", "test")
#: Of a value in a message, at most this many letters are shown: some are whole configs.
_SHOWN = 100


def _maybe(names: str, kind: Any) -> dict[str, Any]:
    """Optional fields of a shape (`stored.misfit`)."""
    return {f"{name}?": kind for name in names.split()}


#: The fields of a manifest that figures read.
MANIFEST = {
    **_maybe("name kind profile arm task device model", str),
    **_maybe("code git_commit command started finished", (str, NoneType)),
    **_maybe("seed finetune_seed", int),
    **_maybe("wall_s joules share", NUMBER),
    **_maybe("data sha256", {...: str}),
    **_maybe("rows", {...: int}),
    **_maybe("changes", [str]),
}
MANIFEST |= {"imported?": {"manifest?": {**MANIFEST}}}
#: The fields of a config that are read where it is not parsed.
CONFIG = {
    **_maybe("kind task start head loss_average", str),
    **_maybe("slots steps rows chunk_steps seed finetune_seed", int),
    "bidirectional?": bool,
    "objectives?": [list],
    **_maybe("held_out validation", [str]),
    "model?": {...: (*NUMBER, str, bool, list)},
}
#: The fields of the events that `log`, `finetune` and `probe` write.
EVENT = {
    "event": str,
    **_maybe("step skipped tokens_seen bases_seen unique_bases_seen subset n_train", int),
    **_maybe("loss accuracy learning_rate grad_norm seconds tokens_per_s", NUMBER),
    **_maybe("predicted_reward spread reward fit_loss share cost", NUMBER),
    **_maybe("losses base_losses rows loss_tokens ratios rewards", {...: NUMBER}),
    **_maybe("predicted_rewards rows_share loss_tokens_share", {...: NUMBER}),
    **_maybe("explored", bool),
    **_maybe("split chain", str),
    **_maybe("exact", [str]),
}


def repository() -> Path:
    """The checkout that contains the package; outside of one, the working directory."""
    return _PACKAGE.parent if _in_checkout() else Path.cwd()


def checkout(what: str) -> Path:
    """The checkout that contains the package; ValueError if there is none, since it has `what`."""
    if not _in_checkout():
        raise ValueError(
            f"{what} are in the repository, and birdiedna was installed without it; clone it, run "
            "`pip install -e .` there, and restart Python"
        )
    return _PACKAGE.parent


def _in_checkout() -> bool:
    return (_PACKAGE.parent / "_toc.yml").exists()


def root() -> Path:
    """The folder of all runs: $BIRDIEDNA_RUNS, else `runs/` in the repository."""
    return folder_of("BIRDIEDNA_RUNS", repository() / "runs")


def to_json(value: Any) -> Any:
    """A config as plain JSON values; a dataclass becomes its type's name and its fields."""
    if dataclasses.is_dataclass(value):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def fingerprint(value: Any) -> str:
    """sha256 of a config, or of any value that `to_json` takes."""
    return hashlib.sha256(json.dumps(to_json(value), sort_keys=True).encode()).hexdigest()


def differences(stored: Any, now: Any, name: str = "") -> str:
    """The fields in which two JSON values differ, with both values, cut; "" if they are equal."""
    if isinstance(stored, dict) and isinstance(now, dict):
        fields = ((key, f"{name}.{key}".lstrip(".")) for key in stored | now)
        found = (differences(stored.get(key), now.get(key), field) for key, field in fields)
        return "; ".join(filter(None, found))
    texts = (repr(value) for value in (stored, now))
    was, is_ = (text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..." for text in texts)
    return "" if stored == now else f"{name}: stored {was}, now {is_}"


def place(profile: str, name: str, identity: Any) -> Path:
    """The folder of a run: `<root>/<profile>/<name>-<hash of config, seed and data>`.

    Errors as in `plain`, for the profile or the name.
    """
    return root() / plain(profile) / f"{plain(name)}-{fingerprint(identity)[:8]}"


def profile_name(given: str) -> str:
    """The name of a profile that is given by name or as a JSON file."""
    return Path(given).stem if given.endswith(".json") else given


def plain(name: str) -> str:
    """The name itself, if safe as a file name; users' files may name tasks and arms.

    ValueError if it contains anything but letters, digits and `._+-`, starts with a dot or dash, or
    is longer than 200 bytes.
    """
    if not re.fullmatch(r"[\w+][\w.+-]*", name) or len(name.encode()) > 200:
        raise ValueError(
            f"{name[:100]!r} cannot name a folder; use up to 200 letters, digits, `.`, `_`, `+` "
            "and `-`, a letter or digit first"
        )
    return name


def created(folder: Path | str) -> Path:
    """The folder, made if it is missing."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically; if it cannot be written (OSError), the old file stays."""
    text = json.dumps(value, indent=1) + "\n"
    try:
        with replacing(path) as temporary, temporary.open("w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise disk_error(error, path, len(text), "nothing was changed") from error


def disk_error(error: OSError, path: Path, needed: int, kept: str) -> OSError:
    """The error of a failed write, with bytes needed and free, what is `kept`, and the remedy."""
    free = shutil.disk_usage(path if path.is_dir() else path.parent).free
    inside = path.absolute().is_relative_to(root().absolute())
    move = f"or move {root()} to another disk and set BIRDIEDNA_RUNS to it, " * inside
    return OSError(
        error.errno,
        f"{path}: {error.strerror or error}; {needed:,} bytes are needed, {free:,} are free; "
        f"{kept}; make room, {move}then start the same command again",
    )


def append(folder: Path, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Append one event to the log and return it; non-finite numbers are logged as null.

    If it cannot be written (OSError), the log keeps whole lines only.
    """
    line = (json.dumps(_finite(event), allow_nan=False) + "\n").encode()
    handle = os.open(folder / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        before = os.fstat(handle).st_size
        try:
            if os.write(handle, line) < len(line):
                raise OSError(errno.ENOSPC, "the disk is full")
        except OSError as error:
            os.ftruncate(handle, before)
            kept = f"the log keeps its {before:,} bytes of whole lines"
            raise disk_error(error, folder, len(line), kept) from error
    finally:
        os.close(handle)
    return event


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def log_facts(folder: Path) -> dict[str, Any]:
    """Flush the log to disk; returns its length and sha256, for a checkpoint."""
    with (folder / "events.jsonl").open("ab+") as log:
        os.fsync(log.fileno())
        log.seek(0)
        text = log.read()
    return {"log_bytes": len(text), "log_sha256": hashlib.sha256(text).hexdigest()}


def log_is_intact(folder: Path, facts: Mapping[str, Any], step: int) -> bool:
    """Whether the log still starts with what `log_facts` described, which ends at `step`."""
    log = folder / "events.jsonl"
    size = max(0, facts.get("log_bytes", 0))
    text = log.read_bytes()[:size] if log.exists() else b""
    marks = {"log_bytes": len(text), "log_sha256": hashlib.sha256(text).hexdigest()}
    try:
        last = stored.parse(text[text.rfind(b"\n", 0, -1) + 1 :], log, EVENT)
    except ValueError:
        return False
    return marks.items() <= facts.items() and last.get("step") == step


def rewind(folder: Path, size: int) -> None:
    """Truncate the log to `size` bytes, its length when a checkpoint was saved."""
    if (log := folder / "events.jsonl").exists():
        os.truncate(log, size)


def events(
    folder: Path, kind: str | None = None, fields: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The events of a run in order, all or those of one kind.

    ValueError if there is no log; or if a line, which it names, is damaged or lacks one of
    `fields`.
    """
    return [*each_event(folder, kind, fields)]


def each_event(
    folder: Path, kind: str | None = None, fields: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield `events`, of which a log may have hundreds of thousands, one at a time."""
    folder = Path(folder)
    log = next((log for name in _LOGS if (log := folder / name).exists()), None)
    if log is None:
        raise ValueError(
            f"{folder} contains no run; make it with `birdiedna pretrain` or `finetune`"
        )
    remedy = _remedy(folder)
    lines = stored.lines(intact(folder, log.name), log, remedy)
    for number, line in enumerate(lines, start=1):
        place = Path(f"{log}, line {number}")
        event = stored.parse(line, place, EVENT, remedy)
        if kind in (None, event["event"]):
            if missing := [field for field in fields if field not in event]:
                raise stored.damaged(place, f"it has no {missing[0]!r}", remedy)
            yield event


def read(folder: Path, name: str, *fields: str) -> dict[str, Any]:
    """`config.json` or `manifest.json` of a run.

    ValueError if the file is missing or damaged, or lacks one of `fields`.
    """
    path, shape = Path(folder) / f"{name}.json", MANIFEST if name == "manifest" else CONFIG
    if not path.exists():
        raise ValueError(
            f"{folder} contains no {path.name}; give a folder that `birdiedna pretrain` or "
            "`finetune` printed"
        )
    found = stored.parse(intact(folder, path.name), path, shape, _remedy(folder))
    if wrong := unpaired(found):
        raise stored.damaged(path, wrong, _remedy(folder))
    if missing := [field for field in fields if field not in found] or [""] * (not found):
        raise stored.damaged(path, f"it has no {missing[0]!r}", _remedy(folder))
    return found


def unpaired(config: Mapping[str, Any]) -> str:
    """The first objective that is not a pair of name and settings; "" if all are."""
    pair = lambda of: (
        len(of) == 2 and not stored.misfit(of[1], {"type": str}) and type(of[0]) is str
    )
    wrong = [of for of in config.get("objectives", []) if not pair(of)]
    return f"{wrong[0]!r:.40} is no objective" if wrong else ""


def predictions(folder: Path) -> dict[str, np.ndarray]:
    """The predictions of a fine-tuning or probe at each of its E evaluations.

    Returns:
      steps (E,), {validation,test}_logits (E, n, classes), {validation,test}_labels (n,); if logits
      are means over both strands, {validation,test}_opposite are those of the reverse complement.

    Raises:
      FileNotFoundError: there are none.
      ValueError: the file is damaged, or its arrays contradict each other.
    """
    path = Path(folder) / "predictions.npz"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: the run has no predictions; give the folder of a finished "
            "fine-tuning or probe"
        )
    names = ("steps", *(f"{part}_{what}" for part in _PARTS for what in ("logits", "labels")))
    found = stored.read_arrays(path, intact(folder, path.name), names, _remedy(folder))
    if wrong := misshaped(found):
        raise stored.damaged(path, wrong, _remedy(folder))
    return found


def misshaped(found: Mapping[str, np.ndarray]) -> str:
    """How the arrays of predictions contradict each other; "" if they do not."""
    steps = found["steps"]
    if steps.ndim != 1 or steps.dtype.kind not in "iu":
        return f"steps are {steps.dtype} {steps.shape}"
    for part in _PARTS:
        logits, labels = found[f"{part}_logits"], found[f"{part}_labels"]
        if logits.dtype.kind != "f" or labels.dtype.kind not in "iu":
            return f"{part}: logits are {logits.dtype}, labels {labels.dtype}"
        if logits.ndim != 3 or labels.ndim != 1 or logits.shape[1] != len(labels):
            return f"{part}: logits {logits.shape} of labels {labels.shape}"
        if not 0 < len(steps) == len(logits) or not len(labels):
            return f"{part}: {len(steps)} steps, {len(logits)} evaluations, {len(labels)} rows"
        if found.get(f"{part}_opposite", logits).shape != logits.shape:
            return f"{part}: opposite {found[f'{part}_opposite'].shape} of logits {logits.shape}"
        if labels.min() < 0 or labels.max() >= logits.shape[2]:
            return f"{part}: labels {labels.min()} to {labels.max()} of {logits.shape[2]} classes"
        if not np.isfinite(logits).all():
            return f"{part}: a logit is not finite (did training diverge?)"
    return ""


def intact(folder: Path, name: str) -> bytes:
    """The bytes of a file of a run, verified by the manifest.

    Unfinished runs have no manifest and those of older versions no checksums: their files are not
    verified.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file has another checksum.
    """
    text = (Path(folder) / name).read_bytes()
    if name != "manifest.json" and complete(folder):
        sums = read(folder, "manifest").get("sha256")
        if sums and sums.get(name) != hashlib.sha256(text).hexdigest():
            raise stored.damaged(Path(folder) / name, stored.ALTERED, _remedy(folder))
    return text


def problems(folder: Path) -> list[str]:
    """The faults of the files that a finished run's manifest lists, one line each."""
    found = []
    try:
        listed = read(folder, "manifest").get("sha256", {})
        check_model(folder)
    except ValueError as error:
        return [str(error)]
    for name in listed:
        try:
            intact(folder, name)
        except (ValueError, OSError) as error:
            found.append(str(error))
    return found


def _remedy(folder: Path) -> str:
    return f"get an intact copy, or remove {folder} and make the run again"


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json` with its own checksum, those of the files that figures read, and that
    of the list of checksums of the weights.

    Errors as in `write_json`.
    """
    sums = {name: digest(folder / name) for name in _SUMMED if (folder / name).exists()}
    model = {"model": digest(listing) for listing in folder.glob(_MODEL_SUMS)}
    write_json(folder / "manifest.json", stored.sealed({**facts, **model, "sha256": sums}))


def check_model(folder: Path) -> None:
    """Refuse (ValueError) weights that are not those of the finished run, as after a wrong copy."""
    for listing in Path(folder).glob(_MODEL_SUMS):
        own = digest(listing)
        if complete(folder) and read(folder, "manifest").get("model", own) != own:
            raise stored.damaged(listing.parent, "its weights are of another run", _remedy(folder))


def complete(folder: Path) -> bool:
    """Whether the folder contains a finished run."""
    return (Path(folder) / "manifest.json").exists()


def check_name(folder: Path) -> None:
    """Refuse (ValueError) a finished run in the folder of another, as after a wrong copy."""
    if complete(folder):
        name = read(folder, "manifest").get("name", folder.name)
        if name != folder.name:
            raise ValueError(f"{folder} contains the run {name}; rename or remove it")
