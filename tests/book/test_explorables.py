"""Explorables compute what Python computes; every control acts; no picture is empty."""

import json
import shutil
from collections.abc import Sequence
from itertools import groupby

import browser as pages
import jax
import numpy as np
import pytest
from selenium.webdriver import ActionChains

from birdiedna import vocab
from birdiedna.director import director, reward_model, simulate
from birdiedna.evaluation import directors as charts
from birdiedna.evaluation.statistics import sign_p, signed_rank_p, t_interval
from birdiedna.figures import explorables
from birdiedna.objectives import definitions, spans
from birdiedna.objectives.explain import explain
from birdiedna.objectives.program import window_bases
from book._ext import assets

WORLDS = {title.lower().replace(" ", "-"): world for title, world in charts.WORLDS.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One page per explorable, and the scripts of the book beside them."""
    root = tmp_path_factory.mktemp("pages")
    data = explorables.data() | {"director": played(), "loop": logged()}
    (root / assets.DATA).write_text(f"const birdieData = {json.dumps(data)};")
    names = [assets.DATA]
    for file in sorted(assets.STATIC.iterdir()):
        shutil.copyfile(file, root / file.name)
        names += [file.name] if file.suffix == ".js" else []
    scripts = "".join(f'<script src="{name}"></script>' for name in names)
    head = '<html lang="en"><title>Explorables</title><meta charset="utf-8">'
    head += '<meta name="viewport" content="width=device-width">'
    head += f'<link rel="stylesheet" href="birdiedna.css">{scripts}'
    for kind in pages.KINDS:
        (root / f"{kind}.html").write_text(
            f'{head}<div class="birdie-explore" data-explore="{kind}">'
        )
    return root


def played():
    """The director's worlds; rivals are even mixtures, since it is the law that is tested."""
    even, keys = director.even(definitions.CLASSES), jax.random.key(0)[None]
    runs = {}
    for title, world in charts.WORLDS.items():
        run = jax.tree.map(np.asarray, charts._simulate_unoptimised(even, world, keys, 16_384))
        best = run._replace(ratios=np.tile(charts.best(world).ratios, (1, 35, 1)))
        runs |= {(title, charts.LEARNED): run, (title, charts.RANDOM): run}
        runs[title, charts.BEST] = best
    return explorables.director(runs)


def logged():
    """Three rounds of a made-up log."""
    rng, rounds = np.random.default_rng(0), []
    for start in (0, 10, 20):
        made = {name: rng.random(7).tolist() for name in ("before", "after", "rewards")}
        made["ratios"] = rng.dirichlet(np.ones(7)).tolist()
        rounds.append({"start": start, "end": start + 10, "explored": start == 10, **made})
    return explorables._objectives() | {"rounds": rounds}


@pytest.fixture
def shown(browser, folder):
    """Opens an explorable, with settings from the address."""

    def show(kind, settings=""):
        browser.get_log("browser")
        browser.get((folder / f"{kind}.html").as_uri() + settings)
        pages.until(lambda: pages.count(browser, "[role=status]") and said(browser), kind)
        return browser

    return show


def said(view):
    return view.find_element("css selector", "[role=status]").text


def set_to(view, name, value):
    view.execute_script(
        "const e = document.querySelector(`[name='${arguments[0]}']`); e.value = arguments[1];"
        "for (const n of ['input', 'change']) e.dispatchEvent(new Event(n, {bubbles: true}));",
        name,
        value,
    )


def asks(view, feature, value):
    """The reader asks for something of all pages; for nothing if it is empty."""
    media = {"features": [{"name": feature, "value": value}]}
    view.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def press(view, label):
    view.find_element("xpath", f"//button[text()='{label}']").click()


@pytest.mark.parametrize("score", ["accuracy", "f1"])
def test_any_choice_of_tasks_is_counted_as_python_counts_it(shown, score):
    rng, rows = np.random.default_rng(0), explorables.table_1()["tasks"]
    every = np.array([row[score] for row in rows])
    chosen = [every, *(every[rng.random(14) < rng.uniform(0.2, 1)] for _ in range(100))]
    chosen = [gaps for gaps in chosen if len(gaps) > 1]
    found = shown("recount").execute_script(
        "return arguments[0].map(birdie.recount)", [gaps.tolist() for gaps in chosen]
    )
    for gaps, one in zip(chosen, found, strict=True):
        low, high = t_interval(gaps)
        ahead = int((gaps > 0).sum())
        exact = {"n": len(gaps), "ahead": ahead, "mean": gaps.mean(), "half": (high - low) / 2}
        exact |= {"sign": float(sign_p(ahead, len(gaps))), "rank": signed_rank_p(gaps)}
        assert one == pytest.approx(exact, abs=2e-6)


def test_one_task_carries_the_sign_of_the_mean(shown):
    view = shown("recount")
    assert "8 of 14 tasks; mean gap +0.20 points, 95% interval −0.75 to +1.15" in said(view)
    assert "Sign test p 0.79, signed-rank p 0.91" in said(view)
    assert said(view).endswith("Promoter TATA: 12 sequences of 212.")
    for rows, sequences in (("36", 2), ("72", 4), ("108", 6)):
        set_to(view, "rows", rows)
        assert said(view).endswith(f"Promoter TATA: {sequences} sequences of {rows}.")
    press(view, "without TATA")
    assert "sequences of" not in said(view)
    assert "mean gap −0.22 points" in said(view) and "p 1.00, signed-rank p 0.55" in said(view)
    set_to(view, "score", "f1")
    assert "mean gap −0.11" in said(view)
    for box in view.find_elements("css selector", "fieldset input:checked"):
        box.click()
    assert said(view) == "Choose a task."
    view.find_element("css selector", "fieldset input").send_keys(" ")
    assert said(view).endswith("An interval needs two tasks.")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("cubic", reward_model.CUBIC),
        ("power_1", reward_model.Reward(power=1)),
        ("dna_linear", reward_model.DNA_LINEAR),
    ],
)
def test_rewards_equal_pythons(shown, name, rule):
    before = np.array([4.5, 0.6, 1.386, 1.386, 1.30, 1.30, 1.30, 1.30, 0.1, 0.01])
    after = np.array([4.2, 0.5207, 1.30, 1.35, 1.29, 1.31, 1.25, 1.35, 0.05, 0.005])
    found = shown("reward").execute_script(
        "return arguments[1].map(([a, b]) => birdie.rewards[arguments[0]](a, b))",
        name,
        np.stack([before, after], 1).tolist(),
    )
    assert found == pytest.approx(np.asarray(reward_model.reward(before, after, rule)), abs=1e-5)


