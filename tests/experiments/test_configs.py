"""Configs survive JSON; wrong ones are refused by name before anything compiles."""

import copy
import json
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdiedna.director.director import Birdie, Recorded, even
from birdiedna.experiments import config_json, profiles
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives.definitions import NTP
from birdiedna.tasks import Columns, Reading, build
from birdiedna.training import run_folder
from birdiedna.training.optimizer import OptimizerConfig

QUICK = profiles.PROFILES["quick"].pretrain["birdie"]
ALL = {
    f"{name} {arm}": config
    for name, profile in profiles.PROFILES.items()
    for arm, config in {**profile.pretrain, "finetune": profile.finetune}.items()
}


def through_json(config):
    return json.loads(json.dumps(run_folder.to_json(config)))


@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
def test_every_config_of_every_profile_survives_json(config):
    read = config_json.parse(through_json(config))
    assert read == config and run_folder.fingerprint(read) == run_folder.fingerprint(config)


sizes = st.integers(1, 64)
rates = st.floats(1e-6, 0.1)


@pytest.mark.promise("Numbers: laws hold for random input")
@given(
    st.builds(ModelConfig, width=sizes, blocks=sizes, heads=sizes, mlp_width=sizes),
    st.builds(OptimizerConfig, peak=rates, final=st.just(1e-7), clip=rates),
    st.lists(st.integers(0, 3), min_size=7, max_size=7),
)
def test_any_sizes_survive_json(model, optimizer, classes):
    config = replace(
        QUICK, model=model, optimizer=optimizer, director=Birdie(tuple(classes), warmup_steps=80)
    )
    assert config_json.parse(through_json(config)) == config


def changed(path, value):
    """The quick config as JSON with one value changed; `...` removes it."""
    data = through_json(QUICK)
    place = data
    *way, last = path
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


@pytest.mark.promise("Settings: what is wrong in a config is refused by name before it runs")
@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["stepz"], 5, r"config: PretrainConfig has no field 'stepz'; did you mean 'steps'\?"),
        (["model", "n_l"], 5, "config.model: ModelConfig has no field 'n_l'; it has vocab"),
        (["director"], ..., "PretrainConfig needs a value for 'director'"),
        (["steps"], "400", "config.steps: '400' must be of type int; write 400 without quotes"),
        (["steps"], 400.0, "config.steps: 400.0 must be of type int$"),
        (["steps"], True, "config.steps: True must be of type int"),
        (["optimizer", "peak"], "5e-5", "peak: '5e-5' must be of type float; write 5e-5 without"),
        (["optimizer", "peak"], float("nan"), "peak: nan is not a finite number"),
        (["optimizer", "peak"], None, "peak: None must be of type float"),
        (["optimizer", "peak"], 1e-9, r"config.optimizer: learning rates need 0 < final"),
        (["bidirectional"], "no", "bidirectional: 'no' must be of type bool"),
        (["evaluations"], 400, "config.evaluations: 400 must be a list"),
        (["evaluations", 2], "120", r"evaluations\[2\]: '120' must be of type int"),
        (["evaluations", 0], 7, "must be multiples of 20, the chunk"),
        (["rows"], 0, "must be at least 1"),
        (["model"], {"type": "Mamba"}, "config.model: 'Mamba' is none of the types"),
        (["model"], 5, "config.model: 5 is none of the types"),
        (["director", "floor"], 2.0, "are probabilities"),
        (["objectives", 0], ["copying"], r"objectives\[0\]: .* must have 2 entries"),
    ],
)
def test_a_wrong_value_is_refused_by_name(path, value, message):
    with pytest.raises(ValueError, match=message) as caught:
        config_json.parse(changed(path, value))
    assert "\n" not in str(caught.value)


@pytest.mark.promise("Settings: what is wrong in a config is refused by name before it runs")
@given(st.data())
def test_no_field_takes_a_value_of_another_kind(data):
    plain = changed(["steps"], QUICK.steps)
    name = data.draw(st.sampled_from(sorted(set(plain) - {"type"})))
    value = data.draw(st.sampled_from(["x", {}, {"type": "None"}, [[]], b"1", object()]))
    broken = copy.copy(plain) | {name: value}
    with pytest.raises(ValueError, match=f"config.*{name}|needs|has no field"):
        config_json.parse(broken)


