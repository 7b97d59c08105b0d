"""The one reader of ``demos``: what methods ask of an expert, from whatever they are given.

An expert is known by its trajectories, by its occupancy ``(S, A)``, or by its feature expectations
``(K,)`` alone; in one MDP, or in several that share a reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.demonstrations.trajectories import MISSING_MASS, Demonstrations, left_out
from irl_lib.mdp import MDP, check_mdp, check_mdps
from irl_lib.support.checks import Array, check_array, check_numbers, check_type

ROUNDING = 1e-12  # relative size of an occupancy that is none


@dataclass(frozen=True, eq=False)
class Expert:
    """What was shown in one MDP."""

    mdp: MDP
    features: Any
    """As they were given."""
    shown: Demonstrations | Array
    """Trajectories, an occupancy ``(S, A)``, or feature expectations ``(K,)``."""
    name: str
    """What an error calls it."""

    @property
    def demos(self) -> Demonstrations | None:
        """The trajectories, where they are known."""
        return self.shown if isinstance(self.shown, Demonstrations) else None

    @property
    def has_occupancy(self) -> bool:
        """Whether more is known than feature expectations."""
        return isinstance(self.shown, Demonstrations) or self.shown.ndim != 1

    def occupancy(self) -> Array:
        """``(S, A)``, of full mass; see :func:`complete_occupancy`."""
        if not self.has_occupancy:
            raise ValueError(
                f"{self.name} is feature expectations; expected Demonstrations or an occupancy "
                f"{(self.mdp.n_states, self.mdp.n_actions)}"
            )
        return complete_occupancy(self.mdp, self.shown, self.name)

    def expectations(self, phi: Any) -> Array:
        """``(K,)``, of features ``(S*A, K)``."""
        k, table = phi.shape[1], (self.mdp.n_states, self.mdp.n_actions)
        if isinstance(self.shown, Demonstrations) or self.shown.shape == table:
            return np.asarray(phi.T @ self.occupancy().ravel())
        if self.shown.shape == (k,):
            return check_array(self.name, self.shown, (k,))
        raise ValueError(
            f"{self.name} has shape {self.shown.shape}; expected Demonstrations, an occupancy "
            f"{table}, or its feature expectations {(k,)}"
        )


def experts(mdp: MDP | Sequence[MDP], features: Any, demos: Any) -> list[Expert]:
    """What a method is given, as one :class:`Expert` for each MDP.

    Args:
        mdp: one MDP, or a sequence of them.
        features: of that MDP; a sequence with one entry for each of several.
        demos: likewise: Demonstrations, an occupancy or feature expectations.

    Raises:
        ValueError: for something else, or sequences of other lengths.
    """
    if isinstance(mdp, MDP):
        return [Expert(mdp, features, _shown("demos", demos), "demos")]
    mdps = check_mdps(mdp)
    for name, each in (("demos", demos), ("features", features)):
        if isinstance(each, Demonstrations) or not isinstance(each, Sequence | np.ndarray):
            raise ValueError(f"{name} is {each!r}; expected a sequence, one entry for each MDP")
        if len(each) != len(mdps):
            raise ValueError(
                f"mdp and {name} have {len(mdps)} and {len(each)} entries; expected as many of each"
            )
    names = [f"demos[{i}]" for i in range(len(mdps))]
    shown = [_shown(*each) for each in zip(names, demos, strict=True)]
    return [Expert(*each) for each in zip(mdps, features, shown, names, strict=True)]


def _shown(name: str, demos: Any) -> Demonstrations | Array:
    return demos if isinstance(demos, Demonstrations) else check_numbers(name, demos)


def is_cut(mdp: MDP, demos: Demonstrations) -> bool:
    """Whether truncation left out more than :func:`complete_occupancy` makes up for.

    That is more than ``MISSING_MASS`` of the mass; where episodes end by themselves (no horizon, no
    discount), any step, because nobody knows how many there would have been.

    Args:
        mdp: S states, A actions.
        demos: demonstrations in it.

    Raises:
        TypeError: for something else in the place of either.
        ValueError: as :meth:`Demonstrations.check`.
    """
    check_mdp(mdp)
    check_type("demos", demos, Demonstrations)
    return bool(left_out(mdp, demos, demos.counted(mdp)))


def complete_occupancy(mdp: MDP, shown: Demonstrations | ArrayLike, name: str = "demos") -> Array:
    """``(S, A)``: an expert's occupancy, scaled to its full mass.

    Args:
        mdp: S states, A actions.
        shown: demonstrations, of which truncation may have cut off a little; or an occupancy.
        name: what an error calls it.

    Raises:
        ValueError: for a bad occupancy, one with less or more than ``MISSING_MASS`` off its mass,
            or demonstrations of which truncation left out more than that (:func:`is_cut`).
    """
    check_mdp(mdp)
    if isinstance(shown, Demonstrations):
        occupancy = shown.counted(mdp)
        missing = left_out(mdp, shown, occupancy)
        if missing:
            raise ValueError(f"{name} has {missing} ({_remedy(shown)})")
    else:
        occupancy = _given_occupancy(mdp, shown, name)
    return occupancy if mdp.episodic else occupancy / (float(occupancy.sum()) / mdp.mass)


def _given_occupancy(mdp: MDP, shown: ArrayLike, name: str) -> Array:
    occupancy = check_array(name, check_numbers(name, shown), (mdp.n_states, mdp.n_actions))
    if occupancy.min() < -ROUNDING * np.abs(occupancy).max():
        raise ValueError(f"{name} has the entry {occupancy.min():g}; an occupancy is >= 0")
    total = float(occupancy.sum())
    if not mdp.episodic and abs(1.0 - total / mdp.mass) > MISSING_MASS:
        raise ValueError(
            f"{name} has an occupancy of {total:.6g} in all; expected {mdp.mass:.6g}, the sum of "
            "the discounts over the horizon (planning.occupancy returns such a one)"
        )
    return occupancy


def _remedy(demos: Demonstrations) -> str:
    """What to do with demonstrations of which truncation left out too much."""
    lengths = {len(a) for a in demos.actions}
    even = len(lengths) == 1 and len(demos) > 1
    shorter = f"; or give the MDP the horizon that all of them have, {max(lengths)}" if even else ""
    return (
        "truncated demonstrations leave out what came later: fit the actions that were shown, fit "
        "= max_ent.max_ent(mdp, features, demos, objective='likelihood'), and where an occupancy "
        f"is needed pass planning.occupancy(mdp, fit.policy){shorter}"
    )
