"""Non-adversarial imitation at work: a pole from few pairs, with a simulator.

The tasks are chapter 7's, ``upright`` and ``aside``, on Gymnasium's CartPole-v1, with its
demonstrations and its scores: of a policy whose actions are drawn, as it learned to act, and of the
same policy's most likely ones.  One demonstration is shown, of ``upright`` every twentieth pair (25
pairs), of ``aside`` every fifth (100 pairs).

``online``: 9,984 steps of four copies.  Controls are the same method with the demonstration's
columns shuffled, and with the pairs of a policy of uniform actions, cut before anything ended, in
the place of the expert's; a clone of the same pairs; GAIL and AIRL with as many steps, and with ten
times as many.

``ladder`` (``upright``): from the published form of IQ-Learn on line, one stabiliser after the
other, each rung with all of those below it.  ``ablation``: from the top, one of them taken away.

Policies are those of the last iteration.  Settings were chosen on the seeds 100 to 109.  A first
run of this study, with networks of 64 and not 128 units, had the seeds 0 to 9; none of all these is
among those here.  Every fifth pair of ``aside`` was chosen there, too: with every twentieth, which
is a row here, the method found the place on its way and lost it again.

``falling rate``: with the table of all these known, the same methods whose learning rate falls to
zero within the run, which had been one of the ablations; from the seed 20 on, which none of the
other parts has.  Ten seeds were declared, and fewer run, because time was short and not because of
what they came to; all that were run are here.  The cells of the other parts were run before, with
the same code, and not again.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.adversarial import GOOD, PENALTY, POLES, cloned, pole_demo, shuffled
from irl_lib import rollouts
from irl_lib.demonstrations import Demonstrations

SEEDS, FEW, FIRST = 10, 6, 10  # of ladder and ablation there are few
FRESH = 20  # the first seed with a falling rate
COPIES, STEPS, ITERATIONS = 4, 8, 312
GAME_COPIES, GAME_STEPS = 8, 128
STRIDE = {"upright": 20, "aside": 5}
EVALUATION_SEED, EVALUATED = 5, 20
VERSIONS = {name: version(name) for name in ("stable_baselines3", "gymnasium", "torch")}
Record = dict[str, Any]

METHODS = (
    "iq_learn",
    "iq_learn, V of all steps",
    "iq_learn, shuffled expert",
    "iq_learn, uniform actions for an expert",
    "cloning",
    "gail",
    "airl",
    "gail, ten times the steps",
    "airl, ten times the steps",
)

FALLING = {  # how many seeds were run of each
    ("upright", "iq_learn"): 5,
    ("upright", "iq_learn, V of all steps"): 4,
    ("upright", "iq_learn, shuffled expert"): 2,
    ("upright", "iq_learn, uniform actions for an expert"): 2,
    ("aside", "iq_learn"): 1,
}

# Each rung's settings, with those of the rungs below it.
PUBLISHED: Record = {
    "loss": "mixture",
    "weight": 1.0,
    "temperature": 0.01,
    "learning_rate": 1e-4,
    "batch": 32,
    "absorbing": False,
    "target_rate": 1.0,
    "clip": False,
    "normalised": False,
    "critics": 1,
    "averaging": 0.0,
    "hidden": (64, 64),
}
"""The published form: gradients through V', one network, the end worth nothing."""
LADDER: dict[str, Record] = {
    "published form": {},
    "rate, temperature, batch, price, width": {
        "learning_rate": 3e-3,
        "temperature": 1.0,
        "batch": 256,
        "weight": 2.0,
        "hidden": (128, 128),
    },
    "value of the end": {"absorbing": True},
    "slow copy for V'": {"target_rate": 0.05},
    "V' clipped": {"clip": True},
    "normalised layers": {"normalised": True},
    "second network": {"critics": 2},
    "averaged weights": {"averaging": 0.999},
    "least squares": {"loss": "least squares"},
}

