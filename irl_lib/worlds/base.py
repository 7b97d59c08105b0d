"""What a world is: an MDP, features, a true reward, and where to draw each state."""

from __future__ import annotations

from typing import Any, NamedTuple

from irl_lib.mdp import MDP
from irl_lib.support.checks import Array


class World(NamedTuple):
    """A problem: what a learner is given (``mdp``, ``features``) and what is hidden from it."""

    mdp: MDP
    features: Any
    """``(S, A, K)`` dense, or ``(S*A, K)`` CSR."""
    weights: Array
    """``(K,)``, the hidden ones: ``reward`` is ``features @ weights``."""
    reward: Array
    """``(S, A)``, the hidden one."""
    positions: Array
    """``(S, 2)``: x and y of each state, for drawing."""
    feature_names: tuple[str, ...] = ()
