"""Charts of the director, on numbers worked out by hand."""

import json

import drawing
import numpy as np
import polars as pl
import pytest
from made_runs import every

from birdiedna.director.simulate import Trajectory
from birdiedna.evaluation import directors, frames
from birdiedna.figures import explorables, reward
from birdiedna.objectives.definitions import BIRDIE_DNA


def made_up(seeds, shift=0.0):
    """A trajectory of random numbers that differ between seeds."""
    rng, rounds, n = np.random.default_rng(0), 35, 7
    ratios = rng.dirichlet(np.ones(n), (seeds, rounds))
    total = rng.uniform(0, 1, (seeds, rounds)) + shift
    return Trajectory(
        steps=np.tile(np.arange(rounds + 1) * 512, (seeds, 1)),
        losses=rng.uniform(0.1, 1, (seeds, rounds + 1, n)),
        ratios=ratios,
        explored=rng.uniform(size=(seeds, rounds)) < 0.3,
        rewards=np.repeat(total[:, :, None] / n, n, axis=2),
        total=total,
        predicted=2 * total,
        final=rng.uniform(0.1, 0.5, seeds) - shift,
    )


def every_round(seeds):
    keys = [(world, name) for world in directors.WORLDS for name in reward.DIRECTOR_COLOURS]
    shift = {directors.LEARNED: 0.1}
    return directors.frame({key: made_up(seeds, shift=shift.get(key[1], 0.0)) for key in keys})


@pytest.fixture(scope="module")
def rounds():
    return every_round(3)


def test_directors_are_compared_with_paired_seeds():
    ended = pl.DataFrame(
        {
            "world": ["w"] * 4,
            "director": ["a", "a", directors.UNIFORM, directors.UNIFORM],
            "seed": [0, 1, 1, 0],
            "reward": [3.0, 13.0, 10.0, 0.0],
            "loss": [0.1, 0.2, 0.4, 0.3],
        }
    )
    assert directors.differences(ended)["gap"].to_list() == pytest.approx([-0.2] * 2)
    compared = directors.comparison(ended)
    assert compared.drop("loss difference").rows() == [
        ("w", "a", 8.0, pytest.approx(0.15), "+3.0 (+3.0 to +3.0)", "lower"),
        ("w", directors.UNIFORM, 5.0, pytest.approx(0.35), None, None),
    ]
    still = ended.with_columns(loss=pl.Series([0.3 - 1e-9, 0.4 - 1e-9, 0.4, 0.3]))
    text = directors.comparison(still)["loss difference"][0]
    assert text == "+0.000 (+0.000 to +0.000)"  # zero has no minus sign
    lower = ended.with_columns(loss=pl.Series([0.3 - 2e-4, 0.4 - 2e-4, 0.4, 0.3]))
    text = directors.comparison(lower)["loss difference"][0]
    assert text == "-0.0002 (-0.0002 to -0.0002)"  # nor is a loss that is lower called higher


@pytest.mark.parametrize(
    ("gaps", "word"),
    [((-2, -2.1), "lower"), ((2, 2.1), "higher"), ((-1, 1.1), "not clearly different")],
)
def test_text_about_final_losses_follows_the_interval(gaps, word):
    assert directors.judged(np.array(gaps)) == word


def test_shares_have_one_row_per_objective_and_sum_to_one(rounds):
    one = rounds.filter(director=directors.LEARNED, seed=0, world="Two helpers")
    for _, column in reward.shares(one).group_by("start"):
        assert column["objective"].n_unique() == len(BIRDIE_DNA)
        assert column["ratio"].sum() == pytest.approx(1, abs=1e-3)


def test_agreement_is_perfect_if_predictions_keep_the_order(rounds):
    agreement = directors.agreement(directors.foreseen(rounds))
    assert agreement.select("all rounds", "chosen rounds").row(0) == pytest.approx((1, 1))


def test_foreseen_rounds_exclude_the_warm_up(rounds):
    assert directors.foreseen(rounds)["end"].min() > 256


def test_early_rounds_are_counted_by_absolute_reward():
    found = pl.DataFrame({"end": [3, 1, 2, 1], "reward": [0.1, -4.0, 0.9, 5.0]})
    assert directors.early(found, 0.9) == (1, pytest.approx(0.9))
    assert directors.early(found, 0.95) == (2, pytest.approx(0.99))


def test_ends_have_the_total_reward_in_every_world(rounds):
    ended = directors.ends(rounds)
    assert ended["world"].unique(maintain_order=True).to_list() == list(directors.WORLDS)
    assert ended.height == len(directors.WORLDS) * len(reward.DIRECTOR_COLOURS) * 3
    assert ended["reward"][0] == pytest.approx(made_up(3, shift=0.1).total[0].sum())


