"""The loss on tokens: its gradient, its masks, its ends, and the tabular problem that it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from irl_lib import MDP, iq_learn, language

torch = pytest.importorskip("torch")

END, SIZE = 0, 5
PROMPT = -100


def batch(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts of several lengths; the third response is cut, the last row holds two."""
    labels = torch.tensor(
        [
            [PROMPT, PROMPT, 3, 1, END, PROMPT, PROMPT],
            [PROMPT, 2, 2, 4, 1, 3, END],
            [PROMPT, PROMPT, PROMPT, 1, 2, 3, 4],
            [PROMPT, 1, END, PROMPT, 4, END, PROMPT],
        ]
    )
    made = torch.Generator().manual_seed(seed)
    logits = 2.0 * torch.randn(*labels.shape, SIZE, generator=made, dtype=torch.float64)
    return logits.to(dtype), labels


def value(logits: torch.Tensor, labels: torch.Tensor, weight: float = 0.3, **more: float) -> float:
    return float(language.iq_language_loss(logits, labels, weight=weight, end=END, **more).loss)


def by_hand(logits: torch.Tensor, labels: torch.Tensor, weight: float, discount: float) -> float:
    """Token by token."""
    terms = []
    v = torch.logsumexp(logits, -1)
    for row, line in enumerate(labels.tolist()):
        for i, token in enumerate(line[1:], start=1):
            if token == PROMPT:
                continue
            q, later = logits[row, i - 1, token], 0.0 if token == END else v[row, i]
            log_pi = q - v[row, i - 1]
            residual = v[row, i - 1] + log_pi - discount * later
            terms.append(float(-log_pi + weight * residual**2))
    return float(np.mean(terms))


# --- the value and its gradient -------------------------------------------------------------------


@pytest.mark.parametrize("discount", [0.0, 0.7, 1.0])
def test_the_loss_is_what_a_loop_over_tokens_says(discount: float) -> None:
    found = value(*batch(), weight=0.3, discount=discount)
    assert found == pytest.approx(by_hand(*batch(), 0.3, discount), rel=1e-12)


@pytest.mark.parametrize("discount", [0.7, 1.0])
def test_its_gradient_is_that_of_finite_differences(discount: float) -> None:
    logits, labels = batch()
    logits.requires_grad_()

    def loss(at: torch.Tensor) -> torch.Tensor:
        terms = language.iq_language_loss(at, labels, weight=0.3, end=END, discount=discount)
        return terms.loss

    assert torch.autograd.gradcheck(loss, (logits,), eps=1e-6, atol=1e-8, rtol=1e-6)


def test_without_a_price_it_is_maximum_likelihood() -> None:
    logits, labels = batch()
    logits.requires_grad_()
    terms = language.iq_language_loss(logits, labels, weight=0.0, end=END)
    wanted = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, SIZE), labels[:, 1:].reshape(-1), ignore_index=PROMPT
    )
    (ours,) = torch.autograd.grad(terms.loss, logits)
    (theirs,) = torch.autograd.grad(wanted, logits)
    assert float(terms.consistency.detach()) == 0.0
    assert abs(float(terms.loss.detach()) - float(wanted.detach())) < 1e-12
    assert float((ours - theirs).abs().max()) < 1e-12


# --- where tokens are -----------------------------------------------------------------------------


def padded(tensor: torch.Tensor, left: int, right: int, filling: float) -> torch.Tensor:
    sides = (0, 0) * (tensor.ndim - 2) + (left, right)
    return torch.nn.functional.pad(tensor, sides, value=filling)


