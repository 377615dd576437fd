"""Profiles, the settings of all arms: values here, or JSON files of users.

`paper` has the paper's sizes; `quick` runs the same code in minutes on two cores. Single settings
are changed by name (`changed`): in a file, by `--set`, or by the parameter `changes` of a chapter.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from birdiedna.data.names import meant, shell
from birdiedna.data.stored import read_json
from birdiedna.director.director import Birdie, Fixed, evaluations, even, ul2r
from birdiedna.director.reward_model import Fit, RewardModel
from birdiedna.evaluation.paper_table import PRETRAINED
from birdiedna.experiments import config_json, results
from birdiedna.experiments import settings as named
from birdiedna.model.fields import check_types
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives.definitions import BIRDIE_DNA, CLASSES, MLM, NTP
from birdiedna.training import devices, run_folder
from birdiedna.training.finetune import FinetuneConfig
from birdiedna.training.optimizer import OptimizerConfig
from birdiedna.training.pretrain import PretrainConfig
from birdiedna.training.probe import ProbeConfig

ARMS = (*PRETRAINED, "random")


@dataclass(frozen=True)
class Profile:
    """The settings of all runs.

    tasks: of the sample, () for all. crops: length of a task's rows in bases -> the part that is
    read, (start, stop). remake: whether runs of other code are repeated. device: what runs need.
    causal: arms that are fine-tuned as they were pre-trained, without later bases. probe: its model
    is that of `finetune`. finetune_shares: smaller shares of the train rows, fine-tuned in addition
    to that of `finetune`.

    base, changes: the values of `--profile` and `--set` that give this profile. follows: settings
    that changed with them.
    """

    name: str
    pretrain: Mapping[str, PretrainConfig]
    finetune: FinetuneConfig
    finetune_seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    crops: Mapping[int, tuple[int, int]]
    simulated_seeds: int
    remake: bool
    device: str
    causal: tuple[str, ...] = ("ntp",)
    probe: ProbeConfig = ProbeConfig(classes=2)
    pretrain_seeds: tuple[int, ...] = (0,)
    finetune_shares: tuple[float, ...] = ()
    base: str = ""
    changes: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        devices.known(self.device)
        if not self.pretrain:
            raise ValueError("pretrain has no arm")
        for name in ("pretrain_seeds", "finetune_seeds", "finetune_shares", "tasks", "causal"):
            given = getattr(self, name)
            if twice := [one for one in given if given.count(one) > 1]:
                raise ValueError(f"{name} names {twice[0]!r} twice; leave one out")
            if "seeds" in name and not (given and all(0 <= seed < 2**32 for seed in given)):
                raise ValueError(f"{name} {given}: give one or more, from 0 to {2**32 - 1}")
        if wrong := [one for one in self.finetune_shares if not 0 < one < self.finetune.share]:
            most = self.finetune.share
            raise ValueError(f"finetune_shares: {wrong[0]} is not above 0 and below {most:g}")
        if not 1 <= self.simulated_seeds <= 1_000:
            raise ValueError(f"simulated_seeds {self.simulated_seeds:,}: give 1 to 1,000")
        for length, (start, stop) in self.crops.items():
            if not 0 <= start < stop <= length:
                raise ValueError(f"crops: {start}-{stop} is no part of {length} bases")
        if unknown := {*self.causal} - {*self.pretrain, *ARMS}:
            known = ", ".join(dict.fromkeys([*self.pretrain, *ARMS]))
            raise ValueError(f"causal: unknown arm {min(unknown)!r}; choose some of {known}")
        own = self.finetune.model
        for arm, config in self.pretrain.items():
            like = config.model.computed_like(own)
            if differ := [n for n, size in vars(own).items() if getattr(like, n) != size]:
                raise ValueError(
                    f"pretrain.{arm}.model has {differ[0]} {getattr(like, differ[0])}, and "
                    f"finetune.model {getattr(own, differ[0])}, which starts from its weights; set "
                    f"pretrain.model.{differ[0]}, for all arms alike"
                )


def _arms(base: PretrainConfig) -> dict[str, PretrainConfig]:
    return {
        "birdie": base,
        "ntp": replace(base, director=Fixed((1.0,)), objectives=tuple(NTP.items())),
        "uniform": replace(base, director=even(CLASSES)),
        "ul2r": replace(base, director=ul2r(CLASSES)),
        "mlm": replace(base, director=Fixed((1.0,)), objectives=tuple(MLM.items())),
    }


_PAPER = PretrainConfig(
    director=Birdie(CLASSES),
    objectives=tuple(BIRDIE_DNA.items()),
    evaluations=tuple(evaluations(16_384)),
    validation=("chr8",),
    model=ModelConfig(compute="bfloat16"),
)

_EIGHTH = replace(_PAPER, evaluations=tuple(evaluations(2_048, every=64)), steps=2_048)

_QUICK = replace(
    _PAPER,
    director=Birdie(
        CLASSES,
        model=RewardModel(width=32, state=64, blocks=2),
        fit=Fit(rows=16, iterations=50, peak=1e-3),
        candidates=512,
        warmup_steps=80,
    ),
    evaluations=tuple(range(40, 241, 40)),
    model=ModelConfig(width=64, blocks=2, heads=2, head_width=32, mlp_width=128),
    optimizer=OptimizerConfig(peak=3e-3, final=1e-5),
    slots=128,
    rows=32,
    steps=240,
    chunk_steps=20,
    evaluation_rows=64,
)

_FULL = Profile(
    name="paper",
    pretrain=_arms(_PAPER),
    finetune=FinetuneConfig(classes=2, model=_PAPER.model),
    finetune_seeds=(0, 1, 2),
    tasks=(),
    crops={},
    simulated_seeds=10,
    remake=False,
    device="accelerator",
    pretrain_seeds=(0, 1, 2),
)

PROFILES = {
    "quick": Profile(
        name="quick",
        pretrain=_arms(_QUICK),
        finetune=FinetuneConfig(
            classes=2,
            model=_QUICK.model,
            optimizer=OptimizerConfig(peak=2e-3, final=2e-3, warmup=0.0, weight_decay=0.0),
            steps=60,
            evaluate_every=30,
        ),
        finetune_seeds=(0, 1, 2),
        tasks=("promoter_all", "splice_sites_donors", "splice_sites_donors_decoy"),
        crops={300: (0, 63), 600: (268, 331)},  # with `<start>`, rows of 64 slots
        simulated_seeds=5,
        remake=True,
        device="any",
    ),
    "eighth": replace(
        _FULL,
        name="eighth",
        pretrain_seeds=(0,),
        pretrain=_arms(_EIGHTH),
        finetune=replace(_FULL.finetune, steps=1_024, evaluate_every=128),
    ),
    "paper": _FULL,
}


def profile(name: str, changes: Sequence[str] = ()) -> Profile:
    """The profile of this name, with changes.

    Args:
      name: of a profile or of results, or a JSON file: a whole profile (`birdiedna settings
        --json` prints one), or changes of another, as `{"base": "paper", "pretrain.steps": 2048}`.
        A file names its profile.
      changes: `NAME=VALUE` texts, as for `--set`.

    Raises:
      ValueError: no profile or results of this name; a file that is no profile; or as `changed`.
    """
    more = named.words(changes)
    return _of_file(Path(name), more) if name.endswith(".json") else changed(_known(name), more)


def _known(name: str) -> Profile:
    """The profile of this name, else that of results."""
    if name in PROFILES:
        return PROFILES[name]
    known = list(dict.fromkeys([*PROFILES, *results.names()]))
    if name not in known:
        hint = f"{meant(name, known)}choose one of {', '.join(known)}, or a file .json"
        raise ValueError(f"unknown profile {name[:100]!r}; {hint}")
    return replace(of_results(name), base="", changes=(), follows=())


def _of_file(path: Path, more: Mapping[str, named.Word]) -> Profile:
    """The profile of a file; changes of `more` override those in the file."""
    name = run_folder.plain(run_folder.profile_name(path.name))
    if not path.is_file():
        how = "name another"
        if name in results.names():  # whose stored commands name this file
            how = f"write it: birdiedna settings --profile {name} --json > {shell(str(path))}"
        raise ValueError(f"profile {path}: there is no such file; {how}")
    if name in PROFILES:
        raise ValueError(f"{path}: {name!r} is the name of a profile; rename the file")
    stored = read_json(path, {}, "correct it")
    base = stored.pop("base", None)
    try:
        if base is None and "pretrain" not in stored:
            near = [key for key in stored if meant(key, ["base"])]
            hint = f"did you mean 'base' by {near[0]!r}? " if near else ""
            raise ValueError(
                f'{hint}name the profile that is changed, as "base": "paper"; `birdiedna settings '
                "--json` prints a whole profile"
            )
        if not isinstance(base, str | None) or (base or "").endswith(".json"):
            raise ValueError(f'base {base!r} is not the name of a profile, as "paper"')
        whole = {**stored, "name": name, "base": path.name}
        known = _known(base) if base else config_json.build(Profile, whole, "profile")
        own = named.flat(stored) if base else {}
        changed(known, own)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return replace(changed(known, {**own, **more}), name=name, base=base or path.name)


def check_arm(arm: str, known: Sequence[str]) -> None:
    """Raise a ValueError, which names the known arms, for an unknown one."""
    if arm not in known:
        raise ValueError(f"unknown arm {arm!r}; choose one of {', '.join(known)}")


def of_results(name: str) -> Profile:
    """The profile that results were made with; errors as in `config_json.parse`."""
    return config_json.build(Profile, results.read(name)["profile"], f"results {name}")


#: Settings that cannot be set, and what decides them.
_DECIDED = {
    "name": "a profile is called like its file",
    "base": "it is the value of `--profile`",
    "changes": "they are the values of `--set`",
    "follows": "they follow from other settings",
    "pretrain.validation": "name contigs with `--validation`",
    "finetune.classes": "they are those of the task",
    "finetune.bidirectional": "set `causal`, the arms that do not see later bases",
    "probe.classes": "they are those of the task",
    "probe.bidirectional": "set `causal`, the arms that do not see later bases",
    "probe.model": "it is `finetune.model`",
}


def _decided(name: str) -> str:
    """Why a setting, or one that contains it, cannot be set; "" if it can."""
    above = (said for path, said in _DECIDED.items() if f"{name}.".startswith(f"{path}."))
    return next(above, "")


def changed(base: Profile, changes: Mapping[str, Any]) -> Profile:
    """A profile with other settings, which it records.

    A name is a dotted path. `pretrain.steps` sets all arms that have it; `pretrain.birdie.steps`
    sets one arm and wins. These follow, unless they are set themselves:

    - evaluations and the director's warm-up keep their shares of `pretrain.steps`, evaluations in
      whole chunks; `finetune.evaluate_every` keeps about its share of `finetune.steps`;
    - `finetune.model` follows `pretrain.model`;
    - of `finetune_shares` those below `finetune.share` stay;
    - a constant learning rate stays constant: `peak` and `final` follow each other;
    - an arm whose `pretrain.ARM.bidirectional` is set to false is `causal`.

    Args:
      changes: name -> value from JSON, or `settings.Word`.

    Raises:
      ValueError: an unknown setting, one that cannot be set, a value of another type, or one that a
        config rejects; the message names the setting.
    """
    every = named.every(base)
    names = _grouped(base, every) | {path: [path] for path in every}
    new: dict[str, Any] = {}
    for name, value in sorted(changes.items(), key=lambda change: change[0] in every):
        usual = _of_all_arms(base, name)
        if why := _decided(usual):
            raise ValueError(f"{name} cannot be set: {why}")
        if name not in names:
            raise named.unknown(name, [one for one in names if not _decided(one)])
        new |= {path: named.converted(value, every[path].hint, name) for path in names[name]}
    for path in new:
        if inner := [other for other in new if other.startswith(f"{path}.")]:
            raise ValueError(f"{path} and {inner[0]} are both set; set one of them")
    above = lambda path: any(f"{path}.".startswith(f"{other}.") for other in new)
    follows = {
        path: value
        for path, value in _follows(base, new).items()
        if value != every[path].value and not above(path)
    }
    return replace(
        named.rebuilt(base, {**follows, **new}),
        changes=tuple(named.word(name, value) for name, value in changes.items()),
        follows=tuple(named.word(n, _short(v)) for n, v in _by_arms(base, follows).items()),
    )


def summary(found: Profile) -> str:
    """The changed settings and those that follow, in a line; empty if there are none."""
    also = f"; with it: {', '.join(found.follows)}" if found.follows else ""
    return f"settings changed: {', '.join(found.changes)}{also}" if found.changes else ""


def changes_of(found: Profile, kind: str, arm: str) -> tuple[str, ...]:
    """The changes that runs of this kind and arm may depend on."""

    def matters(change: str) -> bool:
        name = change.partition("=")[0]
        room, _, rest = name.partition(".")
        of = rest.partition(".")[0]
        if kind != "pretrain" and f"{_of_all_arms(found, name)}.".startswith("pretrain.model."):
            return True  # `finetune.model` follows that of any arm
        if room == "pretrain":
            return of == arm or of not in found.pretrain
        if (room, of) == ("finetune", "model") or room in ("causal", "crops"):
            return kind != "pretrain"
        return room == kind

    return tuple(filter(matters, found.changes))


def listed(found: Profile) -> dict[str, str]:
    """All settings that can be set: name -> value as text; by arm if arms differ."""
    every = {path: run_folder.to_json(one.value) for path, one in named.every(found).items()}
    plain = {
        path: value
        for path, value in every.items()
        if not (isinstance(value, dict) or path.endswith(".objectives"))
        and not _decided(_of_all_arms(found, path))
    }
    shown = _by_arms(found, plain).items()
    return {name: named.word(name, value).partition("=")[2] for name, value in shown}


def to_file(found: Profile) -> dict[str, Any]:
    """The contents of a file of the whole profile, as JSON values."""
    stored = run_folder.to_json(found)
    return {name: value for name, value in stored.items() if name not in ("type", *_DECIDED)}


def _of_all_arms(base: Profile, name: str) -> str:
    """The name of a setting without its arm."""
    room, _, rest = name.partition(".")
    arm, _, last = rest.partition(".")
    return f"{room}.{last}" if room == "pretrain" and arm in base.pretrain and last else name


def _grouped(base: Profile, paths: Iterable[str]) -> dict[str, list[str]]:
    """Paths by the name of their setting for all arms."""
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(_of_all_arms(base, path), []).append(path)
    return found


def _follows(base: Profile, new: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that follow from those in `new`, by path; `new` may contain them too."""
    found: dict[str, Any] = {}
    causal = dict.fromkeys(base.causal)
    for arm, config in base.pretrain.items():
        at = f"pretrain.{arm}"
        found |= _rounds(config, at, new)
        found |= _constant(config.optimizer, f"{at}.optimizer", new)
        model = [path for path in new if f"{path}.".startswith(f"{at}.model.")]
        found |= {path.replace(at, "finetune", 1): new[path] for path in model}
        if new.get(f"{at}.bidirectional") is False:
            causal[arm] = None
    tune = base.finetune
    if (steps := new.get("finetune.steps", tune.steps)) != tune.steps:
        usual = tune.steps // tune.evaluate_every
        counts = [count for count in range(1, 4 * usual + 1) if not steps % count]
        nearest = min(counts, key=lambda count: abs(math.log(count / usual)))
        found["finetune.evaluate_every"] = steps // nearest
    found |= _constant(base.finetune.optimizer, "finetune.optimizer", new)
    if (share := new.get("finetune.share", tune.share)) != tune.share:
        found["finetune_shares"] = tuple(one for one in base.finetune_shares if one < share)
    return found | {"causal": tuple(causal)}


