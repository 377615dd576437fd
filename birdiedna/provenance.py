"""How a figure or table was made: manifests of run folders, and the fold that states them."""

import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from birdiedna.runs import origin

Provenance = Mapping[str, Any] | Path | Sequence[Mapping[str, Any] | Path]

_STATED = ("run", "profile", "seed", "data", "device", "commit", "code", "finished", "command")


def computed(
    profile: str,
    seed: int | None = None,
    data: Mapping[str, str] | None = None,
    device: str = "CPU",
) -> dict[str, Any]:
    """Provenance of a figure whose numbers were computed in its own chapter, from no run folder.

    Args:
      profile, seed: the chapter's parameters.
      data: what was read, as `{"genome": fingerprint}`.
      device: where it was computed.
    """
    commit, dirty = origin.git_commit()
    return {
        "name": "computed in this chapter",
        "profile": profile,
        "seed": seed,
        "data": dict(data or {}),
        "device": device,
        "git_commit": commit,
        "git_dirty": dirty,
        "command": f"make book PROFILE={profile}",
    }


def manifests(name: str, sources: Provenance) -> list[dict[str, Any]]:
    """The manifests behind a figure or table; a run folder stands for its `manifest.json`.

    Raises:
      ValueError: there is none.
    """
    alone = isinstance(sources, Mapping | str | os.PathLike)
    entries = [sources] if alone else list(sources)
    if not entries:
        raise ValueError(
            f"{name} needs provenance: pass its run folders or provenance.computed(...)"
        )
    return [
        dict(entry)
        if isinstance(entry, Mapping)
        else json.loads((Path(entry) / "manifest.json").read_text("utf-8"))
        for entry in entries
    ]


def fold(entries: Sequence[Mapping[str, Any]]) -> str:
    """A fold that states run, profile, seed, data, device, commit, code and command of entries.

    Profile and device stand outside the fold, so that nobody takes one for another. What all
    entries share is said once; the rest is a table, one line per run.
    """
    present = origin.code_fingerprint()
    rows = [_stated(entry, present) for entry in entries]
    shared = [key for key in _STATED if len({row[key] for row in rows}) == 1]
    apart = [key for key in _STATED if key not in shared]
    said = "".join(
        f"<dt>{key}</dt><dd>{html.escape(rows[0][key])}</dd>" for key in shared if rows[0][key]
    )
    head = "".join(f"<th>{key}</th>" for key in apart)
    lines = ["".join(f"<td>{html.escape(row[key])}</td>" for key in apart) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    listed = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if apart else ""
    made = "; ".join(dict.fromkeys(f"{row['profile']}, {row['device']}" for row in rows))
    return (
        f'<details class="provenance"><summary>How this was made ({html.escape(made)})</summary>'
        f'<dl>{said}</dl><div style="overflow-x:auto">{listed}</div></details>'
    )


def _stated(entry: Mapping[str, Any], present: str) -> dict[str, str]:
    """One manifest in the words of the fold; what it does not say is empty.

    Args:
      present: fingerprint of the training code as it is now.
    """
    data = entry.get("data") or {}
    stated = {key: entry.get(key) for key in _STATED}
    stated["run"] = entry.get("name")
    stated["data"] = ", ".join(f"{label} {str(mark)[:12]}" for label, mark in data.items())
    commit = str(entry.get("git_commit") or "")[:12]
    code = entry.get("code") or ""
    stated["code"] = code[:12] + (" (made by other code)" if code not in ("", present) else "")
    stated["commit"] = commit + (" with local changes" if commit and entry.get("git_dirty") else "")
    return {key: "" if value is None else str(value) for key, value in stated.items()}