WITHOUT: dict[str, Record] = {
    "value of the end": {"absorbing": False},
    "slow copy for V'": {"target_rate": 1.0},
    "V' clipped": {"clip": False},
    "normalised layers": {"normalised": False},
    "second network": {"critics": 1},
    "averaged weights": {"averaging": 0.0},
    "least squares": {"loss": "mixture"},
    "constant rate": {"decay": ITERATIONS},
    "large batch": {"batch": 32},
    "wide networks": {"hidden": (64, 64)},
}
COLUMNS = {
    "part": "part",
    "task": "task",
    "method": "method",
    "stride": "every so many'th pair",
    "seeds": "seeds",
    "steps": "environment steps",
    "score": "score, actions drawn",
    "least": "the least of the seeds",
    "sd": "standard deviation over seeds",
    "good": f"seeds at {GOOD:g} or more",
    "sure": "score, most likely actions",
    "sure_least": "its least of the seeds",
    "sure_good": f"seeds at {GOOD:g} or more, most likely actions",
    "late": "score, mean of the last tenth of training",
    "best": "score, best of training",
    "seconds": "seconds, median",
}


def cells() -> list[Record]:
    """One for each run; of each part those of the first seeds first."""
    seeds = range(FIRST, FIRST + SEEDS)
    kinds = [(task, method, STRIDE[task]) for task in POLES for method in METHODS]
    kinds += [("aside", "iq_learn", 20)]
    listed: list[Record] = [
        {"part": "online", "task": task, "method": method, "seed": seed, "stride": stride}
        for seed in seeds
        for task, method, stride in kinds
    ]
    for part, names in (("ladder", LADDER), ("ablation", WITHOUT)):
        few = seeds[:FEW]
        listed += [{"part": part, "method": name, "seed": s} for s in few for name in names]
    part = "falling rate"
    return listed + [
        {"part": part, "task": task, "method": method, "seed": seed, "stride": STRIDE[task]}
        for (task, method), n in FALLING.items()
        for seed in range(FRESH, FRESH + n)
    ]


def run_cell(part: str, method: str, seed: int, task: str = "upright", stride: int = 20) -> Record:
    """What one run came to."""
    from irl_lib.networks import one_thread

    begun = time.perf_counter()
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of fixed budgets, and sure discriminators
        if part in ("online", "falling rate"):
            decay = ITERATIONS if part == "falling rate" else None
            found = on_pole(task, method, seed, stride, decay)
        else:
            demos = pole_demo("upright", seed)
            found = learned("upright", demos, seed, stride, settings(part, method))
    return found | {"took": round(time.perf_counter() - begun, 1)}


# --- with a simulator ---------------------------------------------------------------------------


def settings(part: str, name: str) -> Record:
    """Of a rung, those of all rungs below it too; or of the top, with one thing taken away."""
    names = list(LADDER)
    last = names.index(name) if part == "ladder" else len(names) - 1
    built = dict(PUBLISHED)
    for rung in names[: last + 1]:
        built |= LADDER[rung]
    return built if part == "ladder" else built | WITHOUT[name]


