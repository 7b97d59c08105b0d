"""Small MDPs whose answers can be worked out by hand, and random ones for tests."""

from __future__ import annotations

import numpy as np

from irl_lib.mdp import MDP
from irl_lib.support.checks import check_count, check_real, check_seed
from irl_lib.worlds.base import World


def chain(length: int = 5, horizon: int | None = None, discount: float = 0.9) -> World:
    """States in a row, with the actions left and right.

    The features of a state are its position, from 0 to 1, and whether it is the last.

    Raises:
        ValueError: when ``length`` is no whole number, or below 2.
    """
    length = check_count("length", length, least=2)
    states = np.arange(length)
    transitions = np.zeros((length, 2, length))
    transitions[states, 0, np.maximum(states - 1, 0)] = 1.0
    transitions[states, 1, np.minimum(states + 1, length - 1)] = 1.0
    per_state = np.stack([states / (length - 1), states == length - 1], axis=1)
    features = np.repeat(per_state[:, None], 2, axis=1)
    weights = np.array([0.5, 1.0])
    return World(
        MDP(transitions, np.eye(length)[0], discount, horizon),
        features,
        weights,
        features @ weights,
        np.stack([states, np.zeros(length)], axis=1).astype(float),
        ("position", "end"),
    )


def gamble(win: float = 2.0, lose: float = -4.0, chance: float = 0.5) -> World:
    r"""One decision between a safe step and a bet; then one step in which luck is paid out.

    From ``start``, action 0 goes to ``safe`` and action 1 to ``won`` with probability ``chance``,
    else to ``lost``.  The second step, whatever the action, pays ``win`` in ``won``, ``lose`` in
    ``lost`` and nothing in ``safe``.  The posterior over trajectories given optimality plans as if
    luck could be chosen; the maximum causal entropy policy does not.

    Raises:
        ValueError: when ``chance`` is not in (0, 1), or a payment no finite number.
    """
    pays = [check_real(name, paid, -np.inf) for name, paid in (("win", win), ("lose", lose))]
    if not 0.0 < check_real("chance", chance, 0.0, most=1.0) < 1.0:
        raise ValueError(f"chance is {chance!r}; expected a probability in (0, 1)")
    start, safe, won, lost = range(4)
    transitions = np.zeros((4, 2, 4))
    transitions[start, 0, safe] = 1.0
    transitions[start, 1, [won, lost]] = [chance, 1.0 - chance]
    transitions[[safe, won, lost], :, [safe, won, lost]] = 1.0
    features = np.zeros((4, 2, 2))
    features[won, :, 0] = features[lost, :, 1] = 1.0
    weights = np.array(pays)
    positions = np.array([[0.0, 0.0], [1.0, 0.5], [1.0, -0.25], [1.0, -0.75]])
    mdp = MDP(transitions, np.eye(4)[start], 1.0, 2)
    return World(mdp, features, weights, features @ weights, positions, ("won", "lost"))


def two_goal(discount: float = 0.9) -> World:
    """A corridor of four states with a goal at each end, the right one worth a little more.

    States: left goal, two in the middle, right goal; actions left and right; the start is in the
    middle. Both goals are absorbing.
    """
    transitions = np.zeros((4, 2, 4))
    transitions[[0, 3], :, [0, 3]] = 1.0
    transitions[[1, 2], 0, [0, 1]] = 1.0
    transitions[[1, 2], 1, [2, 3]] = 1.0
    features = np.repeat(np.eye(4)[:, None, [0, 3]], 2, axis=1)
    weights = np.array([0.9, 1.0])
    positions = np.stack([np.arange(4.0), np.zeros(4)], axis=1)
    mdp = MDP(transitions, [0.0, 0.5, 0.5, 0.0], discount)
    names = ("left goal", "right goal")
    return World(mdp, features, weights, features @ weights, positions, names)


def random_mdp(
    n_states: int,
    n_actions: int,
    n_features: int,
    seed: int | np.random.Generator,
    discount: float = 0.9,
    horizon: int | None = None,
    branching: int = 2,
    n_absorbing: int = 0,
) -> World:
    """Random transitions to ``branching`` next states, normal features and weights.

    The last ``n_absorbing`` states are absorbing, with features zero; every other state can reach
    them.

    Raises:
        ValueError: for a size below 1; or when ``branching`` or ``n_absorbing`` doesn't fit the
            number of states.
    """
    n_states, n_features = check_count("n_states", n_states), check_count("n_features", n_features)
    branching = check_count("branching", branching, most=n_states)
    n_absorbing = check_count("n_absorbing", n_absorbing, least=0, most=n_states - 1)
    rng = check_seed(seed)
    shape = (n_states, check_count("n_actions", n_actions))
    transitions = np.zeros((*shape, n_states))
    targets = np.argsort(rng.random((*shape, n_states)), axis=2)[..., :branching]
    rows = rng.dirichlet(np.ones(branching), size=shape)
    np.put_along_axis(transitions, targets, rows, axis=2)
    features = rng.normal(size=(*shape, n_features))
    ends = np.arange(n_states - n_absorbing, n_states)
    transitions[:, :, ends] += 0.1
    transitions[ends] = np.eye(n_states)[ends, None]
    features[ends] = 0.0
    transitions /= transitions.sum(axis=2, keepdims=True)
    weights = rng.normal(size=n_features)
    mdp = MDP(transitions, rng.dirichlet(np.ones(n_states)), discount, horizon)
    return World(mdp, features, weights, features @ weights, rng.random((n_states, 2)))
