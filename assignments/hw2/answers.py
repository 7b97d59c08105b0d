"""Answers to assignment 2: wrong ones by the class of the error, right ones in other styles."""

BACKWARD = "def soft_backward(transitions, reward, discount, horizon):\n"
FIXED = "def soft_fixed_point(transitions, reward, discount):\n"
VISITS = "def soft_visits(transitions, initial, discount, policy):\n"
ARGUMENTS = "transitions, initial, discount, horizon, features, weights, expert"
GRADIENT = f"def maxent_gradient({ARGUMENTS}):\n"
POSTERIOR = "def trajectory_posterior(transitions, initial, reward, horizon):\n"

WRONG = {
    "soft_backward": {
        "not in log space": (
            "it overflows for large rewards. Stay in log space: subtract the largest Q before "
            "you exponentiate, or use scipy's logsumexp.",
            BACKWARD + "    beta = [np.ones(len(reward))]\n"
            "    policy = []\n"
            "    with np.errstate(all='ignore'):\n"
            "        for _ in range(horizon):\n"
            "            v = np.log(beta[0])\n"
            "            both = np.exp(reward) * np.exp(discount * transitions @ v)\n"
            "            beta.insert(0, both.sum(axis=1))\n"
            "            policy.insert(0, both / beta[0][:, None])\n"
            "        return np.array(policy), np.log(beta)",
        ),
        "hard": (
            "the value is the maximum of Q. The soft value is log sum exp; a softmax of a hard Q "
            "is not the maximum entropy policy.",
            "values[t] = special.logsumexp(q, axis=1)\n"
            "        policy[t] = np.exp(q - values[t][:, None])",
            "values[t] = q.max(axis=1)\n        policy[t] = special.softmax(q, axis=1)",
        ),
        "reward after the end": (
            "the last value is not zero. There are T rewards, one for each action: V_T = 0.",
            "    for t in reversed",
            "    values[-1] = special.logsumexp(reward, axis=1)\n    for t in reversed",
        ),
        "no discount": (
            "the discount is missing before the next value.",
            "discount * transitions",
            "transitions",
        ),
        "mean over actions": (
            "the value is lower by the logarithm of the number of actions: it is log mean exp. "
            "There is no prior over actions here, so take the sum.",
            BACKWARD + "    values = np.zeros((horizon + 1, len(reward)))\n"
            "    policy = np.zeros((horizon, *reward.shape))\n"
            "    for t in reversed(range(horizon)):\n"
            "        q = reward + discount * transitions @ values[t + 1]\n"
            "        values[t] = special.logsumexp(q, axis=1) - np.log(q.shape[1])\n"
            "        policy[t] = special.softmax(q, axis=1)\n"
            "    return policy, values",
        ),
        "optimistic": (
            "the next value is averaged inside the exponential, log E exp V. That is the exact "
            "posterior of question 5; the causal policy uses the mean E V.",
            "discount * transitions @ values[t + 1]",
            "discount * special.logsumexp(values[t + 1], b=transitions, axis=2)",
        ),
        "time reversed": (
            "the steps stand in the wrong order: index 0 is the first step, with the most time "
            "left.",
            "return policy, values",
            "return policy[::-1], values[::-1]",
        ),
        "normalised over states": (
            "the probabilities of the actions of a state don't sum to 1. Normalise over actions, "
            "the last axis.",
            "policy[t] = np.exp(q - values[t][:, None])",
            "policy[t] = special.softmax(q, axis=0)",
        ),
        "last value missing": (
            "the values of the time after the last action are missing: there are T + 1 rows.",
            "return policy, values",
            "return policy, values[:-1]",
        ),
        "reward discounted": (
            "",
            "reward + discount * transitions @ values[t + 1]",
            "discount * (reward + transitions @ values[t + 1])",
        ),
        "values only": ("", "return policy, values", "return values"),
        "stationary": ("", "return policy, values", "return policy[0], values"),
        "greedy": ("", "np.exp(q - values[t][:, None])", "q == q.max(axis=1, keepdims=True)"),
    },
    "soft_fixed_point": {
        "hard": (
            "the value is the maximum of Q. The soft value is log sum exp.",
            FIXED + "    v = np.zeros(len(reward))\n"
            "    for _ in range(700):\n"
            "        q = reward + discount * transitions @ v\n"
            "        v = q.max(axis=1)\n"
            "    return special.softmax(q, axis=1), v",
        ),
        "not converged": (
            "the values have not converged. If the last change is e, the error can be as large as "
            "e * discount / (1 - discount): go on for longer.",
            "while change > 1e-10",
            "while change > 1e-2",
        ),
        "mean over actions": (
            "the value is too low by log(A) / (1 - discount): it is log mean exp. Take the sum.",
            FIXED + "    v = np.zeros(len(reward))\n"
            "    for _ in range(700):\n"
            "        q = reward + discount * transitions @ v\n"
            "        v = np.logaddexp.reduce(q, axis=1) - np.log(q.shape[1])\n"
            "    return special.softmax(q, axis=1), v",
        ),
        "optimistic": (
            "the next value is averaged inside the exponential, log E exp V. The causal policy "
            "uses the mean E V.",
            FIXED + "    v = np.zeros(len(reward))\n"
            "    for _ in range(700):\n"
            "        ahead = np.log(transitions @ np.exp(v - v.max())) + v.max()\n"
            "        q = reward + discount * ahead\n"
            "        v = np.logaddexp.reduce(q, axis=1)\n"
            "    return special.softmax(q, axis=1), v",
        ),
        "reward discounted": (
            "the reward is discounted as well. Q = r + discount * E V.",
            FIXED + "    v = np.zeros(len(reward))\n"
            "    for _ in range(700):\n"
            "        q = discount * (reward + transitions @ v)\n"
            "        v = np.logaddexp.reduce(q, axis=1)\n"
            "    return special.softmax(q, axis=1), v",
        ),
        "greedy policy": (
            "the policy is deterministic. The soft policy is exp(Q - V).",
            "special.softmax(q, axis=1)",
            "np.eye(q.shape[1])[q.argmax(axis=1)]",
        ),
        "not normalised": (
            "the probabilities of a state don't sum to 1: subtract V before you exponentiate.",
            "special.softmax(q, axis=1)",
            "np.exp(q)",
        ),
        "entropy not counted": (
            "the value is that of the soft policy without its entropy. V = log sum exp Q counts "
            "it.",
            FIXED + "    v = np.zeros(len(reward))\n"
            "    for _ in range(700):\n"
            "        q = reward + discount * transitions @ v\n"
            "        pi = special.softmax(q, axis=1)\n"
            "        v = (pi * q).sum(axis=1)\n"
            "    return pi, v",
        ),
        "uniform": ("", "special.softmax(q, axis=1)", "np.full(q.shape, 1 / q.shape[1])"),
        "one step": ("", "while change > 1e-10", "for _ in range(1)"),
        "q returned": (
            "",
            "special.softmax(q, axis=1), np.logaddexp.reduce(q, axis=1)",
            "q, values",
        ),
        "policy only": ("", ", np.logaddexp.reduce(q, axis=1)", ""),
        "policy of the reward": ("", "special.softmax(q, axis=1)", "special.softmax(reward, 1)"),
    },
    "soft_visits": {
        "no discount": (
            "every step counts fully. Step t has the weight discount ** t.",
            "discount**t * pairs",
            "pairs",
        ),
        "first policy only": (
            "the policy of step 0 is used at every step. Take policy[t] at step t.",
            "policy[t]",
            "policy[0]",
        ),
        "first step discounted": (
            "the first step is discounted already. Its weight is discount ** 0 = 1.",
            "discount**t",
            "discount ** (t + 1)",
        ),
        "one step too many": (
            "the last state counts as if there were an action in it. There are T actions: T terms.",
            "    return total",
            "    return total + discount ** len(policy) * state[:, None] * policy[-1]",
        ),
        "time reversed": (
            "the policy is run from its last step to its first.",
            "policy[t]",
            "policy[-1 - t]",
        ),
        "transposed": (
            "probability flows backwards. Sum over the states that are left, not over those that "
            "are entered.",
            'np.einsum("sa,sat->t", pairs, transitions)',
            'np.einsum("ta,sat->s", pairs, transitions)',
        ),
        "policy ignored": (
            "the states are visited as if all actions were equally likely.",
            'np.einsum("sa,sat->t", pairs, transitions)',
            "state @ transitions.mean(axis=1)",
        ),
        "states only": (
            "these are the visits to states, (S,). Split them by action, into an array (S, A).",
            "    return total",
            "    return total.sum(axis=1)",
        ),
        "each step": (
            "the steps are apart. Sum over time, into an array (S, A).",
            VISITS + "    state, each = initial, []\n"
            "    for t in range(len(policy)):\n"
            "        pairs = state[:, None] * policy[t]\n"
            "        each.append(discount**t * pairs)\n"
            "        state = np.einsum('sa,sat->t', pairs, transitions)\n"
            "    return np.array(each)",
        ),
        "last step dropped": ("", "range(len(policy))", "range(len(policy) - 1)"),
        "normalised": ("", "    return total", "    return total / total.sum()"),
        "uniform start": ("", "= initial,", "= np.full(len(initial), 1 / len(initial)),"),
        "discounted twice": ("", "discount**t * pairs", "discount ** (2 * t) * pairs"),
    },
    "maxent_gradient": {
        "sign": (
            "the gradient has the wrong sign: it is the expert's features minus the learner's, "
            "since L is maximised.",
            "expert - learner",
            "learner - expert",
        ),
        "visits not discounted": (
            "the policy is planned with a discount, and its visits are counted without. Step t "
            "of the visits has the weight discount ** t.",
            "learner + discount**t * np",
            "learner + np",
        ),
        "planning not discounted": (
            "the visits are discounted, and the planning is not: the next value needs its "
            "discount.",
            "reward + discount * transitions @ value",
            "reward + transitions @ value",
        ),
        "hard": (
            "the policy is that of hard values. V is log sum exp of Q.",
            "value = special.logsumexp(q, axis=1)\n"
            "        policies.insert(0, np.exp(q - value[:, None]))",
            "value = q.max(axis=1)\n        policies.insert(0, special.softmax(q, axis=1))",
        ),
        "one step too many": (
            "T + 1 steps are counted for T rewards. The last state is reached, but nothing is "
            "done in it.",
            "    return weights",
            "    learner = learner + discount**horizon * np.einsum(\n"
            "        's,sa,sak->k', state, policies[-1], features)\n    return weights",
        ),
        "first policy only": (
            "the policy of step 0 is used at every step. With a horizon it changes from step to "
            "step.",
            "pairs = state[:, None] * policy",
            "pairs = state[:, None] * policies[0]",
        ),
        "order of the policies": (
            "the policies are used in the order of the backward pass: the first step needs the "
            "policy that was computed last.",
            "policies.insert(0, np.exp(q - value[:, None]))",
            "policies.append(np.exp(q - value[:, None]))",
        ),
        "optimistic": (
            "the next value is averaged inside the exponential, log E exp V. The causal objective "
            "uses the mean E V.",
            "discount * transitions @ value",
            "discount * special.logsumexp(value, b=transitions, axis=2)",
        ),
        "start ignored": (
            "the objective has the mean of V_0 over all states. Weigh it with the distribution of "
            "the first state.",
            "- initial @ value",
            "- value.mean()",
        ),
        "minus the objective": (
            "the objective has the wrong sign: L grows with the likelihood.",
            "return weights @ expert - initial @ value",
            "return initial @ value - weights @ expert",
        ),
        "expert forgotten": ("", "expert - learner", "-learner"),
        "objective without data": ("", "weights @ expert - initial", "-initial"),
        "no learning": ("", "policies.insert(0, np.exp", "policies.insert(0, 0.5 + 0 * np.exp"),
        "gradient only": ("", "return weights @ expert - initial @ value, ", "return "),
    },
    "trajectory_posterior": {
        "causal": (
            "this is the causal policy of question 1, which takes the mean of the next value. The "
            "exact one takes log sum P exp V.",
            "special.logsumexp(value, b=transitions, axis=2)",
            "transitions @ value",
        ),
        "no probabilities": (
            "the next states are summed without their probabilities P(s' | s, a).",
            "special.logsumexp(value, b=transitions, axis=2)",
            "special.logsumexp(value + 0 * transitions, b=1.0 * (transitions > 0), axis=2)",
        ),
        "mean of the start": (
            "log Z is the mean of V_0 over the start. It is log sum p0 exp V_0.",
            "special.logsumexp(value, b=initial)",
            "initial @ value",
        ),
        "start ignored": (
            "log Z sums over the first states without their probabilities.",
            "special.logsumexp(value, b=initial)",
            "special.logsumexp(value)",
        ),
        "prior over actions": (
            "log Z is too low by T log(A): there is no prior over actions here.",
            "special.logsumexp(value, b=initial)",
            "special.logsumexp(value, b=initial) - horizon * np.log(reward.shape[1])",
        ),
        "time reversed": (
            "the steps stand in the wrong order: index 0 is the first step.",
            "policies.insert(0, np",
            "policies.append(np",
        ),
        "one step too many": (
            "there is a step too many. T rewards: V_T = 0, and T backward steps.",
            "value, policies = np.zeros(len(initial)), []",
            "value, policies = special.logsumexp(reward, axis=1), []",
        ),
        "not in log space": (
            "it overflows for large rewards. Stay in log space.",
            POSTERIOR + "    beta, policies = np.ones(len(initial)), []\n"
            "    with np.errstate(all='ignore'):\n"
            "        for _ in range(horizon):\n"
            "            both = np.exp(reward) * (transitions @ beta)\n"
            "            beta = both.sum(axis=1)\n"
            "            policies.insert(0, both / beta[:, None])\n"
            "        return np.array(policies), np.log(initial @ beta)",
        ),
        "largest value": ("", "special.logsumexp(value, b=initial)", "value.max()"),
        "hard": ("", "value = special.logsumexp(q, axis=1)", "value = q.max(axis=1)"),
        "last policy only": ("", "np.array(policies)", "np.array([policies[-1]] * horizon)"),
        "policy only": ("", "np.array(policies), special.logsumexp(value, b=initial)", "policies"),
        "normalised over states": ("", "np.exp(q - value[:, None])", "special.softmax(q, axis=0)"),
        "sign": ("", "q = reward +", "q = -reward +"),
    },
}