def on_pole(task: str, method: str, seed: int, stride: int, decay: int | None) -> Record:
    """How a policy does that was learned from every so many'th pair of one demonstration."""
    demos = pole_demo(task, seed)
    if method == "cloning":
        return scored(task, cloned(demos, seed, stride)) | {"steps": 0}
    if method.startswith(("gail", "airl")):
        return played(task, method, demos, seed, stride)
    if "shuffled" in method:
        demos = shuffled(demos, seed)
    if "uniform" in method:
        demos, stride = uniform_pairs(seed, 500 // stride), 1
    form = "mixture" if "V of" in method else "least squares"
    return learned(task, demos, seed, stride, {"loss": form, "decay": decay})


def uniform_pairs(seed: int, n: int) -> Demonstrations:
    """Steps of uniform actions, of episodes that are cut before the pole falls."""
    import gymnasium

    env, rng = gymnasium.make("CartPole-v1"), np.random.default_rng([seed, 98])
    done = rollouts.rollout(env, lambda seen, rng: int(rng.integers(2)), n, seed, max_steps=5)
    order = rng.permutation(np.flatnonzero(~done.terminated))[: n // 5]
    return done.select(order)


def learned(task: str, demos: Demonstrations, seed: int, stride: int, given: Record) -> Record:
    """The last policy of the one objective; what it was worth on the way, and what it cost."""
    from irl_lib import worlds
    from irl_lib.iq_learn import iq_learn

    curve: list[float] = []

    def watch(iteration: Any) -> None:
        if iteration.number % 16 == 15:
            curve.append(scored(task, iteration.policy())["score"])

    found = iq_learn(
        worlds.batched("CartPole-v1", COPIES),
        demos,
        seed=seed,
        online=True,
        subsample=stride,
        steps=STEPS,
        max_iterations=ITERATIONS,
        callback=watch,
        **given,
    )
    late = np.array(curve[-max(1, len(curve) // 10) :])
    steps = int(found.history["environment_steps"][-1])
    marks = {"late": float(late.mean()), "best": float(np.max(curve)), "curve": curve}
    return scored(task, found.policy) | {"steps": steps} | marks


def played(task: str, method: str, demos: Demonstrations, seed: int, stride: int) -> Record:
    """The last policy of a game."""
    from irl_lib import worlds
    from irl_lib.adversarial import airl, gail

    learn: Callable[..., Any] = gail if method.startswith("gail") else airl
    times = 10 if "ten times" in method else 1
    per_iteration = GAME_COPIES * GAME_STEPS
    found = learn(
        worlds.batched("CartPole-v1", GAME_COPIES),
        demos,
        seed=seed,
        subsample=stride,
        penalty=PENALTY[task],
        steps=GAME_STEPS,
        max_iterations=round(times * COPIES * STEPS * ITERATIONS / per_iteration),
    )
    return scored(task, found.policy) | {"steps": int(found.history["environment_steps"][-1])}


# --- the score ----------------------------------------------------------------------------------


def scored(task: str, policy: Any) -> Record:
    """Of a policy's drawn actions, and of its most likely ones."""
    rng = np.random.default_rng(EVALUATION_SEED)
    drawn, sure = (watched(task, policy, each) for each in (rng, None))
    return {"score": drawn, "sure": sure}


def watched(task: str, policy: Any, rng: np.random.Generator | None) -> float:
    """Some episodes side by side: steps, or the share of 500 steps near the place."""
    from benchmarks.adversarial import NEAR, PLACE
    from irl_lib import worlds

    env = worlds.batched("CartPole-v1", EVALUATED)
    seeds = [EVALUATION_SEED * 1_000 + i for i in range(EVALUATED)]
    seen, _ = env.reset(seed=seeds)
    alive, total = np.ones(EVALUATED, dtype=bool), np.zeros(EVALUATED)
    for _ in range(500):
        right = policy.probabilities(np.asarray(seen, dtype=np.float64))[:, 1]
        chance = rng.random(EVALUATED) if rng is not None else np.full(EVALUATED, 0.5)
        seen, _, terminated, _, _ = env.step((chance < right).astype(np.int64))
        near = np.abs(np.asarray(seen)[:, 0] - PLACE) < NEAR
        total += alive * (1.0 if task == "upright" else near / 500.0)
        alive &= ~np.asarray(terminated, dtype=bool)
        if not alive.any():
            break
    return float(total.mean())


# --- the table ----------------------------------------------------------------------------------


def summary(
    finished: list[tuple[Record, Record]], listed: list[Record] | None = None
) -> list[Record]:
    """A row for each kind of run, all seeds in it."""
    rows: list[Record] = []
    kinds = [{k: v for k, v in each.items() if k != "seed"} for each in listed or cells()]
    for kind in {tuple(each.items()): each for each in kinds}.values():
        mine = [
            result
            for cell, result in finished
            if {k: v for k, v in cell.items() if k != "seed"} == kind
        ]
        if mine:
            rows.append(kind | row(kind, mine))
    return rows


def row(kind: Record, mine: list[Record]) -> Record:
    """What all seeds of a kind of run came to."""
    score = np.array([each["score"] for each in mine])
    sure = np.array([each["sure"] for each in mine])
    found: Record = {
        "seeds": len(mine),
        "score": float(score.mean()),
        "least": float(score.min()),
        "sd": float(score.std()),
        "sure": float(sure.mean()),
        "sure_least": float(sure.min()),
        "seconds": float(np.median([each["took"] for each in mine])),
    }
    if kind.get("task", "upright") == "upright":
        found |= {"good": int((score >= GOOD).sum()), "sure_good": int((sure >= GOOD).sum())}
    if "steps" in mine[0]:
        found["steps"] = mine[0]["steps"]
    if "curve" in mine[0]:
        found |= {name: float(np.mean([each[name] for each in mine])) for name in ("late", "best")}
    return found
