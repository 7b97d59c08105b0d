"""Inverse reinforcement learning, written to be read: the methods of the lecture, exactly.

The floors of the package, each standing only on those below it::

    4  plotting                     figures (the only module that imports matplotlib)
    3  behavior_cloning, max_margin, max_ent, guided_cost
                                    one module for each system of the lecture, and beside them
       margin_tasks, margin_programs    what max margin plans and what it solves
       table_likelihood, neural_likelihood
                                    a reward's likelihood, whatever it is made of; of a network
       sample_memory, soft_actor        what guided cost learning remembers; its policy's steps
       routes, route_prediction         maximum entropy on a street network, where exp V is linear
    2  worlds, metrics, networks    problems to solve; how far two rewards or policies are; networks
       importance, timed_policies   weights of sampled trajectories; policies that see the time
       checkpoints                  long computations, stopped and resumed
    1  planning                     hard and soft planning, occupancies
       demonstrations, rollouts     expert data; stepping Gymnasium environments
       datasets                     expert data on disk
    0  mdp, spaces, trajectories    the MDP without a reward; what data are made of; validation
       files                        files of arrays, written whole or not at all
       results, progress            what the book's long runs came to; the bar of a long loop

Importing the package needs numpy and scipy alone; a module that needs more says so.
"""

from irl_lib import (
    behavior_cloning,
    demonstrations,
    max_ent,
    max_margin,
    mdp,
    metrics,
    planning,
    rollouts,
    route_prediction,
    routes,
    worlds,
)
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP

__version__ = "0.1.0"

__all__ = [
    "MDP",
    "Demonstrations",
    "__version__",
    "behavior_cloning",
    "demonstrations",
    "max_ent",
    "max_margin",
    "mdp",
    "metrics",
    "planning",
    "rollouts",
    "route_prediction",
    "routes",
    "worlds",
]