@pytest.mark.promise("Settings: what is wrong in a config is refused by name before it runs")
def test_a_config_is_read_from_its_folder_unless_a_field_is_repeated(tmp_path):
    record = {"kind": "pretrain", "seed": 3, **run_folder.to_json(QUICK)}
    run_folder.write_json(tmp_path / "config.json", record)
    assert config_json.read(tmp_path) == QUICK
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"slots":', '"rows": 9, "slots":'))
    with pytest.raises(ValueError, match="field 'rows' occurs twice; delete one"):
        config_json.read(tmp_path)
    with pytest.raises(ValueError, match="contains no config.json; give a folder"):
        config_json.read(tmp_path / "none")
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    with pytest.raises(ValueError, match="not that of a run; give a folder that `birdiedna pre"):
        config_json.read(tmp_path)  # a folder of `birdiedna export`


CONFIGS = [QUICK, QUICK.director, QUICK.director.reward, QUICK.director.fit]
CONFIGS += [QUICK.model, QUICK.director.model, *dict(QUICK.objectives).values(), *NTP.values()]
CONFIGS += [Reading(), Columns(), build.Plan(), profiles.PROFILES["quick"]]
CONFIGS += [OptimizerConfig(), profiles.PROFILES["quick"].probe]
CONFIGS += [profiles.PROFILES["quick"].finetune, even((0, 1)), Recorded((0,), ((1.0,),))]


@pytest.mark.promise("Settings: what is wrong in a config is refused by name before it runs")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_python_values_that_no_field_can_hold_are_refused_by_name(config):
    for field in fields(config):
        value = getattr(config, field.name)
        others = [[value], {1: 1j}, type(value)]
        if not isinstance(value, str):
            others += ["64"]
        if not isinstance(value, bool):
            others += [True]
        if isinstance(value, tuple):
            others += [list(value), np.array(value, object), "chr8", (*value, []), (*value, 1j)]
        if isinstance(value, float):
            others += [float("nan"), float("inf")]
        for other in others:
            with pytest.raises(ValueError) as caught:
                replace(config, **{field.name: other})
            assert str(caught.value).startswith(f"{field.name} "), caught.value
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [QUICK, *CONFIGS[-4:-2]])
def test_a_size_of_a_model_that_no_field_can_hold_is_refused(config):
    with pytest.raises(ValueError, match="recompute 'no' is of type str; give a value of type boo"):
        replace(config, model=replace(config.model, recompute="no"))


def test_numbers_of_numpy_are_recorded_as_plain_ones():
    one = replace(
        QUICK,
        steps=np.int64(QUICK.steps),
        evaluations=tuple(np.array(QUICK.evaluations)),
        bidirectional=np.bool_(QUICK.bidirectional),
    )
    assert through_json(one) == through_json(QUICK)


def test_whole_numbers_in_place_of_floats_are_the_same_config():
    clip = lambda value: run_folder.fingerprint(replace(QUICK.optimizer, clip=value))
    scaling = lambda *four: run_folder.fingerprint(ModelConfig(rope_scaling=four))
    assert clip(1) == clip(1.0) and scaling(8, 1, 4, 8192) == scaling(8.0, 1.0, 4.0, 8192.0)


def test_a_number_too_large_for_a_float_is_refused_by_its_bound():
    with pytest.raises(ValueError, match="^steps 1[0,]* are more than"):
        replace(QUICK, steps=10**400)


@pytest.mark.parametrize("scaling", [[8.0, 1.0, 4.0, 8192.0], [], "abcd", (1.0, float("nan"), 2.0)])
def test_a_scaling_that_cannot_be_hashed_or_compared_is_refused(scaling):
    with pytest.raises(ValueError, match="rope_scaling .* is (of type|not finite)"):
        ModelConfig(rope_scaling=scaling)
    with pytest.raises(ValueError, match="rope_base nan is not finite"):
        ModelConfig(rope_base=float("nan"))
