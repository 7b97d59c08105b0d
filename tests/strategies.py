"""Random problems for the property tests, and slow, plain answers to compare with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from scipy import sparse

from irl_lib import worlds
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

DISCOUNTS = (0.7, 0.9, 0.999, 1.0)


class Problem(NamedTuple):
    """An MDP, what it was made from, features in some form, and weights with a finite value."""

    mdp: MDP
    transitions: Array
    """``(S, A, S)``."""
    features: Any
    """As given to the package: dense or sparse, of states or of states and actions."""
    phi: Array
    """``(S, A, K)``."""
    weights: Array
    rng: np.random.Generator

    @property
    def reward(self) -> Array:
        """``(S, A)``."""
        return self.phi @ self.weights

    def policy(self) -> Array:
        """A random policy, with a few zeros; ``(T, S, A)`` when the horizon is finite."""
        shape = (self.mdp.n_states, self.mdp.n_actions)
        shape = shape if self.mdp.horizon is None else (self.mdp.horizon, *shape)
        policy = self.rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])
        if not self.mdp.episodic:
            policy = np.where(policy < 0.1, 0.0, policy)
        return policy / policy.sum(axis=-1, keepdims=True)


def random_transitions(
    rng: np.random.Generator, n_states: int, n_actions: int, n_absorbing: int, branching: int
) -> Array:
    """Sparse random rows; the last states are absorbing, and every state can reach them."""
    transitions = np.zeros((n_states, n_actions, n_states))
    for s, a in itertools.product(range(n_states), range(n_actions)):
        targets = rng.choice(n_states, size=min(branching, n_states), replace=False)
        transitions[s, a, targets] = rng.dirichlet(np.ones(len(targets)))
    for s in range(n_states - n_absorbing, n_states):
        transitions[: n_states - n_absorbing, 0, s] += 0.2
        transitions[s] = np.eye(n_states)[s]
    return transitions / transitions.sum(axis=2, keepdims=True)


def in_form(form: str, transitions: Array) -> Any:
    """The transitions as one of the inputs that an MDP takes."""
    n_states, n_actions, _ = transitions.shape
    if form == "csr":
        return sparse.csr_array(transitions.reshape(n_states * n_actions, n_states))
    if form == "sequence":
        return [sparse.coo_array(transitions[:, a]) for a in range(n_actions)]
    return transitions


@st.composite
def problems(
    draw: st.DrawFn,
    max_states: int = 6,
    max_actions: int = 3,
    max_horizon: int = 6,
    finite: bool | None = None,
    discounts: tuple[float, ...] = DISCOUNTS,
) -> Problem:
    """Random problems: every kind of horizon, discount, ending, input and feature."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_states = draw(st.integers(1, max_states))
    n_actions = draw(st.integers(1, max_actions))
    discount = draw(st.sampled_from(discounts))
    is_finite = draw(st.booleans()) if finite is None else finite
    horizon = draw(st.integers(1, max_horizon)) if is_finite else None
    episodic = horizon is None and discount == 1.0
    n_absorbing = draw(st.integers(int(episodic), max(n_states - 1, int(episodic))))
    branching = draw(st.integers(1, 3))
    transitions = random_transitions(rng, n_states, n_actions, n_absorbing, branching)
    form = draw(st.sampled_from(["dense", "csr", "sequence"]))
    initial = rng.dirichlet(np.full(n_states, 0.5))
    mdp = MDP(in_form(form, transitions), initial, discount, horizon)
    phi, weights = _linear_reward(draw, rng, mdp)
    return Problem(mdp, transitions, _features(draw, mdp, phi), phi, weights, rng)


def _linear_reward(draw: st.DrawFn, rng: np.random.Generator, mdp: MDP) -> tuple[Array, Array]:
    n_features = draw(st.integers(1, 3))
    shape = (mdp.n_states, mdp.n_actions if draw(st.booleans()) else 1, n_features)
    phi = np.tile(rng.uniform(-1.0, 1.0, shape), (1, mdp.n_actions // shape[1], 1))
    weights = rng.normal(size=n_features)
    if mdp.episodic:
        # The first feature is the cost of a step, and every step costs more than its entropy.
        phi[..., 0] = -1.0
        phi[mdp.absorbing] = 0.0
        weights[0] = 0.5 + np.log(mdp.n_actions) + np.abs(weights[1:]).sum()
    return phi, weights


def _features(draw: st.DrawFn, mdp: MDP, phi: Array) -> Any:
    of_states = mdp.n_actions > 1 and np.array_equal(phi, np.repeat(phi[:, :1], mdp.n_actions, 1))
    table = phi[:, 0] if of_states and draw(st.booleans()) else phi
    if draw(st.booleans()):
        return sparse.csr_array(table.reshape(-1, phi.shape[-1]))
    return table


class Path(NamedTuple):
    """One trajectory, in plain Python."""

    states: tuple[int, ...]
    actions: tuple[int, ...]
    chance: float


def all_paths(mdp: MDP, transitions: Array) -> list[Path]:
    """Every trajectory of positive probability, by brute force over all sequences."""
    assert mdp.horizon is not None
    found = []
    for actions in itertools.product(range(mdp.n_actions), repeat=mdp.horizon):
        for states in itertools.product(range(mdp.n_states), repeat=mdp.horizon + 1):
            chance = float(mdp.initial[states[0]])
            for s, a, after in zip(states[:-1], actions, states[1:], strict=True):
                chance *= float(transitions[s, a, after])
            if chance > 0.0:
                found.append(Path(states, actions, chance))
    return found


def path_total(path: Path, table: Array, discount: float) -> Any:
    """The discounted sum along a path of a table ``(S, A)`` or ``(S, A, K)``."""
    steps = zip(path.states[:-1], path.actions, strict=True)
    return sum(discount**t * table[s, a] for t, (s, a) in enumerate(steps))


def slope(f: Callable[[float], Any], target: Any, scale: float, tolerance: float) -> float:
    """How far ``target`` is from the derivative of ``f`` at 0, by central differences.

    The formula is exact to the sixth order.  The best step balances its error against rounding
    and depends on the problem, so several are tried: a wrong target fails with each of them.
    The distance is relative to ``scale``; the search ends at the first that is below ``tolerance``.
    """
    worst = np.inf
    for h in (1e-2, 3e-2, 3e-3, 1e-1, 1e-3):
        pairs = [np.asarray(f(k * h)) - np.asarray(f(-k * h)) for k in (1, 2, 3)]
        found = (45.0 * pairs[0] - 9.0 * pairs[1] + pairs[2]) / (60.0 * h)
        worst = min(worst, float(np.max(np.abs(found - target))) / scale)
        if worst < tolerance:
            break
    return worst


def ended_twice(horizon: int | None) -> tuple[worlds.World, Demonstrations, Demonstrations]:
    """A world with a goal, a path to it that terminated, and the same as stays there.

    Of the stays there is one for each action, to the end of time.
    """
    discount = 0.5 if horizon is None else 0.9
    world = worlds.gridworld(
        3, goals=[(2, 2)], slip=0.0, seed=1, discount=discount, horizon=horizon
    )
    path, acts = np.array([2, 5, 8]), np.array([1, 1])
    rest = (horizon or 60) - len(acts)
    stays = [np.r_[path, np.full(rest, 8)]] * 4
    explicit = Demonstrations(stays, [np.r_[acts, np.full(rest, a)] for a in range(4)])
    return world, Demonstrations([path], [acts], [True]), explicit
