"""The linear systems of a policy: its values, how often it is where, and how long it goes on."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from irl_lib.mdp import MDP, reachable
from irl_lib.support.checks import Array

DIRECT_LIMIT = 50_000  # states up to which a linear system is factorised without trying to iterate
KRYLOV_STEPS = 100  # what an iteration gets for it beyond that: it needs few, or far too many
TOLERANCE = 1e-14  # Bellman residual, relative to the largest value, of a fixed point
LONGEST = 1e13  # steps to the end: a policy that takes more never ends, but for rounding


def policy_chain(mdp: MDP, policy: Array) -> sparse.csr_array:
    """``(S, S)``: gamma P_pi, without the steps after the end of an episode."""
    if mdp.episodic:
        return mdp.policy_matrix(np.where(mdp.absorbing[:, None], 0.0, policy))
    return mdp.discount * mdp.policy_matrix(policy)


def _check_ends(never: NDArray[np.bool_]) -> None:
    lost = np.flatnonzero(never)
    if lost.size:
        raise ValueError(
            f"the policy never reaches an absorbing state from state {lost[0]} (and "
            f"{lost.size - 1} more), so that its value without horizon and discount is not finite"
        )


def _check_steps(steps: Array, sources: Array, arriving: Array) -> None:
    """That counts of steps are some: their balance fails by 1 where no step leads out for good."""
    balance = np.abs(steps - sources - arriving).max()
    if not (balance < 0.5 and np.abs(steps).max() < LONGEST):
        raise ValueError(
            f"the policy takes more than {LONGEST:g} steps to an absorbing state, so that its "
            "value without horizon and discount is beyond what floating-point numbers resolve"
        )


def evaluate(mdp: MDP, policy: Array, gain: Array) -> tuple[Array, float]:
    """The value of a policy that gains ``(S,)``, and how many steps it counts at most."""
    chain = policy_chain(mdp, policy)
    if not mdp.episodic:
        left = 1.0 - mdp.discount
        return System(chain).solve(gain, row_sum=left), 1.0 / left
    system, live = System(chain), (~mdp.absorbing).astype(np.float64)
    _check_ends(~system.leading_to(mdp.absorbing))
    v, steps = system.solve(np.column_stack([gain * live, live])).T
    _check_steps(steps, live, chain @ steps)
    return v, float(steps.max())


def stationary_occupancy(mdp: MDP, policy: Array, sources: Array) -> Array:
    """``(S,)``: how much a policy that enters by sources is where, without a horizon."""
    chain = policy_chain(mdp, policy)
    system = System(chain)
    if not mdp.episodic:
        return system.solve(sources, transposed=True)
    never = ~system.leading_to(mdp.absorbing)
    if never.any():  # which is no matter where it never comes
        _check_ends(never & reachable(chain, sources > 0.0))
        chain = policy_chain(mdp, np.where(never[:, None], 0.0, policy))
        system = System(chain)
    states = system.solve(sources, transposed=True)
    _check_steps(states, sources, chain.T @ states)
    return np.where(mdp.absorbing, 0.0, states)


class System:
    """I - chain, factorised at most once."""

    def __init__(self, chain: sparse.csr_array) -> None:
        self.matrix = sparse.csc_array(sparse.eye_array(chain.shape[0], format="csr") - chain)

    def leading_to(self, ends: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """``(S,)``: the states from which the chain can come to some end."""
        by_target = (self.matrix.data, self.matrix.indices, self.matrix.indptr)
        return reachable(sparse.csr_array(by_target, shape=self.matrix.shape), ends)

    @cached_property
    def _factors(self) -> Any:
        # Diagonally dominant, and steps mostly lead to where others lead back from: an order for
        # symmetric patterns, without pivoting, leaves half the fill.
        try:
            return linalg.splu(self.matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0)
        except RuntimeError:
            raise ValueError(
                "the policy's chain is singular but for rounding: it (almost) never ends"
            ) from None

    def solve(
        self,
        right: Array,
        transposed: bool = False,
        row_sum: float = 0.0,
        refined: bool = True,
    ) -> Array:
        """The x with matrix @ x = right, or its transpose's; one step of iterative refinement.

        If what each row of the matrix sums to is known, a part of x that is the same everywhere
        costs no accuracy.
        """
        matrix = self.matrix.T if transposed else self.matrix
        if len(right) > DIRECT_LIMIT:
            x = _iterate(matrix.tocsr(), right)
            if x is not None:
                return x
        side = "T" if transposed else "N"
        x = self._factors.solve(right, side)
        if not refined:
            return np.asarray(x)
        level = 0.5 * (x.max() + x.min()) if row_sum else 0.0
        if np.ptp(x) > 0.5 * abs(level):  # it has little in common, and would lose digits
            level = 0.0
        x -= level
        x += self._factors.solve(right - row_sum * level - matrix @ x, side)
        return np.asarray(x + level)


def _iterate(matrix: sparse.csr_array, right: Array) -> Array | None:
    """The same by Krylov's method; None where it doesn't settle.

    Where chains mix fast it settles soon, and factors would fill up; where they don't, states have
    few neighbours in common with those far away, and factors have little fill.
    """
    if right.ndim == 2:
        columns = [x for x in (_iterate(matrix, b) for b in right.T) if x is not None]
        return np.column_stack(columns) if len(columns) == right.shape[1] else None
    x = np.zeros_like(right)
    for _ in range(4):
        missing = right - matrix @ x
        if np.abs(missing).max() <= TOLERANCE * max(np.abs(x).max(), np.abs(right).max()):
            return x
        more, failed = linalg.bicgstab(matrix, missing, rtol=1e-10, maxiter=KRYLOV_STEPS)
        if failed > 0 or not np.isfinite(more).all():
            return None
        x += more  # where it broke down, the next round tells what that is worth
    return None


def ended(mdp: MDP) -> Any:
    """``(S,)``: where episodes are over."""
    return mdp.absorbing if mdp.episodic else np.zeros(mdp.n_states, dtype=bool)
