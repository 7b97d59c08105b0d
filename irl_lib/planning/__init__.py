r"""Planning, hard and soft, and the occupancies that plans lead to.

With reward :math:`r(s,a)`, discount :math:`\gamma` and temperature :math:`\alpha` the soft Bellman
recursion is

.. math::
    Q_t(s,a) &= r(s,a) + \gamma\, \mathbb{E}_{s' \sim P(\cdot|s,a)} V_{t+1}(s'), \\
    V_t(s) &= \alpha \log \sum_a \exp (Q_t(s,a) / \alpha), \\
    \pi_t(a|s) &= \exp((Q_t(s,a) - V_t(s)) / \alpha),

backwards from :math:`V_T = 0` when the horizon is finite, and at its fixed point when it is not.
There is one such recursion in this package, :func:`soft_value_iteration`; at temperature zero it is
:func:`value_iteration`.  The exact posterior over trajectories given optimality
(:func:`trajectory_posterior`) differs in one place only: the expectation over the next state is
:math:`\log \mathbb{E} \exp V_{t+1}(s')`, as if luck could be chosen.

All of it runs in log space.  Without a horizon the fixed point is found by Newton's method on
:math:`V - \mathcal{T}V`, which is policy iteration (soft or hard): each step is one sparse linear
system.  Where every action has one outcome, every step costs and episodes end, planning is a
shortest-path problem, and Dijkstra's algorithm gives Newton's method the solution to start from.
Elsewhere it starts from the uniform policy; where that takes for ever to end an episode, from one
that ends them soon.

References: Ziebart (2010), chapter 6; Levine (2018), sections 2 and 3.
"""

from irl_lib.planning.backups import DivergenceError, Plan, soft_backup
from irl_lib.planning.bellman import soft_value_iteration, unchecked_soft_plan, value_iteration
from irl_lib.planning.occupancies import (
    feature_expectations,
    occupancy,
    occupancy_derivative,
    policy_value,
    unchecked_occupancy,
)
from irl_lib.planning.posterior import (
    best_case,
    log_partition,
    trajectory_occupancy,
    trajectory_occupancy_derivative,
    trajectory_posterior,
)

__all__ = [
    "DivergenceError",
    "Plan",
    "best_case",
    "feature_expectations",
    "log_partition",
    "occupancy",
    "occupancy_derivative",
    "policy_value",
    "soft_backup",
    "soft_value_iteration",
    "trajectory_occupancy",
    "trajectory_occupancy_derivative",
    "trajectory_posterior",
    "unchecked_occupancy",
    "unchecked_soft_plan",
    "value_iteration",
]