def test_a_step_that_is_usual_for_dna_earns_nothing(shown):
    view = shown("reward")
    assert said(view).startswith("A drop from 1.3 to 1.29 nats (0.77%) earns +0.0004.")
    press(view, "even guess 1.386")
    assert "A drop from 1.386 to 1.375 nats (0.77%)" in said(view)
    assert said(view).endswith("The full reward takes a drop of 10.1%.")
    box = view.find_element("css selector", "input[aria-label='Loss before (nats), exactly']")
    box.send_keys("\ue009a\ue00099\n")  # control and a: all of it
    problem = view.find_element("css selector", "[role=alert]").text
    assert "can be 0.005 to 6; 99 is outside, so it stays 1.386" in problem


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("reward.before=0.005&reward.after=0.0055", "A rise from 0.005 to 0.0055 nats (10.00%)"),
        ("reward.before=0.01&reward.after=5", "A drop from 0.01 to 0.009923 nats (0.77%)"),
        ("reward.rule=dna_linear", "never gives the full reward; 0.99 takes a drop of 13.3%"),
        ("reward.before=0.005", "From here no drop earns the full reward."),
        ("power.seeds=x&power.gap=-1", "80% takes more than 40 seeds"),
        ("power.gap=1&power.seeds=5", "80% takes 10 seeds"),
    ],
)
def test_settings_at_the_edges_are_described(shown, asked, told):
    assert told in said(shown(asked.partition(".")[0], f"?{asked}"))