@pytest.mark.parametrize("seeds", [5, 10, 240])
def test_charts_of_all_worlds_draw_and_say_which_seeds(seeds):
    rounds = every_round(seeds)
    worlds = reward.worlds(directors.ends(rounds))
    for chart in (worlds, reward.one_world(rounds, directors.foreseen(rounds))):
        assert (f" of {seeds} seeds" in drawing.check(chart).text) == (seeds == 240)
    drawn = [row["mean"] for row in drawing.drawn(worlds).rows if row.get("mean") is not None]
    gaps = directors.differences(directors.ends(rounds)).group_by("world", "director").mean()
    assert sorted(drawn) == pytest.approx(sorted(gaps["gap"]), abs=1e-6)  # of all seeds


def test_one_menu_controls_all_views_of_a_world(rounds):
    spec = reward.one_world(rounds, directors.foreseen(rounds)).to_dict()
    assert [param["name"] for param in spec["params"]] == ["world"]
    assert len(spec["vconcat"]) == 2
    for view in spec["vconcat"]:
        assert "datum.world == world" in json.dumps(view)


def test_titles_of_worlds_state_their_room(rounds):
    rooms = {title: round(directors.room(title), 3) for title in directors.WORLDS}
    assert 0 < rooms["Each for itself"] < rooms["Like nucleotides"] < 0.03
    assert rooms["DNA with room"] > 5 * rooms["Like nucleotides"]
    drawn = drawing.drawn(reward.worlds(directors.ends(rounds))).rows
    titles = {row["world"] for row in drawn if "world" in row}
    assert titles == {f"{title} ({room:.3f})" for title, room in rooms.items()}


@pytest.fixture
def run(tmp_path):
    """A run folder with two rounds, of which the second explores."""
    names = list(BIRDIE_DNA)
    even_split = dict.fromkeys(names, 1 / 7)
    events = []
    for start, end, explored in ((0, 40, False), (40, 80, True)):
        decided = {"ratios": even_split, "predicted_rewards": dict.fromkeys(names), "step": start}
        decided |= {"explored": explored, "predicted_reward": None}
        events.append({"event": "decision", **decided})
        earned = {name: end / 100 for name in names}
        shares = {"rows_share": even_split, "loss_tokens_share": even_split}
        events.append({"event": "reward", "step": end, "reward": 1, "rewards": earned, **shares})
    for step in (0, 40, 80):
        losses = dict.fromkeys([*names, "next_token"], 2 - step / 100)
        events.append({"event": "evaluation", "step": step, "losses": losses})
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "run", "arm": "birdie", "seed": 0}))
    config = {"objectives": [[name, {"type": "any"}] for name in names]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")
    return tmp_path


def test_rounds_of_a_run_have_ratios_and_exploration(run):
    rounds = frames.rounds([run]).group_by("start", "end", "explored", maintain_order=True)
    found = rounds.agg(pl.col("ratio").sum().round(6)).rows()
    assert found == [(0, 40, False, 1), (40, 80, True, 1)]
    played = explorables.loop(run)["rounds"]
    first = [(one["before"][0], one["after"][0], one["rewards"][0]) for one in played]
    assert first == [(2.0, 1.6, 0.4), (1.6, 1.2, 0.8)]


def test_the_loop_names_the_objectives_of_its_run(run):
    assert explorables.loop(run)["objectives"] == [*BIRDIE_DNA]
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    for event in events:
        for field in ("ratios", "predicted_rewards", "rewards", "rows_share", "loss_tokens_share"):
            if field in event:
                event[field] = {name: event[field][name] for name in ("copying", "prefix_lm_75")}
    (run / "events.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")
    found = explorables.loop(run)
    assert found["names"] == ["Copying", "Prefix LM"]
    assert all(len(one["ratios"]) == len(one["before"]) == 2 for one in found["rounds"])


def test_heat_map_of_a_long_run_says_which_rounds_it_draws():
    rounds = every(end=range(1, 5001), objective=BIRDIE_DNA).with_columns(reward=0.1, explored=True)
    drawn = drawing.check(reward.rewards_by_round(rounds))
    assert " of 5,000 rounds" in drawn.text
    assert {1, 5000} <= {row["round"] for row in drawn.rows}


def test_heat_map_has_all_rounds_and_objectives_and_marks_exploration(run):
    found = drawing.drawn(reward.rewards_by_round(frames.rounds([run]))).rows
    assert len([row for row in found if "size" in row]) == 14
    assert [row["round"] for row in found if "size" not in row] == [2]
