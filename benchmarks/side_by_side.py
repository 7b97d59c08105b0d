"""Every method of the lecture on the same demonstrations, and what breaks each of them.

The world ``park`` has six by six cells and four features, of which one is worth nothing; a fifth of
the moves go astray.  The expert is soft-optimal; ten demonstrations of 66 steps are shown unless
the part says otherwise.  Everything is exact but for them, and for guided cost learning, which
samples.  ``sparse`` is the world of that name of the notebook ``soft_policy_iteration`` of
google-deepmind/csil, ten by ten cells with one prize and one pit; its features are one for each
cell.

Each method returns a policy and a reward.  What some of them return as a reward is not one, and is
put to the same use in order to see that: cloning's is the logarithm of its smoothed policy, GAIL's
what the last discriminator pays, the projection's its last question.  Regret is what the best
policy earns beyond, as a share of what it earns beyond the uniform policy.  A policy is kept as it
is; a reward is planned with anew, by value iteration, with the true dynamics and discount.

``park`` and ``sparse`` have twenty seeds of the data.  The other parts have ten, and change one
thing each:
``fewer``, the number of demonstrations; ``noise``, the share of uniform actions of the expert;
``missing``, one feature that is withheld; ``model``, the share of moves that go astray in the
learner's model; ``discount``, the learner's; ``expert``, of what kind it is.  GAIL, AIRL, IQ-Learn
and guided cost learning can do with samples of the world instead of a model, and have the true
dynamics in ``model``.

The settings are the same in all parts.  They were chosen on the seeds 100 to 102 of ``park``: the
ridge of maximum entropy of four values, that of AIRL of three, the price of IQ-Learn of five, for
rewards that do well in all three dynamics and policies that do not do much worse than others.  The
slack of max margin and the projection's tolerance were not tuned.  Ridges and price go with the
square of the rewards in units of the expert's temperature, which is a tenth in ``sparse``, so that
they are a hundredth there.  Iterations are enough for the game of AIRL, which needs small steps, to
end in both worlds (on the seed 100); ``converged`` says how many runs met their tolerance.  Guided
cost learning, which samples, has no tolerance and takes all of its iterations.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from irl_lib import (
    ConvergenceWarning,
    Demonstrations,
    behavior_cloning,
    demonstrations,
    guided_cost,
    iq_learn,
    max_ent,
    max_margin,
    metrics,
    planning,
    worlds,
)
from irl_lib.adversarial import tabular as games
from irl_lib.mdp import MDP

SHOWN, SHORT = 10, 40
SEEDS, FEW = 20, 10  # of each of the two worlds, of each condition
WORLDS = ("park", "sparse")
L2, SLACK, PRICE, GAME_L2 = 0.1, 10.0, 1.0, 1e-3
TEMPERATURE = 0.1  # of the expert of sparse; elsewhere it is 1
Record = dict[str, Any]
Array = np.ndarray[Any, Any]

LEVELS: dict[str, tuple[Any, ...]] = {
    "fewer": (1, 2, 3, 5, 30),
    "noise": (0.2, 0.35, 0.5, 0.75),
    "missing": ("prize", "mud", "shade"),
    "model": (0.05, 0.35, 0.5, 0.65, 0.8),
    "discount": (0.5, 0.6, 0.7, 0.8, 0.95),
    "expert": ("optimal", "myopic", "fickle"),
}
METHODS = (
    "cloning",
    "max margin",
    "projection",
    "MaxEnt, causal",
    "MaxEnt, not causal",
    "MaxEnt, network",
    "guided cost",
    "GAIL",
    "AIRL, states",
    "AIRL, pairs",
    "IQ-Learn",
    "(pi, V)",
)
CONTROLS = ("true reward", "sparse reward", "random reward", "shuffled expert")
MEASURES = ("policy", "replanned", "policy_wind", "replanned_wind", "policy_swap", "replanned_swap")
COLUMNS = {
    "world": "world",
    "method": "method",
    "policy": "regret, policy",
    "replanned": "regret, reward re-planned",
    "policy_wind": "regret in the wind, policy",
    "replanned_wind": "regret in the wind, re-planned",
    "replanned_wind_sd": "its standard deviation over seeds",
    "policy_swap": "regret with two controls exchanged, policy",
    "replanned_swap": "regret with two controls exchanged, re-planned",
    "starc": "STARC distance",
    "epic": "EPIC distance",
    "converged": "runs that met their tolerance",
    "seconds": "seconds, median",
}


Found = tuple[Array, Array, bool]
"""A policy, a reward, and whether the method met its tolerance."""


class Setting(NamedTuple):
    """What a learner is given, and what it is judged by."""

    mdp: MDP
    """The learner's model."""
    simulator: MDP
    """What stands for the world where a method needs no model."""
    features: Array
    demos: Demonstrations
    truth: Array
    """``(S, A)``: the true reward."""
    world: MDP
    changed: dict[str, MDP]
    sparse: Array
    """``(S, A)``: a reward written by hand."""
    temperature: float = 1.0
    """The expert's: the unit of rewards, whose square ridges and prices have."""


