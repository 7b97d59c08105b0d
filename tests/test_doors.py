"""The doors of the package: whatever is wrong with an argument, an error names it.

For each public function there is a call that works.  One argument at a time is replaced by what has
no business there; what comes back is an error of the package's own that names the argument, or a
result without a NaN.  A function that is new needs a call here, too.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import sparse

import irl_lib
from irl_lib import Demonstrations, planning, worlds
from street_graphs import graph_of

torch = pytest.importorskip("torch")
gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("cvxpy")
pytest.importorskip("stable_baselines3")
pytest.importorskip("matplotlib")
pytest.importorskip("transformers")

MODULES = (
    "adversarial",
    "behavior_cloning",
    "demonstrations",
    "guided_cost",
    "importance",
    "iq_learn",
    "language",
    "max_ent",
    "max_margin",
    "mdp",
    "metrics",
    "networks",
    "planning",
    "plotting.figures",
    "plotting.maps",
    "plotting.players",
    "results",
    "rollouts",
    "support.files",
    "timed_policies",
    "worlds.batches",
    "worlds.environments",
    "worlds.grids",
    "worlds.lands",
    "worlds.languages",
    "worlds.lattice",
    "worlds.mazes",
    "worlds.objects",
    "worlds.textbook",
)


# Whose arguments were checked by those that call them, or that have none but an object's own.
INNER = {
    "demonstrations.Demonstrations.counted",
    "demonstrations.Expert.expectations",
    "demonstrations.Expert.occupancy",
    "demonstrations.experts",  # what it reads is checked where it is used
    "demonstrations.from_minari",  # data sets have tests of their own
    "demonstrations.to_minari",
    "demonstrations.spaces.clip",
    "demonstrations.spaces.entries",
    "demonstrations.spaces.is_bounded",
    "demonstrations.spaces.is_numbered",
    "demonstrations.spaces.is_vector",
    "demonstrations.spaces.leaves",
    "demonstrations.spaces.members",
    "demonstrations.spaces.outside",
    "demonstrations.spaces.spaces_of",  # what has them is named by what was given it
    "demonstrations.spaces.standard_unit",
    "iq_learn.Price.of",  # of inner loops
    "iq_learn.Price.slope",
    "max_margin.InfeasibleError",
    "mdp.MDP.expect",  # of inner loops, these four check shapes, and have tests of that
    "mdp.MDP.flow",
    "mdp.MDP.policy_matrix",
    "planning.soft_backup",
    "mdp.add_product",
    "mdp.reachable",
    "networks.MapRewardNet.extra_repr",
    "networks.PolicyNet.extra_repr",
    "networks.RewardNet.extra_repr",
    "networks.l2_penalty",
    "networks.one_thread",
    "networks.seeded",
    "planning.unchecked_occupancy",
    "planning.unchecked_soft_plan",
    "plotting.BookAxes.legend",
    "plotting.BookAxes.plot",
    "plotting.BookAxes.set",
    "plotting.BookAxes.set_title",
    "plotting.BookFigure.set",
    "rollouts.episode_limit",
    "support.files.has_digest",
    "support.files.pack",
    "support.files.text",
    "support.files.unpack",
    "worlds.Maze.move",
    "worlds.Maze.paid",
    "worlds.Terrain.features",
}

# Whose own tests have what they refuse.
ELSEWHERE = ("language.IQTrainer", "routes.", "worlds.RoadNetwork.")

ALLOWED = {
    ("plotting.figures.heatmap", "values", "a nan in it"),  # which stays blank
}


DATA = Path(irl_lib.__file__).parent / "data"


class Call(NamedTuple):
    """A call that works."""

    function: Callable[..., Any]
    arguments: dict[str, Any]


def net(n_inputs: int = 2) -> Any:
    from irl_lib.networks import RewardNet

    return RewardNet(n_inputs, 0, hidden=(3,))


@cache
def calls() -> dict[str, Call]:
    """By the name of the function, the class or the method."""
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
        networks,
        plotting,
        results,
        rollouts,
    )
    from irl_lib.guided_cost import weights as importance
    from irl_lib.support import files
    from irl_lib.training import timed_policies
    from irl_lib.worlds import languages

    world = worlds.chain(4, horizon=3)
    model, phi, reward = world.mdp, world.features, world.reward
    plan, posterior = (
        planning.soft_value_iteration(model, reward),
        planning.trajectory_posterior(model, reward),
    )
    pi, rho = plan.policy, planning.occupancy(model, plan.policy)
    demos = demonstrations.sample(model, pi, 4, np.random.default_rng(0))
    paths = mdp.enumerate_trajectories(model)
    maze = worlds.Maze()
    env = worlds.point_maze(max_steps=4)
    moves = rollouts.rollout(env, lambda seen, rng: rng.uniform(-1, 1, 2), 2, 0)
    lattice = worlds.Lattice([0.0], [1.0], [2])
    unit = timed_policies.Units(np.zeros(2), np.ones(2), -np.ones(2), np.ones(2), 4)
    head = np.zeros((2, 3)), np.zeros(2)
    gaussian = timed_policies.SquashedGaussian(unit, [], head, head)
    enduring = timed_policies.SquashedGaussian(replace(unit, horizon=99_999), [], head, head)
    line = worlds.LatticePolicy(lattice, np.zeros((99_999, 3, 2)), [[0.0], [1.0]], [0.5])
    policy_net = networks.PolicyNet(2, 0, n_actions=2)
    wide_net = networks.PolicyNet(2, 0, action_size=1)
    map_net = networks.MapRewardNet(2, (2, 2), 0, hidden=(3,))
    land, town = worlds.terrain(16), worlds.roads(size=60)
    letters = worlds.variable_memory()
    rng = np.random.default_rng(0)
    axes = plotting.figure(width=2.0)[1]
    square = worlds.gridworld(2)
    two = torch.zeros(2)
    game = {
        "env": env,
        "demos": moves,
        "seed": 0,
        "subsample": 1,
        "discount": 0.9,
        "max_iterations": 1,
        "tolerance": 100.0,
        "max_steps": 4,
        "steps": 2,
        "memory": 1,
        "discriminator_steps": 1,
        "batch": 2,
        "learning_rate": 1e-3,
        "regularisation": "gradient penalty",
        "penalty": 1.0,
        "hidden": (3,),
        "scale_rewards": True,
        "policy_hidden": (3,),
        "policy_sd": 0.5,
        "policy_learning_rate": 1e-3,
        "policy_epochs": 1,
        "trace": 0.9,
        "checkpoint": None,
        "callback": None,
        "progress": False,
    }
    free = {"reward": "logit", "absorbing": False, "entropy_weight": 0.0}
    pole, copies = gymnasium.make("CartPole-v1"), worlds.batched("CartPole-v1", 2)
    pushed = rollouts.rollout(pole, lambda seen, rng: int(rng.integers(2)), 2, 0, max_steps=9)
    stepped = {
        "env": copies,
        "demos": pushed,
        "seed": 0,
        "online": True,
        "loss": "mixture",
        "weight": 1.0,
        "temperature": 1.0,
        "discount": 0.9,
        "absorbing": True,
        "subsample": 2,
        "keep_last": True,
        "max_iterations": 1,
        "max_steps": 4,
        "steps": 2,
        "updates": 1,
        "memory": 9,
        "batch": 3,
        "learning_rate": 1e-3,
        "decay": 2,
        "hidden": (3,),
        "critics": 1,
        "normalised": True,
        "target_rate": 0.5,
        "clip": True,
        "averaging": 0.5,
        "checkpoint": None,
        "callback": None,
        "progress": False,
    }
    soft = iq_learn.iq_learn(**stepped)
    acting = stepped | {"env": env, "demos": moves, "actor_learning_rate": 1e-3}
    steered = iq_learn.iq_learn(**acting)
    timed = iq_learn.timed_occupancy(model, pi)
    endless = worlds.random_mdp(3, 2, 2, seed=0, discount=0.9).mdp
    on_table = {
        "mdp": endless,
        "demos": planning.occupancy(endless, np.full((3, 2), 0.5)),
        "learning_rate": 0.5,
        "max_iterations": 3,
        "tolerance": 10.0,
        "progress": False,
    }
    linear = {"features": np.ones((3, 2, 1)), "state_only": True, "l2": 1e-3}
    said = {
        "logits": torch.zeros(2, 4, 3),
        "labels": torch.tensor([[-100, 1, 2, 0], [-100, -100, 1, 0]]),
        "end": 0,
        "discount": 0.9,
    }
    in_any = {"mdp": model, "shown": timed, "cost": iq_learn.price(model, 0.1, timed)}
    return {
        "behavior_cloning.clone": Call(
            behavior_cloning.clone,
            {"mdp": model, "demos": demos, "smoothing": 1.0},
        ),
        "behavior_cloning.clone_network": Call(
            behavior_cloning.clone_network,
            {
                "env": model,
                "demos": demos,
                "seed": 0,
                "hidden": (3,),
                "sd": None,
                "l2": 0.1,
                "max_iterations": 2,
                "batch": 4,
                "learning_rate": 1e-3,
                "validation": 0.5,
                "tolerance": 100.0,
                "progress": False,
            },
        ),
        "demonstrations.Demonstrations": Call(
            Demonstrations,
            {
                "states": [[0, 1]],
                "actions": [[0]],
                "terminated": [True],
                "truncated": [False],
                "rewards": [[1.0]],
                "environment": "here",
            },
        ),
        "demonstrations.Demonstrations.steps": Call(demos.steps, {}),
        "demonstrations.Demonstrations.check": Call(demos.check, {"mdp": model}),
        "demonstrations.Demonstrations.check_spaces": Call(
            moves.check_spaces,
            {
                "observation_space": env.observation_space,
                "action_space": env.action_space,
            },
        ),
        "demonstrations.Demonstrations.occupancy": Call(demos.occupancy, {"mdp": model}),
        "demonstrations.Demonstrations.feature_expectations": Call(
            demos.feature_expectations, {"mdp": model, "features": phi}
        ),
        "demonstrations.Demonstrations.split": Call(demos.split, {"fraction": 0.5, "rng": rng}),
        "demonstrations.Demonstrations.select": Call(demos.select, {"which": [0, 1]}),
        "demonstrations.complete_occupancy": Call(
            partial(demonstrations.complete_occupancy, name="shown"), {"mdp": model, "shown": rho}
        ),
        "demonstrations.is_cut": Call(demonstrations.is_cut, {"mdp": model, "demos": demos}),
        "demonstrations.Demonstrations.save": Call(demos.save, {"path": "own.npz"}),
        "demonstrations.Demonstrations.load": Call(
            Demonstrations.load, {"path": str(DATA / "cartpole_expert.npz")}
        ),
        "demonstrations.spaces.width": Call(
            partial(demonstrations.spaces.width, "space"), {"space": env.action_space}
        ),
        "demonstrations.spaces.flat": Call(
            partial(demonstrations.spaces.flat, "space"), {"space": env.action_space}
        ),
        "demonstrations.spaces.entry": Call(
            partial(demonstrations.spaces.entry, "member", env.action_space),
            {"member": [0.0, 1.0]},
        ),
        "support.files.write_whole": Call(
            files.write_whole, {"path": "whole.npz", "content": b"all of it"}
        ),
        "demonstrations.shipped": Call(demonstrations.shipped, {"name": "cartpole_expert"}),
        "demonstrations.sample": Call(
            demonstrations.sample, {"mdp": model, "policy": pi, "n": 2, "rng": rng, "length": 2}
        ),
        "adversarial.gail": Call(adversarial.gail, game | free),
        "adversarial.airl": Call(adversarial.airl, game | {"state_only": True, "reward_net": None}),
        "adversarial.gail_tabular": Call(
            adversarial.gail_tabular, on_table | {"entropy_weight": 0.1}
        ),
        "adversarial.airl_tabular": Call(adversarial.airl_tabular, on_table | linear),
        "guided_cost.guided_cost_tabular": Call(
            guided_cost.guided_cost_tabular,
            {
                "mdp": model,
                "features": phi,
                "demos": demos,
                "seed": 0,
                "episodes": 2,
                "memory": 1,
                "l2": 1e-3,
                "learning_rate": 0.5,
                "max_iterations": 1,
                "progress": False,
            },
        ),
        "guided_cost.guided_cost_learning": Call(
            guided_cost.guided_cost_learning,
            {
                "env": env,
                "demos": moves,
                "reward_net": net(),
                "seed": 0,
                "max_iterations": 1,
                "tolerance": 100.0,
                "episodes": 2,
                "memory": 1,
                "reward_steps": 1,
                "learning_rate": 1e-3,
                "l2": 1e-3,
                "hidden": (4,),
                "policy_learning_rate": 1e-3,
                "policy_epochs": 1,
                "horizon": 4,
                "min_effective_share": 0.0,
                "checkpoint": None,
                "callback": None,
                "progress": False,
            },
        ),
        "importance.mixture_log_density": Call(
            importance.mixture_log_density, {"log_densities": np.zeros((2, 2)), "counts": [1, 2]}
        ),
        "importance.log_weights": Call(
            importance.log_weights, {"rewards": [1.0, 2.0], "log_densities": [0.0, 1.0]}
        ),
        "importance.model_log_density": Call(
            importance.model_log_density,
            {
                "rewards": [1.0],
                "sample_rewards": [1.0, 2.0],
                "sample_log_densities": [0.0, 1.0],
            },
        ),
        "importance.reward_loss": Call(
            importance.reward_loss, {"demo_rewards": two, "rewards": two, "log_densities": two}
        ),
        "iq_learn.soft_value": Call(iq_learn.soft_value, {"mdp": model, "q": plan.q}),
        "iq_learn.policy_of": Call(iq_learn.policy_of, {"mdp": model, "q": plan.q}),
        "iq_learn.inverse_bellman": Call(iq_learn.inverse_bellman, {"mdp": model, "q": plan.q}),
        "iq_learn.soft_bellman": Call(iq_learn.soft_bellman, {"mdp": model, "reward": timed}),
        "iq_learn.timed_occupancy": Call(iq_learn.timed_occupancy, {"mdp": model, "shown": pi}),
        "iq_learn.price": Call(iq_learn.price, {"mdp": model, "weight": 0.1, "measure": timed}),
        "iq_learn.reduced_objective": Call(iq_learn.reduced_objective, in_any | {"reward": timed}),
        "iq_learn.iq_objective": Call(iq_learn.iq_objective, in_any | {"q": plan.q}),
        "iq_learn.value_policy_objective": Call(
            iq_learn.value_policy_objective, in_any | {"policy": pi, "v": plan.v}
        ),
        "iq_learn.iq_learn": Call(iq_learn.iq_learn, stepped),
        "iq_learn.iq_learn, real actions": Call(iq_learn.iq_learn, acting),
        "iq_learn.ActorPolicy.act": Call(
            steered.policy.act, {"observation": np.zeros(2), "rng": rng}
        ),
        "iq_learn.ActorReward.__call__": Call(
            steered.reward.__call__,
            {
                "states": np.zeros((3, 2)),
                "actions": np.zeros((3, 2)),
                "next_states": np.zeros((3, 2)),
                "terminated": False,
            },
        ),
        "iq_learn.SoftPolicy.act": Call(soft.policy.act, {"observation": np.zeros(4), "rng": rng}),
        "iq_learn.SoftPolicy.probabilities": Call(
            soft.policy.probabilities, {"observations": np.zeros((3, 4))}
        ),
        "iq_learn.ImpliedReward.__call__": Call(
            soft.reward.__call__,
            {
                "states": np.zeros((3, 4)),
                "actions": [0, 1, 0],
                "next_states": np.zeros((3, 4)),
                "terminated": False,
            },
        ),
        "iq_learn.iq_learn_tabular": Call(
            iq_learn.iq_learn_tabular,
            {
                "mdp": model,
                "demos": timed,
                "weight": 0.1,
                "measure": timed,
                "objective": "dual",
                "initial_q": plan.q,
                "tolerance": 1e-3,
                "max_iterations": 9,
                "progress": False,
            },
        ),
        "language.iq_language_loss": Call(
            language.iq_language_loss, said | {"weight": 0.1, "num_items_in_batch": 5}
        ),
        "language.implied_rewards": Call(language.implied_rewards, said),
        "language.implied_return": Call(language.implied_return, said),
        "max_ent.objective": Call(
            max_ent.objective,
            {
                "mdp": model,
                "features": phi,
                "demos": demos,
                "weights": world.weights,
                "causal": True,
                "l2": 0.1,
            },
        ),
        "max_ent.max_ent": Call(
            max_ent.max_ent,
            {
                "mdp": model,
                "features": phi,
                "demos": demos,
                "causal": True,
                "l2": 0.1,
                "method": "newton-cg",
                "tolerance": 1e-3,
                "max_iterations": 9,
                "learning_rate": 0.1,
                "initial_weights": world.weights,
                "progress": False,
            },
        ),
        "max_ent.deep_max_ent": Call(
            max_ent.deep_max_ent,
            {
                "mdp": model,
                "reward_net": net(),
                "demos": rho,
                "features": phi,
                "objective": "dual",
                "l2": 0.1,
                "tolerance": 9.0,
                "max_iterations": 2,
                "progress": False,
            },
        ),
        "max_margin.max_margin": Call(
            max_margin.max_margin,
            {
                "mdp": model,
                "features": phi,
                "demos": rho,
                "margin": "unit",
                "slack": 10.0,
                "tolerance": 1e-3,
                "max_iterations": 9,
                "upper": 9.0,
                "progress": False,
            },
        ),
        "max_margin.projection": Call(
            max_margin.projection,
            {
                "mdp": model,
                "features": phi,
                "demos": rho,
                "method": "projection",
                "tolerance": 1e-1,
                "max_iterations": 50,
                "progress": False,
            },
        ),
        "max_margin.widest_margin": Call(
            max_margin.widest_margin,
            {"mu_expert": [1.0, 1.0], "mus": [[0.0, 1.0], [0.5, 0.0]]},
        ),
        "max_margin.merge_policies": Call(
            max_margin.merge_policies, {"mdp": model, "policies": [pi, pi], "shares": [0.5, 0.5]}
        ),
        "mdp.MDP": Call(
            mdp.MDP,
            {
                "transitions": model.dense_transitions(),
                "initial": model.initial,
                "discount": 0.9,
                "horizon": 3,
            },
        ),
        "mdp.MDP.started_at": Call(model.started_at, {"initial": model.initial}),
        "mdp.MDP.action_matrix": Call(model.action_matrix, {"action": 1}),
        "mdp.MDP.dense_transitions": Call(model.dense_transitions, {}),
        "mdp.Trajectories.total": Call(paths.total, {"reward": reward, "discount": 0.9}),
        "mdp.Trajectories.log_policy": Call(paths.log_policy, {"policy": pi}),
        "mdp.enumerate_trajectories": Call(
            mdp.enumerate_trajectories, {"mdp": model, "max_trajectories": 100}
        ),
        "mdp.deterministic_policy": Call(
            mdp.deterministic_policy, {"actions": [1, 0], "n_actions": 2}
        ),
        "mdp.enumerate_policies": Call(
            mdp.enumerate_policies, {"mdp": worlds.two_goal().mdp, "max_policies": 100}
        ),
        "mdp.feature_matrix": Call(mdp.feature_matrix, {"mdp": model, "features": phi}),
        "metrics.expected_value_difference": Call(
            metrics.expected_value_difference, {"mdp": model, "policy": pi, "reward": reward}
        ),
        "metrics.feature_gap": Call(
            metrics.feature_gap,
            {"mdp": model, "policy": pi, "features": phi, "expert": [1.0, 1.0]},
        ),
        "metrics.negative_log_likelihood": Call(
            metrics.negative_log_likelihood, {"mdp": model, "policy": pi, "demos": demos}
        ),
        "metrics.effective_sample_size": Call(
            metrics.effective_sample_size, {"log_weights": [0.0, 1.0]}
        ),
        "metrics.identifiability": Call(
            metrics.identifiability,
            {
                "mdps": model,
                "features": phi,
                "state_only": False,
                "per_step": False,
                "tolerance": 1e-8,
            },
        ),
        "metrics.starc_distance": Call(
            metrics.starc_distance, {"mdp": model, "first": reward, "second": reward + phi[..., 0]}
        ),
        "metrics.epic_distance": Call(
            metrics.epic_distance,
            {
                "first": reward,
                "second": reward + phi[..., 0],
                "coverage": np.full((4, 2, 4), 1 / 32),
                "discount": 0.9,
                "states": np.full(4, 0.25),
                "actions": np.full(2, 0.5),
            },
        ),
        "metrics.transition_coverage": Call(
            metrics.transition_coverage, {"mdp": model, "policy": pi}
        ),
        "networks.mlp": Call(networks.mlp, {"sizes": [2, 3], "seed": 0}),
        "networks.PolicyNet": Call(
            networks.PolicyNet,
            {
                "n_inputs": 2,
                "seed": 0,
                "action_size": 1,
                "hidden": (3,),
                "sd": 0.5,
                "centre": [0.0, 0.0],
                "scale": [1.0, 1.0],
            },
        ),
        "networks.PolicyNet.forward": Call(policy_net, {"observations": torch.zeros(3, 2)}),
        "networks.PolicyNet.log_prob": Call(
            wide_net.log_prob,
            {"observations": torch.zeros(3, 2), "actions": torch.zeros(3, 1)},
        ),
        "networks.PolicyNet.probabilities": Call(
            policy_net.probabilities, {"observations": np.zeros((3, 2))}
        ),
        "networks.PolicyNet.act": Call(policy_net.act, {"observation": np.zeros(2), "rng": rng}),
        "networks.RewardNet": Call(
            networks.RewardNet,
            {
                "n_inputs": 2,
                "seed": 0,
                "hidden": (3,),
                "centre": [0.0, 0.0],
                "scale": [1.0, 1.0],
            },
        ),
        "networks.RewardNet.forward": Call(net(), {"inputs": torch.zeros(3, 2)}),
        "networks.MapRewardNet": Call(
            networks.MapRewardNet,
            {
                "n_inputs": 2,
                "shape": (2, 2),
                "seed": 0,
                "window": 3,
                "hidden": (3,),
                "centre": [0.0, 0.0],
                "scale": [1.0, 1.0],
            },
        ),
        "networks.MapRewardNet.forward": Call(map_net, {"inputs": torch.zeros(4, 2)}),
        "networks.reward_table": Call(
            networks.reward_table, {"mdp": model, "reward_net": net(), "features": phi}
        ),
        "networks.input_tensor": Call(networks.input_tensor, {"mdp": model, "features": phi}),
        "networks.reward_tensor": Call(
            networks.reward_tensor,
            {"mdp": model, "reward_net": net().double(), "inputs": torch.tensor(phi)},
        ),
        "planning.value_iteration": Call(
            planning.value_iteration, {"mdp": model, "reward": reward}
        ),
        "planning.soft_value_iteration": Call(
            planning.soft_value_iteration, {"mdp": model, "reward": reward, "temperature": 2.0}
        ),
        "planning.trajectory_posterior": Call(
            planning.trajectory_posterior, {"mdp": model, "reward": reward}
        ),
        "planning.log_partition": Call(planning.log_partition, {"mdp": model, "plan": posterior}),
        "planning.best_case": Call(planning.best_case, {"mdp": model, "reward": reward}),
        "planning.policy_value": Call(
            planning.policy_value,
            {"mdp": model, "policy": pi, "reward": reward, "temperature": 1.0},
        ),
        "planning.occupancy": Call(planning.occupancy, {"mdp": model, "policy": pi}),
        "planning.trajectory_occupancy": Call(
            planning.trajectory_occupancy, {"mdp": model, "plan": posterior}
        ),
        "planning.feature_expectations": Call(
            planning.feature_expectations, {"mdp": model, "policy": pi, "features": phi}
        ),
        "planning.occupancy_derivative": Call(
            planning.occupancy_derivative, {"mdp": model, "plan": plan, "direction": reward}
        ),
        "planning.trajectory_occupancy_derivative": Call(
            planning.trajectory_occupancy_derivative,
            {"mdp": model, "plan": posterior, "direction": reward},
        ),
        "plotting.figures.figure": Call(
            plotting.figure, {"columns": 1, "rows": 1, "width": 2.0, "height": 2.0}
        ),
        "plotting.figures.shades": Call(plotting.shades, {"n": 3}),
        "plotting.figures.heatmap": Call(
            plotting.heatmap,
            {"ax": axes, "world": square, "values": np.arange(4.0), "label": ""},
        ),
        "plotting.maps.trajectories": Call(
            plotting.trajectories,
            {
                "ax": axes,
                "world": square,
                "states": [[0, 1]],
                "color": "black",
                "spread": 0.1,
            },
        ),
        "plotting.maps.road_map": Call(
            plotting.road_map, {"ax": axes, "network": town, "smallest": "street"}
        ),
        "plotting.maps.route": Call(
            plotting.route,
            {"ax": axes, "network": town, "segments": [0, 1], "color": "black"},
        ),
        "plotting.maps.maze_map": Call(plotting.maze_map, {"ax": axes, "maze": maze}),
        "plotting.maps.terrain_map": Call(plotting.terrain_map, {"ax": axes, "land": land}),
        "plotting.maps.cost_map": Call(
            plotting.cost_map,
            {"ax": axes, "land": land, "reward": -np.ones((256, 8)), "label": ""},
        ),
        "plotting.maps.path": Call(
            plotting.path, {"ax": axes, "land": land, "states": [0, 1], "color": "black"}
        ),
        "plotting.players.player": Call(
            plotting.player,
            {
                "draw": lambda i: plotting.figure(width=0.5, height=0.5)[0],
                "n_frames": 1,
                "alt": "An empty figure, for a test of doors.",
                "name": "empty",
                "interval": 100,
                "dpi": 20,
                "still": 0,
            },
        ),
        "results.names": Call(results.names, {}),
        "results.load": Call(results.load, {"name": "cartpole_expert"}),
        "rollouts.rollout": Call(
            rollouts.rollout,
            {"env": env, "policy": gaussian, "n": 1, "seed": 0, "max_steps": 3, "progress": False},
        ),
        "rollouts.returns": Call(rollouts.returns, {"demos": moves, "discount": 0.9}),
        "timed_policies.Units.inputs": Call(
            unit.inputs, {"states": np.zeros((1, 4, 2)), "times": np.arange(4)}
        ),
        "timed_policies.Units.to_gaussian": Call(unit.to_gaussian, {"actions": np.zeros((1, 2))}),
        "timed_policies.Units.from_gaussian": Call(
            unit.from_gaussian, {"numbers": np.zeros((1, 2))}
        ),
        "timed_policies.Units.share_at_bounds": Call(
            unit.share_at_bounds, {"actions": np.zeros((1, 2))}
        ),
        "timed_policies.SquashedGaussian.__call__": Call(
            enduring.__call__, {"observation": np.zeros(2), "rng": rng}
        ),
        "timed_policies.SquashedGaussian.start": Call(gaussian.start, {}),
        "timed_policies.SquashedGaussian.log_densities": Call(
            gaussian.log_densities, {"states": np.zeros((1, 4, 2)), "actions": np.zeros((1, 4, 2))}
        ),
        "timed_policies.SquashedGaussian.log_density": Call(
            gaussian.log_density, {"states": np.zeros((1, 4, 2)), "actions": np.zeros((1, 4, 2))}
        ),
        "worlds.batches.batched": Call(
            worlds.batched,
            {"name": "CartPole-v1", "n": 2, "max_steps": 5, "autoreset": "SameStep", "force": 9.0},
        ),
        "worlds.environments.cartpole": Call(
            worlds.cartpole,
            {
                "pole_length": 0.5,
                "gravity": 9.8,
                "force": 10.0,
                "max_steps": 5,
                "render_mode": None,
            },
        ),
        "worlds.grids.gridworld": Call(
            worlds.gridworld,
            {
                "width": 3,
                "height": 2,
                "slip": 0.1,
                "n_features": 2,
                "seed": 0,
                "discount": 0.9,
                "horizon": 3,
                "goals": [(0, 0)],
                "walls": [(1, 1)],
                "features": np.ones((6, 2)),
                "weights": [1.0, 2.0],
            },
        ),
        "worlds.languages.Language": Call(
            languages.Language,
            {
                "vocabulary": ("", "a", "b"),
                "prompts": np.array([2]),
                "choices": (np.array([1, 2]),),
                "chances": np.array([[0.5, 0.5]]),
            },
        ),
        "worlds.languages.Language.entropy": Call(letters.entropy, {}),
        "worlds.languages.Language.log_chances": Call(
            letters.log_chances,
            {"logits_of": lambda texts: np.zeros((len(texts), 10)), "temperatures": (0.5, 1.0)},
        ),
        "worlds.languages.Language.only": Call(letters.only, {"which": [1]}),
        "worlds.languages.Language.read": Call(letters.read, {"tokens": [1, 0]}),
        "worlds.languages.Language.sample": Call(letters.sample, {"n": 2, "rng": rng}),
        "worlds.languages.Language.texts": Call(letters.texts, {"asked": [1], "strings": [0]}),
        "worlds.languages.judge": Call(
            languages.judge,
            {
                "language": letters,
                "log_chances": np.full(letters.chances.shape, -20.0),
                "seen": letters.right,
            },
        ),
        "worlds.languages.sums": Call(worlds.sums, {"zipf": 1.0, "seed": 0}),
        "worlds.languages.variable_memory": Call(worlds.variable_memory, {"seed": 0}),
        "worlds.lattice.Lattice": Call(
            worlds.Lattice, {"low": [0.0], "high": [1.0], "cells": [2], "periodic": [False]}
        ),
        "worlds.lattice.Lattice.interpolation": Call(lattice.interpolation, {"at": [[0.3]]}),
        "worlds.lattice.Lattice.mdp": Call(
            lattice.mdp,
            {
                "next_states": np.full((3, 2, 1), 0.4),
                "start": [[0.0]],
                "horizon": 3,
                "discount": 0.9,
            },
        ),
        "worlds.lattice.LatticePolicy": Call(
            worlds.LatticePolicy,
            {
                "lattice": lattice,
                "q": np.zeros((2, 3, 2)),
                "actions": [[0.0], [1.0]],
                "width": [0.5],
                "state": None,
            },
        ),
        "worlds.lattice.LatticePolicy.start": Call(line.start, {}),
        "worlds.lattice.LatticePolicy.__call__": Call(
            line.__call__, {"observation": [0.5], "rng": rng}
        ),
        "worlds.objects.objectworld": Call(
            worlds.objectworld,
            {
                "size": 4,
                "n_colors": 2,
                "discrete": False,
                "density": 0.1,
                "slip": 0.1,
                "seed": 0,
                "discount": 0.9,
                "horizon": 3,
            },
        ),
        "worlds.objects.binaryworld": Call(
            worlds.binaryworld,
            {"size": 4, "slip": 0.1, "seed": 0, "discount": 0.9, "horizon": 3},
        ),
        "worlds.mazes.Maze": Call(
            worlds.Maze,
            {
                "walls": ((0.4, 0.3, 0.6, 0.7),),
                "goal": (0.85, 0.45),
                "start": (0.15, 0.45),
                "start_spread": 0.08,
                "puddle": (0.5, 0.15),
                "puddle_radius": 0.12,
                "puddle_cost": 3.0,
                "distance_cost": 3.0,
                "action_cost": 1.0,
                "stride": 0.1,
            },
        ),
        "worlds.mazes.Maze.moves": Call(
            maze.moves, {"states": [[0.1, 0.1]], "actions": [[0.0, 1.0]]}
        ),
        "worlds.mazes.Maze.reward": Call(
            maze.reward, {"states": [[0.1, 0.1]], "actions": [[0.0, 1.0]]}
        ),
        "worlds.mazes.Maze.inside_wall": Call(maze.inside_wall, {"states": [[0.1, 0.1]]}),
        "worlds.environments.point_maze": Call(
            worlds.point_maze, {"max_steps": 3, "maze": maze, "walls": maze.walls}
        ),
        "worlds.mazes.maze_grid": Call(
            worlds.maze_grid, {"maze": maze, "cells": 5, "action_cells": 2, "horizon": 3}
        ),
        "worlds.streets.roads": Call(worlds.roads, {"seed": 0, "size": 30}),
        "worlds.streets.road_network": Call(worlds.road_network, {"graph": graph_of(town)}),
        "worlds.lands.terrain": Call(worlds.terrain, {"size": 16, "seed": 0}),
        "worlds.lands.Terrain.task": Call(
            land.task,
            {
                "start": int(np.flatnonzero(~land.blocked)[0]),
                "goal": int(np.flatnonzero(~land.blocked)[-1]),
                "weights": worlds.traveller("hiker"),
            },
        ),
        "worlds.lands.Terrain.draw_ends": Call(land.draw_ends, {"rng": rng, "n": 1, "least": 0.1}),
        "worlds.lands.travel_costs": Call(worlds.travel_costs, {"minded": {"steep": 1.0}}),
        "worlds.lands.traveller": Call(worlds.traveller, {"name": "hiker"}),
        "worlds.textbook.chain": Call(worlds.chain, {"length": 3, "horizon": 3, "discount": 0.9}),
        "worlds.textbook.gamble": Call(worlds.gamble, {"win": 2.0, "lose": -4.0, "chance": 0.5}),
        "worlds.textbook.two_goal": Call(worlds.two_goal, {"discount": 0.9}),
        "worlds.textbook.random_mdp": Call(
            worlds.random_mdp,
            {
                "n_states": 4,
                "n_actions": 2,
                "n_features": 2,
                "seed": 0,
                "discount": 0.9,
                "horizon": 3,
                "branching": 2,
                "n_absorbing": 1,
            },
        ),
    }


OPEN = ("demonstrations.spaces", "support.files")  # modules that users are sent to by name


def public() -> dict[str, Any]:
    """All public functions, constructors and methods, by the room or module and their names.

    Of a room with a face, that is what the face hands on; of other modules, what stands in them.
    """
    found: dict[str, Any] = {}
    rooms = [each.name for each in pkgutil.iter_modules(irl_lib.__path__)]
    for name in {*rooms, *OPEN} - {"support"}:
        module = importlib.import_module(f"irl_lib.{name}")
        own = [key for key, each in vars(module).items() if stands_in(module, each)]
        for key in getattr(module, "__all__", own):
            value = getattr(module, key)
            if key.startswith(("_", "check_")):
                continue
            if inspect.isfunction(value):
                found[f"{name}.{key}"] = value
            elif inspect.isclass(value):
                found |= methods(f"{name}.{key}", value)
    return found


def stands_in(module: Any, value: Any) -> bool:
    return getattr(value, "__module__", "") == module.__name__


def methods(name: str, kind: type) -> dict[str, Any]:
    """The methods of a class, and it itself where its constructor does more than keep values."""
    found: dict[str, Any] = {
        f"{name}.{key}": getattr(kind, key)
        for key, each in vars(kind).items()
        if isinstance(each, FunctionType | staticmethod)
        and (not key.startswith("_") or key == "__call__")
    }
    own = "__init__" in vars(kind) and kind.__init__.__code__.co_filename != "<string>"
    if own or hasattr(kind, "__post_init__"):
        found[name] = kind
    return found


def behind(called: Any) -> Any:
    """The function that stands in the package, of a method, a partial or a network."""
    if isinstance(called, partial):
        return behind(called.func)
    if isinstance(called, torch.nn.Module):
        return type(called).forward
    return getattr(called, "__func__", called)


def test_every_public_function_has_a_call():
    """Or stands among those that check nothing."""
    known, called = public(), [behind(call.function) for call in calls().values()]
    forgotten = {name for name, each in known.items() if all(each is not other for other in called)}
    elsewhere = {name for name in forgotten if name.startswith(ELSEWHERE)}
    assert forgotten - INNER - elsewhere == set()


def test_every_call_is_made():
    groups = [*MODULES, "worlds.streets"]
    assert [name for name in calls() if not any(name.startswith(f"{g}.") for g in groups)] == []


# --- what has no business in an argument --------------------------------------------------------


class Odd(NamedTuple):
    """A bad value, and whether no argument at all can take it."""

    kind: str
    value: Any
    hopeless: bool = False


def odd_values(good: Any) -> Iterator[Odd]:
    """What is put in the place of a good value."""
    yield Odd("None", None)
    yield Odd("object", object(), hopeless=True)
    yield Odd("text", "nonsense")
    yield Odd("nan", float("nan"), hopeless=True)
    yield Odd("infinity", float("inf"))
    yield Odd("-1", -1)
    yield Odd("0", 0)
    yield Odd("half", 0.5)
    yield Odd("nothing", [])
    yield Odd("one", [1])
    yield Odd("three", (1, 2, 3))
    if isinstance(good, str):
        return
    yield Odd("objects", np.array([object(), None]), hopeless=True)
    yield Odd("nans", np.full((3, 2), np.nan), hopeless=True)
    if isinstance(good, int):
        yield Odd("huge", 2**63)
    array = numbers_in(good)
    if array is not None:
        yield from odd_arrays(array)


def odd_arrays(array: np.ndarray) -> Iterator[Odd]:
    """Arrays like a good one, with something wrong."""
    floats, mask = array.astype(np.float64), np.ones(array.shape, dtype=bool)
    yield Odd("masked", np.ma.masked_array(array, mask=mask), hopeless=True)
    yield Odd("longer", np.concatenate([floats, floats]))
    yield Odd("deeper", floats[..., None])
    yield Odd("complex", floats + 1j, hopeless=True)
    yield Odd("texts", floats.astype(str), hopeless=True)
    for number in (np.nan, np.inf):
        with_one = floats.copy()
        with_one.flat[-1] = number
        yield Odd(f"a {number} in it", with_one, hopeless=bool(np.isnan(number)))


def numbers_in(good: Any) -> np.ndarray | None:
    """An array, if that is what the value is."""
    if isinstance(good, bool | str | dict) or good is None:
        return None
    try:
        array = np.asarray(good)
    except ValueError:
        return None
    return array if array.dtype.kind in "iuf" and array.ndim and array.size else None


def complaints(name: str) -> Iterator[str]:
    """What is wrong with how a function answers to bad arguments."""
    call = calls()[name]
    parameters = inspect.signature(call.function).parameters
    for argument, good in call.arguments.items():
        default = parameters[argument].default if argument in parameters else None
        for odd in odd_values(good):
            if (odd.value is None and default is None) or (name, argument, odd.kind) in ALLOWED:
                continue
            said = complaint(call, argument, odd, isinstance(good, bool))
            if said:
                yield f"{name}({argument}={odd.kind}): {said}"


def complaint(call: Call, argument: str, odd: Odd, flag: bool) -> str:
    """What is wrong with an answer; nothing where all is well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = call.function(**(call.arguments | {argument: odd.value}))
        except (ValueError, TypeError) as error:
            return of_error(argument, error)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    if odd.hopeless or flag:
        return "no error"
    return "a NaN in the result" if has_nan(result) else ""


