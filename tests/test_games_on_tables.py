"""The game, and guided cost learning, on tables: their optima, against those of other methods."""

from __future__ import annotations

import numpy as np
import pytest

from irl_lib import adversarial, guided_cost, max_ent, planning, worlds
from irl_lib.demonstrations import Demonstrations, sample
from irl_lib.mdp import MDP
from irl_lib.support.result import ConvergenceWarning

torch = pytest.importorskip("torch")  # the room's other half needs it


def meadow() -> tuple[worlds.World, np.ndarray, np.ndarray]:
    """A grid, its soft-optimal expert, and what that visits."""
    world = worlds.gridworld(4, n_features=3, seed=2, discount=0.9)
    expert = planning.soft_value_iteration(world.mdp, world.reward).policy
    return world, expert, planning.occupancy(world.mdp, expert)


def test_gail_ends_at_the_expert_and_its_discriminator_pays_all_alike() -> None:
    world, expert, shown = meadow()
    found = adversarial.gail_tabular(world.mdp, shown, tolerance=1e-8)
    assert found.converged
    np.testing.assert_allclose(found.policy, expert, atol=1e-3)
    np.testing.assert_allclose(found.paid, np.log(2.0), atol=1e-3)
    assert found.history["divergence"][-1] < 1e-6 < found.history["divergence"][0]


def test_gails_policy_has_no_better_answer_to_the_last_discriminator() -> None:
    world, expert, _ = meadow()
    demos = sample(world.mdp, expert, 3, np.random.default_rng(0))
    found = adversarial.gail_tabular(world.mdp, demos, entropy_weight=0.05, tolerance=1e-6)
    best = planning.soft_value_iteration(world.mdp, found.paid, 0.05).policy
    np.testing.assert_allclose(found.policy, best, atol=0.02)


def test_airl_of_states_finds_the_reward_up_to_a_constant() -> None:
    world, expert, shown = meadow()
    found = adversarial.airl_tabular(world.mdp, shown, l2=1e-7, tolerance=1e-3)
    assert found.converged
    np.testing.assert_allclose(found.policy, expert, atol=5e-3)
    off = found.reward - world.reward
    assert np.ptp(off) < 0.05 < 0.5 < np.ptp(world.reward)
    np.testing.assert_allclose(found.advantage, np.log(expert), atol=0.05)


def test_airl_of_pairs_finds_the_policy_and_another_reward() -> None:
    world, expert, shown = meadow()
    found = adversarial.airl_tabular(world.mdp, shown, state_only=False, l2=1e-7, tolerance=1e-3)
    np.testing.assert_allclose(found.policy, expert, atol=5e-3)
    assert np.ptp(found.reward - world.reward) > 0.1


def test_airl_takes_features() -> None:
    world, expert, shown = meadow()
    found = adversarial.airl_tabular(
        world.mdp, shown, features=world.features, l2=1e-7, tolerance=1e-3
    )
    np.testing.assert_allclose(found.policy, expert, atol=5e-3)


def test_stopping_early_warns() -> None:
    world, _, shown = meadow()
    for learn in (adversarial.gail_tabular, adversarial.airl_tabular):
        with pytest.warns(ConvergenceWarning, match="above the tolerance"):
            found = learn(world.mdp, shown, max_iterations=1, tolerance=1e-9)
        assert not found.converged


@pytest.mark.parametrize("learn", [adversarial.gail_tabular, adversarial.airl_tabular])
def test_a_horizon_is_refused(learn: object) -> None:
    world = worlds.gridworld(3, horizon=4)
    with pytest.raises(ValueError, match="expected no horizon, and a discount below 1"):
        learn(world.mdp, np.full((9, 4), 0.1))  # type: ignore[operator]


def shown_in(horizon: int, n: int) -> tuple[worlds.World, Demonstrations]:
    """Demonstrations of so many steps."""
    world = worlds.gridworld(4, n_features=3, seed=2, discount=0.9, horizon=horizon)
    expert = planning.soft_value_iteration(world.mdp, world.reward).policy
    return world, sample(world.mdp, expert, n, np.random.default_rng(0))


def test_guided_cost_learning_ends_at_the_likelihood_of_trajectories() -> None:
    world, demos = shown_in(12, 100)
    wanted = max_ent.max_ent(world.mdp, world.features, demos, causal=False, l2=1e-2).weights
    found = guided_cost.guided_cost_tabular(
        world.mdp, world.features, demos, seed=0, episodes=200, l2=1e-2
    )
    assert np.linalg.norm(found.weights - wanted) < 0.1 * np.linalg.norm(wanted)
    np.testing.assert_allclose(found.reward, world.features @ found.weights)
    again = guided_cost.guided_cost_tabular(
        world.mdp, world.features, demos, seed=0, episodes=200, l2=1e-2
    )
    np.testing.assert_array_equal(found.weights, again.weights)


def test_guided_cost_learning_refuses_what_does_not_fit() -> None:
    world, demos = shown_in(12, 5)
    endless = MDP(world.mdp.dense_transitions(), world.mdp.initial, 0.9)
    with pytest.raises(ValueError, match="expected a finite horizon"):
        guided_cost.guided_cost_tabular(endless, world.features, demos, seed=0)
    longer = MDP(world.mdp.dense_transitions(), world.mdp.initial, 0.9, 13)
    with pytest.raises(ValueError, match="expected 13, the horizon"):
        guided_cost.guided_cost_tabular(longer, world.features, demos, seed=0)
