"""Answers to the third assignment that the checks name and the tests grade."""

WRONG = {
    "log_weights": {
        "steps instead of trajectories": (
            "there is one number for each step; a weight belongs to a whole "
            "trajectory, so sum over its steps first.",
            """\
def log_weights(rewards, log_pi, lengths, discount):
    with np.errstate(all="ignore"):
        time = np.arange(rewards.shape[1])
        real = time < lengths[:, None]
        total = np.where(real, discount**time * rewards, 0.0)
        log_q = np.where(real, log_pi, 0.0)
        log_u = total - log_q
        top = log_u.max()
        return log_u - np.log(np.sum(np.exp(log_u), axis=0))""",
        ),
        "not normalised": (
            "these are log-weights, but their exponentials don't sum to one: subtract"
            " the logarithm of the sum of all weights.",
            "return log_u - top - np.log(np.sum(np.exp(log_u - top)))",
            "return log_u",
        ),
        "divided by the mean": (
            "the weights were divided by their mean, so their exponentials sum to N; "
            "divide by their sum.",
            "np.log(np.sum(np.exp(log_u - top)))",
            "np.log(np.mean(np.exp(log_u - top)))",
        ),
        "missing discount": (
            "the rewards are not discounted: the reward of step t counts with gamma "
            "to the power t.",
            "discount**time * rewards",
            "rewards",
        ),
        "discounted log-probabilities": (
            "the log-probabilities are discounted too: q is a plain product of "
            "probabilities, so gamma doesn't occur in it.",
            "np.where(real, log_pi, 0.0)",
            "np.where(real, discount**time * log_pi, 0.0)",
        ),
        "discount starts at one": (
            "the first reward has been discounted: t starts at 0, and gamma to the power 0 is 1.",
            "discount**time",
            "discount**(time + 1)",
        ),
        "times q instead of divided by q": (
            "log pi has the wrong sign: the weight is divided by the policy's probability.",
            "log_u = total - log_q",
            "log_u = total + log_q",
        ),
        "no policy in it": (
            "the policy's probabilities are missing: the weight is exp(reward) "
            "divided by the product of pi.",
            "log_u = total - log_q",
            "log_u = total",
        ),
        "what stands after the end": (
            "entries after the end of a trajectory have been counted; use lengths to "
            "leave them out.",
            "time < lengths[:, None]",
            "time < np.inf + 0 * lengths[:, None]",
        ),
        "weights, not logarithms": (
            "these are the weights themselves; return their logarithms.",
            "return log_u - top - np.log(np.sum(np.exp(log_u - top)))",
            "return np.exp(log_u - top) / np.sum(np.exp(log_u - top))",
        ),
        "overflow": (
            "some entries are not finite: subtract the largest log-weight before you exponentiate.",
            """\
def log_weights(rewards, log_pi, lengths, discount):
    with np.errstate(all="ignore"):
        time = np.arange(rewards.shape[1])
        real = time < lengths[:, None]
        total = np.sum(np.where(real, discount**time * rewards, 0.0), axis=1)
        log_q = np.sum(np.where(real, log_pi, 0.0), axis=1)
        log_u = total - log_q
        top = 0.0
        return log_u - top - np.log(np.sum(np.exp(log_u - top)))""",
        ),
        "off by one at the end": (
            "",
            "time < lengths[:, None]",
            "time < lengths[:, None] - 1",
        ),
        "one step too many": (
            "",
            "time < lengths[:, None]",
            "time <= lengths[:, None]",
        ),
        "mask for rewards only": (
            "",
            "np.where(real, log_pi, 0.0)",
            "log_pi",
        ),
        "mask for log pi only": (
            "",
            "np.where(real, discount**time * rewards, 0.0)",
            "discount**time * rewards",
        ),
        "mean over steps": (
            "",
            "np.sum(np.where(real, discount**time * rewards, 0.0), axis=1)",
            "np.sum(np.where(real, discount**time * rewards, 0.0), axis=1) / lengths",
        ),
        "clipped": (
            "",
            "log_u = total - log_q",
            "log_u = np.clip(total - log_q, -20, 20)",
        ),
        "pi of the last step only": (
            "",
            "np.sum(np.where(real, log_pi, 0.0), axis=1)",
            "log_pi[np.arange(len(lengths)), lengths - 1]",
        ),
        "shifted by the largest only": (
            "",
            " - np.log(np.sum(np.exp(log_u - top)))",
            "",
        ),
        "normalised per step": (
            "",
            "rewards, 0.0), axis=1)",
            "rewards, 0.0), axis=1) * 0 + np.sum(np.where(real, rewards - "
            "rewards.max(axis=0), 0), axis=1)",
        ),
    },
    "weighted_estimate": {
        "overflow": (
            "some entries are not finite: the common factor of the weights is "
            "arbitrary, so divide by the largest before you exponentiate.",
            """\
def weighted_estimate(log_u, f):
    with np.errstate(all="ignore"):
        u = np.exp(log_u)
        share = u / u.sum()
        mean = share @ f
        error = np.sqrt(np.sum(share[:, None] ** 2 * (f - mean) ** 2, axis=0))
        n_eff = 1.0 / np.sum(share**2)
        return mean, error, n_eff""",
        ),
        "divided by n": (
            "the estimate was divided by n and not by the sum of the weights.",
            "share @ f",
            "u @ f / len(u)",
        ),
        "weights ignored": (
            "the estimate is the plain mean of f: the weights are missing.",
            "share @ f",
            "f.mean(axis=0)",
        ),
        "variance instead of standard error": (
            "the second result is a variance; the standard error is its square root.",
            "np.sqrt(np.sum(share[:, None] ** 2 * (f - mean) ** 2, axis=0))",
            "np.sum(share[:, None] ** 2 * (f - mean) ** 2, axis=0)",
        ),
        "not centred": (
            "the error uses f itself; it needs the distance of f from the estimate.",
            "(f - mean) ** 2",
            "f ** 2",
        ),
        "weights not squared in the error": (
            "the error has the weight once where its square belongs: this is the "
            "spread of f under p, not the error of its mean.",
            "share[:, None] ** 2",
            "share[:, None]",
        ),
        "divided by n again": (
            "the error was divided by the square root of n; n is in the normalised "
            "weights already.",
            "axis=0))\n    n_eff",
            "axis=0) / len(u))\n    n_eff",
        ),
        "a share of the samples": (
            "the third result is a share between 0 and 1; the effective sample size "
            "is a number of samples.",
            "1.0 / np.sum(share**2)",
            "1.0 / np.sum(share**2) / len(u)",
        ),
        "effective sample size of unnormalised weights": (
            "the effective sample size changes when all weights are multiplied by a "
            "number: the sum of the weights, squared, belongs in its numerator.",
            "1.0 / np.sum(share**2)",
            "1.0 / np.sum(u**2)",
        ),
        "the reciprocal": (
            "the effective sample size is upside down.",
            "1.0 / np.sum(share**2)",
            "np.sum(share**2)",
        ),
        "one over the largest weight": (
            "",
            "1.0 / np.sum(share**2)",
            "1.0 / share.max()",
        ),
        "exponential of the entropy": (
            "",
            "1.0 / np.sum(share**2)",
            "np.exp(-np.sum(share * np.log(share + 1e-300)))",
        ),
        "sum of u over sum of squares": (
            "",
            "1.0 / np.sum(share**2)",
            "u.sum() / np.sum(u**2)",
        ),
        "unweighted standard error": (
            "",
            "np.sqrt(np.sum(share[:, None] ** 2 * (f - mean) ** 2, axis=0))",
            "f.std(axis=0) / np.sqrt(len(u))",
        ),
        "spread over root of n_eff, not the derived one": (
            "",
            "np.sqrt(np.sum(share[:, None] ** 2 * (f - mean) ** 2, axis=0))",
            "np.sqrt(share @ (f - mean) ** 2 * np.sum(share**2))",
        ),
        "weights of log_u": (
            "",
            "u = np.exp(log_u - log_u.max())",
            "u = log_u - log_u.min() + 1e-9",
        ),
        "summed over features": (
            "",
            "axis=0))",
            "axis=0).sum() * np.ones(f.shape[1]))",
        ),
        "centred at the plain mean": (
            "",
            "(f - mean) ** 2",
            "(f - f.mean(axis=0)) ** 2",
        ),
    },
    "mixture_log_density": {
        "mixed at each step": (
            "the policies are mixed at every step and the mixtures multiplied; a "
            "trajectory is made by one policy from start to end, so mix the products.",
            """\
def mixture_log_density(states, actions, policies, counts):
    share = counts / counts.sum()
    mixed = np.einsum("k,ktsa->tsa", share, policies)
    return np.log(mixed[np.arange(states.shape[1]), states, actions]).sum(axis=1)""",
        ),
        "mean of the logarithms": (
            "the log-densities were averaged; average the densities and take the "
            "logarithm afterwards.",
            """\
def mixture_log_density(states, actions, policies, counts):
    T = states.shape[1]
    with np.errstate(divide="ignore"):
        logs = np.log(policies)
    each = logs[:, np.arange(T), states, actions].sum(axis=2)  # (K, N)
    parts = each + np.log(counts / np.sum(counts))[:, None]
    return counts / counts.sum() @ each""",
        ),
        "equal shares": (
            "all policies have the same share; policy k has n_k / n of the batch.",
            "counts / np.sum(counts)",
            "np.full(len(counts), 1 / len(counts))",
        ),
        "shares do not sum to one": (
            "the counts were not divided by their sum: every result is too large by log n.",
            "counts / np.sum(counts)",
            "counts",
        ),
        "the current policy's density": (
            "this is the density under the last policy alone; samples of older "
            "policies need the mixture.",
            "top = parts.max(axis=0)",
            "return each[-1]",
        ),
        "time ignored": (
            "the policy of step 0 was used at all steps; policies[k, t] belongs to step t.",
            "logs[:, np.arange(T), states, actions]",
            "logs[:, 0, states, actions]",
        ),
        "underflow": (
            "some results are minus infinity although the trajectory is possible: the"
            " product of 900 probabilities rounds to 0. Add logarithms, and subtract "
            "the largest before you exponentiate.",
            """\
def mixture_log_density(states, actions, policies, counts):
    with np.errstate(all="ignore"):
        T = states.shape[1]
        with np.errstate(divide="ignore"):
            logs = np.log(policies)
        each = logs[:, np.arange(T), states, actions].sum(axis=2)  # (K, N)
        parts = each + np.log(counts / np.sum(counts))[:, None]
        return np.log(np.sum(np.exp(parts), axis=0))
        return top + np.log(np.sum(np.exp(parts - top), axis=0))""",
        ),
        "one step's density": (
            "there is one number for each step; multiply the probabilities of all "
            "steps of a trajectory.",
            "[:, np.arange(T), states, actions].sum(axis=2)",
            "[:, np.arange(T), states, actions][..., 0]",
        ),
        "without the logarithm": (
            "these are densities; return their logarithms.",
            "return top + np.log(np.sum(np.exp(parts - top), axis=0))",
            "return np.exp(top) * np.sum(np.exp(parts - top), axis=0)",
        ),
        "sum of logarithms over policies": (
            "the policies' densities were multiplied; a sample was made by one of "
            "them, so their densities are added.",
            "top = parts.max(axis=0)",
            "return parts.sum(axis=0)",
        ),
        "the largest only": (
            "",
            "top + np.log(np.sum(np.exp(parts - top), axis=0))",
            "top",
        ),
        "shares as logarithm added after": (
            "",
            "each + np.log(counts / np.sum(counts))[:, None]",
            "each * (counts / np.sum(counts))[:, None]",
        ),
        "mean over steps": (
            "",
            ".sum(axis=2)",
            ".mean(axis=2)",
        ),
        "impossible steps skipped": (
            "",
            "logs = np.log(policies)",
            """\
logs = np.log(np.maximum(policies, 1e-300))
        logs[policies == 0] = 0""",
        ),
        "impossible counts as small": (
            "",
            "logs = np.log(policies)",
            "logs = np.log(np.maximum(policies, 1e-2))",
        ),
        "last step left out": (
            "",
            "logs[:, np.arange(T), states, actions]",
            "logs[:, np.arange(T), states, actions][:, :, :-1]",
        ),
        "states and actions exchanged": (
            "",
            "states, actions].sum",
            "actions % policies.shape[2], states % policies.shape[3]].sum",
        ),
        "shares reversed": (
            "",
            "np.log(counts / np.sum(counts))",
            "np.log(counts / np.sum(counts))[::-1]",
        ),
        "own density: whoever fits best": (
            "",
            "parts = each + np.log(counts / np.sum(counts))[:, None]",
            "parts = each",
        ),
        "first policy": (
            "",
            """\
def mixture_log_density(states, actions, policies, counts):
    with np.errstate(all="ignore"):
        T = states.shape[1]
        with np.errstate(divide="ignore"):
            logs = np.log(policies)
        each = logs[:, np.arange(T), states, actions].sum(axis=2)  # (K, N)
        parts = each + np.log(counts / np.sum(counts))[:, None]
        return each[0] * 0 + parts[0]
        return top + np.log(np.sum(np.exp(parts - top), axis=0))""",
        ),
    },
    "batch_log_density": {
        "Z from the whole batch": (
            "Z was estimated from the demonstrations as well; only what the policies "
            "have drawn may enter it, or the gradient vanishes where no sample comes "
            "near a demonstration.",
            "(rewards - log_q)[n_demos:]",
            "(rewards - log_q)",
        ),
        "Z from the demonstrations": (
            "Z was estimated from the demonstrations, which come first; use the "
            "samples, which come after them.",
            "(rewards - log_q)[n_demos:]",
            "(rewards - log_q)[:n_demos]",
        ),
        "Z is a sum": (
            "Z is the mean of the samples' weights; you have their sum.",
            "np.mean(np.exp",
            "np.sum(np.exp",
        ),
        "Z missing": (
            "the model's density was not normalised: subtract log Z from the rewards.",
            "rewards - log_z",
            "rewards",
        ),
        "no model": (
            "the demonstrations' component is missing: this is the policies' density alone.",
            "np.logaddexp(of_model, np.log(1 - share) + log_q)",
            "log_q",
        ),
        "equal shares": (
            "both components have the share one half; the demonstrations have d / n.",
            "share = n_demos / n",
            "share = 0.5",
        ),
        "shares exchanged": (
            "the shares are exchanged: the model's density has that of the demonstrations.",
            "share = n_demos / n",
            "share = 1 - n_demos / n",
        ),
        "overflow": (
            "some entries are not finite: work with logarithms to the end (np.logaddexp).",
            """\
def batch_log_density(rewards, log_q, n_demos):
    with np.errstate(all="ignore"):
        n = len(rewards)
        log_u = (rewards - log_q)[n_demos:]
        top = 0.0
        log_z = top + np.log(np.mean(np.exp(log_u - top)))
        share = n_demos / n
        of_model = np.log(share) + rewards - log_z
        return np.log(share * np.exp(rewards - log_z) + (1 - share) * np.exp(log_q))""",
        ),
        "an expert who is always sure": (
            "",
            "np.log(share) + rewards - log_z",
            "np.log(share) + 0 * rewards",
        ),
        "each row its maker's density": (
            "",
            "return np.logaddexp(of_model, np.log(1 - share) + log_q)",
            "return np.where(np.arange(n) < n_demos, rewards - log_z, log_q)",
        ),
        "mean of logarithms": (
            "",
            "np.logaddexp(of_model, np.log(1 - share) + log_q)",
            "share * (rewards - log_z) + (1 - share) * log_q",
        ),
        "odds instead of share": (
            "",
            "share = n_demos / n",
            "share = n_demos / (n - n_demos) / 2",
        ),
        "Z of rewards without q": (
            "",
            "(rewards - log_q)[n_demos:]",
            "rewards[n_demos:]",
        ),
        "Z times q": (
            "",
            "(rewards - log_q)[n_demos:]",
            "(rewards + log_q)[n_demos:]",
        ),
        "no shares": (
            "",
            """\
def batch_log_density(rewards, log_q, n_demos):
    n = len(rewards)
    log_u = (rewards - log_q)[n_demos:]
    top = log_u.max()
    log_z = top + np.log(np.mean(np.exp(log_u - top)))
    share = n_demos / n
    of_model = rewards - log_z
    return np.logaddexp(of_model, log_q)""",
        ),
        "only the samples' rows": (
            "",
            "np.log(1 - share) + log_q)",
            "np.log(1 - share) + log_q)[n_demos:]",
        ),
        "Jensen": (
            "",
            "top + np.log(np.mean(np.exp(log_u - top)))",
            "np.mean(log_u)",
        ),
    },
    "likelihood": {
        "the sign of a loss": (
            "this is minus the objective: return what is to be maximised.",
            "return value, gradient",
            "return -value, -gradient",
        ),
        "gradient downhill": (
            "the gradient has the opposite sign of the value's slope: demonstrations "
            "push up, the batch pushes down.",
            "shown.mean(axis=0) - (u / u.sum()) @ f",
            "(u / u.sum()) @ f - shown.mean(axis=0)",
        ),
        "no weights in the gradient": (
            "the batch enters the gradient at face value: weigh its trajectories.",
            "(u / u.sum()) @ f",
            "f.mean(axis=0)",
        ),
        "sum instead of mean in Z": (
            "the value is off by log n: Z is estimated by the mean of the weights, "
            "not by their sum.",
            "np.log(np.mean(u))",
            "np.log(np.sum(u))",
        ),
        "logarithm inside the mean": (
            "the mean was taken of the logarithms; the logarithm belongs outside of the mean.",
            "(top + np.log(np.mean(u)))",
            "np.mean(log_u)",
        ),
        "demonstrations summed": (
            "the demonstrations' rewards are summed; take their mean.",
            """\
def likelihood(w, shown, f, log_q):
    log_u = f @ w - log_q
    top = log_u.max()
    u = np.exp(log_u - top)
    value = np.sum(shown @ w) - (top + np.log(np.mean(u)))
    gradient = shown.sum(axis=0) - (u / u.sum()) @ f
    return value, gradient""",
        ),
        "density missing": (
            "the batch's density is missing: each trajectory is divided by q-bar.",
            "log_u = f @ w - log_q",
            "log_u = f @ w",
        ),
        "density multiplied": (
            "the batch's density has the wrong sign: each trajectory is divided by it.",
            "log_u = f @ w - log_q",
            "log_u = f @ w + log_q",
        ),
        "overflow": (
            "some entries are not finite: subtract the largest log-weight before you exponentiate.",
            """\
def likelihood(w, shown, f, log_q):
    with np.errstate(all="ignore"):
        log_u = f @ w - log_q
        top = 0.0
        u = np.exp(log_u - top)
        value = np.mean(shown @ w) - (top + np.log(np.mean(u)))
        gradient = shown.mean(axis=0) - (u / u.sum()) @ f
        return value, gradient""",
        ),
        "weights not normalised": (
            "",
            "(u / u.sum()) @ f",
            "u @ f / len(u)",
        ),
        "demonstrations added again": (
            "",
            "log_u = f @ w - log_q",
            """\
f = np.vstack([f, shown])
    log_q = np.r_[log_q, np.full(len(shown), log_q.mean())]
    log_u = f @ w - log_q""",
        ),
        "gradient of one demonstration": (
            "",
            "shown.mean(axis=0)",
            "shown[0]",
        ),
        "halved": (
            "",
            "return value, gradient",
            "return value / 2, gradient / 2",
        ),
        "value without demonstrations": (
            "",
            "np.mean(shown @ w) - ",
            "-",
        ),
        "gradient times w": (
            "",
            "return value, gradient",
            "return value, gradient * w",
        ),
        "log q in the gradient": (
            "",
            "(u / u.sum()) @ f",
            "(u / u.sum()) @ (f - log_q[:, None])",
        ),
        "the best trajectory only": (
            "",
            "(u / u.sum()) @ f",
            "f[np.argmax(u)]",
        ),
        "hard maximum": (
            "",
            "(top + np.log(np.mean(u)))",
            "top",
        ),
    },
    "structured_logits": {
        "log pi missing": (
            "log pi is missing: without it the discriminator has to learn the policy "
            "as well, and f is no longer an advantage.",
            "f - log_pi[s, a]",
            "f",
        ),
        "log pi added": (
            "log pi has the wrong sign: the logit is f minus log pi.",
            "f - log_pi[s, a]",
            "f + log_pi[s, a]",
        ),
        "pi instead of log pi": (
            "pi itself was subtracted; the logit has its logarithm, which you are given.",
            "log_pi[s, a]",
            "np.exp(log_pi[s, a])",
        ),
        "the end has a potential": (
            "h(s') is counted where the episode terminated; nothing follows there, so"
            " its value is 0.",
            'goes_on = 1.0 - steps["terminated"]',
            "goes_on = 1.0",
        ),
        "time limits as ends": (
            "h(s') is dropped at time limits, too; a truncated episode would have gone on from s'.",
            '1.0 - steps["terminated"]',
            '1.0 - steps["terminated"] - steps["truncated"]',
        ),
        "no discount in the shaping": (
            "the shaping term has no discount: it is gamma h(s') - h(s), with the "
            "gamma of the policy.",
            "discount * goes_on",
            "goes_on",
        ),
        "shaping reversed": (
            "the shaping term has the wrong sign: it is gamma h(s') - h(s).",
            "+ discount * goes_on * h[later] - h[s]",
            "- discount * goes_on * h[later] + h[s]",
        ),
        "reward of the next state": (
            "g is taken at the next state; it is a reward of the state in which the step was made.",
            "g[s] +",
            "g[later] +",
        ),
        "potential of s' only": (
            "",
            " - h[s]",
            "",
        ),
        "everything ends": (
            "",
            "discount * goes_on * h[later]",
            "0.0 * h[later]",
        ),
        "next potential of terminated steps only": (
            "",
            '1.0 - steps["terminated"]',
            '1.0 * steps["terminated"]',
        ),
        "step dropped at the end": (
            "",
            "return f - log_pi[s, a]",
            "return (f - log_pi[s, a])[~steps['terminated']]",
        ),
        "shaping counted twice": (
            "",
            "- h[s]",
            "- 2 * h[s]",
        ),
        "probability of D": (
            "",
            "return f - log_pi[s, a]",
            "return 1 / (1 + np.exp(log_pi[s, a] - f))",
        ),
        "the end without any shaping": (
            "",
            "- h[s]",
            "- goes_on * h[s]",
        ),
        "discount on both": (
            "",
            "- h[s]",
            "- discount * h[s]",
        ),
        "policy of the next state": (
            "",
            "log_pi[s, a]",
            "log_pi[later, a]",
        ),
    },
    "discriminator_score": {
        "labels exchanged": (
            "the labels are exchanged: log D belongs to the expert's steps, log(1 - "
            "D) to the policy's.",
            """\
def discriminator_score(expert, policy):
    ls = lambda x: -np.logaddexp(0.0, -x)
    return (
        ls(-expert).mean() + ls(policy).mean(),
        -np.exp(ls(expert)) / len(expert),
        np.exp(ls(-policy)) / len(policy),
    )""",
        ),
        "overflow": (
            "some numbers are not finite: write log D as -log(1 + exp(-x)), with np.logaddexp.",
            """\
def discriminator_score(expert, policy):
    with np.errstate(all="ignore"):

        def log_sigmoid(x):
            return np.log(1.0 / (1.0 + np.exp(-x)))

        score = log_sigmoid(expert).mean() + log_sigmoid(-policy).mean()
        up = np.exp(log_sigmoid(-expert)) / len(expert)
        down = -np.exp(log_sigmoid(policy)) / len(policy)
        return score, up, down""",
        ),
        "a loss": (
            "this is a loss, minus the score: return what the discriminator maximises.",
            "return score, up, down",
            "return -score, -up, -down",
        ),
        "sums instead of means": (
            "sums stand where means belong: each kind of steps has the weight one, "
            "whatever its number.",
            """\
def discriminator_score(expert, policy):
    def log_sigmoid(x):
        return -np.logaddexp(0.0, -x)

    score = log_sigmoid(expert).sum() + log_sigmoid(-policy).sum()
    up = np.exp(log_sigmoid(-expert))
    down = -np.exp(log_sigmoid(policy))
    return score, up, down""",
        ),
        "derivatives not divided": (
            "the score is a mean, its derivatives are those of a sum: divide them by "
            "the number of steps.",
            """\
def discriminator_score(expert, policy):
    def log_sigmoid(x):
        return -np.logaddexp(0.0, -x)

    score = log_sigmoid(expert).mean() + log_sigmoid(-policy).mean()
    up = np.exp(log_sigmoid(-expert))
    down = -np.exp(log_sigmoid(policy))
    return score, up, down""",
        ),
        "without logarithms": (
            "there are no logarithms in your score: it is the mean of log D plus the "
            "mean of log(1 - D).",
            "log_sigmoid(expert).mean() + log_sigmoid(-policy).mean()",
            "np.exp(log_sigmoid(expert)).mean() + np.exp(log_sigmoid(-policy)).mean()",
        ),
        "derivatives exchanged": (
            "",
            "return score, up, down",
            "return score, np.exp(log_sigmoid(expert)) / len(expert), "
            "-np.exp(log_sigmoid(-policy)) / len(policy)",
        ),
        "down without its sign": (
            "",
            "down = -np.exp",
            "down = np.exp",
        ),
        "pooled mean": (
            "",
            "expert).mean() + log_sigmoid(-policy).mean()",
            "np.r_[expert, -policy]).mean()",
        ),
        "derivative of D": (
            "",
            "up = np.exp(log_sigmoid(-expert)) / len(expert)",
            "up = np.exp(log_sigmoid(-expert) + log_sigmoid(expert)) / len(expert)",
        ),
        "clipped": (
            "",
            "return -np.logaddexp(0.0, -x)",
            "return -np.logaddexp(0.0, -np.clip(x, -30, 30))",
        ),
        "one hundredth inside the logarithm": (
            "",
            "return -np.logaddexp(0.0, -x)",
            "return np.log(np.exp(-np.logaddexp(0.0, -x)) + 1e-8)",
        ),
        "halved": (
            "",
            "return score, up, down",
            "return score / 2, up / 2, down / 2",
        ),
        "only the score": (
            "",
            "return score, up, down",
            "return score",
        ),
    },
    "pay": {
        "the comment says one thing, the code another": (
            "-log(1-D) is computed as log D: at D = 1/2 it has to be +log 2.",
            "return np.logaddexp(0.0, x)",
            "return -np.logaddexp(0.0, -x)",
        ),
        "the two exchanged": (
            "log D and -log(1-D) are exchanged: log D is never above zero.",
            """\
def pay(x, kind):
    x = np.asarray(x, dtype=float)
    if kind == "log D":
        return np.logaddexp(0.0, x) + 0
    if kind == "-log(1-D)":
        return -np.logaddexp(0.0, -x)
    return x""",
        ),
        "log(1-D) without its minus": (
            "-log(1-D) has the wrong sign: log(1-D) is never above zero, so the "
            "reward is never below it.",
            "return np.logaddexp(0.0, x)",
            "return -np.logaddexp(0.0, x)",
        ),
        "labels of the paper": (
            "the policy has the label 1 here, as in Ho and Ermon's paper; in the "
            "question D is the probability that a step is the expert's.",
            "x = np.asarray(x, dtype=float)",
            "x = -np.asarray(x, dtype=float)",
        ),
        "overflow": (
            "some rewards are not finite: D rounds to 0 or 1 for large logits, so "
            "don't compute it; use np.logaddexp.",
            """\
def pay(x, kind):
    with np.errstate(all="ignore"):
        x = np.asarray(x, dtype=float)
        if kind == "log D":
            return np.log(1 / (1 + np.exp(-x)))
        if kind == "-log(1-D)":
            return -np.log(1 - 1 / (1 + np.exp(-x)))
        return x""",
        ),
        "D itself": (
            "the third reward is D; the logit is log D - log(1-D), which is x.",
            """\
def pay(x, kind):
    with np.errstate(all="ignore"):
        x = np.asarray(x, dtype=float)
        if kind == "log D":
            return -np.logaddexp(0.0, -x)
        if kind == "-log(1-D)":
            return np.logaddexp(0.0, x)
        return 1 / (1 + np.exp(-x))""",
        ),
        "a logit for a probability": (
            "the logarithm of x was taken: x is the logit, not D.",
            "return -np.logaddexp(0.0, -x)",
            "return np.log(np.abs(x) + 1e-12)",
        ),
        "clipped": (
            "",
            "x = np.asarray(x, dtype=float)",
            "x = np.clip(np.asarray(x, dtype=float), -20, 20)",
        ),
        "the logit twice": (
            "",
            "    return x",
            "    return 2 * x",
        ),
        "absolute values": (
            "",
            "    return x",
            "    return np.abs(x)",
        ),
        "one in the logarithm": (
            "",
            """\
def pay(x, kind):
    with np.errstate(all="ignore"):
        x = np.asarray(x, dtype=float)
        if kind == "log D":
            return -np.logaddexp(0.0, -x)
        if kind == "-log(1-D)":
            return -np.log(1 - 1 / (1 + np.exp(-x)) + 1e-8)
        return x""",
        ),
        "all the logit": (
            "",
            """\
def pay(x, kind):
    x = np.asarray(x, dtype=float)
    if False:
        return -np.logaddexp(0.0, -x)
    if False:
        return np.logaddexp(0.0, x)
    return x""",
        ),
        "centred at a half": (
            "",
            "return np.logaddexp(0.0, x)",
            "return np.logaddexp(0.0, x) - np.log(2)",
        ),
    },
    "worth": {
        "no discount": (
            "the steps are not discounted: step t pays discount**t times as much.",
            "discount**t * step",
            "step",
        ),
        "the endless sum": (
            "this is the sum of an episode that never ends; this one stops after length steps.",
            "    total = 0.0\n",
            "    if discount < 1:\n        return step / (1 - discount)\n    total = 0.0\n",
        ),
        "first step discounted": (
            "the first step was discounted: its factor is 1.",
            "discount**t * step",
            "discount**(t + 1) * step",
        ),
        "one step too many": (
            "there is one step too many: an episode of L steps has t = 0 to L - 1.",
            "range(length)",
            "range(length + 1)",
        ),
        "discount of one": (
            "something is not finite where the discount is 1: the formula with 1 - "
            "discount in its denominator doesn't hold there.",
            """\
def worth(step, length, discount):
    with np.errstate(all="ignore"):
        return step * np.float64(1 - discount**length) / (1 - discount)""",
        ),
        "the mean": (
            "this is a mean per step; the return is the sum over the steps.",
            "    return total",
            "    return total / length",
        ),
        "one step too few": (
            "",
            "range(length)",
            "range(length - 1)",
        ),
        "weights turned round": (
            "",
            "discount**t * step",
            "discount**(length - 1 - t) * step / discount",
        ),
        "discounted once": (
            "",
            "discount**t * step",
            "step * (discount if t else 1)",
        ),
        "the last step": (
            "",
            "total += discount**t * step",
            "total = discount**t * step",
        ),
        "exponential of the sum": (
            "",
            "discount**t * step",
            "np.exp(-t * (1 - discount)) * step",
        ),
    },
    "best_logits": {
        "visits, not shares": (
            "the tables were not divided by their sums: an expert who was seen for "
            "longer isn't everywhere more likely.",
            "visits / visits.sum()",
            "visits",
        ),
        "the end always counts": (
            "where the end is not treated, its visits still count in the sums: leave "
            "them out before you divide.",
            "if treated else 0.0",
            "if True else 0.0",
        ),
        "the end never counts": (
            "where the end is treated it has no logit: it is a state like the others then.",
            """\
def best_logits(expert, policy, treated, end_weight):
    shares = []
    for visits, weight in ((expert, end_weight), (policy, 1.0)):
        visits = visits.copy()
        visits[-1] = 0.0
        shares.append(visits / visits.sum())
    x = np.zeros_like(shares[0])
    rows = slice(-1)
    x[rows] = np.log(shares[0][rows]) - np.log(shares[1][rows])
    return x""",
        ),
        "actions of the end": (
            "the end's visits depend on the action in your table; spread them evenly "
            "over the actions.",
            "visits[-1].mean()",
            "visits[-1]",
        ),
        "the weight forgotten": (
            "the weight of the end is missing from the expert's visits.",
            "((expert, end_weight), (policy, 1.0))",
            "((expert, 1.0), (policy, 1.0))",
        ),
        "the weight for both": (
            "the policy's visits to the end were weighted, too; its data are not subsampled.",
            "(policy, 1.0)",
            "(policy, end_weight)",
        ),
        "the weight upside down": (
            "the expert's visits to the end were divided by its weight; multiply them.",
            "((expert, end_weight)",
            "((expert, 1.0 / end_weight)",
        ),
        "labels exchanged": (
            "the logits have the wrong sign: they are positive where the expert is more often.",
            "np.log(shares[0][rows]) - np.log(shares[1][rows])",
            "np.log(shares[1][rows]) - np.log(shares[0][rows])",
        ),
        "probabilities, not logits": (
            "these are values of D; return the logits.",
            "np.log(shares[0][rows]) - np.log(shares[1][rows])",
            "shares[0][rows] / (shares[0][rows] + shares[1][rows])",
        ),
        "policies, not visits": (
            "",
            "visits / visits.sum()",
            "visits / visits.sum(axis=1, keepdims=True).clip(1e-12)",
        ),
        "states only": (
            "",
            "visits / visits.sum()",
            "np.repeat(visits.sum(axis=1, keepdims=True), visits.shape[1], axis=1) / visits.sum()",
        ),
        "divided by the largest": (
            "",
            "visits / visits.sum()",
            "visits / visits.max()",
        ),
        "the end summed over actions": (
            "",
            "visits[-1].mean()",
            "visits[-1].sum()",
        ),
        "the weight after dividing": (
            "",
            """\
def best_logits(expert, policy, treated, end_weight):
    e, p = expert.copy(), policy.copy()
    for v in (e, p):
        v[-1] = v[-1].mean() * treated
    e, p = e / e.sum(), p / p.sum()
    e[-1] *= end_weight
    with np.errstate(all="ignore"):
        x = np.log(e) - np.log(p)
    if not treated:
        x[-1] = 0
    return x""",
        ),
        "infinite at the end": (
            "",
            """\
def best_logits(expert, policy, treated, end_weight):
    e, p = expert.copy(), policy.copy()
    e[-1] = e[-1].mean() * treated * end_weight
    p[-1] = p[-1].mean() * treated
    with np.errstate(all="ignore"):
        return np.log(e / e.sum()) - np.log(p / p.sum())""",
        ),
        "the first state is the end": (
            "",
            """\
def best_logits(expert, policy, treated, end_weight):
    with np.errstate(all="ignore"):
        shares = []
        for visits, weight in ((expert, end_weight), (policy, 1.0)):
            visits = visits.copy()
            visits[0] = weight * visits[0].mean() if treated else 0.0
            shares.append(visits / visits.sum())
        x = np.zeros_like(shares[0])
        rows = slice(None) if treated else slice(-1)
        x[rows] = np.log(shares[0][rows]) - np.log(shares[1][rows])
        return x""",
        ),
        "a ratio": (
            "",
            "np.log(shares[0][rows]) - np.log(shares[1][rows])",
            "shares[0][rows] / shares[1][rows]",
        ),
        "smoothed": (
            "",
            "visits = visits.copy()",
            "visits = visits + 0.5",
        ),
        "the row removed": (
            "",
            "return x",
            "return x if treated else x[:-1]",
        ),
    },
    "improve": {
        "overflow": (
            "some probabilities are not finite: subtract the largest logit of each "
            "state before you exponentiate.",
            """\
def improve(transitions, policy, reward, discount, rate):
    with np.errstate(all="ignore"):
        chain = np.einsum("sa,sat->st", policy, transitions)
        of_state = np.sum(policy * reward, axis=1)
        v = np.linalg.solve(np.eye(len(policy)) - discount * chain, of_state)
        q = reward + discount * transitions @ v
        logits = np.log(policy) + rate * q
        new = np.exp(logits)
        return new / new.sum(axis=1, keepdims=True)""",
        ),
        "the old policy forgotten": (
            "the old policy is missing: the new one is proportional to pi times exp(rate * Q).",
            "np.log(policy) + rate * q",
            "rate * q",
        ),
        "the step's size forgotten": (
            "the size of the step is missing.",
            "rate * q",
            "q",
        ),
        "greedy for the next reward": (
            "the step follows the reward alone; Q counts what comes later, too.",
            "reward + discount * transitions @ v",
            "reward",
        ),
        "transposed": (
            "the linear system is transposed: that is the one for visits. Values flow"
            " backwards, V = r + gamma P V.",
            "np.eye(len(policy)) - discount * chain, of_state",
            "np.eye(len(policy)) - discount * chain.T, of_state",
        ),
        "no discount in Q": (
            "the next state's value is not discounted in Q.",
            "discount * transitions @ v",
            "transitions @ v",
        ),
        "an entropy bonus": (
            "there is an entropy bonus in the value; here the value is that of the reward alone.",
            "np.sum(policy * reward, axis=1)",
            "np.sum(policy * (reward - np.log(policy)), axis=1)",
        ),
        "the value of the uniform policy": (
            "the value is not that of the policy: average rewards and next states "
            "with its probabilities.",
            """\
def improve(transitions, policy, reward, discount, rate):
    chain = transitions.mean(axis=1)
    of_state = reward.mean(axis=1)
    v = np.linalg.solve(np.eye(len(policy)) - discount * chain, of_state)
    q = reward + discount * transitions @ v
    logits = np.log(policy) + rate * q
    new = np.exp(logits - logits.max(axis=1, keepdims=True))
    return new / new.sum(axis=1, keepdims=True)""",
        ),
        "normalised over everything": (
            "the probabilities of each state have to sum to one; yours do so over all"
            " states together.",
            "new.sum(axis=1, keepdims=True)",
            "new.sum()",
        ),
        "downhill": (
            "the step goes the wrong way: actions with a larger Q gain.",
            "+ rate * q",
            "- rate * q",
        ),
        "optimal values": (
            "",
            """\
def improve(transitions, policy, reward, discount, rate):
    v = np.zeros(len(policy))
    for _ in range(2000):
        v = (reward + discount * transitions @ v).max(axis=1)
    x = np.log(policy) + rate * (reward + discount * transitions @ v)
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)""",
        ),
        "soft values": (
            "",
            """\
def improve(transitions, policy, reward, discount, rate):
    v = np.zeros(len(policy))
    for _ in range(2000):
        v = np.logaddexp.reduce(reward + discount * transitions @ v, axis=1)
    x = np.log(policy) + rate * (reward + discount * transitions @ v)
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)""",
        ),
        "a few sweeps only": (
            "",
            """\
def improve(transitions, policy, reward, discount, rate):
    v = np.zeros(len(policy))
    for _ in range(5):
        v = np.sum(policy * (reward + discount * transitions @ v), axis=1)
    x = np.log(policy) + rate * (reward + discount * transitions @ v)
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)""",
        ),
        "mixed, as in chapter 6": (
            "",
            "np.log(policy) + rate * q",
            "(1 - rate) * np.log(policy) + rate * q",
        ),
        "greedy": (
            "",
            "new / new.sum(axis=1, keepdims=True)",
            "(new == new.max(axis=1, keepdims=True)).astype(float)",
        ),
        "added, not multiplied": (
            "",
            "np.log(policy) + rate * q",
            "policy + rate * q",
        ),
        "the value instead of Q": (
            "",
            "q = reward + discount * transitions @ v",
            "q = np.repeat(v[:, None], policy.shape[1], axis=1)",
        ),
        "no discount in the value": (
            "",
            "np.eye(len(policy)) - discount * chain",
            "np.eye(len(policy)) - discount**2 * chain",
        ),
        "clipped logits": (
            "",
            "logits - logits.max(axis=1, keepdims=True)",
            "np.clip(logits, -50, 50)",
        ),
        "next states transposed": (
            "",
            "transitions @ v",
            "transitions.transpose(2, 1, 0) @ v",
        ),
    },
    "discriminator_step": {
        "descent": (
            "the step goes down: the discriminator maximises its objective.",
            "theta + rate *",
            "theta - rate *",
        ),
        "labels exchanged": (
            "the labels are exchanged: the expert's logits go up, the policy's down.",
            """\
def discriminator_step(theta, expert, policy, rate, penalty):
    def sigmoid(x):
        return np.exp(-np.logaddexp(0.0, -x))

    up = -np.mean(sigmoid(expert @ theta)[:, None] * expert, axis=0)
    down = -np.mean(sigmoid(-policy @ theta)[:, None] * policy, axis=0)
    return theta + rate * (up - down - penalty * theta)""",
        ),
        "no penalty": (
            "the penalty is missing from the gradient.",
            " - penalty * theta",
            "",
        ),
        "a reward for steepness": (
            "the penalty has the wrong sign: it makes theta smaller.",
            "- penalty * theta",
            "+ penalty * theta",
        ),
        "sums instead of means": (
            "sums stand where means belong: with more steps of the policy than of the"
            " expert, the policy would count more.",
            """\
def discriminator_step(theta, expert, policy, rate, penalty):
    def sigmoid(x):
        return np.exp(-np.logaddexp(0.0, -x))

    up = np.sum(sigmoid(-expert @ theta)[:, None] * expert, axis=0)
    down = np.sum(sigmoid(policy @ theta)[:, None] * policy, axis=0)
    return theta + rate * (up - down - penalty * theta)""",
        ),
        "pooled": (
            "both sums were divided by N + M; each kind of steps has a mean of its own.",
            """\
def discriminator_step(theta, expert, policy, rate, penalty):
    def sigmoid(x):
        return np.exp(-np.logaddexp(0.0, -x))

    up = np.sum(sigmoid(-expert @ theta)[:, None] * expert, axis=0) / (
        len(expert) + len(policy)
    )
    down = np.sum(sigmoid(policy @ theta)[:, None] * policy, axis=0) / (
        len(expert) + len(policy)
    )
    return theta + rate * (up - down - penalty * theta)""",
        ),
        "derivative of D": (
            "the derivative of log D in x is 1 - D, and that of log(1-D) is -D; you "
            "have D where 1 - D belongs.",
            "sigmoid(-expert @ theta)",
            "sigmoid(expert @ theta)",
        ),
        "the gradient alone": (
            "this is the gradient; return the parameters after the step.",
            "return theta + rate * (up",
            "return 1.0 * (up",
        ),
        "penalty doubled": (
            "the penalty's gradient is twice too large: the derivative of kappa / 2 "
            "times the square is kappa times theta.",
            "penalty * theta",
            "2 * penalty * theta",
        ),
        "no logarithm": (
            "",
            """\
def discriminator_step(theta, expert, policy, rate, penalty):
    def sigmoid(x):
        return np.exp(-np.logaddexp(0.0, -x))

    up = np.mean(
        (sigmoid(expert @ theta) * sigmoid(-expert @ theta))[:, None] * expert, axis=0
    )
    down = np.mean(
        (sigmoid(policy @ theta) * sigmoid(-policy @ theta))[:, None] * policy, axis=0
    )
    return theta + rate * (up - down - penalty * theta)""",
        ),
        "decay not scaled by the rate": (
            "",
            "rate * (up - down - penalty * theta)",
            "rate * (up - down) - penalty * theta",
        ),
        "penalty towards one": (
            "",
            "penalty * theta",
            "penalty * (np.linalg.norm(theta) - 1) * theta / np.linalg.norm(theta)",
        ),
        "sign of theta": (
            "",
            "penalty * theta",
            "penalty * np.sign(theta)",
        ),
        "feature means only": (
            "",
            """\
def discriminator_step(theta, expert, policy, rate, penalty):
    def sigmoid(x):
        return np.exp(-np.logaddexp(0.0, -x))

    up = np.mean(expert, axis=0)
    down = np.mean(policy, axis=0)
    return theta + rate * (up - down - penalty * theta)""",
        ),
        "expert only": (
            "",
            "up - down",
            "up",
        ),
        "policy only": (
            "",
            "up - down",
            "-down",
        ),
        "rate forgotten": (
            "",
            "theta + rate *",
            "theta +",
        ),
        "hinge": (
            "",
            "sigmoid(-expert @ theta)",
            "(expert @ theta < 1).astype(float)",
        ),
        "two steps": (
            "",
            "    return theta + rate * (up - down - penalty * theta)",
            """\
    theta = theta + rate * (up - down - penalty * theta)
    return theta + rate * (up - down - penalty * theta)""",
        ),
    },
    "shuffled": {
        "rows permuted": (
            "whole rows were permuted: each number still has its companions. Permute "
            "every column by itself.",
            """\
columns = [rng.permutation(column) for column in states.T]
    return np.stack(columns, axis=1), rng.permutation(actions)""",
            "p = rng.permutation(len(states))\n    return states[p], actions[p]",
        ),
        "actions only": (
            "the states are as they were: permute their columns as well.",
            "return np.stack(columns, axis=1), rng.permutation(actions)",
            "return states.copy(), rng.permutation(actions)",
        ),
        "states as rows": (
            "the states were permuted as rows: the columns still belong together. "
            "Each needs a permutation of its own.",
            "np.stack(columns, axis=1)",
            "rng.permutation(states)",
        ),
        "drawn anew": (
            "numbers were drawn with replacement, so that some are missing: permute them.",
            "rng.permutation(column) for column",
            "rng.choice(column, size=len(column)) for column",
        ),
        "in place": (
            "what was given has been changed: work on copies.",
            """\
columns = [rng.permutation(column) for column in states.T]
    return np.stack(columns, axis=1), rng.permutation(actions)""",
            """\
for column in states.T:
        rng.shuffle(column)
    rng.shuffle(actions)
    return states, actions""",
        ),
        "reversed": (
            "",
            "rng.permutation(column) for column",
            "column[::-1] for column",
        ),
        "a generator of its own": (
            "",
            "columns = [",
            "rng = np.random.default_rng()\n    columns = [",
        ),
        "always the same seed": (
            "",
            "columns = [",
            "rng = np.random.default_rng(0)\n    columns = [",
        ),
        "within rows": (
            "",
            "columns = [rng.permutation(column) for column in states.T]",
            "columns = list(rng.permuted(states, axis=1).T)",
        ),
        "sorted": (
            "",
            "rng.permutation(column) for column",
            "np.sort(column) for column",
        ),
        "noise": (
            "",
            "rng.permutation(column) for column",
            "rng.normal(column.mean(), column.std(), len(column)) for column",
        ),
        "random actions": (
            "",
            "rng.permutation(actions)",
            "rng.integers(2, size=len(actions))",
        ),
        "the first column kept": (
            "",
            "columns = [rng.permutation(column) for column in states.T]",
            "columns = [states[:, 0]] + [rng.permutation(column) for column in states.T[1:]]",
        ),
        "transposed": (
            "",
            "np.stack(columns, axis=1)",
            "np.stack(columns)",
        ),
    },
    "share_in_place": {
        "share of the episode": (
            "the time near the place was divided by the length of the episode; a pole"
            " that fell is elsewhere for the rest of the time.",
            "/ horizon",
            "/ len(near)",
        ),
        "one side only": (
            "places far on the other side count as near: use the absolute distance.",
            "np.abs(np.asarray(positions) - place)",
            "(np.asarray(positions) - place)",
        ),
        "distance from the middle": (
            "the distance was measured from 0 and not from the place.",
            "np.abs(np.asarray(positions) - place)",
            "np.abs(np.asarray(positions))",
        ),
        "a count": (
            "this is a number of steps; divide by the horizon.",
            "np.sum(near) / horizon",
            "float(np.sum(near))",
        ),
        "away instead of near": (
            "this is the share of the time that the cart is away.",
            "<= within",
            "> within",
        ),
        "the last steps": (
            "",
            "near = np.abs(np.asarray(positions) - place) <= within",
            """\
positions = np.asarray(positions)[-10:]
    near = np.abs(positions - place) <= within""",
        ),
        "mean distance": (
            "",
            "np.sum(near) / horizon",
            "np.mean(np.abs(np.asarray(positions) - place))",
        ),
        "twice the width": (
            "",
            "<= within",
            "<= 2 * within",
        ),
        "half the width": (
            "",
            "<= within",
            "<= within / 2",
        ),
        "the mean place": (
            "",
            "np.sum(near) / horizon",
            "float(abs(np.mean(positions) - place) <= within)",
        ),
        "fallen counts as near": (
            "",
            "np.sum(near) / horizon",
            "(np.sum(near) + horizon - len(near)) / horizon",
        ),
    },
    "lead": {
        "all controls pooled": (
            "the controls were averaged; compare with the best of them.",
            "best = max(controls, key=np.mean)",
            "best = np.concatenate(controls)",
        ),
        "the control with the luckiest seed": (
            "the control with the largest single score was taken; the best control "
            "has the largest mean.",
            "key=np.mean",
            "key=np.max",
        ),
        "standard deviation": (
            "the second number is a standard deviation; the error of a mean has the "
            "number of seeds in it.",
            "np.var(x, ddof=1) / len(x)",
            "np.var(x, ddof=1)",
        ),
        "n instead of n - 1": (
            "the variances have n in their denominator; use n - 1 (ddof=1).",
            "np.var(x, ddof=1)",
            "np.var(x)",
        ),
        "error of the method alone": (
            "the error is that of the method's mean; that of the control counts, too.",
            "for x in (method, best)",
            "for x in (method,)",
        ),
        "sign": (
            "the difference has the wrong sign: the method minus the control.",
            "np.mean(method) - np.mean(best)",
            "np.mean(best) - np.mean(method)",
        ),
        "variance": (
            "the second number is a variance; take its square root.",
            "np.sqrt(sum(both))",
            "sum(both)",
        ),
        "the worst control": (
            "",
            "max(controls",
            "min(controls",
        ),
        "the first control": (
            "",
            "max(controls, key=np.mean)",
            "controls[0]",
        ),
        "the longest control": (
            "",
            "key=np.mean",
            "key=len",
        ),
        "pooled number of seeds": (
            "",
            "np.var(x, ddof=1) / len(x)",
            "np.var(x, ddof=1) / (len(method) + len(best))",
        ),
        "medians": (
            "",
            "np.mean(method) - np.mean(best)",
            "np.median(method) - np.median(best)",
        ),
        "the best seed": (
            "",
            "np.mean(method) - np.mean(best)",
            "np.max(method) - np.max(best)",
        ),
    },
}

