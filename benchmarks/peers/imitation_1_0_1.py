"""The peer's side of `maxent_vs_imitation`; it runs in the peer's environment, as a script.

    python imitation_1_0_1.py gradient|fit PROBLEM.npz ANSWER.npz

It uses the code that `imitation` publishes, and nothing of this project.
"""

import sys
import time

import numpy as np
import torch
from imitation.algorithms import mce_irl
from imitation.rewards import reward_nets
from seals import base_envs


class Environment(base_envs.TabularModelPOMDP):
    """The problem in the peer's own form."""

    def __init__(self, problem):
        super().__init__(
            transition_matrix=problem["transitions"],
            observation_matrix=problem["features"].astype(np.float32),
            reward_matrix=problem["reward"],
            horizon=int(problem["horizon"]),
            initial_state_dist=problem["initial"],
        )


class LinearReward(reward_nets.RewardNet):
    """Weights times features, from zero."""

    def __init__(self, environment):
        super().__init__(environment.observation_space, environment.action_space)
        self.linear = torch.nn.Linear(environment.obs_dim, 1, bias=False)
        torch.nn.init.zeros_(self.linear.weight)

    def forward(self, state, action, next_state, done):
        """The reward of each state; the signature is the peer's."""
        return self.linear(state).squeeze(1)


def best_time(function, repeats, seconds=30.0):
    """The least of several times, as the other side measures it."""
    times = []
    while len(times) < repeats and (not times or sum(times) < seconds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def gradient(problem):
    """One soft backup through the horizon and one occupancy."""
    environment = Environment(problem)

    def once():
        v, _, policy = mce_irl.mce_partition_fh(environment)
        visits, _ = mce_irl.mce_occupancy_measures(environment, pi=policy)
        return v, policy, visits

    v, policy, visits = once()
    seconds = best_time(once, repeats=15)
    # It counts the states of horizon + 1 steps, of which the last earns no reward.
    return {"seconds": seconds, "v": v[0], "policy": policy, "visits": visits[:-1].sum(axis=0)}


def fit(problem):
    """A whole fit by Adam, until the gap of the features is below the tolerance."""
    environment = Environment(problem)
    _, occupancy = mce_irl.mce_occupancy_measures(environment)
    answer = {}
    for rate in problem["rates"]:
        net = LinearReward(environment)
        learner = mce_irl.MCEIRL(
            occupancy,
            environment,
            net,
            np.random.default_rng(0),
            optimizer_kwargs={"lr": float(rate)},
            linf_eps=0.0,
            grad_l2_eps=float(problem["tolerance"]),
            log_interval=None,
        )
        start = time.perf_counter()
        found = learner.train(max_iter=int(problem["max_iterations"]))
        seconds = time.perf_counter() - start
        gap = np.linalg.norm(problem["features"].T @ (found - occupancy))
        answer[f"fit_{rate}"] = np.array([seconds, gap])
    return answer


if __name__ == "__main__":
    what, source, target = sys.argv[1:]
    with np.load(source) as file:
        problem = dict(file)
    np.savez(target, **{"gradient": gradient, "fit": fit}[what](problem))