def test_power_is_interpolated_to_half_a_point(shown):
    rng = np.random.default_rng(0)
    asked = [(float(10 ** rng.uniform(-2, 1.4)), int(rng.integers(3, 41))) for _ in range(300)]
    asked += [(3.26, 3), (1.68, 5), (1.0, 10)]
    found = shown("power").execute_script("return arguments[0].map(a => birdie.power(...a))", asked)
    exact = [float(explorables.power(*one)) for one in asked]
    assert found == pytest.approx(exact, abs=0.005)
    assert found[-3:] == pytest.approx([0.8] * 3, abs=0.005)


def test_experiments_see_a_gap_as_often_as_the_power_says(shown):
    view = shown("power")
    asked = [
        {"gap": gap, "spread": 1, "seeds": seeds} for gap, seeds in ((0, 5), (1, 5), (0.5, 20))
    ]
    seen = "[...Array(2000)].filter((_, i) => birdie.experiment(a, i + 1).seen).length"
    found = view.execute_script(f"return arguments[0].map(a => {seen} / 2000)", asked)
    exact = [float(explorables.power(one["gap"], one["seeds"])) for one in asked]
    assert found == pytest.approx(exact, abs=0.035)  # three standard errors
    press(view, "Another experiment")
    assert "Experiment 2" in said(view) and "of 2." in said(view)


def followed(world, schedule):
    """Losses (nats) after every round by Python's law in double precision, 0 first."""
    with jax.enable_x64():
        exact = simulate.World(*(np.asarray(field, np.float64) for field in world))
        effort, losses = np.zeros(7), [simulate.losses_at(exact, 0.0, np.zeros(7))]
        stops = [0, *director.evaluations(16_384)]
        for ratios, start, end in zip(schedule, stops[:-1], stops[1:], strict=True):
            effort = effort + (end - start) * (ratios @ exact.transfer)
            losses.append(simulate.losses_at(exact, float(end), effort))
        return np.stack(losses)


@pytest.mark.parametrize("world", WORLDS)
def test_a_schedule_played_by_hand_loses_what_python_says(shown, world):
    rng = np.random.default_rng(0)
    schedules = rng.dirichlet(np.full(7, 0.5), (20, 35))
    found = shown("director").execute_script(
        "const [world, all] = arguments; return all.map(one => birdie.follow(world, one))",
        world,
        schedules.tolist(),
    )
    weights = np.asarray(WORLDS[world].weights, float)
    for one, schedule in zip(found, schedules, strict=True):
        expected = followed(WORLDS[world], schedule)
        assert np.asarray(one["losses"]) == pytest.approx(expected, abs=1e-6)
        assert one["mean"] == pytest.approx(expected @ weights, abs=1e-6)
        earned = np.asarray(reward_model.reward(expected[:-1], expected[1:]))
        total = earned @ reward_model.class_weights(definitions.CLASSES)
        assert one["rewards"] == pytest.approx(total, abs=1e-4)


def test_an_even_game_ends_where_the_simulator_ends(shown):
    for entry in played()["worlds"]:
        view = shown("director", f"?director.world={entry['key']}")
        press(view, "To the end")
        end = f"you end at {entry['learned']['mean'][-1]:.3f} nats, like uniform;"
        assert end in said(view)  # not 0.000 above it