def of_error(argument: str, error: Exception) -> str:
    """Whether an error is the package's own, and names the argument."""
    last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if "irl_lib" not in last.parts:
        return f"raised in {last}: {type(error).__name__}: {error}"
    return "" if argument in str(error) else f"names another: {type(error).__name__}: {error}"


def has_nan(value: Any) -> bool:
    """Whether there is a NaN somewhere in a result."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if sparse.issparse(value):
        value = value.data
    if isinstance(value, float | np.ndarray):
        return np.asarray(value).dtype.kind == "f" and bool(np.isnan(value).any())
    if isinstance(value, list | tuple):
        return any(map(has_nan, value))
    return is_dataclass(value) and any(map(has_nan, vars(value).values()))


@pytest.mark.parametrize("module", [*MODULES, "worlds.streets"])
def test_whatever_is_wrong_is_named(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some of what is wrong is a fine name for a file
    of_module = [name for name in calls() if re.fullmatch(rf"{module}\.[^.]+(\.[^.]+)?", name)]
    assert of_module
    assert [said for name in of_module for said in complaints(name)] == []


def test_tensors_that_want_gradients_are_arrays():
    done = 0
    for name, (function, arguments) in calls().items():
        for argument, good in arguments.items():
            array = numbers_in(good)
            if array is None or array.dtype.kind != "f" or isinstance(good, torch.Tensor):
                continue
            tensor = torch.tensor(array, requires_grad=True)
            with_array, with_tensor = (
                function(**(arguments | randomness(arguments) | {argument: each}))
                for each in (array, tensor)
            )
            assert same(with_array, with_tensor), (name, argument)
            done += 1
    assert done > 80


def randomness(arguments: dict[str, Any]) -> dict[str, Any]:
    """Generators that begin anew."""
    is_numpy = isinstance(arguments.get("rng"), np.random.Generator)
    return {"rng": np.random.default_rng(0)} if is_numpy else {}


def same(a: Any, b: Any) -> bool:
    """Whether two results are the same, as far as they are numbers."""
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if sparse.issparse(a):
        return same(a.toarray(), b.toarray())
    if isinstance(a, float | int | np.ndarray):
        return bool(np.array_equal(a, b, equal_nan=True))
    return True


# --- inputs that went through, or were blamed on something else -----------------------------------

SMALL = worlds.chain(4, horizon=3)
CROWD = [[0.5, 0.5], [0.0, 0.0], [1.0, 0.0], [0.5, 0.5]]


def listed() -> Any:
    return irl_lib.mdp.enumerate_trajectories(SMALL.mdp)


def town() -> Any:
    return worlds.roads(size=60)


def acts(observation: Any) -> Any:
    return calls()["networks.PolicyNet.act"].function(observation)


def merged(shares: Any) -> Any:
    policy = np.full((4, 2), 0.5)
    return irl_lib.max_margin.merge_policies(SMALL.mdp, [policy, policy], shares)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: planning.occupancy(SMALL.mdp, CROWD), "policy sums to 0 in state 1; a dist"),
        (
            lambda: planning.occupancy(SMALL.mdp, np.stack([np.full((4, 2), 0.5), CROWD, CROWD])),
            "policy sums to 0 in step 1, state 1; a distribution sums to 1",
        ),
        (
            lambda: planning.occupancy(SMALL.mdp, [[0.5, 0.5]] * 3 + [[1.5, -0.5]]),
            "policy has the negative entry -0.5 in state 3; probabilities are >= 0",
        ),
        (lambda: SMALL.mdp.started_at([0.5, 0, 0, 0]), "initial sums to 0.5; a distribution sums"),
        (
            lambda: planning.value_iteration(SMALL.mdp, np.array(0.0)),
            r"reward has shape \(\); expected \(4, 2\)",
        ),
        (lambda: worlds.gamble(win=np.nan), "win is nan; expected a finite number"),
        (lambda: worlds.gamble(lose=np.inf), "lose is inf; expected a finite number"),
        (
            lambda: merged([np.nan, 1.0]),
            r"shares is nan at index \(0,\); every entry has to be fin",
        ),
        (lambda: merged([0.0, 0.0]), "shares sums to 0; a distribution sums to 1"),
        (lambda: acts([np.nan, 0.0]), r"observation is nan at index \(0,\); every entry has to be"),
        (lambda: acts([0.0]), r"observation has shape \(1,\); expected \(2,\)"),
        (lambda: listed().total(np.full((4, 2), np.nan)), r"reward is nan at index \(0, 0\)"),
        (
            lambda: listed().total(np.zeros((3, 2))),
            r"reward has shape \(3, 2\); expected at least 4",
        ),
        (
            lambda: listed().total(SMALL.reward, np.nan),
            r"discount is nan; expected a number in \[0,",
        ),
        (lambda: listed().log_policy([[1.5, -0.5]] * 4), "policy has shape .*and probabilities"),
        (lambda: planning.value_iteration(None, SMALL.reward), "mdp is None; expected an instance"),
        (
            lambda: irl_lib.max_ent.max_ent(*SMALL[:2], [1, 1], causal="no"),
            "causal is 'no'; expected",
        ),
        (lambda: irl_lib.max_ent.objective(*SMALL[:2], [1], [1, 1]), r"demos has shape \(1,\)"),
        (
            lambda: irl_lib.max_margin.merge_policies(SMALL.mdp, [CROWD], [1.0]),
            r"policies\[0\] sums to 0 in state 1",
        ),
        (
            lambda: planning.occupancy_derivative(
                SMALL.mdp, planning.soft_value_iteration(SMALL.mdp, SMALL.reward), [1.0]
            ),
            r"direction has shape \(1,\); expected \(4, 2\)",
        ),
        (
            lambda: planning.log_partition(
                SMALL.mdp, planning.value_iteration(*worlds.chain()[::3])
            ),
            r"plan.policy has shape \(5, 2\); expected \(3, 4, 2\)",
        ),
        (lambda: worlds.gridworld(walls=[1]), r"walls is \[1\]; expected pairs \(x, y\) of whole"),
        (lambda: worlds.gridworld(goals=[(0.5, 1)]), "goals is .*; expected pairs"),
        (lambda: worlds.roads(size="30"), "size is '30'; expected a whole number"),
        (lambda: worlds.chain(2.5), "length is 2.5; expected a whole number, at least 2"),
        (lambda: worlds.objectworld(n_colors=2**63), "n_colors is 9223.*, at most 1000"),
        (lambda: worlds.terrain(16).draw_ends(None), "rng is None; expected a numpy.random.Gen"),
        (
            lambda: irl_lib.routes.sample_routes(town(), -np.ones(9), [0], [1], None),
            "rng is None; expected a numpy.random.Gen",
        ),
        (
            lambda: irl_lib.route_prediction.best_path_weights(town(), [[0]], None),
            "rng is None; expected a numpy.random.Gen",
        ),
        (
            lambda: planning.value_iteration(
                SMALL.mdp, np.ma.masked_array(SMALL.reward, mask=SMALL.reward > 1.0)
            ),
            "reward has masked entries; expected a number in place of each",
        ),
        (
            lambda: Demonstrations([np.ma.masked_array([0, 1], mask=[False, True])], [[0]]),
            r"states\[0\] has masked entries",
        ),
    ],
)
def test_each_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_missing_mdp_is_a_type_error_too():
    with pytest.raises(TypeError, match=r"mdp is None; expected an instance of irl_lib\.mdp\.MDP"):
        planning.soft_value_iteration(None, SMALL.reward)


def test_masks_that_hide_nothing_and_sets_of_cells_are_fine():
    reward = np.ma.masked_array(SMALL.reward, mask=np.zeros((4, 2), dtype=bool))
    plain, masked = (planning.value_iteration(SMALL.mdp, r).v for r in (SMALL.reward, reward))
    np.testing.assert_array_equal(plain, masked)
    walled = worlds.gridworld(3, walls={(1, 1)}, goals=np.array([[2, 2]]))
    assert walled.mdp.initial[4] == walled.mdp.initial[8] == 0.0


def test_flags_of_numpy_are_flags():
    found = irl_lib.max_ent.objective(*SMALL[:2], [0.5, 0.5], [1.0, 1.0], causal=np.bool_(True))
    wanted = irl_lib.max_ent.objective(*SMALL[:2], [0.5, 0.5], [1.0, 1.0])
    assert found.value == wanted.value