@pytest.mark.parametrize(("left", "right"), [(1, 0), (0, 1), (3, 40), (17, 2)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_padding_changes_nothing(
    left: int, right: int, dtype: torch.dtype, tolerance: float
) -> None:
    logits, labels = batch(dtype=dtype)
    wider = padded(logits, left, right, 7.0), padded(labels, left, right, PROMPT)
    assert value(*wider) == pytest.approx(value(logits, labels), rel=tolerance)
    rewards = language.implied_rewards(*wider, end=END)
    plain = language.implied_rewards(logits, labels, end=END)
    assert torch.equal(rewards, padded(plain, left, right, 0.0))


def test_neither_does_the_order_of_rows_nor_what_is_beside_a_row() -> None:
    logits, labels = batch()
    order = torch.tensor([2, 0, 3, 1])
    assert value(logits[order], labels[order]) == pytest.approx(value(logits, labels), rel=1e-12)
    counts = (labels[:, 1:] != PROMPT).sum(-1).numpy()
    alone = [value(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
    mean = float(alone @ counts / counts.sum())
    assert mean == pytest.approx(value(logits, labels), rel=1e-12)


def test_parts_of_a_batch_sum_to_it() -> None:
    logits, labels = batch()
    count = int((labels != PROMPT).sum())
    for items in (count, torch.tensor(count)):
        halves = [
            value(logits[rows], labels[rows], num_items_in_batch=items)
            for rows in (slice(0, 1), slice(1, 4))
        ]
        assert sum(halves) == pytest.approx(value(logits, labels), rel=1e-12)


def test_responses_packed_into_one_row_are_responses_of_their_own() -> None:
    """An end in the middle is one: what comes after it is worth nothing to what came before."""
    logits, labels = batch()
    packed = torch.cat([logits[1:2, :6], logits[:1, 1:]], 1)  # ..., 3, END, 3, 1, END
    lines = torch.cat([labels[1:2, :6], torch.tensor([[END]]), labels[:1, 2:]], 1)
    alone = torch.cat([language.implied_rewards(logits[i : i + 1], labels[i : i + 1], end=END)[0]
                       for i in (1, 0)])  # fmt: skip
    found = language.implied_rewards(packed, lines, end=END)[0]
    assert torch.equal(found[found != 0.0], alone[alone != 0.0])


def test_a_response_that_was_cut_goes_on() -> None:
    """Its last token is followed by a text whose value the logits there say."""
    logits, labels = batch()
    row = language.implied_rewards(logits, labels, end=END, discount=0.9)[2]
    v = torch.logsumexp(logits[2], -1)
    assert float(row[-1]) == pytest.approx(float(logits[2, -2, 4] - 0.9 * v[-1]), rel=1e-12)
    shorter = labels.clone()
    shorter[2, -1] = PROMPT
    cut = language.implied_rewards(logits, shorter, end=END, discount=0.9)[2]
    assert torch.equal(cut[:-1], row[:-1])


def test_several_tokens_may_end_a_response() -> None:
    logits, labels = batch()
    both = language.implied_rewards(logits, labels, end=(END, 4))
    one = language.implied_rewards(logits, labels, end=END)
    assert torch.equal(both != one, labels == 4)


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_is_computed_in_single_precision(dtype: torch.dtype) -> None:
    logits, labels = batch(dtype=dtype)
    terms = language.iq_language_loss(logits, labels, weight=0.3, end=END)
    assert terms.loss.dtype == torch.float32
    assert float(terms.loss) == pytest.approx(value(logits.double(), labels), rel=1e-6)


@pytest.mark.parametrize("size", [1e2, 1e4, 6e4])
def test_large_logits_leave_everything_finite(size: float) -> None:
    logits, labels = batch(dtype=torch.float32)
    large = (size * torch.sign(logits)).requires_grad_()
    terms = language.iq_language_loss(large, labels, weight=1.0, end=END)
    (slope,) = torch.autograd.grad(terms.loss, large)
    assert torch.isfinite(terms.loss)
    assert torch.isfinite(slope).all()


def test_tokens_that_cannot_come_may_have_logits_of_minus_infinity() -> None:
    logits, labels = batch()
    wider = torch.nn.functional.pad(logits, (0, 2), value=-torch.inf).requires_grad_()
    terms = language.iq_language_loss(wider, labels, weight=0.3, end=END)
    (slope,) = torch.autograd.grad(terms.loss, wider)
    assert float(terms.loss.detach()) == pytest.approx(value(logits, labels), rel=1e-12)
    assert torch.isfinite(slope).all()


# --- what it means --------------------------------------------------------------------------------


@pytest.mark.parametrize("discount", [0.6, 1.0])
def test_implied_rewards_telescope(discount: float) -> None:
    """Their sum is the value of the prompt, and the answer's log-probability."""
    logits, labels = batch()
    found = language.implied_return(logits, labels, end=END, discount=discount)
    for row, start in ((0, 1), (1, 0)):
        said = labels[row, start + 1 :]
        said = said[said != PROMPT]
        lines = logits[row, start : start + len(said)]
        logs = torch.log_softmax(lines, -1)[torch.arange(len(said)), said]
        total = torch.logsumexp(lines[0], -1) + logs @ discount ** torch.arange(len(said)).double()
        assert float(found[row]) == pytest.approx(float(total), rel=1e-12)


TOKENS, LONGEST = (END, 1, 2), 3


def texts() -> list[tuple[int, ...]]:
    """All texts without an end that are short enough to go on: the states."""
    found: list[tuple[int, ...]] = [()]
    for text in found:
        if len(text) < LONGEST - 1:
            found += [(*text, token) for token in TOKENS if token != END]
    return found


def tree(discount: float) -> MDP:
    """Texts of three tokens at most; the last state is where they are over."""
    states = texts()
    over = len(states)
    moves = np.zeros((over + 1, len(TOKENS), over + 1))
    for i, text in enumerate(states):
        for a in TOKENS:
            longer = (*text, a)
            moves[i, a, states.index(longer) if longer in states else over] = 1.0
    moves[over, :, over] = 1.0
    return MDP(moves, np.eye(over + 1)[0], discount=discount)


def responses(seed: int) -> list[tuple[int, ...]]:
    """Whole ones and some that reach the length without an end; each token is shown in each."""
    rng = np.random.default_rng(seed)
    leaves = [(*text, a) for text in texts() for a in TOKENS if (*text, a) not in texts()]
    return [leaf for leaf in leaves for _ in range(rng.integers(1, 5))]


def shown(said: list[tuple[int, ...]]) -> np.ndarray:
    """How often a response says what where, ``(S, A)``."""
    counts = np.zeros((len(texts()) + 1, len(TOKENS)))
    for response in said:
        for i, token in enumerate(response):
            counts[texts().index(response[:i]), token] += 1.0
    return counts / len(said)


def tensors(q: torch.Tensor, said: list[tuple[int, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of responses to a prompt of one token; beyond the length V is 0."""
    over = torch.full((len(TOKENS),), -np.log(len(TOKENS)), dtype=q.dtype)
    lines = [
        torch.stack([q[texts().index(r[:i])] if r[:i] in texts() else over for i in range(4)])
        for r in said
    ]
    labels = [[PROMPT, *response] + [PROMPT] * (LONGEST - len(response)) for response in said]
    return torch.stack(lines), torch.tensor(labels)


def test_on_a_table_it_is_the_objective_in_policy_and_values() -> None:
    said, states = responses(0), len(texts())
    q = torch.tensor(np.random.default_rng(1).normal(size=(states, len(TOKENS))))
    per_response = sum(map(len, said)) / len(said)
    for weight, discount in ((0.2, 0.8), (0.5, 1.0)):
        mdp, rho = tree(discount), shown(said)
        v = np.append(torch.logsumexp(q, -1).numpy(), 0.0)
        policy = np.vstack([torch.softmax(q, -1).numpy(), np.full(len(TOKENS), 1 / len(TOKENS))])
        cost = iq_learn.price(mdp, 2.0 * weight, rho)
        wanted = iq_learn.value_policy_objective(mdp, rho, policy, v, cost)
        found = per_response * value(*tensors(q, said), weight=weight, discount=discount)
        assert found == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("weight", [0.01, 0.3])
def test_and_its_minimum_is_the_one_of_the_tabular_problem(weight: float) -> None:
    said, mdp = responses(0), tree(1.0)
    q = torch.zeros((len(texts()), len(TOKENS)), dtype=torch.float64, requires_grad=True)
    climb = torch.optim.LBFGS(
        [q], max_iter=2_000, tolerance_grad=1e-11, tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    per_response = sum(map(len, said)) / len(said)

    def step() -> torch.Tensor:
        climb.zero_grad()
        terms = language.iq_language_loss(*tensors(q, said), weight=weight, end=END)
        loss = per_response * terms.loss
        loss.backward()
        return loss

    climb.step(step)
    rho = shown(said)
    wanted = iq_learn.iq_learn_tabular(mdp, rho, weight=2.0 * weight, measure="expert")
    assert wanted.converged
    assert -step().item() == pytest.approx(wanted.history["objective"][-1], abs=1e-10)
    np.testing.assert_allclose(torch.softmax(q, -1).detach(), wanted.policy[:-1], atol=1e-6)
    np.testing.assert_allclose(q.detach(), wanted.q[:-1], atol=1e-5)


# --- what the tests above would not let pass ------------------------------------------------------


def variant(
    logits: torch.Tensor,
    labels: torch.Tensor,
    later: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    everywhere: bool = False,
) -> torch.Tensor:
    """The loss with another V', or with padding in its second term."""
    v, token = torch.logsumexp(logits, -1), labels[:, 1:]
    q = logits[:, :-1].gather(-1, token.clamp(min=0)[..., None])[..., 0]
    mask = token != PROMPT
    residual = (q - later(v, token)) ** 2
    priced = residual.mean() if everywhere else residual[mask].mean()
    return (v[:, :-1] - q)[mask].mean() + 0.3 * priced


def right(v: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    return v[:, 1:].masked_fill(token == END, 0.0)


def at_the_end_of_the_batch(v: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return torch.cat([v[:, 1:-1], torch.zeros_like(v[:, -1:])], 1)


def test_broken_variants_are_told_apart() -> None:
    logits, labels = batch()
    wider = padded(logits, 0, 3, 7.0), padded(labels, 0, 3, PROMPT)
    assert float(variant(logits, labels, right)) == pytest.approx(value(logits, labels), rel=1e-12)
    for broken in (
        lambda *of: variant(*of, right, everywhere=True),
        lambda *of: variant(*of, at_the_end_of_the_batch),
    ):
        assert abs(float(broken(logits, labels)) - value(logits, labels)) > 1e-2
    behind = float(variant(*wider, right, everywhere=True) - variant(*wider, right))
    assert abs(behind - float(variant(logits, labels, right, True) - value(logits, labels))) > 1e-2


def test_a_value_that_is_held_fixed_has_another_gradient() -> None:
    logits, labels = batch()
    logits.requires_grad_()
    terms = language.iq_language_loss(logits, labels, weight=0.3, end=END)
    detached = variant(logits, labels, lambda v, token: right(v, token).detach())
    assert float(detached.detach()) == pytest.approx(float(terms.loss.detach()), rel=1e-12)
    (ours,) = torch.autograd.grad(terms.loss, logits)
    (theirs,) = torch.autograd.grad(detached, logits)
    assert float((ours - theirs).abs().max()) > 1e-3


# --- at the door ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -0.1}, "weight is -0.1"),
        ({"discount": 1.1}, "discount is 1.1"),
        ({"end": SIZE}, "end is 5"),
        ({"end": ()}, "end is empty"),
        ({"num_items_in_batch": 0}, "num_items_in_batch is 0"),
        ({"num_items_in_batch": torch.zeros(())}, "num_items_in_batch is tensor"),
        ({"num_items_in_batch": torch.tensor(torch.inf)}, "num_items_in_batch is tensor"),
        ({"logits": torch.zeros((4, 0, SIZE))}, "logits are .* shape"),
        ({"labels": torch.full((4, 7), PROMPT)}, "labels have no response"),
        ({"labels": torch.full((4, 7), SIZE)}, "labels have the entry 5"),
        ({"labels": torch.zeros((4, 6), dtype=torch.long)}, "labels are .* shape"),
        ({"labels": torch.zeros((4, 7))}, "labels are torch.float32"),
        ({"logits": torch.zeros((4, 7))}, "logits are .* shape"),
        ({"logits": torch.full((4, 7, SIZE), torch.nan)}, "logits have a loss of nan"),
        ({"logits": torch.full((4, 7, SIZE), 1e30)}, "logits have a loss of"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], message: str) -> None:
    logits, labels = batch(dtype=torch.float32)
    right: dict[str, object] = {"logits": logits, "labels": labels, "weight": 0.3, "end": END}
    with pytest.raises(ValueError, match=message):
        language.iq_language_loss(**(right | change))  # type: ignore[arg-type]


def test_rewards_that_are_not_finite_are_refused() -> None:
    logits, labels = batch()
    logits[0, 1, 3] = -torch.inf  # of a token that came
    with pytest.raises(ValueError, match="logits have rewards that are not finite"):
        language.implied_return(logits, labels, end=END)
