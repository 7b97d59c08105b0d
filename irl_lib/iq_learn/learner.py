"""The critics, what they are trained on, and one step of that."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irl_lib.demonstrations import Demonstrations, spaces
from irl_lib.iq_learn.critics import Critics, ImpliedReward, SoftPolicy, encoded
from irl_lib.iq_learn.losses import LOSSES, ONLINE, Batch, Terms
from irl_lib.iq_learn.maxima import Copied, codes, maximum_of
from irl_lib.iq_learn.settings import Settings
from irl_lib.support.checkpoints import Training
from irl_lib.support.checks import check_type
from irl_lib.support.files import Arrays
from irl_lib.support.runs import Kept, identity_of
from irl_lib.training.copies import Copies, name_of
from irl_lib.training.steps import Rows, expert_rows, policy_rows


class Replay:
    """The policy's last steps, up to some number of them.

    Args:
        size: of them.
        rows: some steps, for their shapes.

    Raises:
        ValueError: when there is no room for so many.
    """

    def __init__(self, size: int, rows: Rows) -> None:
        self.size, self.added = size, 0
        try:
            self.kept = Rows._make(np.zeros((size, *each.shape[1:]), each.dtype) for each in rows)
        except MemoryError as error:
            raise ValueError(f"memory is {size}, for which there is no room: {error}") from error

    def __len__(self) -> int:
        return min(self.added, self.size)

    def add(self, rows: Rows) -> None:
        """The newest; the oldest make room for them."""
        places = (self.added + np.arange(len(rows.states))) % self.size
        for ours, theirs in zip(self.kept, rows, strict=True):
            ours[places] = theirs
        self.added += len(places)

    def arrays(self) -> Arrays:
        """For a checkpoint."""
        filled = {name: each[: len(self)] for name, each in self.kept._asdict().items()}
        return filled | {"added": np.array(self.added)}

    def restore(self, arrays: Arrays) -> None:
        """To where it was."""
        self.added = int(arrays["added"])
        for name, each in self.kept._asdict().items():
            each[: len(self)] = arrays[name]


class Learner:
    """Soft Q networks and what they learn from.

    Args:
        env: what it is stepped in, or where it isn't, spaces of observations and actions.
        demos: from there.
        settings: checked.

    Raises:
        ValueError: when demonstrations and spaces don't fit each other.
    """

    def __init__(self, env: Any, demos: Demonstrations, settings: Settings) -> None:
        s = self.settings = settings
        self.copies = Copies(env, s.seed, s.max_steps) if s.online else None
        self.places = _places(self.copies.env if self.copies else env)
        known = name_of(self.copies.env) if self.copies else None
        check_type("demos", demos, Demonstrations).check_spaces(*self.places, known)
        self.expert = self._rows(expert_rows(demos, s.subsample, False, s.keep_last))
        self.starts = self._tensor(encoded(self.places[0], [each[0] for each in demos.states]))
        self.ended = float(demos.terminated.sum()) / demos.n_steps
        centre, scale = spaces.standard_unit(self.expert.states)
        self.maximum = maximum_of(self.places, s, centre, scale)
        self.critics = self.maximum.critics
        self.target, self.average = Copied(self.critics), Copied(self.critics)
        self.optimiser = torch.optim.Adam(self.critics.parameters(), lr=s.learning_rate)
        self.replay = Replay(s.memory if s.online else 0, self.expert)
        self.state: dict[str, Kept] = {
            "critics": Training(self.critics, self.optimiser),
            "target": self.target,
            "average": self.average,
            **self.maximum.kept,
        }
        if self.copies:
            self.state |= {"copies": self.copies, "replay": self.replay}
        self.identity = identity_of(
            s,
            self.copies.env if self.copies else _Known(*self.places),
            [*self.expert, self.starts.numpy(), np.array(self.ended)],
            networks=self.critics,
            **self.maximum.networks,
        )

    def act(self, number: int, rng: np.random.Generator) -> dict[str, float]:
        """Some steps of the policy, which go to the memory."""
        assert self.copies is not None
        passed, noted = self.copies.collect(
            lambda seen: self.maximum.draw(self._tensor(seen), rng), self.settings.steps
        )
        self.replay.add(self._rows(policy_rows(passed, absorbing=False)))
        steps = (number + 1) * self.settings.steps * self.copies.n
        return noted | {"environment_steps": float(steps)}

    def improve(self, number: int, rng: np.random.Generator) -> dict[str, float]:
        """Some steps of Adam; the means of the loss, of its terms, of what the maximum tells."""
        s, notes = self.settings, []
        left = max(0.0, 1.0 - number / s.decay) if s.decay else 1.0
        for group in self.optimiser.param_groups:
            group["lr"] = s.learning_rate * left
        end = self.end()
        for i in range(s.updates):
            kinds = self.drawn(rng)
            terms = self.terms(kinds, rng, end)
            loss = terms.reward + terms.value + terms.price
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
            self.target.follow(self.critics, s.target_rate)
            # At first the plain mean, so that nothing is left of the untrained weights.
            share = max(1.0 - s.averaging, 1.0 / (number * s.updates + i + 1))
            self.average.follow(self.critics, share)
            told = self.maximum.improve(self._states(kinds), rng, left, share)
            notes.append([*(float(each.detach()) for each in (loss, *terms)), *told])
        means = np.mean(notes, axis=0)
        names = ("loss", *Terms._fields, *self.maximum.columns)
        return dict(zip(names, means.tolist(), strict=True)) | {"end": end}

    def end(self) -> float:
        r"""What it is worth to be where nothing comes after.

        A stay there is paid :math:`\tfrac{2}{\beta} (w_E - w_\pi) / (w_E + w_\pi)`, which is where
        the objective is highest, with the shares of ends among the expert's steps and the policy's.
        """
        s, n = self.settings, len(self.replay)
        if not s.absorbing or not n:
            return 0.0
        ours, theirs = self.ended, float(self.replay.kept.terminated[:n].mean())
        stay = (ours - theirs) / (ours + theirs) if ours + theirs else 0.0
        return 2.0 / s.weight * stay / (1.0 - s.discount)

    def drawn(self, rng: np.random.Generator) -> list[Rows]:
        """Steps for a gradient: of the expert, and where the form asks for them, of the policy."""
        kinds = [self._take(self.expert, len(self.expert.states), rng)]
        if self.settings.loss in ONLINE:
            kinds.append(self._take(self.replay.kept, len(self.replay), rng))
        return kinds

    def terms(self, kinds: list[Rows], rng: np.random.Generator, end: float) -> Terms:
        """Of the loss, on them."""
        s, batches = self.settings, self._seen(kinds, rng, end)
        start = torch.zeros(())
        if s.loss == "start values":
            start = (1.0 - s.discount) * self.maximum.value(self.starts, rng).mean()
        return LOSSES[s.loss](batches[0], batches[-1], start, s.weight)

    def _take(self, rows: Rows, n: int, rng: np.random.Generator) -> Rows:
        """All of them, or if they are more than a batch, as many as that, drawn."""
        if n <= self.settings.batch:
            return rows.take(slice(0, n))
        return rows.take(rng.integers(n, size=self.settings.batch))

    def _seen(self, kinds: list[Rows], rng: np.random.Generator, end: float) -> list[Batch]:
        """Each kind of steps as the critics see it, all of them at once."""
        s = self.settings
        after = self._tensor(np.concatenate([each.next_states for each in kinds]))
        chosen = np.concatenate([each.actions for each in kinds])
        over = torch.from_numpy(np.concatenate([each.terminated for each in kinds]))
        q, v = self.maximum.seen(self._states(kinds), chosen, rng)
        net = self.target.net if s.target_rate < 1.0 else self.critics
        later = s.discount * torch.where(over, end, self._clipped(net, after, rng))
        sizes = [len(each.states) for each in kinds]
        weights = [self._tensor(each.weights / each.weights.sum()) for each in kinds]
        parts = torch.split(q, sizes, 1), torch.split(v, sizes, 1), torch.split(later, sizes)
        return [Batch(*each) for each in zip(*parts, weights, strict=True)]

    def _states(self, kinds: list[Rows]) -> Tensor:
        """``(N, d)``, one kind after the other."""
        return self._tensor(np.concatenate([each.states for each in kinds]))

    def _clipped(self, net: Critics, after: Tensor, rng: np.random.Generator) -> Tensor:
        """``(N,)``: what comes next, within what rewards and entropy can add up to."""
        s = self.settings
        v = self.maximum.least(net, after, rng)
        if not s.clip:
            return v
        most, joy = 2.0 / s.weight, s.temperature * self.maximum.entropy
        return v.clamp(-most / (1.0 - s.discount), (most + joy) / (1.0 - s.discount))

    def policy(self) -> SoftPolicy:
        """A copy of the policy as it is now, with averaged weights."""
        return self.maximum.policy(copy.deepcopy(self.average.net))

    def reward(self) -> ImpliedReward:
        """Likewise."""
        net = copy.deepcopy(self.average.net)
        return self.maximum.reward(net, self.settings.discount, self.end())

    def _rows(self, rows: Rows) -> Rows:
        """Steps with states and actions as networks take them."""
        return rows._replace(
            states=encoded(self.places[0], rows.states),
            next_states=encoded(self.places[0], rows.next_states),
            actions=codes(self.places[1], rows.actions),
        )

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(np.asarray(array)).float()


class _Known:
    """Spaces in the place of an environment that isn't there."""

    spec = None

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        self.observation_space, self.action_space = observation_space, action_space


def _places(env: Any) -> tuple[Any, Any]:
    """Of one environment: of observations, and of actions that are Discrete or between bounds."""
    if hasattr(env, "single_observation_space"):
        env = env.single_observation_space, env.single_action_space
    places = spaces.spaces_of(env)
    if not spaces.is_numbered(places[1]) and not spaces.is_bounded(places[1]):
        raise ValueError(
            f"action_space is {places[1]}; expected a Discrete space, or a Box of floats with one "
            "axis between finite bounds"
        )
    return places
