"""Scales and open questions are read from the configs."""

import json
from dataclasses import replace

import polars as pl
import pytest

from birdiedna.experiments import paper_settings, profiles


@pytest.mark.parametrize(("slots", "found"), [(128, (124, 1, 19.0)), (1024, (1012, 4.75, 32.0))])
def test_short_rows_round_the_long_spans_to_a_single_one(slots, found):
    row = paper_settings.row_lengths(slots).filter(objective="infill_15_32")
    assert row.select("bases", "spans", "mean span").row(0) == found


def test_scales_are_those_of_the_profiles():
    scales = paper_settings.scales(profiles.profile("quick"))
    assert scales.columns == ["setting", "quick", "paper", "times"]
    table = {setting: row for setting, *row in scales.iter_rows()}
    assert table["row length (tokens)"] == ["128", "1,024", 8.0]
    assert table["pre-training tokens"][1] == "2,147,483,648"
    assert table["parameters"][1] == "17,175,040"
    # attention counts, so that operations are not parameters times tokens
    assert table["pre-training TFLOP"] == ["0.821412", "272,749", pytest.approx(332_049.07)]


def test_settings_that_are_neither_quick_nor_paper_have_a_column_of_their_own():
    scales = paper_settings.scales(profiles.profile("eighth"))
    assert scales.columns == ["setting", "quick", "here", "paper", "times"]
    assert scales.filter(pl.col("setting") == "pre-training steps")["here"].to_list() == ["2,048"]


def test_tasks_and_crops_of_own_rows_are_those_that_were_run(tmp_path):
    quick = profiles.profile("quick")
    for name, crop in (("one", None), ("two", [0, 63])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps({"task": name, "crop": crop}))
    folders = [tmp_path / "one", tmp_path / "two"]
    of_two = paper_settings.of_runs(quick, folders)
    assert of_two.crops == {300: (0, 63)}
    read = paper_settings.scales(of_two).rows_by_key("setting")["bases of a task that are read"]
    assert read[0][1] == "0 to 62 of 300"  # 63 bases
    own = paper_settings.of_runs(quick, folders[:1])
    here = dict(paper_settings.scales(own).select("setting", "here").iter_rows())
    assert (here["tasks"], here["bases of a task that are read"]) == ("1", "all")
    assert paper_settings.of_runs(quick, []) == quick


def test_choices_follow_the_config():
    settings = profiles.profile("paper")
    longer = replace(settings.pretrain["birdie"], slots=2048)
    changed = replace(settings, pretrain={**settings.pretrain, "birdie": longer})
    choice = {
        row["question"]: row["choice"] for row in paper_settings.ambiguities(changed).to_dicts()
    }
    assert choice["row length"] == "2,048 tokens"
    assert choice["layers"] == "4 blocks"
    assert "infilling's varies by one" in choice["how many spans a row holds"]
    assert "mean 16.25 (our choice)" in choice["selective copying"]


#: Entries for choices without a setting.
_ELSEWHERE = ("the program's own", "a profile's objectives", "--validation")
#: Settings that the paper states; those that change how, not what, is computed, or which the
#: paper's model has not; those of our own measurements.
_STATED = (
    *(f"pretrain.{name}" for name in ("steps", "rows", "optimizer.peak", "optimizer.final")),
    *(f"pretrain.model.{name}" for name in ("width", "heads", "head_width", "rope_base")),
    *("pretrain.objectives.prefix_lm_75.", "pretrain.objectives.infill_15_32."),
    *(f"finetune.{name}" for name in ("steps", "rows", "evaluate_every", "share", "optimizer.")),
    *(f"pretrain.{name}" for name in ("chunk_steps", "base_bits", "microbatches", "train")),
    *(f"pretrain.model.{name}" for name in ("attention", "recompute", "kv_heads", "rope_scaling")),
    *("finetune.model.", "probe.", "simulated_seeds", "remake", "device", "finetune_shares"),
)


def named(setting):
    return [] if setting.startswith(_ELSEWHERE) else setting.split(", ")


def test_every_choice_names_settings_that_can_be_set_or_says_that_there_is_none():
    settings = profiles.profile("paper")
    now = {usual(name): value for name, value in profiles.listed(settings).items()}
    now |= profiles.listed(settings)
    for setting in paper_settings.ambiguities(settings)["setting"]:
        for name in named(setting):
            profiles.profile("paper", [f"{name}={now[name]}"])


def test_every_setting_is_stated_by_the_paper_or_in_the_ledger():
    """A group of settings, such as those of an objective, is in the ledger if one of them is."""
    settings = profiles.profile("paper")
    alone = replace(settings, pretrain={"birdie": settings.pretrain["birdie"]})
    group = lambda name: name.rpartition(".")[0] if name.count(".") > 2 else name
    ledger = {
        group(name.replace(".birdie", ""))
        for setting in paper_settings.ambiguities(settings)["setting"]
        for name in named(setting)
    }
    unlisted = {name for name in profiles.listed(alone) if group(name) not in ledger}
    assert {name for name in unlisted if not name.startswith(_STATED)} == set()


def usual(name):
    """The name of a setting without its arm."""
    room, _, rest = name.partition(".")
    return f"{room}.{rest.partition('.')[2]}" if room == "pretrain" else name


def test_the_alternatives_of_the_ledger_can_be_set():
    changes = [
        *("pretrain.loss_average=row", "pretrain.objectives.copying.token=none"),
        *("pretrain.objectives.infill_50_3.sentinel_first=false", "causal=[]"),
        *("pretrain.objectives.deshuffling_50.mean_span=1", "finetune.head=pooled"),
        *("pretrain.objectives.selective_copying_15.context_first=1.0", "pretrain_seeds=[0,1]"),
        "pretrain.objectives.prefix_lm_75.token=null",
    ]
    changed = profiles.profile("paper", changes)
    objectives = dict(changed.pretrain["birdie"].objectives)
    assert objectives["copying"].token is objectives["prefix_lm_75"].token is None
    assert changed.causal == ()
    assert not objectives["infill_50_3"].sentinel_first
    changed.pretrain["birdie"].mixture()  # all fit the row