def test_rushing_earns_reward_and_ends_higher(shown):
    view = shown("director", "?director.world=each-for-itself&director.bet=uniform")
    press(view, "Rush: class after class")
    assert "you end at 0.313 nats, 0.021 above uniform" in said(view)
    assert "Reward so far: you 49.9, the reward model 31." in said(view)
    assert "You bet on uniform; reward model and uniform end alike" in said(view)
    press(view, "Undo a round")
    assert said(view).startswith("After round 34 of 35")


def test_a_game_is_played_by_keys_and_kept_in_the_address(shown):
    view = shown("director")
    weights = view.find_elements("css selector", ".birdie-shares input")
    for weight in weights:
        weight.send_keys("\ue011")  # home: 0
    assert said(view).endswith("All weights are 0: the shares are uniform.")
    weights[5].send_keys("\ue010")  # end: 10
    assert weights[5].get_attribute("aria-valuetext") == "100%"
    press(view, "5 rounds")
    press(view, "Train 1 round")
    pages.until(lambda: "director.plan=00000a0x6" in view.current_url, "the address is written")
    told = said(view)
    assert told.startswith("After round 6 of 35, step 1,536, your mean loss is")
    view.refresh()
    assert said(view) == told
    assert said(shown("director", "?director.plan=zx9&director.shares=12")).startswith("One useful")


def test_the_loop_plays_by_itself_until_it_is_paused_or_motion_is_unwanted(shown):
    view = shown("loop")
    pages.until(lambda: "After the round" in said(view), "the next stage")
    assert view.find_element("css selector", "[role=status]").get_attribute("aria-live") == "off"
    press(view, "Pause")
    stage = said(view)
    asks(view, "prefers-reduced-motion", "reduce")
    view.refresh()
    try:
        assert pages.count(view, "[role=status]") and not pages.moving(view)
        assert "Round 1, steps 0 to 10." in said(view)
        press(view, "Step")
        assert said(view) == stage
    finally:
        asks(view, "prefers-reduced-motion", "")


def drawn(objective, key, window, row) -> dict:
    """What Python drew for a row, in the words of the page's layouts."""
    bases = len(window)
    match objective:
        case definitions.Infilling():
            noise, count, fewer = objective.counts(bases)
            if fewer:
                key, coin = jax.random.split(key)
                count -= bool(jax.random.bernoulli(coin, fewer))
            return laid(spans.layout(key, bases, noise, count))
        case definitions.PrefixLM():
            return {"seen": int(objective.rate * bases)}
        case definitions.Deshuffling():
            noise, count = objective._counts(bases)
            one, two = jax.random.split(key)
            order = spans.cycle(two, count, count).tolist()
            return laid(spans.layout(one, bases, noise, count)) | {"order": order}
        case definitions.Autoencoding():
            noise, count = spans.count_spans(bases, objective.rate, objective.mean_span)
            one, two = jax.random.split(key)
            order = spans.cycle(two, count + 1, int((count + 1) * 0.5 + 0.5)).tolist()
            return laid(spans.layout(one, bases, noise, count)) | {"order": order}
        case definitions.SelectiveCopying():
            target = [t.position for t in row if t.part == "target"]
            first = row[1].text == "<ctx>"
            return {"spans": runs(target), "first": first}
    return {}


def laid(found: spans.Spans) -> dict:
    pairs = lambda starts, lengths: np.stack([starts, lengths], 1).tolist()
    rests = pairs(found.gap_starts, found.gap_lengths)
    return {"spans": pairs(found.span_starts, found.span_lengths), "rests": rests}


def runs(places: Sequence[int | None]) -> list[list[int]]:
    """[start, length] of the runs of places that None divides."""
    found = [[*run] for none, run in groupby(places, lambda place: place is None) if not none]
    return [[run[0], len(run)] for run in found]