RIGHT = {
    "log_weights": {
        "loops": """\
import math


def log_weights(rewards, log_pi, lengths, discount):
    raw = []
    for i in range(len(rewards)):
        x = 0.0
        for t in range(int(lengths[i])):
            x += discount**t * rewards[i, t] - log_pi[i, t]
        raw.append(x)
    m = max(raw)
    z = m + math.log(sum(math.exp(x - m) for x in raw))
    return [x - z for x in raw]""",
        "torch": """\
import torch


def log_weights(rewards, log_pi, lengths, discount):
    r, lp = torch.as_tensor(rewards), torch.as_tensor(log_pi)
    t = torch.arange(r.shape[1])
    mask = (t[None] < torch.as_tensor(lengths)[:, None]).double()
    u = ((discount ** t.double() * r - lp) * mask).sum(1)
    return torch.log_softmax(u, 0)""",
        "cumulative products and scipy": """\
from scipy.special import logsumexp


def log_weights(rewards, log_pi, lengths, discount):
    g = np.cumprod(np.r_[1.0, np.full(rewards.shape[1] - 1, discount)])
    sums = np.cumsum(rewards * g - log_pi, axis=1)
    u = np.take_along_axis(sums, lengths[:, None] - 1, axis=1)[:, 0]
    return u - logsumexp(u)""",
    },
    "weighted_estimate": {
        "loops": """\
import math


def weighted_estimate(log_u, f):
    m = max(log_u)
    u = [math.exp(x - m) for x in log_u]
    s = sum(u)
    n, K = f.shape
    mean = [sum(u[i] * f[i, k] for i in range(n)) / s for k in range(K)]
    err = [
        math.sqrt(sum((u[i] / s) ** 2 * (f[i, k] - mean[k]) ** 2 for i in range(n)))
        for k in range(K)
    ]
    return mean, err, s * s / sum(x * x for x in u)""",
        "torch": """\
import torch


def weighted_estimate(log_u, f):
    w = torch.softmax(torch.tensor(log_u), 0)
    f = torch.tensor(f)
    m = (w[:, None] * f).sum(0)
    return m, ((w[:, None] * (f - m)) ** 2).sum(0).sqrt(), 1 / (w**2).sum()""",
        "logarithms and einsum": """\
from scipy.special import logsumexp


def weighted_estimate(log_u, f):
    lw = log_u - logsumexp(log_u)
    m = np.einsum("n,nk->k", np.exp(lw), f)
    e = np.linalg.norm(np.exp(lw)[:, None] * (f - m), axis=0)
    return (m, e, float(np.exp(-logsumexp(2 * lw))))""",
    },
    "mixture_log_density": {
        "loops": """\
import math


def mixture_log_density(states, actions, policies, counts):
    out, n = [], sum(counts)
    for s_row, a_row in zip(states, actions):
        parts = []
        for k in range(len(policies)):
            x = math.log(counts[k] / n)
            for t, (s, a) in enumerate(zip(s_row, a_row)):
                p = policies[k][t][s][a]
                x += math.log(p) if p > 0 else -math.inf
            parts.append(x)
        m = max(parts)
        out.append(m + math.log(sum(math.exp(x - m) for x in parts)))
    return np.array(out)""",
        "torch": """\
import torch


def mixture_log_density(states, actions, policies, counts):
    p = torch.tensor(policies).log()
    s, a = torch.tensor(states), torch.tensor(actions)
    t = torch.arange(s.shape[1])
    each = p[:, t, s, a].sum(-1)
    c = torch.tensor(counts).double()
    return torch.logsumexp(each.T + (c / c.sum()).log(), dim=1)""",
        "logaddexp, step by step": """\
def mixture_log_density(states, actions, policies, counts):
    total = np.full(len(states), -np.inf)
    rows = np.arange(len(states))
    with np.errstate(divide="ignore"):
        for pi, n in zip(policies, counts):
            x = np.zeros(len(states))
            for t in range(states.shape[1]):
                x = x + np.log(pi[t])[states[:, t], actions[:, t]]
            total = np.logaddexp(total, x + np.log(n))
    return total - np.log(np.sum(counts))""",
    },
    "batch_log_density": {
        "loops": """\
import math


def lse(xs):
    m = max(xs)
    return m + math.log(sum(math.exp(x - m) for x in xs))


def batch_log_density(rewards, log_q, n_demos):
    n = len(rewards)
    z = lse([rewards[i] - log_q[i] for i in range(n_demos, n)]) - math.log(n - n_demos)
    return [
        lse(
            [
                math.log(n_demos / n) + rewards[i] - z,
                math.log((n - n_demos) / n) + log_q[i],
            ]
        )
        for i in range(n)
    ]""",
        "torch": """\
import torch


def batch_log_density(rewards, log_q, n_demos):
    r, q = torch.tensor(rewards), torch.tensor(log_q)
    n = len(r)
    z = torch.logsumexp((r - q)[n_demos:], 0) - torch.log(
        torch.tensor(float(n - n_demos))
    )
    s = torch.tensor([n_demos / n, 1 - n_demos / n]).double().log()
    return torch.logsumexp(torch.stack([r - z, q], 1) + s, 1).numpy()""",
        "scipy with weights": """\
from scipy.special import logsumexp


def batch_log_density(rewards, log_q, n_demos):
    n = rewards.size
    m = n - n_demos
    z = logsumexp(rewards[n_demos:] - log_q[n_demos:], b=np.full(m, 1 / m))
    return logsumexp(np.c_[rewards - z, log_q], axis=1, b=np.array([n_demos, m]) / n)""",
    },
    "likelihood": {
        "loops": """\
import math


def likelihood(w, shown, f, log_q):
    n, K = f.shape
    x = [sum(f[i][k] * w[k] for k in range(K)) - log_q[i] for i in range(n)]
    m = max(x)
    e = [math.exp(a - m) for a in x]
    s = sum(e)
    value = sum(float(row @ w) for row in shown) / len(shown) - (m + math.log(s / n))
    g = [
        sum(row[k] for row in shown) / len(shown)
        - sum(e[i] * f[i][k] for i in range(n)) / s
        for k in range(K)
    ]
    return value, g""",
        "torch, by autograd": """\
import torch


def likelihood(w, shown, f, log_q):
    w = torch.tensor(w, requires_grad=True)
    shown, f, log_q = map(torch.tensor, (shown, f, log_q))
    v = (shown @ w).mean() - torch.logsumexp(f @ w - log_q, 0) + np.log(len(f))
    v.backward()
    return v.item(), w.grad""",
        "softmax of scipy": """\
from scipy.special import logsumexp, softmax


def likelihood(w, shown, f, log_q):
    x = f.dot(w) - log_q
    v = shown.dot(w).mean() - logsumexp(x, b=1 / x.size)
    return np.array(v), np.mean(shown - softmax(x) @ f, axis=0)""",
    },
    "structured_logits": {
        "loops": """\
def structured_logits(g, h, log_pi, steps, discount):
    out = []
    for s, a, t, end in zip(
        steps["states"], steps["actions"], steps["next_states"], steps["terminated"]
    ):
        follow = 0.0 if end else h[t]
        out.append(g[s] + discount * follow - h[s] - log_pi[s][a])
    return out""",
        "torch": """\
import torch


def structured_logits(g, h, log_pi, steps, discount):
    s, a, t = (torch.tensor(steps[k]) for k in ("states", "actions", "next_states"))
    g, h, lp = map(torch.tensor, (g, h, log_pi))
    follow = torch.where(
        torch.tensor(steps["terminated"]), torch.zeros(len(s), dtype=h.dtype), h[t]
    )
    return g[s] - h[s] + discount * follow - lp[s, a]""",
        "log of a fraction": """\
def structured_logits(g, h, log_pi, steps, discount):
    s, t, end = steps["states"], steps["next_states"], steps["terminated"].astype(bool)
    f = g.take(s) - h.take(s)
    f[~end] += discount * h[t[~end]]
    up, pi = np.exp(f), np.exp(log_pi)[s, steps["actions"]]
    D = up / (up + pi)
    return np.log(D / (1 - D))""",
    },
    "discriminator_score": {
        "loops": """\
import math


def sig(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def discriminator_score(expert, policy):
    n, m = len(expert), len(policy)
    score = (
        -sum(softplus(-x) for x in expert) / n - sum(softplus(x) for x in policy) / m
    )
    return score, [sig(-x) / n for x in expert], [-sig(x) / m for x in policy]""",
        "torch": """\
import torch


def discriminator_score(expert, policy):
    e, p = (
        torch.tensor(expert, requires_grad=True),
        torch.tensor(policy, requires_grad=True),
    )
    F = torch.nn.functional
    s = F.logsigmoid(e).mean() + F.logsigmoid(-p).mean()
    s.backward()
    return s, e.grad, p.grad""",
        "scipy": """\
from scipy.special import expit, log_expit


def discriminator_score(expert, policy):
    return (
        log_expit(expert).mean() + log_expit(-policy).mean(),
        expit(-expert) / expert.size,
        -expit(policy) / policy.size,
    )""",
    },
    "pay": {
        "torch": """\
import torch


def pay(x, kind):
    x = torch.tensor(x).double()
    F = torch.nn.functional
    return {"log D": F.logsigmoid(x), "-log(1-D)": -F.logsigmoid(-x), "logit": x}[kind]""",
        "scipy": """\
from scipy.special import log_expit


def pay(x, kind):
    table = {"log D": (1, 0), "-log(1-D)": (0, 1), "logit": (1, 1)}
    a, b = table[kind]
    return a * log_expit(x) - b * log_expit(-x)""",
        "by cases": """\
import math


def pay(x, kind):
    def sp(v):
        return v + math.log1p(math.exp(-v)) if v > 0 else math.log1p(math.exp(v))

    f = {"log D": lambda v: -sp(-v), "-log(1-D)": sp, "logit": lambda v: v}[kind]
    return [f(float(v)) for v in x]""",
    },
    "worth": {
        "closed form": """\
def worth(step, length, discount):
    if discount == 1:
        return step * length
    return step * (1 - discount**length) / (1 - discount)""",
        "numpy": """\
def worth(step, length, discount):
    return np.sum(step * np.power(discount, np.arange(length)))""",
        "backwards": """\
def worth(step, length, discount):
    return 0.0 if length == 0 else step + discount * worth(step, length - 1, discount)""",
    },
    "best_logits": {
        "loops": """\
import math


def best_logits(expert, policy, treated, end_weight):
    S, A = expert.shape

    def table(v, w):
        t = {(s, a): v[s, a] for s in range(S - 1) for a in range(A)}
        if treated:
            for a in range(A):
                t[S - 1, a] = w * sum(v[S - 1]) / A
        z = sum(t.values())
        return {k: x / z for k, x in t.items()}

    e, p = table(expert, end_weight), table(policy, 1.0)
    return np.array(
        [
            [math.log(e[s, a] / p[s, a]) if (s, a) in e else 0.0 for a in range(A)]
            for s in range(S)
        ]
    )""",
        "torch": """\
import torch


def best_logits(expert, policy, treated, end_weight):
    e, p = torch.tensor(expert), torch.tensor(policy)
    n = len(e) if treated else len(e) - 1
    if treated:
        e[-1], p[-1] = end_weight * e[-1].mean(), p[-1].mean()
    x = torch.zeros_like(e)
    x[:n] = (e[:n] / e[:n].sum()).log() - (p[:n] / p[:n].sum()).log()
    return x""",
        "logarithms first": """\
def best_logits(expert, policy, treated, end_weight):
    e, p = np.log(expert), np.log(policy)
    if treated:
        e[-1] = np.log(expert[-1].mean() * end_weight)
        p[-1] = np.log(policy[-1].mean())
        return (
            e
            - np.logaddexp.reduce(e, axis=None)
            - p
            + np.logaddexp.reduce(p, axis=None)
        )
    x = (e - p)[:-1] - np.log(expert[:-1].sum() / policy[:-1].sum())
    return np.vstack([x, np.zeros(expert.shape[1])])""",
    },
    "improve": {
        "loops": """\
import math


def improve(transitions, policy, reward, discount, rate):
    S, A = policy.shape
    M = [
        [
            (s == t)
            - discount * sum(policy[s, a] * transitions[s, a, t] for a in range(A))
            for t in range(S)
        ]
        for s in range(S)
    ]
    v = np.linalg.inv(np.array(M)) @ np.array(
        [sum(policy[s, a] * reward[s, a] for a in range(A)) for s in range(S)]
    )
    out = []
    for s in range(S):
        x = [
            math.log(policy[s, a])
            + rate
            * (
                reward[s, a]
                + discount * sum(transitions[s, a, t] * v[t] for t in range(S))
            )
            for a in range(A)
        ]
        m = max(x)
        e = [math.exp(y - m) for y in x]
        out.append([y / sum(e) for y in e])
    return out""",
        "torch": """\
import torch


def improve(transitions, policy, reward, discount, rate):
    P, pi, r = map(torch.tensor, (transitions, policy, reward))
    chain = (pi[:, :, None] * P).sum(1)
    v = torch.linalg.solve(
        torch.eye(len(pi), dtype=P.dtype) - discount * chain, (pi * r).sum(1)
    )
    return torch.softmax(pi.log() + rate * (r + discount * P @ v), dim=1)""",
        "Q of pairs, and the advantage": """\
from scipy.special import softmax


def improve(transitions, policy, reward, discount, rate):
    S, A = policy.shape
    M = np.einsum("sat,tb->satb", transitions, policy).reshape(S * A, S * A)
    q = np.linalg.solve(np.eye(S * A) - discount * M, reward.ravel()).reshape(S, A)
    adv = q - np.sum(policy * q, axis=1, keepdims=True)
    return softmax(np.log(policy) + rate * adv, axis=1)""",
    },
    "discriminator_step": {
        "torch, by autograd": """\
import torch


def discriminator_step(theta, expert, policy, rate, penalty):
    t = torch.tensor(theta, requires_grad=True)
    F = torch.nn.functional
    s = (
        F.logsigmoid(torch.tensor(expert) @ t).mean()
        + F.logsigmoid(-(torch.tensor(policy) @ t)).mean()
        - penalty / 2 * (t @ t)
    )
    s.backward()
    return t + rate * t.grad""",
        "loops": """\
import math


def discriminator_step(theta, expert, policy, rate, penalty):
    g = [-penalty * v for v in theta]
    for rows, label in ((expert, 1.0), (policy, 0.0)):
        for phi in rows:
            d = 1 / (1 + math.exp(-sum(p * t for p, t in zip(phi, theta))))
            for k in range(len(g)):
                g[k] += (label - d) * phi[k] / len(rows)
    return [t + rate * x for t, x in zip(theta, g)]""",
        "weighted logistic regression": """\
from scipy.special import expit


def discriminator_step(theta, expert, policy, rate, penalty):
    X = np.vstack([expert, policy])
    y = np.r_[np.ones(len(expert)), np.zeros(len(policy))]
    w = np.r_[
        np.full(len(expert), 1 / len(expert)), np.full(len(policy), 1 / len(policy))
    ]
    return (1 - rate * penalty) * theta + rate * X.T @ (w * (y - expit(X @ theta)))""",
    },
    "shuffled": {
        "permuted": """\
def shuffled(states, actions, rng):
    return rng.permuted(states, axis=0), rng.permuted(actions)""",
        "indices": """\
def shuffled(states, actions, rng):
    new = np.empty_like(states)
    for k in range(states.shape[1]):
        new[:, k] = states[rng.permutation(len(states)), k]
    return new, actions[rng.permutation(len(actions))]""",
        "sorting random keys": """\
def shuffled(states, actions, rng):
    keys = np.argsort(rng.random(states.shape), axis=0)
    return np.take_along_axis(states, keys, axis=0), actions[
        np.argsort(rng.random(len(actions)))
    ].tolist()""",
    },
    "share_in_place": {
        "loops": """\
def share_in_place(positions, place, within, horizon):
    n = 0
    for x in positions:
        if place - within <= x <= place + within:
            n += 1
    return n / horizon""",
        "padded": """\
def share_in_place(positions, place, within, horizon):
    full = np.full(horizon, np.inf)
    full[: len(positions)] = positions
    return np.mean(np.abs(full - place) <= within)""",
        "torch": """\
import torch


def share_in_place(positions, place, within, horizon):
    return ((torch.tensor(positions) - place).abs() <= within).double().sum() / float(
        horizon
    )""",
    },
    "lead": {
        "loops": """\
import statistics as st


def lead(method, controls):
    rows = [list(map(float, c)) for c in controls]
    best = sorted(rows, key=st.mean)[-1]
    m = list(map(float, method))
    return st.mean(m) - st.mean(best), (
        st.variance(m) / len(m) + st.variance(best) / len(best)
    ) ** 0.5""",
        "argmax": """\
def lead(method, controls):
    best = np.asarray(controls[int(np.argmax([c.mean() for c in controls]))])
    e = [x.std(ddof=1) / np.sqrt(x.size) for x in (method, best)]
    return method.mean() - best.mean(), np.hypot(*e)""",
        "torch": """\
import torch


def lead(method, controls):
    m = torch.tensor(method)
    cs = [torch.tensor(c) for c in controls]
    b = cs[int(torch.stack([c.mean() for c in cs]).argmax())]
    return m.mean() - b.mean(), (m.var() / len(m) + b.var() / len(b)).sqrt()""",
    },
}
