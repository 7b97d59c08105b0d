"""Answers to assignment 1: wrong ones by the class of the error, right ones in other styles."""

OCCUPANCY = "def occupancy(transitions, initial, discount, policy):\n"
FEATURES = "def demonstrated_features(trajectories, features, discount):\n"
PROGRAM = "def margin_program(leads, margins, price):\n"
RESPONSE = "def best_response(transitions, discount, features, weights, loss):\n"
LOOP = "def working_set(respond, solve, n_features, price, tolerance, most_rounds):\n"

WRONG = {
    "occupancy": {
        "transposed": (
            "probability flows backwards. The visits to s come from the states before it: "
            "d(s) = p0(s) + discount * sum over s' of P(s | s') d(s'), which needs the transpose "
            "of the matrix that evaluates a policy.",
            "discount * chain.T",
            "discount * chain",
        ),
        "no discount": (
            "every step counts fully. Multiply by the discount once for each step that has "
            "passed; the entries must sum to 1 / (1 - discount).",
            OCCUPANCY + "    total, states = 0.0, initial\n"
            "    for _ in range(100):\n"
            "        total = total + states[:, None] * policy\n"
            "        states = np.einsum('s,sa,sat->t', states, policy, transitions)\n"
            "    return total",
        ),
        "normalised": (
            "the entries sum to 1. This is the normalised occupancy; the sum over time is "
            "1 / (1 - discount) times as large.",
            "return states[:, None] * policy",
            "return (1 - discount) * states[:, None] * policy",
        ),
        "first step discounted": (
            "the step at time 0 is discounted already. Its weight is discount ** 0 = 1.",
            "solve(system, initial)",
            "solve(system, discount * initial)",
        ),
        "states only": (
            "these are the visits to states, (S,). Split them by what the policy does there, "
            "into an array (S, A).",
            "return states[:, None] * policy",
            "return states",
        ),
        "axes exchanged": (
            "the axes are exchanged: states come first, actions second.",
            "return states[:, None] * policy",
            "return (states[:, None] * policy).T",
        ),
        "policy ignored": (
            "the states are visited as if all actions were equally likely. Average the "
            "transitions with the policy's probabilities.",
            'np.einsum("sa,sat->st", policy, transitions)',
            "transitions.mean(axis=1)",
        ),
        "actions counted fully": (
            "each action is counted at every visit. Multiply the visits by the probability that "
            "the policy takes the action.",
            "return states[:, None] * policy",
            "return states[:, None] * np.ones_like(policy)",
        ),
        "uniform start": (
            "the start is not the one that was given. The first state is drawn from initial.",
            "solve(system, initial)",
            "solve(system, np.full(len(initial), 1 / len(initial)))",
        ),
        "discounted twice": (
            "the discount is applied twice in each step.",
            "discount * chain.T",
            "discount**2 * chain.T",
        ),
        "truncated": (
            "",
            OCCUPANCY + "    total, states = 0.0, initial\n"
            "    for t in range(10):\n"
            "        total = total + discount**t * states[:, None] * policy\n"
            "        states = np.einsum('s,sa,sat->t', states, policy, transitions)\n"
            "    return total",
        ),
        "one action": ("", OCCUPANCY + "    return np.outer(initial, policy[0]) / (1 - discount)"),
    },
    "demonstrated_features": {
        "no discount": (
            "every step counts fully. Step t has the weight discount ** t.",
            "discount ** np.arange(len(actions))",
            "np.ones(len(actions))",
        ),
        "first step discounted": (
            "the first step is discounted already. Its weight is discount ** 0 = 1.",
            "np.arange(len(actions))",
            "np.arange(1, len(actions) + 1)",
        ),
        "sum": (
            "this is the sum over the trajectories; divide by their number.",
            "return total / len(trajectories)",
            "return total",
        ),
        "divided by steps": (
            "this is a mean over steps. A trajectory's features are summed over time; the mean is "
            "over trajectories.",
            "return total / len(trajectories)",
            "return total / sum(len(actions) for _, actions in trajectories)",
        ),
        "next state": (
            "the features are those of the state after the action. Pair the action of step t with "
            "the state of step t.",
            "states[:-1]",
            "states[1:]",
        ),
        "last step dropped": (
            "the last action of each trajectory is missing. T actions follow from T + 1 states: "
            "drop the last state, not the last action.",
            "powers @ features[states[:-1], actions]",
            "powers[:-1] @ features[states[:-2], actions[:-1]]",
        ),
        "time goes on": (
            "time does not start anew with each trajectory.",
            FEATURES + "    total, t = np.zeros(features.shape[-1]), 0\n"
            "    for states, actions in trajectories:\n"
            "        for s, a in zip(states, actions):\n"
            "            total += discount**t * features[s, a]\n"
            "            t += 1\n"
            "    return total / len(trajectories)",
        ),
        "normalised": (
            "the result is multiplied by 1 - discount. Feature expectations are sums over time, "
            "and so are those of the policies that they are compared with.",
            "return total / len(trajectories)",
            "return (1 - discount) * total / len(trajectories)",
        ),
        "time reversed": ("", "powers @", "powers[::-1] @"),
        "first only": ("", "in trajectories:", "in trajectories[:1]:"),
        "action ignored": ("", "features[states[:-1], actions]", "features[states[:-1]].mean(1)"),
        "each by its length": ("", "total += powers @", "total += 1 / len(actions) * powers @"),
        "cut to the shortest": (
            "",
            FEATURES + "    n = min(len(actions) for _, actions in trajectories)\n"
            "    rows = [features[s[:n], a[:n]] for s, a in trajectories]\n"
            "    return discount ** np.arange(n) @ np.mean(rows, axis=0)",
        ),
    },
    "margin_program": {
        "norm not squared": (
            "the norm is not squared. The objective has half the squared norm.",
            "cp.sum_squares(weights) / 2",
            "cp.norm(weights)",
        ),
        "no half": (
            "the factor 1/2 before the squared norm is missing, which changes the price of slack "
            "against it.",
            "cp.sum_squares(weights) / 2",
            "cp.sum_squares(weights)",
        ),
        "negative slack": (
            "the slack is below zero in the program that needs none. Add the constraint "
            "slack >= 0.",
            ", slack >= 0]",
            "]",
        ),
        "slack for each": (
            "each policy has a slack of its own. All constraints share one slack.",
            PROGRAM + "    w, z = cp.Variable(leads.shape[1]), cp.Variable(len(margins))\n"
            "    goal = cp.sum_squares(w) / 2 + price * cp.sum(z)\n"
            "    rules = [leads @ w >= margins - z, z >= 0]\n"
            "    cp.Problem(cp.Minimize(goal), rules).solve(solver=cp.CLARABEL)\n"
            "    return w.value, z.value.max()",
        ),
        "margins ignored": (
            "all margins are taken as 1. Use those that are given.",
            ">= margins - slack",
            ">= 1 - slack",
        ),
        "slack squared": (
            "the slack is squared in the objective.",
            "price * slack",
            "price * slack**2",
        ),
        "normalised": (
            "the weights are scaled to norm 1. Their size matters here: it is what the margins "
            "are measured in.",
            "return weights.value, slack.value",
            "return weights.value / np.linalg.norm(weights.value), slack.value",
        ),
        "mean price": (
            "the price of the slack is divided by the number of policies.",
            "price * slack",
            "price / len(margins) * slack",
        ),
        "sign": ("", "leads @ weights >=", "-leads @ weights >="),
        "nearly hard": ("", "price * slack", "1000 * price * slack"),
        "weights only": ("", "return weights.value, slack.value", "return weights.value"),
        "slack added": ("", "margins - slack", "margins + slack"),
        "positive weights": ("", ", slack >= 0]", ", slack >= 0, weights >= 0]"),
    },
    "best_response": {
        "no loss": (
            "the loss is left out. Plan for weights @ features plus the loss.",
            "features @ weights + loss",
            "features @ weights",
        ),
        "loss subtracted": (
            "the loss is subtracted. The response should violate the margin most, so that what "
            "the expert does not do is rewarded.",
            "features @ weights + loss",
            "features @ weights - loss",
        ),
        "myopic": (
            "only the reward of one step is there. Add the discounted value of the next state.",
            "q = reward + discount * transitions @ values",
            "q = reward",
        ),
        "not converged": (
            "the values have not converged. Iterate until they no longer change, or evaluate "
            "policies exactly.",
            "range(800)",
            "range(20)",
        ),
        "soft": (
            "these are soft values, log sum exp. The most violated constraint is the one of the "
            "optimal policy: take the maximum.",
            "values = q.max(axis=1)",
            "values = np.log(np.exp(q - q.max()).sum(axis=1)) + q.max()",
        ),
        "reward discounted": (
            "the reward is discounted as well. Q = r + discount * E V.",
            "reward + discount * transitions @ values",
            "discount * (reward + transitions @ values)",
        ),
        "worst": (
            "this is the worst policy: take the maximum, not the minimum.",
            RESPONSE + "    reward = features @ weights + loss\n"
            "    v = np.zeros(len(reward))\n"
            "    for _ in range(700):\n"
            "        q = reward + discount * transitions @ v\n"
            "        v = q.min(axis=1)\n"
            "    return q.argmin(axis=1), q",
        ),
        "random afterwards": (
            "after the first step all actions are equally likely. The value of a state is the "
            "maximum over its actions.",
            "values = q.max(axis=1)",
            "values = q.mean(axis=1)",
        ),
        "loss once": (
            "",
            RESPONSE + "    reward = features @ weights\n"
            "    v = np.zeros(len(reward))\n"
            "    for _ in range(700):\n"
            "        q = reward + discount * transitions @ v\n"
            "        v = q.max(axis=1)\n"
            "    return (q + loss).argmax(axis=1), q + loss",
        ),
        "value returned": ("", "q.argmax(axis=1), q", "q.argmax(axis=1), values"),
        "policy returned": ("", "q.argmax(axis=1), q", "np.eye(q.shape[1])[q.argmax(axis=1)], q"),
        "weights reversed": ("", "features @ weights", "features @ -weights"),
        "order exchanged": ("", "return q.argmax(axis=1), q", "return q, q.argmax(axis=1)"),
    },
    "working_set": {
        "slack forgotten": (
            "the slack is missing in the violation: margin - weights @ lead - slack.",
            "- weights @ lead - slack",
            "- weights @ lead",
        ),
        "last constraint only": (
            "the program is solved over the newest constraint alone. Keep all constraints in the "
            "working set.",
            "solve(np.array(leads), np.array(margins), price)",
            "solve(np.array(leads[-1:]), np.array(margins[-1:]), price)",
        ),
        "no tolerance": (
            "it goes on although the violation is within the tolerance.",
            "violations[-1] <= tolerance",
            "violations[-1] <= 0",
        ),
        "margin forgotten": (
            "the margin is missing in the violation: margin - weights @ lead - slack.",
            "margin - weights @ lead - slack",
            "-weights @ lead - slack",
        ),
        "added before the test": (
            "the last constraint is added although it is hardly violated. Test first, then add "
            "and solve.",
            LOOP + "    weights, slack = np.zeros(n_features), 0.0\n"
            "    leads, margins, violations = [], [], []\n"
            "    for _ in range(most_rounds):\n"
            "        lead, margin = respond(weights)\n"
            "        violations.append(margin - weights @ lead - slack)\n"
            "        leads.append(lead)\n"
            "        margins.append(margin)\n"
            "        weights, slack = solve(np.array(leads), np.array(margins), price)\n"
            "        if violations[-1] <= tolerance:\n"
            "            break\n"
            "    return weights, slack, np.array(violations)",
        ),
        "one round too few": (
            "the constraint of the last round is not in the working set when the rounds run out. "
            "Solve after adding it.",
            "    return weights, slack, np.array(violations)",
            "        if len(leads) == most_rounds - 1:\n"
            "            break\n"
            "    return weights, slack, np.array(violations)",
        ),
        "last violation missing": (
            "the violation of the last round is missing. Note it before you stop.",
            "np.array(violations)",
            "np.array(violations[:-1])",
        ),
        "sign": (
            "the violation has the wrong sign: it is above zero where the margin is not reached.",
            "margin - weights @ lead - slack",
            "weights @ lead + slack - margin",
        ),
        "starts at one": ("", "np.zeros(n_features)", "np.ones(n_features)"),
        "price forgotten": ("", "np.array(margins), price)", "np.array(margins), 1.0)"),
        "violations only": ("", "return weights, slack, np", "return np"),
        "one round": ("", "range(most_rounds)", "range(1)"),
        "slack from the first": ("", "weights, slack = solve(", "weights, _ = solve("),
    },
}