GOAL, PIT = 90, 30

# --- the worlds ---------------------------------------------------------------------------------

PRIZE, MUD = [(0, 5)], [(x, y) for x in (0, 1, 2) for y in (2, 3)]
GRASS = [(x, y) for x in (3, 4) for y in (0, 1, 2)]
WEIGHTS = np.array([2.0, -2.0, 0.5, 0.0])


def park(slip: float = 0.2, discount: float = 0.9) -> worlds.World:
    """Six by six cells: a prize, mud, grass, and shade that nobody minds."""
    phi = np.zeros((36, 4))
    for k, where in enumerate((PRIZE, MUD, GRASS)):
        phi[[6 * y + x for x, y in where], k] = 1.0
    phi[:, 3] = np.random.default_rng(0).random(36) < 0.4
    return worlds.gridworld(6, slip=slip, discount=discount, features=phi, weights=WEIGHTS)


def windy(mdp: MDP, share: float = 0.5) -> MDP:
    """With probability ``share`` a move goes to the right, whatever was chosen."""
    p = mdp.dense_transitions()
    return MDP((1.0 - share) * p + share * p[:, [0]], mdp.initial, mdp.discount)


def swapped(mdp: MDP) -> MDP:
    """Right moves left, and left moves right."""
    return MDP(mdp.dense_transitions()[:, [2, 1, 0, 3]], mdp.initial, mdp.discount)


def published() -> tuple[MDP, MDP, Array]:
    """Of the notebook: the world ``sparse``, the same with wind, and the reward."""
    x, y = np.arange(100) % 10, np.arange(100) // 10
    moves = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    to = [np.clip(y + dy, 0, 9) * 10 + np.clip(x + dx, 0, 9) for dx, dy in moves]
    start = np.eye(100)[0]
    calm = np.stack([np.eye(100)[each] for each in to], axis=1)
    wind = (calm + calm[:, [0]]) / 2.0
    calm[GOAL] = wind[GOAL] = start
    reward = np.zeros((100, 4))
    reward[GOAL], reward[PIT] = 20.0, -20.0
    return MDP(calm, start, 0.95), MDP(wind, start, 0.95), reward


def expert_of(mdp: MDP, reward: Array, kind: str = "soft") -> Array:
    """The policy of an expert of this kind."""
    if kind == "optimal":
        return planning.value_iteration(mdp, reward).policy
    if kind == "myopic":
        near = MDP(mdp.dense_transitions(), mdp.initial, 0.6)
        return planning.soft_value_iteration(near, reward).policy
    soft = planning.soft_value_iteration(mdp, reward).policy
    if kind == "fickle":  # at every step one of two minds
        other = planning.soft_value_iteration(mdp, -reward).policy
        return 0.8 * soft + 0.2 * other
    return soft


# --- the methods --------------------------------------------------------------------------------


def methods(s: Setting, seed: int) -> dict[str, Callable[[], Found]]:
    """Each method of the lecture as a policy and a reward, or what stands for one."""
    mdp, there, phi, demos = s.mdp, s.simulator, s.features, s.demos
    table = phi.reshape(mdp.n_states, mdp.n_actions, -1)
    short, unit = demos_of(demos, SHORT), s.temperature**2

    def of(found: Any, reward: str = "reward") -> Found:
        return found.policy, getattr(found, reward), found.converged

    def with_horizon(model: MDP) -> MDP:
        return MDP(model.dense_transitions(), model.initial, model.discount, SHORT)

    def cloned() -> Found:
        smooth = behavior_cloning.clone(mdp, demos, smoothing=1.0).policy
        return behavior_cloning.clone(mdp, demos).policy, np.log(smooth), True

    def projected() -> Found:
        found = max_margin.projection(mdp, table, demos, tolerance=0.1, max_iterations=400)
        return found.policy, table @ found.weights, found.converged

    game: Record = {"l2": GAME_L2 * unit, "tolerance": 1e-2, "learning_rate": 0.05}
    shown = demos.counted(mdp) * (mdp.mass / demos.counted(mdp).sum())
    return {
        "cloning": cloned,
        "max margin": lambda: of(
            max_margin.max_margin(
                mdp, table, shown, margin="hamming", slack=SLACK, tolerance=0.3, max_iterations=40
            )
        ),
        "projection": projected,
        "MaxEnt, causal": lambda: of(max_ent.max_ent(mdp, table, demos, l2=L2 * unit)),
        "MaxEnt, not causal": lambda: of(
            max_ent.max_ent(with_horizon(mdp), table, short, causal=False, l2=L2 * unit)
        ),
        "MaxEnt, network": lambda: of(deep(mdp, table, demos, seed, L2 * unit), "rewards"),
        "guided cost": lambda: of(
            guided_cost.guided_cost_tabular(
                with_horizon(there), table, short, seed=seed, l2=L2 * unit, max_iterations=100
            )
        ),
        "GAIL": lambda: of(games.gail_tabular(there, demos, max_iterations=300), "paid"),
        "AIRL, states": lambda: of(games.airl_tabular(there, demos, **game)),
        "AIRL, pairs": lambda: of(games.airl_tabular(there, demos, state_only=False, **game)),
        "IQ-Learn": lambda: of(iq_learn.iq_learn_tabular(there, demos, weight=PRICE * unit)),
        "(pi, V)": lambda: of(
            iq_learn.iq_learn_tabular(there, demos, weight=PRICE * unit, objective="likelihood")
        ),
    }


