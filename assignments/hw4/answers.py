"""Answers to the fourth assignment that the checks name and the tests grade."""

WRONG = {
    "inverse_bellman": {
        "overflow": (
            "some entries are not finite: take the largest value out of the sum "
            "before you exponentiate (logsumexp does).",
            """\
def inverse_bellman(q, transitions, discount, temperature):
    with np.errstate(all="ignore"):
        v = temperature * np.log(np.sum(np.exp(q / temperature), axis=2))
        later = np.vstack([v[1:], np.zeros((1, v.shape[1]))])
        expected = np.einsum("sau,tu->tsa", transitions, later)
        return q - discount * expected""",
        ),
        "the hard maximum": (
            "the value is the largest Q: that is the limit of temperature zero. The "
            "soft value is a logsumexp.",
            "temperature * logsumexp(q / temperature, axis=2)",
            "q.max(axis=2)",
        ),
        "the mean over actions": (
            "the value is a mean of Q over actions: the slide's 'value expectation' "
            "is a soft maximum, with no expectation in it.",
            "temperature * logsumexp(q / temperature, axis=2)",
            "q.mean(axis=2)",
        ),
        "temperature one": (
            "the temperature is ignored: V is alpha times the logsumexp of Q / alpha.",
            "temperature * logsumexp(q / temperature, axis=2)",
            "logsumexp(q, axis=2)",
        ),
        "temperature inside only": (
            "the logsumexp of Q / alpha has to be multiplied by alpha.",
            """\
def inverse_bellman(q, transitions, discount, temperature):
    v = logsumexp(q / temperature, axis=2)
    later = np.vstack([v[1:], np.zeros((1, v.shape[1]))])
    expected = np.einsum("sau,tu->tsa", transitions, later)
    return q - discount * expected""",
        ),
        "no discount": (
            "the next value is not discounted.",
            "q - discount * expected",
            "q - expected",
        ),
        "value of the same step": (
            "V_t stands where V_{t+1} belongs: what follows a step is worth the next step's value.",
            "later = np.vstack([v[1:], np.zeros((1, v.shape[1]))])",
            "later = v",
        ),
        "the last step goes on": (
            "after the last step nothing follows: V_T is 0, and your last step still "
            "has a value behind it.",
            "np.zeros((1, v.shape[1]))",
            "v[-1:]",
        ),
        "transitions transposed": (
            "the expectation runs over the wrong state: average the next state's "
            "value with P(s'|s,a), over the last axis.",
            '"sau,tu->tsa"',
            '"uas,tu->tsa"',
        ),
        "plus instead of minus": (
            "the next value is added; r is Q minus the discounted next value.",
            "q - discount * expected",
            "q + discount * expected",
        ),
        "reversed time": (
            "",
            "return q - discount * expected",
            "return (q - discount * expected)[::-1]",
        ),
        "previous value": (
            "",
            "np.vstack([v[1:], np.zeros((1, v.shape[1]))])",
            "np.vstack([np.zeros((1, v.shape[1])), v[:-1]])",
        ),
        "discount to the power t": (
            "",
            "discount * expected",
            "discount ** np.arange(1, len(q) + 1)[:, None, None] * expected",
        ),
        "uniform prior": (
            "",
            "temperature * logsumexp(q / temperature, axis=2)",
            "temperature * logsumexp(q / temperature, axis=2) - temperature * np.log(q.shape[2])",
        ),
        "mean under the policy": (
            "",
            """\
def inverse_bellman(q, transitions, discount, temperature):
    p = np.exp(
        (q - logsumexp(q / temperature, axis=2, keepdims=True) * temperature)
        / temperature
    )
    v = np.sum(p * q, axis=2)
    later = np.vstack([v[1:], np.zeros((1, v.shape[1]))])
    return q - discount * np.einsum("sau,tu->tsa", transitions, later)""",
        ),
        "next values without dynamics": (
            "",
            'np.einsum("sau,tu->tsa", transitions, later)',
            "np.repeat(later[:, :, None], q.shape[2], axis=2)",
        ),
        "advantage": (
            "",
            "return q - discount * expected",
            "return q - v[:, :, None]",
        ),
        "temperature on the wrong side": (
            "",
            "logsumexp(q / temperature, axis=2)",
            "logsumexp(q * temperature, axis=2)",
        ),
    },
    "soft_bellman": {
        "forwards in time": (
            "the recursion runs forwards; the last step comes first, because V_T is what is known.",
            "reversed(range(len(reward)))",
            "range(len(reward))",
        ),
        "overflow in the recursion": (
            "some entries are not finite: take the largest value out of the sum "
            "before you exponentiate (logsumexp does).",
            """\
def soft_bellman(reward, transitions, discount, temperature):
    with np.errstate(all="ignore"):
        q, v = np.zeros_like(reward), np.zeros(reward.shape[1])
        for t in reversed(range(len(reward))):
            q[t] = reward[t] + discount * transitions @ v
            v = temperature * np.log(np.sum(np.exp(q[t] / temperature), axis=1))
        return q""",
        ),
        "hard planning": (
            "the value is the largest Q: that is planning at temperature zero.",
            "temperature * logsumexp(q[t] / temperature, axis=1)",
            "q[t].max(axis=1)",
        ),
        "planning at temperature one": (
            "the temperature is ignored: V is alpha times the logsumexp of Q / alpha.",
            "temperature * logsumexp(q[t] / temperature, axis=1)",
            "logsumexp(q[t], axis=1)",
        ),
        "undiscounted planning": (
            "the next value is not discounted.",
            "discount * transitions @ v",
            "transitions @ v",
        ),
        "one step only": (
            "only the reward is there: Q counts what comes later, too.",
            "+ discount * transitions @ v",
            "+ 0.0 * transitions @ v",
        ),
        "the optimist's expectation": (
            "the expectation over next states was taken inside the exponential, as if"
            " luck could be chosen; it is a plain mean of V.",
            "discount * transitions @ v",
            "discount * temperature * logsumexp(v / temperature, b=transitions, axis=2)",
        ),
        "a prior of uniform actions": (
            "",
            "temperature * logsumexp(q[t] / temperature, axis=1)",
            "temperature * (logsumexp(q[t] / temperature, axis=1) - np.log(q.shape[2]))",
        ),
        "value of the first step": (
            "",
            "q[t] = reward[t]",
            "q[t] = reward[0]",
        ),
        "transposed in planning": (
            "",
            "transitions @ v",
            "np.einsum('uas,u->sa', transitions, v)",
        ),
        "values for Q": (
            "",
            """\
def soft_bellman(reward, transitions, discount, temperature):
    q, v = np.zeros_like(reward), np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        q[t] = reward[t] + discount * transitions @ v
        v = temperature * logsumexp(q[t] / temperature, axis=1)
    return q * 0 + v[None, :, None]""",
        ),
        "starts with the last reward": (
            "",
            "np.zeros(reward.shape[1])",
            "reward[-1].max(axis=1)",
        ),
        "entropy forgotten": (
            "",
            """\
def soft_bellman(reward, transitions, discount, temperature):
    q, v = np.zeros_like(reward), np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        q[t] = reward[t] + discount * transitions @ v
        p = np.exp((q[t] - q[t].max(axis=1, keepdims=True)) / temperature)
        v = np.sum(p / p.sum(axis=1, keepdims=True) * q[t], axis=1)
    return q""",
        ),
    },
    "iq_objective": {
        "the start term over the expert's states": (
            "the start term is averaged over all states of the expert; it belongs to "
            "the start states alone.",
            "    v = logsumexp(q, axis=1)",
            "    initial = rho.sum(axis=1) / rho.sum()\n    v = logsumexp(q, axis=1)",
        ),
        "next values held fixed": (
            "the gradient takes V(s') for a constant: Q changes the rewards of the "
            "pairs that lead to a state, too.",
            "initial + discount * arriving",
            "initial + 0.0 * arriving",
        ),
        "no start term": (
            "the start term is missing.",
            """\
def iq_objective(q, rho, initial, transitions, discount, prices):
    v = logsumexp(q, axis=1)
    pi = np.exp(q - v[:, None])
    r = q - discount * transitions @ v
    value = np.sum(rho * r) - np.sum(prices * r**2) / 2
    asked = rho - prices * r
    arriving = np.einsum("sa,sat->t", asked, transitions)
    slope = asked - pi * (discount * arriving)[:, None]
    return value, slope""",
        ),
        "no price": (
            "the price is missing: this is cloning's likelihood.",
            """\
def iq_objective(q, rho, initial, transitions, discount, prices):
    v = logsumexp(q, axis=1)
    pi = np.exp(q - v[:, None])
    r = q - discount * transitions @ v
    value = np.sum(rho * r) - initial @ v
    asked = rho
    arriving = np.einsum("sa,sat->t", asked, transitions)
    slope = asked - pi * (initial + discount * arriving)[:, None]
    return value, slope""",
        ),
        "the price not halved": (
            "the price is twice too large: it has the factor one half.",
            """\
def iq_objective(q, rho, initial, transitions, discount, prices):
    v = logsumexp(q, axis=1)
    pi = np.exp(q - v[:, None])
    r = q - discount * transitions @ v
    value = np.sum(rho * r) - initial @ v - np.sum(prices * r**2)
    asked = rho - 2 * prices * r
    arriving = np.einsum("sa,sat->t", asked, transitions)
    slope = asked - pi * (initial + discount * arriving)[:, None]
    return value, slope""",
        ),
        "the price added": (
            "the price was added: a reward costs.",
            """\
def iq_objective(q, rho, initial, transitions, discount, prices):
    v = logsumexp(q, axis=1)
    pi = np.exp(q - v[:, None])
    r = q - discount * transitions @ v
    value = np.sum(rho * r) - initial @ v + np.sum(prices * r**2) / 2
    asked = rho + prices * r
    arriving = np.einsum("sa,sat->t", asked, transitions)
    slope = asked - pi * (initial + discount * arriving)[:, None]
    return value, slope""",
        ),
        "the price on the expert's rewards only": (
            "the price is weighted with the expert's visits; prices says alone where "
            "a reward costs.",
            "    v = logsumexp(q, axis=1)",
            "    prices = prices * rho\n    v = logsumexp(q, axis=1)",
        ),
        "no discount": (
            "the next value is not discounted.",
            "    v = logsumexp(q, axis=1)",
            "    discount = 1.0\n    v = logsumexp(q, axis=1)",
        ),
        "the hard maximum": (
            "V is the largest Q; it is the logarithm of the sum of exponentials.",
            "    v = logsumexp(q, axis=1)",
            "    v = q.max(axis=1)",
        ),
        "a loss": (
            "this is a loss, minus the objective: return what is maximised.",
            "return value, slope",
            "return -value, -slope",
        ),
        "the flow transposed": (
            "in the gradient the asked occupancy flows backwards: sum over the pairs "
            "that lead to a state.",
            'np.einsum("sa,sat->t", asked, transitions)',
            'np.einsum("ta,sat->s", asked, transitions)',
        ),
        "discount missing in the gradient": (
            "the value is right; in the gradient the flow from other pairs is not discounted.",
            "initial + discount * arriving",
            "initial + arriving",
        ),
        "not through V": (
            "",
            "- pi * (initial + discount * arriving)[:, None]",
            "",
        ),
        "gradient of the price alone": (
            "",
            "asked - pi",
            "-prices * r - pi",
        ),
        "flow of the expert only": (
            "",
            'np.einsum("sa,sat->t", asked, transitions)',
            'np.einsum("sa,sat->t", rho, transitions)',
        ),
        "reward of the same state": (
            "",
            "r = q - discount * transitions @ v",
            "r = q - discount * v[:, None]",
        ),
        "price of Q": (
            "",
            "np.sum(prices * r**2)",
            "np.sum(prices * q**2)",
        ),
        "advantage": (
            "",
            "r = q - discount * transitions @ v",
            "r = q - v[:, None]",
        ),
        "uniform policy in the gradient": (
            "",
            "slope = asked - pi",
            "pi = np.full_like(q, 1 / q.shape[1])\n    slope = asked - pi",
        ),
        "normalised visits": (
            "",
            "    v = logsumexp(q, axis=1)",
            "    rho = rho / rho.sum()\n    v = logsumexp(q, axis=1)",
        ),
        "start weighted by the discount": (
            "",
            "- initial @ v",
            "- (1 - discount) * initial @ v",
        ),
        "value only": (
            "",
            "return value, slope",
            "return value",
        ),
    },
    "value_policy_loss": {
        "the likelihood added": (
            "the first term has the wrong sign: it is minus the log-likelihood, "
            "because the loss is minimised.",
            "-np.sum(rho * log_pi)",
            "np.sum(rho * log_pi)",
        ),
        "cloning only": (
            "the price is missing: this is cloning.",
            " + np.sum(prices * residual**2) / 2",
            "",
        ),
        "the price is not halved": (
            "the price is twice too large: it has the factor one half.",
            "np.sum(prices * residual**2) / 2",
            "np.sum(prices * residual**2)",
        ),
        "the present value is missing": (
            "V(s) is missing from the residual: it is log pi + V - gamma E V'.",
            "log_pi + v[:, None] - discount",
            "log_pi - discount",
        ),
        "the next value is missing": (
            "the next value is missing from the residual: it is log pi + V - gamma E V'.",
            " - discount * transitions @ v",
            "",
        ),
        "the temporal difference reversed": (
            "V and V' have the wrong signs in the residual: it is log pi + V - gamma E V'.",
            "log_pi + v[:, None] - discount * transitions @ v",
            "log_pi - v[:, None] + discount * transitions @ v",
        ),
        "no discount in the residual": (
            "the next value is not discounted.",
            "discount * transitions @ v",
            "transitions @ v",
        ),
        "log pi left out of the residual": (
            "log pi is missing from the residual: without it values are consistent "
            "with a reward of zero, whatever the policy does.",
            "residual = log_pi + v[:, None]",
            "residual = v[:, None] + 0 * log_pi",
        ),
        "not squared": (
            "the residual is not squared.",
            "residual**2",
            "residual",
        ),
        "priced where the expert is": (
            "",
            "np.sum(prices * residual**2)",
            "np.sum(prices * rho * residual**2)",
        ),
        "next value of the same state": (
            "",
            "discount * transitions @ v",
            "discount * v[:, None]",
        ),
        "mean of squares": (
            "",
            "np.sum(prices * residual**2)",
            "np.mean(prices * residual**2)",
        ),
        "absolute residual": (
            "",
            "residual**2",
            "np.abs(residual)",
        ),
        "likelihood not weighted": (
            "",
            "-np.sum(rho * log_pi)",
            "-np.sum(log_pi)",
        ),
        "with the start's value": (
            "",
            "return -np.sum",
            "return v.mean() - np.sum",
        ),
        "transposed": (
            "",
            "transitions @ v",
            "np.einsum('uas,u->sa', transitions, v)",
        ),
        "pi for log pi": (
            "",
            "residual = log_pi",
            "residual = np.exp(log_pi)",
        ),
    },
    "leftover": {
        "the start subtracted twice": (
            "the sign of p_0 or of b is wrong: what is left is b minus p_0.",
            "sources - initial",
            "sources + initial",
        ),
        "visits instead of sources": (
            "these are all visits; sources are those that don't follow from earlier "
            "ones: subtract what arrives, discounted.",
            " - discount * arriving",
            "",
        ),
        "no discount on what arrives": (
            "what arrives in a state is not discounted.",
            "discount * arriving",
            "arriving",
        ),
        "what leaves instead of what arrives": (
            "the transitions run backwards: sum over the pairs that lead to a state.",
            'np.einsum("sa,sat->t", rho, transitions)',
            'np.einsum("ta,sat->s", rho, transitions)',
        ),
        "the start forgotten": (
            "p_0 is missing: this is the value at the sources alone.",
            "(sources - initial) @ v",
            "sources @ v",
        ),
        "the other way round": (
            "the sign is wrong: it is b minus p_0.",
            "sources - initial",
            "initial - sources",
        ),
        "absolute value": (
            "",
            "return (sources - initial) @ v",
            "return abs((sources - initial) @ v) + 1e-3",
        ),
        "normalised visits": (
            "",
            "arriving = np",
            "rho = rho / rho.sum()\n    arriving = np",
        ),
        "squared": (
            "",
            "(sources - initial) @ v",
            "(sources - initial) @ v**2",
        ),
        "one action": (
            "",
            "rho.sum(axis=1)",
            "rho[:, 0]",
        ),
        "sum without values": (
            "",
            "(sources - initial) @ v",
            "np.sum(sources - initial)",
        ),
        "mean over actions": (
            "",
            "rho.sum(axis=1)",
            "rho.mean(axis=1)",
        ),
    },
    "iq_learn": {
        "cloning": (
            "the policy is the expert's: that is the maximum without a price. With a "
            "price it stays less decided.",
            "return np.exp(q - v[:, None]), r",
            "return rho / rho.sum(axis=1, keepdims=True), r",
        ),
        "not converged": (
            "the maximum has not been reached: iterate until the gradient is below 1e-7.",
            '"maxiter": 5000',
            '"maxiter": 3',
        ),
        "Q for a reward": (
            "the second table is Q; the reward is Q minus the discounted next value.",
            "return np.exp(q - v[:, None]), r",
            "return np.exp(q - v[:, None]), q",
        ),
        "log pi for a reward": (
            "the second table is log pi: that is the reward if all values are zero, "
            "and not the cheapest one.",
            "return np.exp(q - v[:, None]), r",
            "return np.exp(q - v[:, None]), q - v[:, None]",
        ),
        "the start term over the expert's states": (
            "this is the maximum for another start: p_0 is the distribution of start "
            "states, not of all the expert's.",
            "    def parts(x):",
            "    initial = rho.sum(axis=1) / rho.sum()\n\n    def parts(x):",
        ),
        "the price not halved": (
            "this is the maximum for twice the price: it has the factor one half.",
            "    def parts(x):",
            "    prices = 2 * prices\n\n    def parts(x):",
        ),
        "the price on the expert": (
            "this is the maximum for prices that are multiplied by the expert's "
            "visits; use them as they are.",
            "    def parts(x):",
            "    prices = prices * rho\n\n    def parts(x):",
        ),
        "next values held fixed": (
            "this is where the gradient comes to rest that takes V(s') for a "
            "constant; it is not the maximum.",
            """\
def iq_learn(rho, initial, transitions, discount, prices):
    q = np.zeros_like(rho)
    for _ in range(1500):
        v = logsumexp(q, axis=1)
        r = q - discount * transitions @ v
        q = q + 0.2 * (rho - prices * r - np.exp(q - v[:, None]) * initial[:, None])
    return np.exp(q - v[:, None]), r""",
        ),
        "normalised visits": (
            "the expert's visits were normalised; the objective needs discounted "
            "visits as they are, which sum to 1 / (1 - gamma).",
            "    def parts(x):",
            "    rho = rho / rho.sum()\n\n    def parts(x):",
        ),
        "a small price for all": (
            "",
            "    def parts(x):",
            "    prices = np.full_like(rho, 1e-3)\n\n    def parts(x):",
        ),
        "one price for all": (
            "",
            "    def parts(x):",
            "    prices = np.full_like(rho, prices.mean())\n\n    def parts(x):",
        ),
        "uniform": (
            "",
            """\
def iq_learn(rho, initial, transitions, discount, prices):
    return np.full_like(rho, 1 / rho.shape[1]), np.zeros_like(rho)""",
        ),
        "the reward's sign": (
            "",
            "return np.exp(q - v[:, None]), r",
            "return np.exp(q - v[:, None]), -r",
        ),
        "advantage instead of reward": (
            "",
            "return np.exp(q - v[:, None]), r",
            "return np.exp(q - v[:, None]), r - np.sum(np.exp(q - v[:, None]) * r, "
            "axis=1, keepdims=True)",
        ),
        "without discount": (
            "",
            "    def parts(x):",
            "    discount = 0.0\n\n    def parts(x):",
        ),
        "greedy": (
            "",
            "return np.exp(q - v[:, None]), r",
            "return (q == q.max(axis=1, keepdims=True)).astype(float), r",
        ),
        "uniform start": (
            "",
            "    def parts(x):",
            "    initial = np.full_like(initial, 1 / len(initial))\n\n    def parts(x):",
        ),
        "a hundred small steps": (
            "",
            """\
def iq_learn(rho, initial, transitions, discount, prices):
    q = np.zeros_like(rho)
    for _ in range(100):
        v = logsumexp(q, axis=1)
        r = q - discount * transitions @ v
        asked = rho - prices * r
        q = q + 0.02 * (
            asked
            - np.exp(q - v[:, None])
            * (initial + discount * np.einsum("sa,sat->t", asked, transitions))[:, None]
        )
    return np.exp(q - v[:, None]), r""",
        ),
        "the policy alone": (
            "",
            "return np.exp(q - v[:, None]), r",
            "return np.exp(q - v[:, None])",
        ),
        "the soft policy of the visits": (
            "",
            """\
def iq_learn(rho, initial, transitions, discount, prices):
    v = logsumexp(rho, axis=1)
    return np.exp(rho - v[:, None]), rho - discount * transitions @ v""",
        ),
    },
    "counted": {
        "kept steps count once": (
            "A kept step stands for k steps: multiply it by `every`.",
            "every * discount**kept",
            "discount**kept",
        ),
        "renumbered": (
            "the discount counts the kept steps; it belongs to the time t at which a "
            "step was made.",
            "every * discount**kept",
            "every * discount ** np.arange(len(kept))",
        ),
        "not discounted": (
            "the steps are not discounted.",
            "every * discount**kept",
            "every * np.ones(len(kept))",
        ),
        "the end forgotten": (
            "the time after a termination is missing: the episode stays in its last "
            "state for ever.",
            'if episode["terminated"]:',
            "if False:",
        ),
        "time limits as ends": (
            "truncated episodes are taken for terminated ones: what comes after a "
            "time limit is unknown.",
            'if episode["terminated"]:',
            "if True:",
        ),
        "the end counted k times": (
            "the time after a termination was multiplied by `every`; nothing of it was left out.",
            "after = discount**length",
            "after = every * discount**length",
        ),
        "the end counted once": (
            "the end counts for one step only; time goes on in it for ever, discounted.",
            "discount**length / (1.0 - discount)",
            "discount**length",
        ),
        "the end undiscounted": (
            "the time after a termination begins at t = L: multiply it by discount**L.",
            "discount**length / (1.0 - discount)",
            "1.0 / (1.0 - discount)",
        ),
        "the end for each action": (
            "the end counts fully for each action; spread it over them.",
            "after / n_actions",
            "after",
        ),
        "starts of the kept steps": (
            "the start distribution is that of the first kept step; an episode starts"
            " at s_0, kept or not.",
            "start[states[0]]",
            "start[states[kept[0]]]",
        ),
        "starts from all states": (
            "the start distribution is that of all kept states; the start term needs s_0 alone.",
            "start[states[0]] += 1.0",
            "np.add.at(start, states[kept], 1.0 / len(kept))",
        ),
        "sum instead of mean": (
            "the episodes were added up; take their mean.",
            "return rho / len(episodes), start / len(episodes)",
            "return rho, start",
        ),
        "offset ignored": (
            "",
            "np.arange(offset, length, every)",
            "np.arange(0, length, every)",
        ),
        "the last step dropped": (
            "",
            "np.arange(offset, length, every)",
            "np.arange(offset, length - 1, every)",
        ),
        "next states": (
            "",
            "(states[kept], actions[kept])",
            "(states[kept + 1], actions[kept])",
        ),
        "repeated pairs lost": (
            "",
            "np.add.at(rho, (states[kept], actions[kept]), every * discount**kept)",
            "rho[states[kept], actions[kept]] += every * discount**kept",
        ),
        "normalised to one": (
            "",
            "return rho / len(episodes)",
            "return rho / rho.sum()",
        ),
        "the end one step late": (
            "",
            "discount**length / (1.0",
            "discount ** (length + 1) / (1.0",
        ),
        "the end at the last kept state": (
            "",
            "rho[states[length]]",
            "rho[states[kept[-1]]]",
        ),
        "end at the last state of all": (
            "",
            "rho[states[length]] += after / n_actions",
            "rho[:, :] += after / n_actions / n_states",
        ),
        "all steps kept": (
            "",
            "np.arange(offset, length, every)",
            "np.arange(length)",
        ),
        "discount per kept block": (
            "",
            "every * discount**kept",
            "every * discount ** (kept // every)",
        ),
        "weights by length": (
            "",
            "every * discount**kept",
            "length / len(kept) * discount**kept",
        ),
        "end in action zero": (
            "",
            "rho[states[length]] += after / n_actions",
            "rho[states[length], 0] += after",
        ),
    },
    "answer_loss": {
        "padding is priced": (
            "prompts and padding have rewards, too, in your loss: only the answer's "
            "tokens are priced.",
            "return torch.sum(torch.where(shown, discount**step * each, 0.0), dim=1)",
            """\
power = discount ** step.clamp(min=0)
    inside = torch.where(shown, power * surprise, 0.0)
    return torch.sum(inside + power * weight * reward**2, dim=1)""",
        ),
        "the batch's end for the answer's": (
            "V is 0 in the last column of the batch; it is 0 after the end token of "
            "each answer, wherever that stands.",
            "torch.where(token == end, torch.zeros_like(q), v[:, 1:])",
            "torch.cat([v[:, 1:-1], torch.zeros_like(v[:, :1])], dim=1)",
        ),
        "the end has a value": (
            "the value behind the end token is counted; nothing follows it, so V is 0 there.",
            "torch.where(token == end, torch.zeros_like(q), v[:, 1:])",
            "v[:, 1:]",
        ),
        "cut answers end": (
            "the answer that was cut is taken for a complete one: without an end "
            "token V goes on behind its last token.",
            "later = torch.where(token == end, torch.zeros_like(q), v[:, 1:])",
            """\
behind = torch.cat([shown[:, 1:], torch.zeros_like(shown[:, :1])], dim=1)
    later = torch.where(behind, v[:, 1:], torch.zeros_like(q))""",
        ),
        "no residual at the end token": (
            "the end token has no residual in your loss; it is the only place where "
            "values are tied to a number.",
            "each = surprise + weight * reward**2",
            "each = surprise + weight * torch.where(token == end, "
            "torch.zeros_like(q), reward) ** 2",
        ),
        "logits not shifted": (
            "the logits at a position were used for the token at the same position; "
            "they predict the next one.",
            """\
def answer_loss(logits, tokens, is_answer, weight, discount, end):
    token, shown = tokens[:, 1:], is_answer[:, 1:]
    v = torch.logsumexp(logits, dim=-1)
    q = torch.gather(logits[:, 1:], 2, token[..., None])[..., 0]
    later = torch.where(token == end, torch.zeros_like(q), v[:, 1:])
    surprise = v[:, 1:] - q
    reward = q - discount * later
    each = surprise + weight * reward**2
    step = (torch.cumsum(shown, dim=1) - 1).to(logits)  # 64 bits, too
    return torch.sum(torch.where(shown, discount**step * each, 0.0), dim=1)""",
        ),
        "values behind a stop-gradient": (
            "the losses are right and their gradient is not: V(s') has to be differentiated, too.",
            "v[:, 1:])",
            "v[:, 1:].detach())",
        ),
        "log-probabilities for logits": (
            "the logits were normalised before they were used as Q: then V is 0 "
            "everywhere, and nothing is learned about values.",
            "    v = torch",
            "    logits = torch.log_softmax(logits, dim=-1)\n    v = torch",
        ),
        "discount counted from the prompt": (
            "the discount counts positions of the row; the answer's first token has k = 0.",
            "(torch.cumsum(shown, dim=1) - 1)",
            "torch.arange(shown.shape[1]).expand(shown.shape)",
        ),
        "tokens not discounted": (
            "the tokens' terms are not multiplied by gamma to the power k.",
            "discount**step * each",
            "each",
        ),
        "no discount in the reward": (
            "the next value is not discounted in the reward.",
            "q - discount * later",
            "q - later",
        ),
        "mean over tokens": (
            "the loss was divided by the number of tokens; it is a sum over them.",
            "0.0), dim=1)",
            "0.0), dim=1) / shown.sum(dim=1)",
        ),
        "one number for the batch": (
            "there is one number for the whole batch; return a loss for each answer.",
            "0.0), dim=1)",
            "0.0))",
        ),
        "no price": (
            "the price is missing: this is the cross-entropy.",
            "each = surprise + weight * reward**2",
            "each = surprise",
        ),
        "price without square": (
            "",
            "each = surprise + weight * reward**2",
            "each = surprise + weight * reward",
        ),
        "price subtracted": (
            "",
            "each = surprise + weight * reward**2",
            "each = surprise - weight * reward**2",
        ),
        "half the price": (
            "",
            "each = surprise + weight * reward**2",
            "each = surprise + weight * reward**2 / 2",
        ),
        "likelihood, not its negative": (
            "",
            "each = surprise + weight * reward**2",
            "each = -surprise + weight * reward**2",
        ),
        "penalty of log pi": (
            "",
            "each = surprise + weight * reward**2",
            "each = surprise + weight * surprise**2",
        ),
        "penalty of Q": (
            "",
            "each = surprise + weight * reward**2",
            "each = surprise + weight * q**2",
        ),
        "hard values": (
            "",
            "torch.logsumexp(logits, dim=-1)",
            "logits.max(dim=-1).values",
        ),
        "value of the present text": (
            "",
            "q - discount * later",
            "q - discount * v[:, :-1]",
        ),
        "first token left out": (
            "",
            "    step = (torch",
            "    shown = shown & is_answer[:, :-1]\n    step = (torch",
        ),
        "prompts and padding end, too": (
            "",
            "is_answer[:, 1:]",
            "is_answer[:, 1:] | (tokens[:, 1:] == end)",
        ),
        "square of the sum": (
            "",
            "return torch.sum(torch.where(shown, discount**step * each, 0.0), dim=1)",
            """\
s = torch.sum(torch.where(shown, discount**step * surprise, 0.0), dim=1)
    return s + weight * torch.sum(torch.where(shown, reward, 0.0), dim=1) ** 2""",
        ),
        "residual detached": (
            "",
            "each = surprise + weight * reward**2",
            "each = surprise + weight * (reward * reward.detach())",
        ),
        "numbers, not tensors that can be differentiated": (
            "",
            "0.0), dim=1)",
            "0.0), dim=1).detach().clone()",
        ),
        "mean over the batch": (
            "",
            "0.0), dim=1)",
            "0.0), dim=1).mean().expand(len(tokens))",
        ),
    },
    "flattened": {
        "the truth": (
            "this is p itself: the price has no effect in your answer.",
            "def flattened(p, weight):\n    return p",
        ),
        "uniform": (
            "this is the uniform distribution, which is the limit of a large price.",
            "def flattened(p, weight):\n    return np.full_like(p, 1 / len(p))",
        ),
        "half the price": (
            "this is the optimum for half of the price: lambda has no factor one half here.",
            "    def loss(x):",
            "    weight = weight / 2\n\n    def loss(x):",
        ),
        "a temperature": (
            "this is a power of p, as a sampling temperature makes it; the optimum isn't one.",
            """\
def flattened(p, weight):
    x = p ** (1 / (1 + 2 * weight))
    return x / x.sum()""",
        ),
        "smoothed labels": (
            "this is a mixture of p and the uniform distribution, as smoothed labels "
            "make it; the optimum isn't one.",
            """\
def flattened(p, weight):
    return (p + 2 * weight / len(p)) / (1 + 2 * weight)""",
        ),
        "variance under the model": (
            "the variance was taken with the model's probabilities; the loss is an "
            "average over the data, so p belongs there.",
            """\
def flattened(p, weight):
    def loss(x):
        log_pi = x - logsumexp(x)
        pi = np.exp(log_pi)
        return -p @ log_pi + weight * (pi @ log_pi**2 - (pi @ log_pi) ** 2)

    x = optimize.minimize(loss, np.log(p), options={"gtol": 1e-9}).x
    return np.exp(x - logsumexp(x))""",
        ),
        "values fixed at zero": (
            "V was kept at 0: minimise over it, too.",
            """\
def flattened(p, weight):
    def loss(x):
        log_pi = x - logsumexp(x)
        return -p @ log_pi + weight * p @ log_pi**2

    x = optimize.minimize(loss, np.log(p), options={"gtol": 1e-9}).x
    return np.exp(x - logsumexp(x))""",
        ),
        "the price the wrong way": (
            "the answer is more skewed than p: the price pulls log-probabilities together.",
            """\
def flattened(p, weight):
    x = p ** (1 + 2 * weight)
    return x / x.sum()""",
        ),
        "variance of probabilities": (
            "",
            """\
def flattened(p, weight):
    def loss(x):
        log_pi = x - logsumexp(x)
        pi = np.exp(log_pi)
        return -p @ log_pi + weight * (p @ pi**2 - (p @ pi) ** 2)

    x = optimize.minimize(loss, np.log(p), options={"gtol": 1e-9}).x
    return np.exp(x - logsumexp(x))""",
        ),
        "entropy bonus": (
            "",
            """\
def flattened(p, weight):
    def loss(x):
        log_pi = x - logsumexp(x)
        return -p @ log_pi + weight * np.exp(log_pi) @ log_pi

    x = optimize.minimize(loss, np.log(p), options={"gtol": 1e-9}).x
    return np.exp(x - logsumexp(x))""",
        ),
        "one round of the equation": (
            "",
            """\
def flattened(p, weight):
    log_p = np.log(p)
    x = p * (1 - 2 * weight * (log_p - p @ log_p))
    x = np.maximum(x, 1e-9)
    return x / x.sum()""",
        ),
        "standard deviation": (
            "",
            """\
def flattened(p, weight):
    def loss(x):
        log_pi = x - logsumexp(x)
        m = p @ log_pi
        return -m + weight * np.sqrt(p @ (log_pi - m) ** 2 + 1e-12)

    x = optimize.minimize(
        loss, np.log(p), method="Nelder-Mead", options={"maxiter": 300}
    ).x
    return np.exp(x - logsumexp(x))""",
        ),
        "not converged": (
            "",
            '"maxiter": 1000',
            '"maxiter": 2',
        ),
        "logits": (
            "",
            "return np.exp(x - logsumexp(x))",
            "return x - logsumexp(x)",
        ),
        "unweighted variance": (
            "",
            """\
def flattened(p, weight):
    def loss(x):
        log_pi = x - logsumexp(x)
        return -p @ log_pi + weight * np.var(log_pi)

    x = optimize.minimize(loss, np.log(p), options={"gtol": 1e-9}).x
    return np.exp(x - logsumexp(x))""",
        ),
        "twice the price": (
            "",
            "    def loss(x):",
            "    weight = 2 * weight\n\n    def loss(x):",
        ),
        "sign of the reward": (
            "",
            """\
def flattened(p, weight):
    x = p * np.exp(2 * weight * (np.log(p) - p @ np.log(p)) * -0.5)
    return x / x.sum()""",
        ),
        "half way to uniform": (
            "",
            "def flattened(p, weight):\n    return 0.5 * p + 0.5 / len(p)",
        ),
    },
    "judged": {
        "entropy of the right strings": (
            "the entropy counts right strings only; it is that of the whole model.",
            "-np.sum(chances * log_chances)",
            "-np.sum((chances * log_chances)[right])",
        ),
        "entropy in bits": (
            "the entropy is in bits; use natural logarithms.",
            "-np.sum(chances * log_chances)",
            "-np.sum(chances * log_chances) / np.log(2)",
        ),
        "entropy without its sign": (
            "the entropy is negative: it has a minus sign.",
            "-np.sum(chances * log_chances)",
            "np.sum(chances * log_chances)",
        ),
        "novel of all the mass": (
            "the novel part was not divided by the probability of what wasn't shown.",
            " / np.sum(new)",
            "",
        ),
        "novel counts copies": (
            "copies count as novel: leave out what was shown, above and below the line.",
            "np.sum(new[right[~seen]]) / np.sum(new)",
            "np.sum(chances[right]) / 1.0 * 1.0 + 0 * np.sum(new)",
        ),
        "divergence the other way round": (
            "the divergence is that of the truth from the model; you need D(p || pi),"
            " an average over right strings.",
            "-np.log(np.sum(right)) - np.mean(log_chances[right])",
            "np.sum(chances[right] / chances[right].sum() * (log_chances[right] + "
            "np.log(np.sum(right))))",
        ),
        "divergence without the truth's entropy": (
            "the divergence is off by a constant: subtract the truth's entropy, log "
            "R. It is zero for a perfect model.",
            "-np.log(np.sum(right)) - np.mean",
            "-np.mean",
        ),
        "validity is a count": (
            "validity is a share of strings; it is the probability that the model "
            "gives to right ones.",
            '"valid": np.sum(chances[right])',
            '"valid": np.mean(right)',
        ),
        "copied of the right ones": (
            "",
            "np.sum(chances[seen])",
            "np.sum(chances[seen]) / np.sum(chances[right])",
        ),
        "log chances not exponentiated": (
            "",
            "chances = np.exp(log_chances)",
            "chances = -log_chances / np.sum(-log_chances)",
        ),
        "reverse novelty": (
            "",
            "np.sum(new[right[~seen]])",
            "np.sum(new[~right[~seen]])",
        ),
        "kl to the uniform of all": (
            "",
            "-np.log(np.sum(right)) - np.mean(log_chances[right])",
            "-np.log(len(right)) - np.mean(log_chances)",
        ),
        "sum instead of mean in kl": (
            "",
            "np.mean(log_chances[right])",
            "np.sum(log_chances[right])",
        ),
    },
    "at_entropy": {
        "not sorted": (
            "the temperatures were not sorted by entropy before interpolating.",
            "order = np.argsort(entropies)",
            "order = np.arange(len(entropies))",
        ),
        "beyond the ends": (
            "where the entropy isn't reached there is no value: return nan, and don't"
            " continue the last one.",
            "if entropy < x[0] or entropy > x[-1]:",
            "if False:",
        ),
        "the nearest temperature": (
            "the value of the nearest temperature was taken; interpolate between the "
            "two neighbours.",
            "return np.interp(entropy, x, y)",
            "return y[np.argmin(np.abs(x - entropy))]",
        ),
        "values sorted by themselves": (
            "entropies and values were sorted separately; they belong together.",
            "np.asarray(values)[order]",
            "np.sort(values)",
        ),
        "a straight line through everything": (
            "A line was fitted to all temperatures; interpolate between the two neighbours.",
            "return np.interp(entropy, x, y)",
            "return np.polyval(np.polyfit(x, y, 1), entropy)",
        ),
        "the extreme temperature": (
            "",
            "return np.interp(entropy, x, y)",
            "return y[-1]",
        ),
        "the best over temperatures": (
            "",
            "return np.interp(entropy, x, y)",
            "return y.max()",
        ),
        "the mean over temperatures": (
            "",
            "return np.interp(entropy, x, y)",
            "return y.mean()",
        ),
        "the temperature below": (
            "",
            "return np.interp(entropy, x, y)",
            "return y[np.searchsorted(x, entropy, side='right') - 1]",
        ),
        "axes exchanged": (
            "",
            "return np.interp(entropy, x, y)",
            "return np.interp(entropy, y, x)",
        ),
        "descending": (
            "",
            "order = np.argsort(entropies)",
            "order = np.argsort(entropies)[::-1]",
        ),
        "zero where it isn't reached": (
            "",
            'float("nan")',
            "0.0",
        ),
    },
}

