"""Inverse reinforcement learning, written to be read: the methods of the lecture, exactly.

The floors of the package, each standing only on those below it::

    6  plotting          figures (the only room that imports matplotlib)
    5  behavior_cloning, max_margin, max_ent, guided_cost, adversarial, iq_learn,
                         language, routes
                         the systems of the lecture; none knows another
    4  training          what several systems train with
    3  metrics           how far two rewards or policies are
       rollouts          stepping Gymnasium environments
       networks          rewards and policies that are networks
       worlds            problems to solve
    2  planning          hard and soft planning, occupancies
       demonstrations    expert data, in memory and on disk
    1  mdp               the MDP without a reward
    0  support           checks, whole files, long runs
       results           what the book's long runs came to

Importing the package needs numpy and scipy alone; what needs more is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irl_lib import (
    adversarial,
    behavior_cloning,
    demonstrations,
    guided_cost,
    iq_learn,
    language,
    max_ent,
    max_margin,
    mdp,
    metrics,
    planning,
    results,
    rollouts,
    routes,
    worlds,
)
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP
from irl_lib.routes import prediction as route_prediction
from irl_lib.support.lazy import lazily
from irl_lib.support.result import ConvergenceWarning

if TYPE_CHECKING:
    from irl_lib import networks, plotting

__version__ = "0.1.0"

__all__ = [
    "MDP",
    "ConvergenceWarning",
    "Demonstrations",
    "__version__",
    "adversarial",
    "behavior_cloning",
    "demonstrations",
    "guided_cost",
    "iq_learn",
    "language",
    "max_ent",
    "max_margin",
    "mdp",
    "metrics",
    "networks",
    "planning",
    "plotting",
    "results",
    "rollouts",
    "route_prediction",
    "routes",
    "worlds",
]

__getattr__ = lazily(__name__, {"networks": "irl_lib.networks", "plotting": "irl_lib.plotting"})