OBJECTIVES = {
    "infilling": definitions.BIRDIE_DNA["infill_50_3"],
    "prefix_lm": definitions.PrefixLM(),
    "deshuffling": definitions.Deshuffling(),
    "autoencoding": definitions.Autoencoding(),
    "copying": definitions.Copying(),
    "selective_copying": definitions.SelectiveCopying(mean_span=16),
    "next_token": definitions.NextToken(),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_rows_equal_pythons_token_by_token(shown, name):
    objective, letters = OBJECTIVES[name], explorables.playground()["sequence"]
    window = jax.numpy.asarray(vocab.encode(letters)[: window_bases(objective, 128)])
    text = letters[: len(window)]
    keys = jax.random.split(jax.random.key(0), 10)
    made = jax.jit(objective)
    rows = [explain(made(key, window), np.asarray(window)) for key in keys]
    expected = [[[t.text, t.part, t.kind, t.position] for t in row] for row in rows]
    found = shown("playground").execute_script(
        "const [name, all, letters] = arguments; return all.map(one => birdie.rows.row(name, one,"
        "letters).map(t => [t.text, t.part, t.kind, t.place]))",
        name,
        [drawn(objective, key, window, row) for key, row in zip(keys, rows, strict=True)],
        text,
    )
    assert found == expected


@pytest.mark.parametrize("slots", [64, 128, 256])
def test_windows_are_as_long_as_pythons(shown, slots):
    def python(objective):
        try:
            return window_bases(objective, slots)
        except ValueError:
            return 0

    made = {
        "infilling": lambda rate, span: definitions.Infilling(rate, span, 17),
        "deshuffling": definitions.Deshuffling,
        "autoencoding": definitions.Autoencoding,
        "selective_copying": definitions.SelectiveCopying,
        "prefix_lm": lambda rate, span: definitions.PrefixLM(rate),
    }
    grid = [(n, r, s) for n in made for r in (0.05, 0.15, 0.5, 0.75, 0.9) for s in (1, 3, 16, 64)]
    found = shown("playground").execute_script(
        "const [grid, slots] = arguments; return grid.map(([name, rate, span]) =>"
        "birdie.rows.fit(name, {rate, span, prefix: rate}, slots, slots))",
        grid,
        slots,
    )
    assert found == [python(made[name](rate, span)) for name, rate, span in grid]


def test_spans_follow_their_law(shown):
    counts, law = shown("playground").execute_script(
        "const found = new Array(15).fill(0); const r = birdie.rows.generator(7);"
        "for (let i = 0; i < 4000; i++) for (const [, l] of birdie.rows.objectives.infilling"
        ".draw({rate: .5, span: 3}, 30, r).spans) found[l - 1] += 1;"
        "return [found, found.map((_, i) => birdie.rows.law(15, 5, i + 1))]"
    )
    expected = np.array(law) * sum(counts)
    seen = expected > 5
    assert sum(law) == pytest.approx(1)
    square = ((np.array(counts)[seen] - expected[seen]) ** 2 / expected[seen]).sum()
    assert square < 30  # 10 degrees of freedom: p 0.001


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("acguACGTNNNN" * 4, "Infilling hides"),
        ("ACGTRYKM" * 8, "32 ambiguity letters are read as N"),
        ("ACGT" * 1300, "the first 5,000 are kept"),
        ("ACGT", "Fewer than 24 bases"),
        ("ACGT😀" + "ACGT" * 10, "“😀” at place 5 is no nucleotide code; the picture stays"),
        (">chr1 a name\n" + "ACGTTGCA\n" * 6, "Infilling hides"),
        (">a\n" + "ACGT\n" * 6 + ">b\nACGT", "2 records are read as one sequence. Infilling hid"),
        ("ACGT" * 6, "Infilling hides"),
    ],
)
def test_any_sequence_is_shown_or_refused_with_a_reason(shown, text, told):
    view = shown("playground")
    set_to(view, "sequence", text)
    assert told in said(view)
    assert pages.count(view, ".birdie-cell.base") > 10


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("settings", ["rate=90&span=1", "rate=5&span=64", "rate=90&span=64"])
def test_no_setting_leaves_the_picture_empty(shown, name, settings):
    asked = "&".join(f"playground.{one}" for one in settings.split("&"))
    view = shown("playground", f"?playground.objective={name}&playground.slots=64&{asked}")
    assert pages.count(view, ".birdie-cell") >= 28, said(view)
    assert pages.errors(view) == []


