"""What the figures about the director show, on numbers worked out by hand."""

import json

import numpy as np
import polars as pl
import pytest
from scipy import stats

from birdiedna.director import simulate
from birdiedna.director.director import even
from birdiedna.director.simulate import Trajectory
from birdiedna.figures import reward, simulations
from birdiedna.objectives.definitions import BIRDIE_DNA, CLASSES

TITLES = list(simulations.WORLDS)


def data_rows(chart):
    return sum(len(data) for data in chart.to_dict()["datasets"].values())


def made_up(seeds=3, rounds=35, n=7, shift=0.0):
    """A trajectory of made-up numbers, different for every seed."""
    rng = np.random.default_rng(0)
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
        spread=total,
        fit_loss=total,
        final=rng.uniform(0.1, 0.5, seeds) - shift,
    )


def every_run(seeds=3):
    return [
        simulations.Run(title, name, made_up(seeds, shift=0.1 * (name == simulations.LEARNED)))
        for title in TITLES
        for name in simulations.DIRECTORS
    ]


@pytest.mark.parametrize(
    "before, after, expected",
    [(4.5, 4.2, 0.95180), (0.6, 0.5207, 0.95350), (1.30, 1.29, 0.00044), (0.1, 0.05, 1.0)],
)
def test_the_golden_table_holds_birdies_examples(before, after, expected):
    row = reward.golden([(before, after)]).row(0, named=True)
    assert row["cubic"] == pytest.approx(expected, abs=1e-5)
    assert row["drop"] == pytest.approx((before - after) / before)


def test_a_larger_drop_never_earns_less_under_any_rule():
    for _, line in reward.frame().group_by("rule", "before"):
        assert np.all(np.diff(line.sort("drop")["reward"]) >= 0)


def test_the_full_reward_needs_a_larger_drop_at_a_smaller_loss():
    drops = reward.saturation()["drop that earns 1"].to_list()
    assert drops == sorted(drops)
    assert drops[0] == pytest.approx(0.068, abs=1e-3) and drops[1] == pytest.approx(0.101, abs=1e-3)


def test_an_interval_is_the_t_interval():
    values = np.array([1.0, 2.0, 4.0])
    middle, half = simulations.interval(values)
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert (middle - half, middle + half) == pytest.approx((low, high))


def test_seeds_are_compared_in_pairs():
    ended = pl.DataFrame(
        {
            "world": ["w"] * 4,
            "director": ["a", "a", simulations.UNIFORM, simulations.UNIFORM],
            "seed": [0, 1, 1, 0],
            "reward": [3.0, 13.0, 10.0, 0.0],
            "loss": [0.1, 0.2, 0.4, 0.3],
        }
    )
    compared = simulations.comparison(ended)
    own, rival = compared.rows(named=True)
    assert (own["gain"], own["gain ±"]) == pytest.approx((3, 0))
    assert (own["loss difference"], own["loss ±"]) == pytest.approx((-0.2, 0))
    assert rival["gain"] is None
    stated = simulations.stated(compared, "w", "a")
    assert stated["gain"] == "+3.0 [+3.0, +3.0]"
    assert simulations.stated(compared, "w", simulations.UNIFORM)["gain"] == "–"


def test_a_difference_of_nothing_is_not_shown_as_negative():
    frame = pl.DataFrame({"loss difference": [-1e-9], "loss ±": [0.0]})
    assert (
        frame.select(simulations.between("loss difference", 3)).item() == "+0.000 [+0.000, +0.000]"
    )


def test_the_best_constant_mixture_ends_lower_than_uniform_in_every_world():
    for world in simulations.WORLDS.values():
        losses = [
            float(simulate.mean_loss(world, np.asarray(d.ratios), simulations.STEPS))
            for d in (simulations.best(world), even(CLASSES))
        ]
        assert losses[0] < losses[1]


def test_ratios_stack_from_0_to_1_without_gaps():
    stacked = simulations._stacked(simulations.chosen(every_run()[:1]))
    for _, column in stacked.group_by("start"):
        low, high = column["low"].to_numpy(), column["high"].to_numpy()
        assert low[0] == 0 and high[-1] == pytest.approx(1)
        np.testing.assert_allclose(low[1:], high[:-1])