def deep(mdp: MDP, table: Array, demos: Demonstrations, seed: int, l2: float) -> Any:
    """Maximum entropy with a small network."""
    from irl_lib.networks import RewardNet, one_thread

    net = RewardNet(table.shape[-1], hidden=(8,), seed=seed)
    with one_thread():
        return max_ent.deep_max_ent(mdp, table, demos, net, l2=l2, max_iterations=100)


def controls(s: Setting, seed: int) -> dict[str, Callable[[], Found]]:
    """Rewards that no method found, or one found from an expert without a purpose."""
    table = s.features.reshape(s.mdp.n_states, s.mdp.n_actions, -1)

    def planned(reward: Array) -> Found:
        return planning.value_iteration(s.world, reward).policy, reward, True

    def shuffled() -> Found:
        rng = np.random.default_rng([seed, 7])
        nobody = planning.occupancy(s.mdp, rng.permuted(expert_like(s), axis=1))
        return planned(max_ent.max_ent(s.mdp, table, nobody, l2=L2 * s.temperature**2).reward)

    drawn = np.random.default_rng([seed, 8]).normal(size=(s.mdp.n_states, 1))
    return {
        "true reward": lambda: planned(s.truth),
        "sparse reward": lambda: planned(s.sparse),
        "random reward": lambda: planned(np.repeat(drawn, s.mdp.n_actions, axis=1)),
        "shuffled expert": shuffled,
    }


def expert_like(s: Setting) -> Array:
    """The clone, whose actions the control permutes in each state."""
    return np.asarray(behavior_cloning.clone(s.mdp, s.demos).policy)


def demos_of(demos: Demonstrations, length: int) -> Demonstrations:
    """The same demonstrations, cut after so many steps."""
    return Demonstrations(
        [each[: length + 1] for each in demos.states], [each[:length] for each in demos.actions]
    )


# --- one cell -----------------------------------------------------------------------------------


def cells() -> list[Record]:
    """One for each seed of each level of each part; every method is in it."""
    kinds = {(world, ""): SEEDS for world in WORLDS}
    kinds |= {(part, level): FEW for part, levels in LEVELS.items() for level in levels}
    return [
        {"part": part, "level": level, "seed": seed}
        for (part, level), n in kinds.items()
        for seed in range(n)
    ]


def run_cell(part: str, level: Any, seed: int) -> Record:
    """What all methods came to: lists, in the order of the methods and then of the controls."""
    setting = setting_of(part, level, seed)
    ruler = Ruler(setting.truth)
    known = methods(setting, seed)
    if part in WORLDS:
        known |= controls(setting, seed)
    found: Record = {name: [] for name in (*MEASURES, "starc", "epic", "converged", "took")}
    for learn in known.values():
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of fixed budgets, and edges
            policy, reward, met = learn()
        found["converged"].append(int(met))
        found["took"].append(round(time.perf_counter() - begun, 3))
        for name, value in judged(setting, ruler, policy, reward).items():
            found[name].append(round(value, 5))
    return found