def test_every_objective_begins_with_the_papers_settings(shown):
    view = shown("playground", "?playground.objective=deshuffling")
    assert "moves 32 of 63 bases in 2 spans" in said(view)
    set_to(view, "objective", "autoencoding")
    set_to(view, "span", "5")
    pages.until(lambda: "playground.span=5" in view.current_url, "the address is written")
    view.refresh()
    assert view.find_element("css selector", "[name=span]").get_attribute("value") == "5"
    assert view.find_element("css selector", "[name=rate]").get_attribute("value") == "30"


def test_arrow_keys_and_a_tap_step_through_the_target(shown):
    view = shown("playground")
    picture = view.find_element("css selector", ".birdie-picture")
    picture.send_keys("\ue014\ue014")  # right, right
    assert "Target token 2 of" in said(view) and "and 1 target token." in said(view)
    assert pages.count(view, ".birdie-cell.chosen") == 1
    set_to(view, "objective", "copying")
    view.find_elements("css selector", ".birdie-cell:not(.objective)")[80].click()
    assert "it can be looked up" in said(view) and pages.count(view, ".birdie-cell.source") == 1


def test_cells_keep_their_meaning_in_colours_that_the_reader_forces(shown):
    view = shown("playground", "?playground.objective=copying&playground.step=3")
    style = lambda selector, name: view.find_element(
        "css selector", selector
    ).value_of_css_property(name)
    token, source, other = ".birdie-cell.start", ".birdie-cell.source", ".birdie-cell.later"
    colours = lambda: [style(token, "background-color"), style(other, "outline-color")]
    before = colours()
    asks(view, "forced-colors", "active")
    try:
        assert colours() == before
        assert style(source, "outline-color") != style(other, "outline-color")
    finally:
        asks(view, "forced-colors", "")


def test_arrow_keys_step_on_under_a_pointer_that_rests_on_a_cell(shown):
    view = shown("playground")
    cell = view.find_elements("css selector", ".birdie-cell:not(.objective)")[80]
    view.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    ActionChains(view).move_to_element(cell).pause(0.2).click().perform()
    number = lambda: int(said(view).partition("Target token ")[2].split()[0])
    pointed = number()
    for step in (1, 2):
        ActionChains(view).send_keys("\ue014").pause(0.3).perform()
        assert number() == pointed + step


@pytest.mark.parametrize("kind", pages.KINDS)
@pytest.mark.parametrize("width", [308, 500, 600])
def test_no_text_of_a_picture_is_cut_at_any_width(browser, folder, kind, width):
    pages.opened(browser, folder / f"{kind}.html", width)
    try:
        assert pages.count(browser, ".birdie-explore svg, .birdie-cell") and not pages.cut(browser)
        assert pages.overflow(browser) == 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("kind", pages.KINDS)
def test_every_control_changes_something_and_reset_takes_it_back(shown, kind):
    view = shown(kind)
    press(view, "Reset")  # the loop stands still
    state = lambda: (
        said(view) + view.find_element("css selector", ".birdie-picture").get_attribute("innerHTML")
    )
    opened = state()
    for control in view.find_elements("css selector", "form select, form input[type=range]"):
        if not control.is_displayed():
            continue
        options = control.find_elements("css selector", "option")
        values = [o.get_attribute("value") for o in options] or [control.get_attribute("max")]
        set_to(view, control.get_attribute("name"), values[-1])
        assert state() != opened, control.get_attribute("name")
        press(view, "Reset")
        assert state() == opened
    assert pages.errors(view) == pages.requests(view) == []
