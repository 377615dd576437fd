"""Scales and open questions are read from the configs."""

from dataclasses import replace

import polars as pl

from birdiedna.experiments import paper_settings, profiles


def test_short_rows_round_the_long_spans_to_a_single_one():
    found = {
        slots: paper_settings.row_lengths(slots).row(
            by_predicate=pl.col("objective") == "infill_15_32", named=True
        )
        for slots in (128, 1024)
    }
    assert (found[128]["bases"], found[128]["spans"], found[128]["mean span"]) == (124, 1, 19.0)
    assert (found[1024]["bases"], found[1024]["spans"], found[1024]["mean span"]) == (
        1012,
        4.75,
        32.0,
    )


def test_scales_are_those_of_the_profiles():
    scales = paper_settings.scales(profiles.profile("quick"))
    assert scales.columns == ["setting", "quick", "paper", "times"]
    table = {setting: row for setting, *row in scales.iter_rows()}
    assert table["row length (tokens)"] == ["128", "1,024", 8.0]
    assert table["pre-training tokens"][1] == "2,147,483,648"
    assert table["parameters"][1] == "17,175,040"


def test_settings_that_are_neither_quick_nor_paper_have_a_column_of_their_own():
    scales = paper_settings.scales(profiles.profile("eighth"))
    assert scales.columns == ["setting", "quick", "here", "paper", "times"]
    assert scales.filter(pl.col("setting") == "pre-training steps")["here"].to_list() == ["2,048"]


def test_choices_follow_the_config():
    settings = profiles.profile("paper")
    longer = replace(settings.pretrain["birdie"], slots=2048)
    changed = replace(settings, pretrain={**settings.pretrain, "birdie": longer})
    choice = {
        row["question"]: row["choice"] for row in paper_settings.ambiguities(changed).to_dicts()
    }
    assert choice["row length"] == "2,048 tokens"
    assert choice["“four layers”"] == "4 blocks"
    assert "infilling's varies by one" in choice["how many spans a row holds"]
    assert "mean 16.25 (our choice)" in choice["selective copying"]


#: Entries for choices without a setting.
_ELSEWHERE = ("the program's own", "a profile's objectives")


def test_every_choice_names_a_setting_that_can_be_set_or_says_that_there_is_none():
    settings = profiles.profile("paper")
    known = {path for name in profiles.named.every(settings) for path in (name, usual(name))}
    for question, setting in paper_settings.ambiguities(settings)[["question", "setting"]].rows():
        assert setting in known or setting.startswith(_ELSEWHERE), question


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
    ]
    changed = profiles.profile("paper", changes)
    objectives = dict(changed.pretrain["birdie"].objectives)
    assert objectives["copying"].token is None and changed.causal == ()
    assert not objectives["infill_50_3"].sentinel_first
    changed.pretrain["birdie"].mixture()  # all fit the row
