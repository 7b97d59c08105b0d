"""Trajectories of a policy in its MDP, and those that come with the package."""

from __future__ import annotations

from importlib import resources

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.demonstrations.trajectories import Demonstrations
from irl_lib.mdp import MDP, check_policy
from irl_lib.support.checks import Index, check_count, check_rng
from irl_lib.support.draws import draw

EPISODE = 100_000  # steps of an episode, of which nobody knows when it ends
LEFT = 1e-3  # share of the discounted mass that comes after the last step


def shipped(name: str) -> Demonstrations:
    """Demonstrations that come with the package.

    Raises:
        ValueError: when there are none of this name; it lists those that there are.

    Example:
        >>> shipped("cartpole_expert")
        Demonstrations(20 trajectories of CartPole-v1, 10000 steps, 0 terminated)
    """
    folder = resources.files("irl_lib") / "data"
    known = sorted(each.name[:-4] for each in folder.iterdir() if each.name.endswith(".npz"))
    if name not in known:
        raise ValueError(f"name is {name!r}; there are: {', '.join(known)}")
    with resources.as_file(folder / f"{name}.npz") as path:
        return Demonstrations.load(path)


def sample(
    mdp: MDP, policy: ArrayLike, n: int, rng: np.random.Generator, length: int | None = None
) -> Demonstrations:
    r"""Trajectories of a policy in its MDP.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.
        n: how many.
        rng: where the randomness comes from.
        length: steps at most; default: the horizon, or as many as leave less than a thousandth of
            the discounted mass (:math:`\gamma^L < 0.001`); 100,000 where episodes end by
            themselves.

    Returns:
        Demonstrations; where episodes end (no horizon, no discount) they stop in their absorbing
        state, ``terminated``; all others are as long as asked for.

    Raises:
        ValueError: for a bad policy, or ``n`` or ``length`` below 1, or above the horizon.
    """
    pi = check_policy(mdp, policy)
    check_rng(rng)
    n, steps = check_count("n", n), _length(mdp, length)
    state = rng.choice(mdp.n_states, size=n, p=mdp.initial)
    states, actions, lengths = [state], [], np.zeros(n, dtype=np.int64)
    ends = mdp.absorbing & mdp.episodic
    for t in range(steps):
        live = ~ends[state]
        if not live.any():
            break
        actions.append(draw((pi[t] if pi.ndim == 3 else pi)[state], rng))
        state = np.where(live, _next_state(mdp, state, actions[-1], rng), state)
        states.append(state)
        lengths += live
    paths, choices = np.array(states).T, np.array(actions, dtype=np.int64).reshape(-1, n).T
    return Demonstrations(
        [path[: length + 1] for path, length in zip(paths, lengths, strict=True)],
        [choice[:length] for choice, length in zip(choices, lengths, strict=True)],
        ends[state],
    )


def _next_state(mdp: MDP, state: Index, action: Index, rng: np.random.Generator) -> Index:
    """One next state for each (state, action), from the rows of the sparse transitions."""
    rows = action * mdp.n_states + state
    first, counts = mdp.matrix.indptr[rows], np.diff(mdp.matrix.indptr)[rows]
    columns = np.arange(counts.max())
    entry = np.minimum(first[:, None] + columns, mdp.matrix.nnz - 1)
    chances = np.where(columns < counts[:, None], mdp.matrix.data[entry], 0.0)
    return np.asarray(mdp.matrix.indices[first + draw(chances, rng)], dtype=np.int64)


def _length(mdp: MDP, length: int | None) -> int:
    """The most steps of a trajectory."""
    if length is None:
        if mdp.horizon is not None:
            return mdp.horizon
        return EPISODE if mdp.episodic else int(np.ceil(np.log(LEFT) / np.log(mdp.discount)))
    steps = check_count("length", length)
    if mdp.horizon is not None and steps > mdp.horizon:
        raise ValueError(f"length is {length}; the horizon is {mdp.horizon}")
    return steps
