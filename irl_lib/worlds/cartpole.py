"""A cart that balances a pole: Gymnasium's CartPole-v1, with the physics that one asks for."""

from __future__ import annotations

from typing import Any

from irl_lib.mdp import check_count, check_real

NAME = "irl_lib/CartPole-v1"


def cartpole(
    pole_length: float = 0.5,
    gravity: float = 9.8,
    force: float = 10.0,
    max_steps: int = 500,
    render_mode: str | None = None,
) -> Any:
    """Gymnasium's CartPole-v1; with the default values it is that, step by step.

    Args:
        pole_length: half of the pole's length in metres, which is what Gymnasium's ``length`` is:
            the distance from the hinge to the centre of the pole.  The pole weighs 0.1 kg whatever
            its length.
        gravity: in metres per second squared.
        force: of a push, in newton.
        max_steps: the episode is truncated then.
        render_mode: as Gymnasium takes it.

    Returns:
        A ``gymnasium.Env`` whose ``spec.id`` is ``"irl_lib/CartPole-v1"`` and whose ``spec.kwargs``
        are the physics.

    Raises:
        ValueError: when a number is not finite and above zero.
        ImportError: when gymnasium is missing.
    """
    physics = {
        "pole_length": check_real("pole_length", pole_length, 0.0, open_end=True),
        "gravity": check_real("gravity", gravity, 0.0, open_end=True),
        "force": check_real("force", force, 0.0, open_end=True),
    }
    if render_mode is not None and not isinstance(render_mode, str):
        raise ValueError(f"render_mode is {render_mode!r}; expected a text, or None")
    gymnasium = _gymnasium()
    spec = gymnasium.envs.registration.EnvSpec(
        id=NAME,
        entry_point="irl_lib.worlds.cartpole:unlimited",
        reward_threshold=475.0,
        max_episode_steps=check_count("max_steps", max_steps),
        kwargs=physics,
    )
    return gymnasium.make(spec, render_mode=render_mode, disable_env_checker=True)


def unlimited(
    pole_length: float, gravity: float, force: float, render_mode: str | None = None
) -> Any:
    """The same without a limit of steps; Gymnasium calls this."""
    _gymnasium()
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv

    env = CartPoleEnv(render_mode=render_mode)
    env.length = pole_length
    env.gravity = gravity
    env.force_mag = force
    env.polemass_length = env.masspole * env.length  # computed once, when it was made
    return env


def _gymnasium() -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError('worlds.cartpole needs gymnasium: pip install "irl_lib[gym]"') from error
    return gymnasium