def setting_of(part: str, level: Any, seed: int) -> Setting:
    """The world, the expert's demonstrations, and what the learner believes."""
    rng = np.random.default_rng([seed, 0])
    if part == "sparse":
        return setting_of_published(rng)
    place = park()
    world, features = place.mdp, place.features.copy()
    kind = level if part == "expert" else "soft"
    policy = expert_of(world, place.reward, kind)
    if part == "noise":
        policy = (1.0 - level) * policy + level * 0.25
    n = level if part == "fewer" else SHOWN
    discount = level if part == "discount" else world.discount
    length = 66 if discount <= world.discount else 140
    demos = demonstrations.sample(world, policy, n, rng, length=length)
    if part == "missing":
        features = np.delete(features, LEVELS[part].index(level), axis=2)
    model = park(level, discount).mdp if part == "model" else park(discount=discount).mdp
    sparse = np.repeat(place.features[:, :1, 0], 4, axis=1)
    return Setting(
        mdp=model,
        simulator=park(discount=discount).mdp,
        features=features,
        demos=demos,
        truth=place.reward,
        world=world,
        changed={"wind": windy(world), "swap": swapped(world)} if part == "park" else {},
        sparse=sparse,
    )


def setting_of_published(rng: np.random.Generator) -> Setting:
    """The notebook's world, with its expert's temperature, and one feature for each cell."""
    calm, wind, reward = published()
    expert = planning.soft_value_iteration(calm, reward, TEMPERATURE).policy
    features = np.repeat(np.eye(100)[:, None], 4, axis=1)
    sparse = np.zeros((100, 4))
    sparse[GOAL] = 1.0
    demos = demonstrations.sample(calm, expert, SHOWN, rng, length=135)
    return Setting(calm, calm, features, demos, reward, calm, {"wind": wind}, sparse, TEMPERATURE)


def judged(s: Setting, ruler: Ruler, policy: Array, reward: Array) -> Record:
    """Regrets of a policy and of a reward, and how far the reward is from the truth."""
    found: Record = {}
    for suffix, mdp in {"": s.world, **{f"_{k}": v for k, v in s.changed.items()}}.items():
        found[f"policy{suffix}"] = ruler.regret(mdp, policy)
        found[f"replanned{suffix}"] = ruler.regret(
            mdp, planning.value_iteration(mdp, reward).policy
        )
    anything = np.full((s.world.n_states, s.world.n_actions), 1.0)
    cover = anything[:, :, None] * s.world.dense_transitions() / anything.sum()
    found["starc"] = metrics.starc_distance(s.world, reward, s.truth)
    found["epic"] = metrics.epic_distance(reward, s.truth, cover, s.world.discount)
    return found


class Ruler:
    """Regrets of one true reward, as shares of the uniform policy's."""

    def __init__(self, truth: Array) -> None:
        self.truth = truth
        self.ends: dict[tuple[int, int], tuple[MDP, float, float]] = {}

    def regret(self, mdp: MDP, policy: Array) -> float:
        """0 is the best policy, 1 the uniform one; a timed policy has its horizon."""
        horizon = len(policy) if policy.ndim == 3 else 0
        key = id(mdp), horizon
        if key not in self.ends:
            timed = MDP(mdp.dense_transitions(), mdp.initial, mdp.discount, horizon or None)
            best = planning.value_iteration(timed, self.truth).policy
            even = np.full((mdp.n_states, mdp.n_actions), 1.0 / mdp.n_actions)
            self.ends[key] = timed, self.earned(timed, best), self.earned(timed, even)
        timed, most, least = self.ends[key]
        return max((most - self.earned(timed, policy)) / (most - least), 0.0)

    def earned(self, mdp: MDP, policy: Array) -> float:
        """The return of a policy."""
        v = planning.policy_value(mdp, policy, self.truth)
        return float(mdp.initial @ (v if mdp.horizon is None else v[0]))


# --- the table ----------------------------------------------------------------------------------


def summary(
    finished: list[tuple[Record, Record]], listed: list[Record] | None = None
) -> list[Record]:
    """A row for each method in each of the two worlds, all seeds in it."""
    rows: list[Record] = []
    for world in WORLDS:
        mine = [result for cell, result in finished if cell["part"] == world]
        for i, name in enumerate((*METHODS, *CONTROLS) if mine else ()):
            rows.append({"world": world, "method": name} | row(mine, i))
    return rows


def row(mine: list[Record], i: int) -> Record:
    """What all seeds came to of one method."""
    table = {
        name: np.array([each[name][i] for each in mine])
        for name in (*MEASURES, "starc", "epic")
        if mine[0][name]
    }
    found: Record = {name: float(values.mean()) for name, values in table.items()}
    found["converged"] = sum(int(each["converged"][i]) for each in mine)
    found["replanned_wind_sd"] = float(table["replanned_wind"].std())
    return found | {"seconds": float(np.median([each["took"][i] for each in mine]))}