RIGHT = {
    "soft_backward": {
        "loops": BACKWARD + "    n_states, n_actions = reward.shape\n"
        "    v = [[0.0] * n_states]\n"
        "    pi = []\n"
        "    for _ in range(horizon):\n"
        "        rows, new = [], []\n"
        "        for s in range(n_states):\n"
        "            q = []\n"
        "            for a in range(n_actions):\n"
        "                q.append(reward[s, a] + discount * np.dot(transitions[s, a], v[0]))\n"
        "            top = max(q)\n"
        "            total = sum(np.exp(x - top) for x in q)\n"
        "            new.append(top + np.log(total))\n"
        "            rows.append([np.exp(x - top) / total for x in q])\n"
        "        v.insert(0, new)\n"
        "        pi.insert(0, rows)\n"
        "    return pi, v",
        "torch": BACKWARD + "    import torch\n"
        "    P, r = torch.as_tensor(transitions), torch.as_tensor(reward)\n"
        "    v, pi = [torch.zeros(len(r), dtype=r.dtype)], []\n"
        "    for _ in range(horizon):\n"
        "        q = r + discount * (P @ v[-1])\n"
        "        v.append(torch.logsumexp(q, dim=1))\n"
        "        pi.append(torch.softmax(q, dim=1))\n"
        "    return torch.stack(pi[::-1]), torch.stack(v[::-1])",
        "recursion": BACKWARD + "    def rest(t):\n"
        "        if t == horizon:\n"
        "            return [], [np.zeros(len(reward))]\n"
        "        pi, v = rest(t + 1)\n"
        "        q = reward + discount * np.einsum('sat,t->sa', transitions, v[0])\n"
        "        now = np.logaddexp.reduce(q, axis=1)\n"
        "        return [np.exp(q.T - now).T, *pi], [now, *v]\n"
        "    pi, v = rest(0)\n"
        "    return np.array(pi), np.array(v)",
    },
    "soft_fixed_point": {
        "soft policy iteration": FIXED + "    n, n_actions = reward.shape\n"
        "    pi = np.full((n, n_actions), 1 / n_actions)\n"
        "    for _ in range(60):\n"
        "        gain = (pi * (reward - np.log(np.maximum(pi, 1e-300)))).sum(axis=1)\n"
        "        chain = np.einsum('sa,sat->st', pi, transitions)\n"
        "        v = np.linalg.solve(np.eye(n) - discount * chain, gain)\n"
        "        q = reward + discount * transitions @ v\n"
        "        pi = special.softmax(q, axis=1)\n"
        "    return pi, v",
        "root": FIXED + "    def gap(v):\n"
        "        return special.logsumexp(reward + discount * transitions @ v, axis=1) - v\n"
        "    v = optimize.root(gap, np.zeros(len(reward)), tol=1e-12).x\n"
        "    q = reward + discount * transitions @ v\n"
        "    return np.exp(q - v[:, None]), v",
        "loops": FIXED + "    v = np.zeros(len(reward))\n"
        "    for _ in range(700):\n"
        "        q = np.array([\n"
        "            [reward[s, a] + discount * sum(transitions[s, a] * v)\n"
        "             for a in range(reward.shape[1])]\n"
        "            for s in range(len(reward))])\n"
        "        top = q.max(axis=1)\n"
        "        v = top + np.log(np.exp(q - top[:, None]).sum(axis=1))\n"
        "    return np.exp(q - v[:, None]), v",
    },
    "soft_visits": {
        "loops": VISITS + "    horizon, n_states, n_actions = policy.shape\n"
        "    now, total = list(initial), np.zeros((n_states, n_actions))\n"
        "    for t in range(horizon):\n"
        "        after = [0.0] * n_states\n"
        "        for s in range(n_states):\n"
        "            for a in range(n_actions):\n"
        "                mass = now[s] * policy[t, s, a]\n"
        "                total[s, a] += discount**t * mass\n"
        "                for n in range(n_states):\n"
        "                    after[n] += mass * transitions[s, a, n]\n"
        "        now = after\n"
        "    return total.tolist()",
        "mass discounted on its way": VISITS + "    flow, total = initial, 0.0\n"
        "    for step in policy:\n"
        "        pairs = flow[:, None] * step\n"
        "        total = total + pairs\n"
        "        flow = discount * np.tensordot(pairs, transitions, 2)\n"
        "    return total",
        "torch": VISITS + "    import torch\n"
        "    P, pi, d = (torch.as_tensor(x) for x in (transitions, policy, initial))\n"
        "    total = torch.zeros_like(pi[0])\n"
        "    for t in range(len(pi)):\n"
        "        total += discount**t * d[:, None] * pi[t]\n"
        "        d = torch.einsum('s,sa,sat->t', d, pi[t], P)\n"
        "    return total",
    },
    "maxent_gradient": {
        "autograd": GRADIENT + "    import torch\n"
        "    P, phi = torch.as_tensor(transitions), torch.as_tensor(features)\n"
        "    p0, mu = torch.as_tensor(initial), torch.as_tensor(expert)\n"
        "    w = torch.tensor(weights, requires_grad=True)\n"
        "    v = torch.zeros(len(p0), dtype=P.dtype)\n"
        "    for _ in range(horizon):\n"
        "        v = torch.logsumexp(phi @ w + discount * (P @ v), dim=1)\n"
        "    objective = w @ mu - p0 @ v\n"
        "    objective.backward()\n"
        "    return objective, w.grad",
        "differences": GRADIENT + "    def objective(w):\n"
        "        v = np.zeros(len(initial))\n"
        "        for _ in range(horizon):\n"
        "            v = special.logsumexp(features @ w + discount * transitions @ v, axis=1)\n"
        "        return w @ expert - initial @ v\n"
        "    steps = 1e-5 * np.eye(len(weights))\n"
        "    slopes = [(objective(weights + d) - objective(weights - d)) / 2e-5 for d in steps]\n"
        "    return objective(weights), np.array(slopes)",
        "derivatives forwards": GRADIENT + "    r = np.einsum('sak,k->sa', features, weights)\n"
        "    v, dv = np.zeros(len(initial)), np.zeros((len(initial), len(weights)))\n"
        "    for _ in range(horizon):\n"
        "        q = r + discount * transitions @ v\n"
        "        dq = features + discount * np.einsum('sat,tk->sak', transitions, dv)\n"
        "        pi = special.softmax(q, axis=1)\n"
        "        v, dv = special.logsumexp(q, axis=1), np.einsum('sa,sak->sk', pi, dq)\n"
        "    return float(expert @ weights - v @ initial), expert - initial @ dv",
    },
    "trajectory_posterior": {
        "logarithms": POSTERIOR + "    with np.errstate(divide='ignore'):\n"
        "        logs, start = np.log(transitions), np.log(initial)\n"
        "    v, pi = np.zeros(len(initial)), np.empty((horizon, *reward.shape))\n"
        "    for t in range(horizon - 1, -1, -1):\n"
        "        q = reward + np.logaddexp.reduce(logs + v, axis=2)\n"
        "        v = np.logaddexp.reduce(q, axis=1)\n"
        "        pi[t] = np.exp(q - v[:, None])\n"
        "    return pi, np.logaddexp.reduce(start + v)",
        "torch": POSTERIOR + "    import torch\n"
        "    P, r, p0 = (torch.as_tensor(x) for x in (transitions, reward, initial))\n"
        "    v, pi = torch.zeros(len(p0), dtype=P.dtype), []\n"
        "    for _ in range(horizon):\n"
        "        q = r + torch.logsumexp(P.log() + v, dim=2)\n"
        "        v = torch.logsumexp(q, dim=1)\n"
        "        pi.insert(0, torch.softmax(q, dim=1))\n"
        "    return torch.stack(pi), torch.logsumexp(p0.log() + v, dim=0)",
        "shifted messages": POSTERIOR + "    def lse(x):\n"
        "        top = x.max(axis=1)\n"
        "        return top + np.log(np.exp(x - top[:, None]).sum(axis=1))\n"
        "    v, pi = np.zeros(len(initial)), []\n"
        "    for _ in range(horizon):\n"
        "        ahead = np.empty_like(reward)\n"
        "        for s in range(len(reward)):\n"
        "            for a in range(reward.shape[1]):\n"
        "                there = transitions[s, a] > 0\n"
        "                top = v[there].max()\n"
        "                mean = transitions[s, a][there] @ np.exp(v[there] - top)\n"
        "                ahead[s, a] = top + np.log(mean)\n"
        "        q = reward + ahead\n"
        "        v = lse(q)\n"
        "        pi = [np.exp(q - v[:, None]), *pi]\n"
        "    top = v.max()\n"
        "    return pi, top + np.log(initial @ np.exp(v - top))",
    },
}
