"""The director at the paper's size: fitting its reward model, and searching for the best ratios."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.clock import Timed, timed
from benchmarks.table import Row
from birdiedna.director.director import Birdie, BirdieState
from birdiedna.director.reward_model import append
from birdiedna.objectives.definitions import CLASSES

DIRECTOR = Birdie(CLASSES)
#: Rounds that lie behind; the paper's run has 34 before its last decision.
ROUNDS = (1, 8, 34)
STEPS = 16_384


def rows(quick: bool = False) -> list[Row]:
    """Seconds of a fit and of a search after histories of different length."""
    repeats, minds = 2 if quick else 7, {rounds: after(rounds) for rounds in ROUNDS}
    before = DIRECTOR.propose._cache_size()
    searches = {rounds: timed(_search(mind), repeats) for rounds, mind in minds.items()}
    compiled = DIRECTOR.propose._cache_size() - before
    edges = {rounds: minds[rounds] for rounds in (min(ROUNDS), max(ROUNDS))}
    fits = {rounds: timed(_fit(mind), 1 if quick else 3) for rounds, mind in edges.items()}
    what = f"fit of {DIRECTOR.fit.iterations} steps"
    found = [_row(what, rounds, fit, 5) for rounds, fit in fits.items()]
    what = f"search of {DIRECTOR.candidates:,} candidates"
    found += [_row(what, rounds, search, 0.3) for rounds, search in searches.items()]
    shortest, longest = (searches[edge(ROUNDS)].median() for edge in (min, max))
    return [
        *found,
        Row("director", "search after most rounds over after fewest", longest / shortest, "x", None,
            "less", f"{max(ROUNDS)} rounds over {min(ROUNDS)}"),
        Row("director", "searches compiled", compiled, "", 1, "less",
            f"for histories of {', '.join(map(str, ROUNDS))} rounds"),
    ]  # fmt: skip


def after(rounds: int) -> BirdieState:
    """A director that has seen so many rounds; fits, which change no shape, are left out."""
    rng, n = np.random.default_rng(rounds), len(DIRECTOR.classes)
    mind = DIRECTOR.init(jax.random.key(0), jnp.full(n, 1.3))
    for _ in range(rounds):
        losses, ratios = rng.uniform(1, 1.4, n), rng.dirichlet(np.ones(n))
        row = jnp.asarray(np.concatenate([losses, ratios]), jnp.float32)
        rewards = jnp.asarray(rng.uniform(-0.1, 0.1, n), jnp.float32)
        mind = mind._replace(history=append(mind.history, row, rewards))
    return mind


def _search(mind: BirdieState):
    return lambda i: DIRECTOR.propose(mind, STEPS // 2, STEPS)


def _fit(mind: BirdieState):
    n = len(DIRECTOR.classes)
    ratios, before, later = (jnp.full(n, x, jnp.float32) for x in (1 / n, 1.30, 1.29))
    return lambda i: DIRECTOR.observe(mind, ratios, before, later)


def _row(what: str, rounds: int, found: Timed, bar: float) -> Row:
    what, at = f"{what} after {rounds} round{'s' * (rounds > 1)}", {"rounds": rounds}
    return Row("director", what, found.median(), "s", bar, "less", found.spread(), at)