def test_agreement_is_perfect_where_predictions_keep_the_order():
    agreement = simulations.agreement(simulations.foreseen(every_run()[:1]))
    assert agreement.select("all rounds", "chosen rounds").row(0) == pytest.approx((1, 1))


def test_the_warm_up_is_left_out_of_what_was_foreseen():
    assert simulations.foreseen(every_run()[:1])["step"].min() > 256


def test_early_rounds_are_counted_by_absolute_reward():
    rounds = pl.DataFrame({"end": [3, 1, 2, 1], "reward": [0.1, -4.0, 0.9, 5.0]})
    assert simulations.early(rounds, 0.9) == (1, pytest.approx(0.9))
    assert simulations.early(rounds, 0.95) == (2, pytest.approx(0.99))


@pytest.mark.parametrize("seeds", [5, 10])
def test_every_chart_of_the_worlds_fits_a_page(seeds):
    runs = every_run(seeds)
    learned = simulations.of(runs, simulations.LEARNED)
    ended = simulations.ended(runs)
    charts = [
        reward.curve(reward.frame()),
        simulations.earned_chart(simulations.earned(runs), ended),
        simulations.ended_chart(ended),
        simulations.mixture(
            simulations.chosen(learned), simulations.chosen(simulations.of(runs, simulations.BEST))
        ),
        simulations.foreseen_chart(simulations.foreseen(learned)),
    ]
    assert max(map(data_rows, charts)) <= 5000


def test_every_world_has_its_runs_in_the_frames():
    runs = every_run()
    for frame in (simulations.earned(runs), simulations.ended(runs), simulations.chosen(runs)):
        assert frame["world"].unique(maintain_order=True).to_list() == TITLES
        assert frame["director"].n_unique() == len(simulations.DIRECTORS)


@pytest.fixture
def run(tmp_path):
    """A run folder of two rounds, the second drawn at random."""
    names = list(BIRDIE_DNA)
    even_split = dict.fromkeys(names, 1 / 7)
    events = []
    for start, end, explored in ((0, 40, False), (40, 80, True)):
        decided = {"ratios": even_split, "predicted_rewards": dict.fromkeys(names), "step": start}
        events.append({"event": "decision", **decided, "explored": explored})
        earned = {name: end / 100 for name in names}
        shares = {"rows_share": even_split, "loss_tokens_share": even_split}
        events.append({"event": "reward", "step": end, "rewards": earned, **shares})
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "run", "arm": "birdie", "seed": 0}))
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")
    return tmp_path


def test_a_real_round_holds_its_ratio_its_reward_and_whether_it_was_random(run):
    rounds = simulations.rounds(run)
    found = rounds.select("start", "end", "explored", "reward").unique().sort("start").rows()
    assert found == [(0, 40, False, 0.4), (40, 80, True, 0.8)]
    assert rounds.height == 2 * len(BIRDIE_DNA)


def test_cumulative_reward_of_a_real_run_adds_up(run):
    chart = simulations.run_rewards(simulations.rounds(run))
    data = next(iter(chart.to_dict()["datasets"].values()))
    assert {row["cumulative"] for row in data if row["end"] == 80} == {1.2}
    assert data_rows(simulations.mixture(simulations.rounds(run))) == 14


@pytest.mark.parametrize(
    ("shift", "word"), [(-0.2, "lower"), (0.2, "higher"), (0.0, "not clearly different")]
)
def test_words_about_final_losses_follow_the_interval(shift, word):
    rows = [
        {"world": "w", "director": name, "seed": seed, "reward": 1.0, "loss": loss}
        for seed in range(4)
        for name, loss in (
            (simulations.UNIFORM, 1.0),
            (simulations.LEARNED, 1.0 + shift + 0.01 * (-1) ** seed),
        )
    ]
    compared = simulations.comparison(pl.DataFrame(rows))
    assert simulations.judged(compared, "w", simulations.LEARNED).startswith(word)
