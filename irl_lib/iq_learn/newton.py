r"""Newton's steps in Q, exactly: one sparse system with a row for each state.

With visits b, a policy and prices :math:`C = \beta \bar\rho` the curvature of
:func:`irl_lib.iq_learn.iq_objective` along a change d of Q, where it is concave, is

.. math::
    \sum b\, \pi\, e^2 + \sum C\, (e + B \dot v)^2, \qquad
    \dot v = \sum_a \pi d, \quad e = d - \dot v, \quad
    (B x)(s, a) = x(s) - \gamma\, \mathbb{E} x(s') .

For a given :math:`\dot v` the best e is known in closed form, state by state.  What is left is
:math:`B^\top W B\, \dot v = \dots`, where W has one block for each state, a diagonal and a product
:math:`k k^\top`: a matrix of S rows, or T S with a horizon, as sparse as two steps of the world.
Conjugate gradients in Q would need a number of iterations that grows with
:math:`1 / (1 - \gamma)`.

Reference: Nocedal and Wright (2006), Numerical optimization, chapters 3 and 16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

FLAT = 1e-14  # curvature, relative to the largest, that is put where there is none
DENSE = 0.25  # share of entries from which on products are quicker with all of them
FAINT = 1e-18  # relative to that of the policy: with less, the gradient's rounding would be a way


class NewtonSystem:
    r"""What the steps of one problem have in common.

    Args:
        mdp: S states, A actions.
        prices: :math:`\beta \bar\rho`, ``(S, A)``, or ``(T, S, A)`` with a horizon; 0 where
            episodes ended.
    """

    def __init__(self, mdp: MDP, prices: Array) -> None:
        self.shape, self.prices = prices.shape, prices.reshape(-1, mdp.n_actions)
        self.differences = _differences(mdp)

    def step(self, policy: Array, visits: Array, gradient: Array) -> Array:
        """The d at which the curvature equals the gradient.

        Args:
            policy: of the shape of Q.
            visits: b >= 0, without the last axis; 0 where episodes ended.
            gradient: of the shape of Q, or flat.

        Returns:
            Of the shape of Q.
        """
        pi, pull = policy.reshape(self.prices.shape), gradient.reshape(self.prices.shape)
        b, prices = visits.reshape(-1, 1), self.prices
        bend = b * pi + prices
        bend = bend + (FLAT * float(bend.max()) or 1.0)
        free = pi / bend
        room = np.sum(free * pi, axis=1, keepdims=True)
        k = prices * free
        matrix = self._matrix(b * k, k, room, FAINT * float(bend.max()))
        kept = prices / bend * (pull - pi * np.sum(free * pull, axis=1, keepdims=True) / room)
        dv = matrix.solve(pull.sum(axis=1) - self.differences.T @ kept.ravel())
        moved = prices * (self.differences @ dv).reshape(prices.shape)
        level = np.sum(free * (moved - pull), axis=1, keepdims=True) / room  # so that pi e = 0
        e = (pull + pi * level - moved) / bend
        return np.asarray(e + dv[:, None]).reshape(self.shape)

    def _matrix(self, diagonal: Array, k: Array, room: Array, least: float) -> Any:
        """The factors of B' W B, and of no less than that."""
        n, n_actions = k.shape
        starts = np.arange(0, k.size + 1, n_actions)
        per_state = sparse.csr_array((k.ravel(), np.arange(k.size), starts), shape=(n, k.size))
        rows = per_state @ self.differences
        matrix = self.differences.T @ (sparse.diags_array(diagonal.ravel()) @ self.differences)
        matrix = matrix + rows.T @ (sparse.diags_array(1.0 / room.ravel()) @ rows)
        least = max(least, FLAT * float(matrix.diagonal().max()))
        matrix = matrix + least * sparse.eye_array(n)
        # Positive definite, so that it needs no pivots, and an order for symmetric patterns.
        return linalg.splu(
            sparse.csc_array(matrix),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )


def _differences(mdp: MDP) -> Any:
    """B, ``(S A, S)``, or ``(T S A, T S)``: a value less what is expected after the step."""
    actions, states = np.arange(mdp.n_actions), np.arange(mdp.n_states)[:, None]
    ahead = mdp.discount * mdp.matrix[(actions * mdp.n_states + states).ravel()]
    if mdp.episodic:
        ahead = ahead @ sparse.diags_array((~mdp.absorbing).astype(np.float64))
    if mdp.horizon is not None:
        ahead = sparse.kron(sparse.eye_array(mdp.horizon, k=1), ahead)
    own = sparse.kron(sparse.eye_array(ahead.shape[1]), np.ones((mdp.n_actions, 1)))
    found = sparse.csr_array(own - ahead)
    return found.toarray() if found.nnz > DENSE * own.shape[0] * own.shape[1] else found
