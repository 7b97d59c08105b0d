"""What methods ask of an expert: an occupancy, from whatever they are given."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.demonstrations.trajectories import MISSING_MASS, Demonstrations, left_out
from irl_lib.mdp import MDP, check_mdp
from irl_lib.support.checks import Array, check_array, check_numbers, check_type

ROUNDING = 1e-12  # relative size of an occupancy that is none


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