RIGHT = {
    "occupancy": {
        "loops": OCCUPANCY + "    n_states, n_actions = policy.shape\n"
        "    total = [[0.0] * n_actions for _ in range(n_states)]\n"
        "    now, weight = list(initial), 1.0\n"
        "    while weight > 1e-10:\n"
        "        after = [0.0] * n_states\n"
        "        for s in range(n_states):\n"
        "            for a in range(n_actions):\n"
        "                total[s][a] += weight * now[s] * policy[s, a]\n"
        "                for t in range(n_states):\n"
        "                    after[t] += now[s] * policy[s, a] * transitions[s, a, t]\n"
        "        now, weight = after, weight * discount\n"
        "    return total",
        "pairs": OCCUPANCY + "    n_states, n_actions = policy.shape\n"
        "    n = n_states * n_actions\n"
        "    chain = transitions.reshape(n, n_states)[:, :, None] * policy[None]\n"
        "    start = (initial[:, None] * policy).ravel()\n"
        "    flat = start @ np.linalg.inv(np.eye(n) - discount * chain.reshape(n, n))\n"
        "    return flat.reshape(n_states, n_actions)",
        "torch": OCCUPANCY + "    import torch\n"
        "    P, pi, p0 = (torch.as_tensor(x) for x in (transitions, policy, initial))\n"
        "    chain = (pi[:, :, None] * P).sum(1)\n"
        "    d = torch.linalg.solve(torch.eye(len(p0), dtype=P.dtype) - discount * chain.T, p0)\n"
        "    return d[:, None] * pi",
    },
    "demonstrated_features": {
        "loops": FEATURES + "    sums = []\n"
        "    for states, actions in trajectories:\n"
        "        weight, collected = 1.0, 0.0\n"
        "        for s, a in zip(states, actions):\n"
        "            collected = collected + weight * features[s, a]\n"
        "            weight *= discount\n"
        "        sums.append(collected)\n"
        "    return np.mean(sums, axis=0)",
        "counts": FEATURES + "    counts = np.zeros(features.shape[:2])\n"
        "    for states, actions in trajectories:\n"
        "        np.add.at(counts, (states[:-1], actions), discount ** np.arange(len(actions)))\n"
        "    return np.tensordot(counts / len(trajectories), features, 2)",
        "backwards": FEATURES + "    def rest(states, actions):\n"
        "        if len(actions) == 0:\n"
        "            return 0.0\n"
        "        later = rest(states[1:], actions[1:])\n"
        "        return features[states[0], actions[0]] + discount * later\n"
        "    return sum(rest(s, a) for s, a in trajectories) / len(trajectories)",
    },
    "margin_program": {
        "dual": PROGRAM + "    alpha = cp.Variable(len(margins))\n"
        "    goal = margins @ alpha - cp.sum_squares(leads.T @ alpha) / 2\n"
        "    rules = [alpha >= 0, cp.sum(alpha) <= price]\n"
        "    cp.Problem(cp.Maximize(goal), rules).solve(solver=cp.CLARABEL)\n"
        "    weights = alpha.value @ leads\n"
        "    return weights, max(0.0, np.max(margins - leads @ weights))",
        "scipy": PROGRAM + "    k = leads.shape[1]\n"
        "    found = optimize.minimize(\n"
        "        lambda x: x[:k] @ x[:k] / 2 + price * x[k],\n"
        "        np.r_[np.zeros(k), margins.max()],\n"
        "        jac=lambda x: np.r_[x[:k], price],\n"
        "        constraints=[{'type': 'ineq', 'fun': lambda x: leads @ x[:k] - margins + x[k],\n"
        "                      'jac': lambda x: np.c_[leads, np.ones(len(leads))]}],\n"
        "        bounds=[(None, None)] * k + [(0, None)],\n"
        "        method='SLSQP', options={'ftol': 1e-13, 'maxiter': 1000})\n"
        "    return found.x[:k], found.x[k]",
        "squared in cvxpy": PROGRAM + "    w = cp.Variable(leads.shape[1])\n"
        "    z = cp.Variable(nonneg=True)\n"
        "    rules = [w @ lead + z >= m for lead, m in zip(leads, margins)]\n"
        "    cp.Problem(cp.Minimize(0.5 * cp.norm(w) ** 2 + price * z), rules).solve(\n"
        "        solver=cp.CLARABEL)\n"
        "    return list(w.value), float(z.value)",
    },
    "best_response": {
        "policy iteration": RESPONSE + "    reward = features @ weights + loss\n"
        "    rows, actions = np.arange(len(reward)), np.zeros(len(reward), dtype=int)\n"
        "    while True:\n"
        "        chain = transitions[rows, actions]\n"
        "        v = np.linalg.solve(np.eye(len(rows)) - discount * chain, reward[rows, actions])\n"
        "        q = reward + discount * transitions @ v\n"
        "        if (q.argmax(axis=1) == actions).all():\n"
        "            return actions, q\n"
        "        actions = q.argmax(axis=1)",
        "loops": RESPONSE + "    n_states, n_actions = loss.shape\n"
        "    v = np.zeros(n_states)\n"
        "    for _ in range(700):\n"
        "        q = np.zeros((n_states, n_actions))\n"
        "        for s in range(n_states):\n"
        "            for a in range(n_actions):\n"
        "                r = np.dot(weights, features[s, a]) + loss[s, a]\n"
        "                q[s, a] = r + discount * np.dot(transitions[s, a], v)\n"
        "        if np.abs(q.max(axis=1) - v).max() < 1e-9:\n"
        "            break\n"
        "        v = q.max(axis=1)\n"
        "    return [int(np.argmax(row)) for row in q], q",
        "linear program": RESPONSE + "    reward = features @ weights + loss\n"
        "    n, a = reward.shape\n"
        "    rows = np.repeat(np.eye(n), a, axis=0) - discount * transitions.reshape(n * a, n)\n"
        "    v = optimize.linprog(np.ones(n), -rows, -reward.ravel(), bounds=(None, None)).x\n"
        "    q = reward + discount * transitions @ v\n"
        "    return q.argmax(axis=1), q",
    },
    "working_set": {
        "while": LOOP + "    w, slack, rounds = np.zeros(n_features), 0.0, []\n"
        "    A, b = np.empty((0, n_features)), np.empty(0)\n"
        "    while len(rounds) < most_rounds:\n"
        "        lead, margin = respond(w)\n"
        "        rounds += [margin - np.dot(w, lead) - slack]\n"
        "        if not rounds[-1] > tolerance:\n"
        "            return w, slack, rounds\n"
        "        A, b = np.vstack([A, lead]), np.append(b, margin)\n"
        "        w, slack = solve(A, b, price)\n"
        "    return w, slack, rounds",
        "recursion": LOOP + "    def go(w, slack, known, seen):\n"
        "        if len(seen) == most_rounds:\n"
        "            return w, slack, seen\n"
        "        lead, margin = respond(w)\n"
        "        violation = margin - slack - sum(w * lead)\n"
        "        if violation <= tolerance:\n"
        "            return w, slack, [*seen, violation]\n"
        "        known = [*known, (lead, margin)]\n"
        "        leads, margins = (np.array(column) for column in zip(*known))\n"
        "        return go(*solve(leads, margins, price), known, [*seen, violation])\n"
        "    return go(np.zeros(n_features), 0.0, [], [])",
        "helper": "def add(table, lead, margin):\n"
        "    return [*table, np.append(lead, margin)]\n\n\n" + LOOP + "    table = []\n"
        "    state = {'w': np.zeros(n_features), 'slack': 0.0, 'violations': []}\n"
        "    for _ in range(most_rounds):\n"
        "        lead, margin = respond(state['w'])\n"
        "        gap = float(margin - state['w'].dot(lead) - state['slack'])\n"
        "        state['violations'].append(gap)\n"
        "        if gap <= tolerance:\n"
        "            break\n"
        "        table = add(table, lead, margin)\n"
        "        rows = np.array(table)\n"
        "        state['w'], state['slack'] = solve(rows[:, :-1], rows[:, -1], price)\n"
        "    return tuple(state[key] for key in ('w', 'slack', 'violations'))",
    },
}