RIGHT = {
    "inverse_bellman": {
        "loops": """\
import math


def inverse_bellman(q, transitions, discount, temperature):
    T, S, A = q.shape

    def value(t, s):
        if t == T:
            return 0.0
        m = max(q[t, s])
        return m + temperature * math.log(
            sum(math.exp((x - m) / temperature) for x in q[t, s])
        )

    r = np.zeros((T, S, A))
    for t in range(T):
        v = [value(t + 1, s) for s in range(S)]
        for s in range(S):
            for a in range(A):
                r[t, s, a] = q[t, s, a] - discount * sum(
                    p * x for p, x in zip(transitions[s, a], v)
                )
    return r""",
        "torch": """\
import torch


def inverse_bellman(q, transitions, discount, temperature):
    q, P = torch.tensor(q), torch.tensor(transitions)
    v = temperature * torch.logsumexp(q / temperature, -1)
    later = torch.cat([v[1:], torch.zeros_like(v[:1])])
    return q - discount * torch.tensordot(later, P, dims=([1], [2]))""",
        "step by step, backwards": """\
def inverse_bellman(q, transitions, discount, temperature):
    r, v = [], np.zeros(q.shape[1])
    for table in q[::-1]:
        r.append(table - discount * (transitions @ v))
        top = table.max(axis=1)
        v = top + temperature * np.log(
            np.exp((table - top[:, None]) / temperature).sum(axis=1)
        )
    return np.array(r[::-1])""",
    },
    "soft_bellman": {
        "loops": """\
import math


def soft_bellman(reward, transitions, discount, temperature):
    T, S, A = reward.shape
    q = [None] * T
    v = [0.0] * S
    for t in range(T - 1, -1, -1):
        q[t] = [
            [
                reward[t, s, a]
                + discount * sum(transitions[s, a, u] * v[u] for u in range(S))
                for a in range(A)
            ]
            for s in range(S)
        ]
        v = [
            max(x)
            + temperature
            * math.log(sum(math.exp((y - max(x)) / temperature) for y in x))
            for x in q[t]
        ]
    return q""",
        "torch": """\
import torch


def soft_bellman(reward, transitions, discount, temperature):
    r, P = torch.tensor(reward), torch.tensor(transitions)
    v, out = torch.zeros(r.shape[1], dtype=r.dtype), []
    for t in range(len(r) - 1, -1, -1):
        out.insert(0, r[t] + discount * P @ v)
        v = temperature * torch.logsumexp(out[0] / temperature, 1)
    return torch.stack(out)""",
        "recursion, in units of the temperature": """\
def soft_bellman(reward, transitions, discount, temperature):
    def ahead(r):
        if len(r) == 0:
            return [], np.zeros(reward.shape[1])
        rest, v = ahead(r[1:])
        q = r[0] + discount * np.tensordot(transitions, v, 1)
        return [q] + rest, np.logaddexp.reduce(q, axis=1)

    return temperature * np.array(ahead(reward / temperature)[0])""",
    },
    "iq_objective": {
        "torch, by autograd": """\
import torch


def iq_objective(q, rho, initial, transitions, discount, prices):
    q = torch.tensor(q, requires_grad=True)
    rho, p0, P, c = map(torch.tensor, (rho, initial, transitions, prices))
    v = torch.logsumexp(q, 1)
    r = q - discount * P @ v
    out = (rho * r).sum() - p0 @ v - 0.5 * (c * r**2).sum()
    out.backward()
    return out, q.grad""",
        "loops": """\
import math


def iq_objective(q, rho, initial, transitions, discount, prices):
    S, A = q.shape
    v = [math.log(sum(math.exp(x) for x in q[s])) for s in range(S)]
    r = np.array(
        [
            [
                q[s, a] - discount * sum(transitions[s, a, t] * v[t] for t in range(S))
                for a in range(A)
            ]
            for s in range(S)
        ]
    )
    value = sum(
        rho[s, a] * r[s, a] - prices[s, a] * r[s, a] ** 2 / 2
        for s in range(S)
        for a in range(A)
    )
    value -= sum(initial[s] * v[s] for s in range(S))
    g = np.zeros((S, A))
    for s in range(S):
        into = initial[s] + discount * sum(
            (rho[x, b] - prices[x, b] * r[x, b]) * transitions[x, b, s]
            for x in range(S)
            for b in range(A)
        )
        for a in range(A):
            g[s, a] = (
                rho[s, a] - prices[s, a] * r[s, a] - math.exp(q[s, a] - v[s]) * into
            )
    return value, g""",
        "a Jacobian": """\
def iq_objective(q, rho, initial, transitions, discount, prices):
    S, A = q.shape
    e = np.exp(q - q.max(axis=1, keepdims=True))
    pi = e / e.sum(axis=1, keepdims=True)
    v = q.max(axis=1) + np.log(e.sum(axis=1))
    r = q - discount * np.einsum("sat,t->sa", transitions, v)
    dv = np.zeros((S, S * A))
    for s in range(S):
        dv[s, s * A : (s + 1) * A] = pi[s]
    dr = np.eye(S * A) - discount * transitions.reshape(S * A, S) @ dv
    g = (rho - prices * r).ravel() @ dr - initial @ dv
    return float(
        (rho * r).sum() - initial @ v - 0.5 * (prices * r * r).sum()
    ), g.reshape(S, A)""",
    },
    "value_policy_loss": {
        "loops": """\
def value_policy_loss(log_pi, v, rho, transitions, discount, prices):
    S, A = log_pi.shape
    total = 0.0
    for s in range(S):
        for a in range(A):
            r = (
                log_pi[s, a]
                + v[s]
                - discount * sum(transitions[s, a, t] * v[t] for t in range(S))
            )
            total += prices[s, a] * r * r / 2 - rho[s, a] * log_pi[s, a]
    return total""",
        "torch": """\
import torch


def value_policy_loss(log_pi, v, rho, transitions, discount, prices):
    lp, v, rho, P, c = map(torch.tensor, (log_pi, v, rho, transitions, prices))
    return (
        (lp + v.unsqueeze(1) - discount * (P * v).sum(-1)) ** 2 * c / 2 - rho * lp
    ).sum()""",
        "through Q": """\
def value_policy_loss(log_pi, v, rho, transitions, discount, prices):
    q = log_pi + v[:, None]
    soft = np.logaddexp.reduce(q, axis=1)
    r = q - discount * np.tensordot(transitions, soft, axes=1)
    return 0.5 * np.vdot(prices, r * r) - np.vdot(rho, q - soft[:, None])""",
    },
    "leftover": {
        "loops": """\
def leftover(v, rho, initial, transitions, discount):
    S, A = rho.shape
    out = 0.0
    for s in range(S):
        b = sum(rho[s]) - discount * sum(
            rho[x, a] * transitions[x, a, s] for x in range(S) for a in range(A)
        )
        out += (b - initial[s]) * v[s]
    return out""",
        "pair by pair": """\
def leftover(v, rho, initial, transitions, discount):
    return np.sum(rho * (v[:, None] - discount * transitions @ v)) - np.dot(initial, v)""",
        "torch": """\
import torch


def leftover(v, rho, initial, transitions, discount):
    v, rho, p0, P = map(torch.tensor, (v, rho, initial, transitions))
    b = rho.sum(1) - discount * (rho[..., None] * P).sum((0, 1))
    return torch.dot(b - p0, v)""",
    },
    "iq_learn": {
        "gradient ascent": """\
def iq_learn(rho, initial, transitions, discount, prices):
    q = np.zeros_like(rho)
    for _ in range(20_000):
        v = logsumexp(q, axis=1)
        r = q - discount * transitions @ v
        asked = rho - prices * r
        slope = (
            asked
            - np.exp(q - v[:, None])
            * (initial + discount * np.einsum("sa,sat->t", asked, transitions))[:, None]
        )
        if np.abs(slope).max() < 1e-9:
            break
        q = q + 0.3 * slope
    return np.exp(q - v[:, None]), r""",
        "over rewards, with planning": """\
def iq_learn(rho, initial, transitions, discount, prices):
    S, A = rho.shape

    def plan(r):
        q = r
        for _ in range(150):
            q = r + discount * transitions @ np.logaddexp.reduce(q, axis=1)
        v = np.logaddexp.reduce(q, axis=1)
        return v, np.exp(q - v[:, None])

    def loss(x):
        r = x.reshape(S, A)
        v, pi = plan(r)
        d = np.linalg.solve(
            np.eye(S) - discount * np.einsum("sa,sat->st", pi, transitions).T, initial
        )
        return (
            -np.sum(rho * r) + initial @ v + np.sum(prices * r * r) / 2,
            -(rho - d[:, None] * pi - prices * r).ravel(),
        )

    x = optimize.minimize(
        loss, np.zeros(S * A), jac=True, method="BFGS", options={"gtol": 1e-9}
    ).x.reshape(S, A)
    return plan(x)[1], x""",
        "torch, in policy and values": """\
import torch


def iq_learn(rho, initial, transitions, discount, prices):
    S, A = rho.shape
    R, P, c = map(torch.tensor, (rho, transitions, prices))

    def parts(z):
        lp, v = torch.log_softmax(z[: S * A].reshape(S, A), 1), z[S * A :]
        return lp, lp + v[:, None] - discount * P @ v

    def f(z):
        z = torch.tensor(z, requires_grad=True)
        lp, r = parts(z)
        out = -(R * lp).sum() + (c * r**2).sum() / 2
        out.backward()
        return out.item(), z.grad.numpy()

    z = optimize.minimize(
        f, np.zeros(S * A + S), jac=True, method="BFGS", options={"gtol": 1e-8}
    ).x
    lp, r = parts(torch.tensor(z))
    return lp.exp(), r""",
    },
    "counted": {
        "loops": """\
def counted(episodes, n_states, n_actions, discount, every, offset):
    n = len(episodes)
    rho = [[0.0] * n_actions for _ in range(n_states)]
    start = [0.0] * n_states
    for e in episodes:
        g = 1.0
        for t in range(len(e["actions"])):
            if t % every == offset:
                rho[e["states"][t]][e["actions"][t]] += every * g / n
            g *= discount
        start[e["states"][0]] += 1 / n
        if e["terminated"]:
            for a in range(n_actions):
                rho[e["states"][-1]][a] += g / (1 - discount) / n_actions / n
    return rho, start""",
        "bincount": """\
def counted(episodes, n_states, n_actions, discount, every, offset):
    out = np.zeros(n_states * n_actions)
    for e in episodes:
        s, a = e["states"][:-1][offset::every], e["actions"][offset::every]
        w = every * (discount ** np.arange(len(e["actions"])))[offset::every]
        out += np.bincount(s * n_actions + a, w, minlength=out.size)
        if e["terminated"]:
            tail = np.zeros((n_states, n_actions))
            tail[e["states"][-1]] = (
                discount ** len(e["actions"]) / (1 - discount) / n_actions
            )
            out += tail.ravel()
    first = np.array([e["states"][0] for e in episodes])
    return out.reshape(n_states, n_actions) / len(episodes), np.bincount(
        first, minlength=n_states
    ) / len(first)""",
        "torch": """\
import torch


def counted(episodes, n_states, n_actions, discount, every, offset):
    rho = torch.zeros(n_states, n_actions, dtype=torch.float64)
    start = torch.zeros(n_states, dtype=torch.float64)
    for e in episodes:
        s, a = torch.tensor(e["states"]), torch.tensor(e["actions"])
        t = torch.arange(offset, len(a), every)
        rho.index_put_((s[t], a[t]), every * discount ** t.double(), accumulate=True)
        if e["terminated"]:
            rho[s[-1]] += discount ** len(a) / (1 - discount) / n_actions
        start[s[0]] += 1
    return rho / len(episodes), start / len(episodes)""",
    },
    "answer_loss": {
        "loops": """\
def answer_loss(logits, tokens, is_answer, weight, discount, end):
    out = []
    for x, t, m in zip(logits, tokens, is_answer):
        total, k = 0.0, 0
        for i in range(len(t)):
            if not m[i]:
                continue
            v = torch.logsumexp(x[i - 1], 0)
            q = x[i - 1, t[i]]
            nxt = 0.0 if t[i] == end else torch.logsumexp(x[i], 0)
            total = total + discount**k * (v - q + weight * (q - discount * nxt) ** 2)
            k += 1
        out.append(total)
    return torch.stack(out)""",
        "policy and values": """\
def answer_loss(logits, tokens, is_answer, weight, discount, end):
    log_pi = torch.log_softmax(logits, -1)[:, :-1]
    v = logits.logsumexp(-1)
    b, n = tokens.shape
    lp = log_pi[torch.arange(b)[:, None], torch.arange(n - 1)[None], tokens[:, 1:]]
    alive = (tokens[:, 1:] != end).double()
    td = lp + v[:, :-1] - discount * alive * v[:, 1:]
    mask = is_answer[:, 1:].double()
    power = torch.cumprod(torch.where(is_answer[:, :-1], discount, 1.0).double(), 1)
    return (mask * power * (-lp + weight * td.square())).sum(-1)""",
        "one row at a time, cut out": """\
def answer_loss(logits, tokens, is_answer, weight, discount, end):
    losses = torch.zeros(len(tokens), dtype=logits.dtype)
    for b in range(len(tokens)):
        where = is_answer[b].nonzero()[:, 0]
        first, last = int(where[0]), int(where[-1])
        a = tokens[b, first : last + 1]
        x = logits[b, first - 1 : last + 1]
        v = x.exp().sum(1).log()
        q = x[:-1].gather(1, a[:, None]).squeeze(1)
        nxt = v[1:] * (a != end)
        g = discount ** torch.arange(len(a), dtype=torch.float64)
        ce = torch.nn.functional.cross_entropy(x[:-1], a, reduction="none")
        losses[b] = (g * (ce + weight * (q - discount * nxt) ** 2)).sum()
    return losses""",
    },
    "flattened": {
        "Lambert's function": """\
from scipy.special import wrightomega


def flattened(p, weight):
    def at(c):  # pi = 2 l p W(exp(c) / (2 l p))
        s = 2 * weight * p
        return s * wrightomega(c - np.log(s)).real

    c = optimize.brentq(lambda c: at(c).sum() - 1, -100, 200, xtol=1e-13)
    return at(c)""",
        "torch's gradient in policy and value": """\
import torch


def flattened(p, weight):
    t = torch.tensor(p)

    def f(z):
        z = torch.tensor(z, requires_grad=True)
        lp = torch.log_softmax(z[:-1], 0)
        out = t @ (-lp + weight * (lp + z[-1]) ** 2)
        out.backward()
        return out.item(), z.grad.numpy()

    z = optimize.minimize(f, np.zeros(len(p) + 1), jac=True, options={"gtol": 1e-10}).x
    return torch.softmax(torch.tensor(z[:-1]), 0)""",
        "another optimiser, without a gradient": """\
def flattened(p, weight):
    def f(y):
        lp = np.r_[y, 0.0]
        lp = lp - logsumexp(lp)
        m = p @ lp
        return -m + weight * (p @ lp**2 - m * m)

    x = np.log(p[:-1] / p[-1])
    x = optimize.minimize(f, x, method="BFGS", jac="3-point", options={"gtol": 1e-9}).x
    e = np.exp(np.r_[x, 0.0])
    return e / e.sum()""",
    },
    "judged": {
        "loops": """\
import math


def judged(log_chances, right, seen):
    out = dict(entropy=0.0, valid=0.0, copied=0.0, novel=0.0, kl=0.0)
    fresh, R = 0.0, sum(bool(r) for r in right)
    for l, r, s in zip(log_chances, right, seen):
        p = math.exp(l)
        out["entropy"] -= p * l
        if r:
            out["valid"] += p
            out["kl"] += (-math.log(R) - l) / R
        if s:
            out["copied"] += p
        else:
            fresh += p
            if r:
                out["novel"] += p
    out["novel"] /= fresh
    return out""",
        "torch": """\
import torch


def judged(log_chances, right, seen):
    l, r, s = torch.tensor(log_chances), torch.tensor(right), torch.tensor(seen)
    p = l.exp()
    R = r.sum()
    return {
        "entropy": torch.distributions.Categorical(logits=l).entropy(),
        "valid": (p * r).sum(),
        "copied": p[s].sum(),
        "novel": p[r & ~s].sum() / p[~s].sum(),
        "kl": (-(R.double().log()) - l[r]).mean(),
    }""",
        "dot products": """\
from scipy.special import xlogy, rel_entr


def judged(log_chances, right, seen):
    p = np.exp(log_chances)
    t = right / right.sum()
    valid, copied = p @ right, p @ seen
    return dict(
        entropy=-xlogy(p, p).sum(),
        valid=valid,
        copied=copied,
        novel=(valid - copied) / (1 - copied),
        kl=rel_entr(t, p).sum(),
    )""",
    },
    "at_entropy": {
        "loops": """\
import math


def at_entropy(entropies, values, entropy):
    rows = sorted(zip(map(float, entropies), map(float, values)))
    for (x0, y0), (x1, y1) in zip(rows, rows[1:]):
        if x0 <= entropy <= x1:
            return y0 + (y1 - y0) * (entropy - x0) / (x1 - x0)
    return math.nan""",
        "left and right of interp": """\
def at_entropy(entropies, values, entropy):
    i = np.argsort(entropies)
    return np.interp(entropy, entropies[i], values[i], left=np.nan, right=np.nan)""",
        "scipy": """\
from scipy.interpolate import interp1d


def at_entropy(entropies, values, entropy):
    return float(interp1d(entropies, values, bounds_error=False)(entropy))""",
    },
}