def _rounds(config: PretrainConfig, at: str, new: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluations and warm-up of an arm, scaled with its steps."""
    steps, chunk = (new.get(f"{at}.{n}", getattr(config, n)) for n in ("steps", "chunk_steps"))
    if (steps, chunk) == (config.steps, config.chunk_steps) or min(steps, chunk) < 1:
        return {}
    if steps % chunk:
        below = steps // chunk * chunk
        raise ValueError(
            f"pretrain.steps={steps} is no multiple of pretrain.chunk_steps={chunk}; take "
            f"{f'{below} or ' if below else ''}{below + chunk}"
        )
    share = steps / config.steps
    due = {max(1, math.floor(step * share / chunk + 0.5)) * chunk for step in config.evaluations}
    found: dict[str, Any] = {f"{at}.evaluations": tuple(sorted(due))}
    if isinstance(config.director, Birdie):
        found[f"{at}.director.warmup_steps"] = round(config.director.warmup_steps * share)
    return found


def _constant(config: OptimizerConfig, at: str, new: Mapping[str, Any]) -> dict[str, Any]:
    """The other end of a constant learning rate."""
    given = {n: new[f"{at}.{n}"] for n in ("peak", "final") if f"{at}.{n}" in new}
    if config.peak != config.final or len(given) != 1:
        return {}
    ((name, value),) = given.items()
    return {f"{at}.{'final' if name == 'peak' else 'peak'}": value}


def _by_arms(base: Profile, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name of a setting if they are equal for all arms, else by path."""
    joined: dict[str, Any] = {}
    for name, paths in _grouped(base, values).items():
        first = values[paths[0]]
        alike = all(values[path] == first for path in paths)
        joined |= {name: first} if alike else {path: values[path] for path in paths}
    return joined


def _short(value: Any) -> Any:
    if not isinstance(value, tuple):
        return run_folder.to_json(value)
    texts = [str(item) for item in value]
    return ",".join([*texts[:2], "...", texts[-1]] if len(texts) > 4 else texts)
