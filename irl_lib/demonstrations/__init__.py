r"""Expert data: trajectories of states and actions, and what they say about an occupancy.

A trajectory with ``L`` steps has ``L + 1`` states and ``L`` actions.  Both are whole numbers, as in
an :class:`irl_lib.mdp.MDP`, or vectors of floats, as in most simulators.  How it ended is part of
the data:

- ``terminated``: the episode ended, in an absorbing state; it stays there, so that its occupancy is
  complete;
- ``truncated``: somebody stopped watching; what would have come is unknown.

Taking a timeout for an end is the most widespread error of public implementations.
"""

from irl_lib.demonstrations.expert import Expert, complete_occupancy, experts, is_cut
from irl_lib.demonstrations.minari import from_minari, to_minari
from irl_lib.demonstrations.sampling import sample, shipped
from irl_lib.demonstrations.trajectories import Demonstrations, Steps

__all__ = [
    "Demonstrations",
    "Expert",
    "Steps",
    "complete_occupancy",
    "experts",
    "from_minari",
    "is_cut",
    "sample",
    "shipped",
    "to_minari",
]
