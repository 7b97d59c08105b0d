/* Figures that a reader moves.  Each has a model, which computes from the settings and touches no page, and a picture of it.
   The browser tests compare what the models compute with irl_lib. */
"use strict";
(() => {
  /* ---- Markov decision processes: steps[s][a] is a list of [next state, probability] */
  const sum = (numbers) => numbers.reduce((total, x) => total + x, 0);
  const range = (n) => [...Array(n).keys()];
  const dot = (a, b) => sum(a.map((x, i) => x * b[i]));
  const expected = (ends, v) => sum(ends.map(([t, p]) => p * v[t]));
  const softMax = (row, temperature) => {
    const top = Math.max(...row);
    return temperature ? top + temperature * Math.log(sum(row.map((x) => Math.exp((x - top) / temperature)))) : top;
  };

  /* The (soft) optimum for rewards of states and actions; temperature 0 is the hard maximum, shared by all that attain it. */
  function plan(steps, reward, discount, temperature) {
    let v = steps.map(() => 0);
    let q;
    for (let round = 0, change = 1; round < 20000 && change > 1e-13 * (1 + Math.max(...v.map(Math.abs))); round++) {
      q = steps.map((actions, s) => actions.map((ends, a) => reward[s][a] + discount * expected(ends, v)));
      const next = q.map((row) => softMax(row, temperature));
      change = Math.max(...next.map((x, s) => Math.abs(x - v[s])));
      v = next;
    }
    const policy = q.map((row, s) => {
      const weights = row.map((x) => (temperature ? Math.exp((x - v[s]) / temperature) : Number(x > v[s] - 1e-9)));
      return weights.map((x) => x / sum(weights));
    });
    return { v, policy };
  }

  /* Where a policy is after one more step. */
  function flow(steps, policy, at) {
    const next = at.map(() => 0);
    steps.forEach((actions, s) => actions.forEach((ends, a) =>
      ends.forEach(([t, p]) => (next[t] += at[s] * policy[s][a] * p))));
    return next;
  }

  /* Expected discounted visits of a policy to the states. */
  function visited(steps, policy, start, discount) {
    const visits = start.map(() => 0);
    for (let [weight, now] = [1, start]; weight > 1e-14; weight *= discount) {
      now.forEach((p, s) => (visits[s] += weight * p));
      now = flow(steps, policy, now);
    }
    return visits;
  }

  /* The solution of a linear system, each row of which ends with its right side. */
  function solution(rows) {
    const m = [...rows];
    const n = m.length;
    for (const i of range(n)) {
      const pivot = range(n - i).reduce((best, k) => (Math.abs(m[i + k][i]) > Math.abs(m[best][i]) ? i + k : best), i);
      [m[i], m[pivot]] = [m[pivot], m[i]];
      m[i] = m[i].map((x) => x / m[i][i]);
      for (const k of range(n)) if (k !== i) m[k] = m[k].map((x, j) => x - m[k][i] * m[i][j]);
    }
    return m.map((row) => row[n]);
  }

  const models = {
    /* Weights of two features, as an angle -> the best of eight policies, and the weights for which it stays the best. */
    cone({ angle, discount }) {
      const features = [[[0.2, 0.8], [0.9, -0.3]], [[-0.5, 0.4], [0.1, -0.9]], [[0.7, 0.5], [-0.8, -0.1]]];
      const steps = range(3).map((s) => [[[s, 1]], [[(s + 1) % 3, 1]]]); // stay, or go on
      const policies = range(8).map((code) => range(3).map((s) => (code >> s) & 1));
      const means = policies.map((goes) => {
        const visits = visited(steps, goes.map((go) => [1 - go, go]), [1 / 3, 1 / 3, 1 / 3], discount);
        return [0, 1].map((k) => (1 - discount) * sum(visits.map((p, s) => p * features[s][goes[s]][k])));
      });
      const weights = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
      const worth = means.map((mean) => dot(mean, weights));
      const best = worth.indexOf(Math.max(...worth));
      /* It stays the best until the weights are at a right angle to what it has more of than another. */
      const turns = means.filter((_, i) => i !== best).map((mean) => {
        const ahead = Math.atan2(means[best][1] - mean[1], means[best][0] - mean[0]) * (180 / Math.PI) - angle;
        return ahead - 360 * Math.round(ahead / 360);
      });
      return { means, policies, best, from: angle - Math.min(...turns.map((t) => 90 - t)), to: angle + Math.min(...turns.map((t) => 90 + t)) };
    },

    /* Samples of T fair coins, weighted to be those of a coin that shows heads with probability `heads`. */
    weights({ steps, heads }) {
      const sampled = [0.5 ** steps];
      for (let k = 1; k <= steps; k++) sampled.push((sampled[k - 1] * (steps - k + 1)) / k);
      const weighted = sampled.map((p, k) => p * (2 * heads) ** k * (2 - 2 * heads) ** (steps - k));
      return { sampled, weighted, share: (0.5 / (heads ** 2 + (1 - heads) ** 2)) ** steps };
    },

    /* Rewards of the cells of a grid -> values and expected discounted visits. */
    paint({ size, cells, temperature, discount, slip }) {
      const at = (x, y) => Math.min(size - 1, Math.max(0, y)) * size + Math.min(size - 1, Math.max(0, x));
      const steps = range(size * size).map((s) => {
        const x = s % size;
        const y = (s - x) / size;
        const landed = [[1, 0], [0, 1], [-1, 0], [0, -1]].map(([dx, dy]) => at(x + dx, y + dy));
        return landed.map((t) => [[t, 1 - slip], ...landed.map((u) => [u, slip / 4])]);
      });
      const { v, policy } = plan(steps, cells.map((r) => [r, r, r, r]), discount, temperature);
      return { v, policy, visits: visited(steps, policy, cells.map(() => 1 / cells.length), discount) };
    },

    /* A safe action that pays nothing, and a bet: the chance of betting, by the posterior and by the causal policy. */
    gamble({ chance, win, lose, temperature }) {
      const sure = (advantage) => 1 / (1 + Math.exp(-advantage));
      const [a, b] = [win / temperature, -lose / temperature];
      return {
        posterior: sure(Math.log(chance * Math.exp(a) + (1 - chance) * Math.exp(b))),
        causal: sure(chance * a + (1 - chance) * b),
        lucky: (chance * Math.exp(a)) / (chance * Math.exp(a) + (1 - chance) * Math.exp(b)),
      };
    },

    /* Expected cost of T = 0, 1, ... steps of a copy that leaves the road by mistake and finds back by chance. */
    ditch({ error, back, longest }) {
      const costs = [0];
      let lost = 0;
      for (let t = 0; t < longest; t++) {
        costs.push(costs[t] + lost);
        lost = (1 - lost) * error + lost * (1 - back);
      }
      return { costs };
    },

    /* Texts of two tokens: what is added to all logits at the start, and after an a -> chances and implied rewards. */
    tokens({ start, after, discount }) {
      const logits = { "": { a: 1.2, b: 0.2 }, a: { a: 0.4, b: -0.6 }, b: { a: -0.2, b: 0.9 } };
      const added = { "": start, a: after, b: 0 };
      const q = (s, token) => logits[s][token] + added[s];
      const v = (s) => Math.log(Math.exp(q(s, "a")) + Math.exp(q(s, "b")));
      const texts = ["aa", "ab", "ba", "bb"].map(([one, two]) => ({
        text: `${one} ${two}`,
        chance: Math.exp(q("", one) - v("") + q(one, two) - v(one)),
        rewards: [q("", one) - discount * v(one), q(one, two)],
      }));
      return { value: v(""), texts };
    },

    /* Steps of an episode, cut after 200, of the best policy for a discriminator with the same logit everywhere. */
    sign({ logit, survival, treated }) {
      const end = 7;
      const steps = range(8).map((s) => {
        if (s === end) return [[[end, 1]], [[end, 1]]];
        const left = s > 0 ? s - 1 : survival ? end : 0;
        return [[[left, 0.9], [s + 1, 0.1]], [[left, 0.1], [s + 1, 0.9]]];
      });
      const softplus = Math.log1p(Math.exp(logit));
      const pays = { "log D": logit - softplus, "−log(1−D)": softplus, logit, FAIRL: -logit * Math.exp(logit) };
      const lasts = (pay, temperature) => {
        const { policy } = plan(steps, range(8).map((s) => Array(2).fill(pay(s))), 0.99, temperature);
        let now = range(8).map((s) => Number(s === 3));
        let length = 0;
        for (let t = 0; t < 200; t++) {
          length += 1 - now[end];
          now = flow(steps, policy, now);
        }
        return length;
      };
      const lengths = {};
      for (const [name, pay] of Object.entries(pays)) lengths[name] = lasts((s) => (s === end && !treated ? 0 : pay), 0);
      const wanted = (s) => (survival ? 1 - 0.3 * Math.abs(s - 3) : -1);
      return { pays, lengths, expert: lasts((s) => (s === end ? 0 : wanted(s)), 0.5) };
    },

    /* Constraint generation over six policies, points of two features, from the expert's point (x, y):
       the least |w|²/2 + price * slack with w·lead + slack >= margin for the policies that are known, and slack >= 0. */
    margin({ constraints, price, x, y, structured }) {
      const policies = [[0.4, 1.9], [1.3, 0.5], [1.6, 2.9], [2.4, 1.5], [3, 0.6], [3, 3.1]];
      const losses = [5, 4, 3.5, 3, 2, 0.4];
      const leads = policies.map((mean) => [x - mean[0], y - mean[1]]);
      const margins = losses.map((loss, i) => (structured ? loss : Number(leads[i].some(Boolean))));
      const violation = (w, i) => margins[i] - dot(w, leads[i]);
      const needed = (w, which) => Math.max(0, ...which.map((i) => violation(w, i)));
      const objective = (w, slack) => dot(w, w) / 2 + price * slack;
      /* At the optimum at most three constraints have multipliers, slack >= 0 (here -1) among them; they sum to the price. */
      const optimum = (known) => {
        for (const mask of range(2 ** (known.length + 1))) {
          const active = [-1, ...known].filter((_, j) => (mask >> j) & 1);
          if (!active.length || active.length > 3) continue;
          const of = active.map((i) => leads[i] || [0, 0]);
          const found = solution([...active.map((i, j) => [...of.map((lead) => dot(lead, of[j])), 1, margins[i] || 0]),
            [...active.map(() => 1), 0, price]]);
          const weights = [0, 1].map((k) => sum(of.map((lead, j) => found[j] * lead[k])));
          const slack = needed(weights, known);
          if (Math.min(...found) < -1e-9 || !(Math.abs(slack - found[active.length]) < 1e-9)) continue;
          return { weights, slack, lower: objective(weights, slack), duals: range(6).map((i) => found[active.indexOf(i)] ?? 0) };
        }
      };
      const known = [];
      let [next, found, upper] = [margins.indexOf(Math.max(...margins)), null, Infinity];
      while (next >= 0 && known.length < constraints) {
        known.push(next);
        found = optimum(known);
        const worst = needed(found.weights, range(6));
        upper = Math.min(upper, objective(found.weights, worst));
        next = worst > found.slack + 1e-9 ? range(6).find((i) => violation(found.weights, i) === worst) : -1;
      }
      return { policies, losses, margins, known, next, upper, ...found };
    },

    /* Action values of four cells in a row: those of an expert who is paid in the last one, with a number added in one
       cell, after some steps of gradient ascent -> the implied reward, and the objective with its price. */
    inverse({ cell, added, updates, price, discount, narrow }) {
      const steps = range(4).map((s) => {
        const [left, right] = [Math.max(s - 1, 0), Math.min(s + 1, 3)];
        return [[[left, 0.9], [right, 0.1]], [[left, 0.1], [right, 0.9]]];
      });
      const start = [0, 1, 0, 0];
      const each = (table) => range(4).map((s) => [0, 1].map((a) => table(s, a)));
      const expert = plan(steps, each((s) => (s === 3 ? 2 : 0)), discount, 1);
      const visits = visited(steps, expert.policy, start, discount);
      const shown = each((s, a) => visits[s] * expert.policy[s][a]);
      const measure = narrow ? shown : each(() => 1 / (1 - discount) / 8);
      const total = (table) => sum(each(table).flat());
      let q = each((s, a) => expert.v[s] + Math.log(expert.policy[s][a]) + (s === cell ? added : 0));
      for (let update = 0; ; update++) {
        const v = q.map((row) => softMax(row, 1));
        const policy = each((s, a) => Math.exp(q[s][a] - v[s]));
        const reward = each((s, a) => q[s][a] - discount * expected(steps[s][a], v));
        if (update === updates) {
          const cost = (price / 2) * total((s, a) => measure[s][a] * reward[s][a] ** 2);
          return { v, policy, reward, cost, expert: expert.policy, objective: total((s, a) => shown[s][a] * reward[s][a]) - dot(start, v) - cost };
        }
        const asked = each((s, a) => shown[s][a] - price * measure[s][a] * reward[s][a]);
        const entering = flow(steps, asked, [1, 1, 1, 1]).map((x, s) => start[s] + discount * x);
        q = each((s, a) => q[s][a] + 0.1 * (asked[s][a] - policy[s][a] * entering[s]));
      }
    },
  };

  /* ---- drawing */
  const make = (name, attributes = {}, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };
  const MAP = [[0, 34, 78], [88, 92, 110], [166, 157, 117], [254, 232, 56]];
  const color = (share) => {
    const place = Math.min(Math.max(share, 0), 1) * (MAP.length - 1);
    const i = Math.min(Math.floor(place), MAP.length - 2);
    return `rgb(${MAP[i].map((low, k) => Math.round(low + (place - i) * (MAP[i + 1][k] - low)))})`;
  };
  const percent = (x) => `${Math.round(100 * x)} %`;
  const whole = (x) => String(Math.round(x)).replace("-", "\u2212");
  const fixed = (x) => (Math.round(100 * x) / 100 || 0).toFixed(2).replace("-", "\u2212"); // no minus before 0.00

  /* Horizontal bars: [name, share of the width, what stands beside it]. */
  function bars(svg, rows) {
    svg.setAttribute("viewBox", `0 0 330 ${46 * rows.length}`);
    svg.replaceChildren(...rows.flatMap(([name, share, said], i) => [
      make("text", { x: 0, y: 46 * i + 14 }, name),
      make("rect", { x: 0, y: 46 * i + 20, width: Math.max(1, 250 * share), height: 18, class: "bar" }),
      make("text", { x: 6 + 250 * share, y: 46 * i + 34 }, said),
    ]));
  }

  /* An arrow from a point. */
  function arrow(x, y, dx, dy, color) {
    const size = Math.min(0.4, 9 / Math.max(Math.hypot(dx, dy), 1e-9));
    const barb = (turn) => `${x + dx - size * (dx * 0.8 - turn * dy * 0.6)},${y + dy - size * (dy * 0.8 + turn * dx * 0.6)}`;
    return make("path", { d: `M${x},${y}L${x + dx},${y + dy}M${barb(1)}L${x + dx},${y + dy}L${barb(-1)}`, stroke: color, class: "arrow" });
  }

  /* ---- figures: settings as sliders [least, most, step, value, label], and a function that draws and says what is seen */
  const figures = {
    gamble: {
      sliders: {
        chance: [0.02, 0.98, 0.02, 0.5, "chance of winning"], win: [0, 6, 0.5, 2, "wins"], lose: [0, 6, 0.5, 4, "or loses"],
        temperature: [0.5, 4, 0.25, 1, "temperature"],
      },
      draw(settings, svg) {
        const { posterior, causal, lucky } = models.gamble(settings);
        const { chance, win, lose } = settings;
        const mean = chance * win - (1 - chance) * lose;
        bars(svg, [["the posterior bets", posterior, percent(posterior)], ["the causal policy bets", causal, percent(causal)],
          ["a bet is won, as the posterior sees it", lucky, percent(lucky)]]);
        return `The bet is worth ${fixed(mean)} in the mean. The posterior bets with ${percent(posterior)}, the causal policy with ${percent(causal)}.`;
      },
    },

    ditch: {
      sliders: {
        error: [0.002, 0.1, 0.002, 0.01, "error on the road"], back: [0, 1, 0.02, 0, "way back found"], steps: [10, 500, 10, 200, "steps"],
      },
      draw({ error, back, steps }, svg) {
        const { costs } = models.ditch({ error, back, longest: 500 });
        const x = (t) => 36 + (290 * Math.log(t)) / Math.log(500);
        const y = (cost) => 190 - (180 * Math.log(Math.max(cost, 0.01) / 0.01)) / Math.log(1e5);
        const line = (cost, style) => make("path", { class: style, d: `M${range(499)
          .map((i) => `${x(i + 2).toFixed(1)},${Math.max(5, y(cost(i + 2))).toFixed(1)}`).join("L")}` });
        svg.setAttribute("viewBox", "0 0 335 225");
        svg.replaceChildren(
          make("rect", { x: 36, y: 5, width: 290, height: 185, class: "frame" }),
          line((t) => error * t, "bound"), line((t) => (error * t * t) / 2, "bound"), line((t) => costs[t], "curve"),
          make("circle", { cx: x(steps), cy: y(costs[steps]), r: 5, class: "mark" }),
          ...[10, 100, 500].map((t) => make("text", { x: x(t) - 12, y: 207 }, t)), make("text", { x: 120, y: 222 }, "steps T"), make("text", { x: 42, y: 20 }, "cost"),
          make("text", { x: x(150), y: y(error * 150) + 18 }, "εT"), make("text", { x: x(60) - 40, y: y(error * 1800) - 8 }, "½εT²"),
          ...[0.01, 1, 100].map((c) => make("text", { x: 2, y: y(c) + 4 }, c)));
        const slope = Math.log2(costs[steps] / costs[steps / 2]);
        return `After ${steps} steps the copy has paid ${costs[steps].toPrecision(3)}; εT is ${(error * steps).toPrecision(3)} and ½εT² ${((error * steps * steps) / 2).toPrecision(3)} (dashed). Its cost grows there like T to the power ${slope.toFixed(2)}.`;
      },
    },

    cone: {
      sliders: { angle: [0, 355, 5, 30, "angle of the weights"], discount: [0.5, 0.95, 0.05, 0.8, "discount"] },
      draw(settings, svg) {
        const { means, policies, best, from, to } = models.cone(settings);
        const point = ([x, y]) => [165 + 150 * x, 140 - 150 * y];
        const at = (degrees, r) => [165 + r * Math.cos((degrees * Math.PI) / 180), 140 - r * Math.sin((degrees * Math.PI) / 180)];
        const [x, y] = at(settings.angle, 120);
        svg.setAttribute("viewBox", "0 0 330 280");
        svg.replaceChildren(
          make("path", { class: "wedge", d: `M165,140L${at(from, 130)}A130,130 0 ${Number(to - from > 180)} 0 ${at(to, 130)}Z` }),
          arrow(165, 140, x - 165, y - 140, "currentColor"),
          ...means.map((mean, i) => {
            const [cx, cy] = point(mean);
            return make("circle", { cx, cy, r: i === best ? 8 : 5, class: i === best ? "mark" : "dot" });
          }));
        const does = policies[best].map((go, s) => `${go ? "goes on" : "stays"} in state ${s}`).join(", ");
        return `With the weights at ${settings.angle}° the best of the eight policies (dots) ${does}. It is the best for all weights from ${whole(from)}° to ${whole(to)}°, ${Math.round(to - from)} of 360 degrees.`;
      },
    },

    weights: {
      sliders: { steps: [1, 60, 1, 10, "steps"], heads: [0.5, 0.9, 0.02, 0.7, "heads, by the model"] },
      draw(settings, svg) {
        const { sampled, weighted, share } = models.weights(settings);
        const most = Math.max(...sampled, ...weighted);
        const width = 320 / sampled.length;
        svg.setAttribute("viewBox", "0 0 330 190");
        svg.replaceChildren(...[[sampled, "dotted", 0], [weighted, "bar", 0.45]].flatMap(([shares, style, shift]) =>
          shares.map((p, k) => make("rect", {
            x: 5 + width * (k + shift), y: 165 - 150 * (p / most), width: 0.45 * width, height: 150 * (p / most), class: style,
          }))), make("text", { x: 5, y: 182 }, "0 heads"), make("text", { x: 265, y: 182 }, `${settings.steps} heads`));
        let [k, held, samples] = [settings.steps, 0, 0];
        for (; k >= 0 && held < 0.9; k--) [held, samples] = [held + weighted[k], samples + sampled[k]];
        return `Grey: the samples, by their number of heads; orange: their weight. The weights leave ${(100 * share).toPrecision(2)} % of the samples; ${(100 * held).toFixed(0)} % of the weight is on ${(100 * samples).toPrecision(2)} % of them.`;
      },
    },

    tokens: {
      sliders: {
        start: [-3, 3, 0.5, 0, "added at the start"], after: [-3, 3, 0.5, 0, "added after an a"], discount: [0.5, 1, 0.05, 1, "discount"],
      },
      draw(settings, svg) {
        const { value, texts } = models.tokens(settings);
        const total = ([one, two]) => one + settings.discount * two;
        bars(svg, texts.map(({ text, chance, rewards: [one, two] }) =>
          [`${text}: rewards ${fixed(one)} and ${fixed(two)}, together ${fixed(total([one, two]))}`, chance, percent(chance)]));
        const [{ chance, rewards }] = texts;
        return `The bars are the chances of the texts. The start is worth ${fixed(value)}. The rewards of “a a” are ${rewards.map(fixed).join(" and ")}, together ${fixed(total(rewards))}; its log-chance and that worth are ${fixed(Math.log(chance) + value)}.`;
      },
    },

    sign: {
      sliders: { logit: [-2, 2, 0.25, 0, "logit, everywhere"] },
      switches: { survival: ["a survival task (off: a goal task)", true], treated: ["the end treated as a state", false] },
      draw(settings, svg) {
        const { pays, lengths, expert } = models.sign(settings);
        const rows = Object.keys(pays).map((name) =>
          [`${name} pays ${fixed(pays[name])}`, lengths[name] / 200, `${lengths[name].toFixed(0)} steps`]);
        bars(svg, [["the expert", expert / 200, `${expert.toFixed(0)} steps`], ...rows]);
        return `Episodes last ${rows.map(([name, , said]) => `${said} where ${name.split(" pays")[0]} is paid`).join(", ")}; the expert’s last ${expert.toFixed(0)}.`;
      },
    },

    margin: {
      sliders: {
        constraints: [1, 6, 1, 1, "constraints, added one by one"], price: [0.25, 8, 0.25, 2, "price of slack C"],
        x: [1, 4, 0.1, 3.4, "the expert’s feature 1"], y: [0.5, 3.5, 0.1, 2.6, "its feature 2"],
      },
      switches: { structured: ["structured margin (off: 1 for all)", false] },
      hint: "The arrow is w. The line from each policy is its margin along w: it may reach to the dashed line, and with slack to the solid one. Orange: the expert, the margins of support vectors, and (dashed) the one that is violated most. Hollow: no constraint yet.",
      draw(settings, svg) {
        const { policies, losses, margins, known, next, weights, slack, duals, lower, upper } = models.margin(settings);
        const { x, y } = settings;
        const length = Math.hypot(...weights);
        const [right, up] = weights.map((each) => each / length);
        const point = (a, b) => [10 + 75 * a, 285 - 75 * b];
        const path = (style, ...points) => make("path", { class: style, d: `M${points.map((each) => point(...each)).join("L")}` });
        const line = (style, ahead) => path(style, ...[-9, 9].map((far) => [x + ahead * right - far * up, y + ahead * up + far * right]));
        const supports = (i) => duals[i] > 1e-9;
        const name = (i) => "abcdef"[i];
        const clip = make("clipPath", { id: "play-plane" });
        const plane = make("g", { "clip-path": "url(#play-plane)" });
        const [ex, ey] = point(x, y);
        clip.append(make("rect", { x: 5, y: 5, width: 320, height: 260 }));
        if (length > 1e-9) {
          plane.append(line("bound", 0), line("frame", slack / length),
            ...policies.map(([a, b], i) => path(supports(i) ? "curve" : i === next ? "curve bound" : "frame",
              [a, b], [a + (margins[i] / length) * right, b + (margins[i] / length) * up])),
            arrow(ex, ey, 25 * weights[0], -25 * weights[1], "currentColor"));
        }
        plane.append(...policies.flatMap((mean, i) => {
          const [cx, cy] = point(...mean);
          return [make("circle", { cx, cy, r: 4 + losses[i], class: known.includes(i) ? "dot" : "frame" }),
            make("text", { x: cx - 4, y: cy - 8 - losses[i] }, name(i))];
        }), make("circle", { cx: ex, cy: ey, r: 7, class: "mark" }));
        const most = settings.price * Math.max(...margins);
        const at = (value) => 5 + 320 * Math.min(value / most, 1);
        svg.setAttribute("viewBox", "0 0 330 310");
        svg.replaceChildren(clip, make("rect", { x: 5, y: 5, width: 320, height: 260, class: "frame" }), plane,
          make("rect", { x: 5, y: 290, width: 320, height: 12, class: "frame" }),
          make("rect", { x: at(lower), y: 290, width: Math.max(3, at(upper) - at(lower)), height: 12, class: "bar" }),
          make("text", { x: 10, y: 20 }, "↑ feature 2"), make("text", { x: 245, y: 20 }, "feature 1 →"),
          make("text", { x: 5, y: 283 }, `bounds on the objective; w = 0 costs ${fixed(most)}`));
        const seen = next < 0 ? `${fixed(upper)}: no constraint is violated by more than the slack`
          : `between ${fixed(lower)} and ${fixed(upper)}; the constraint of ${name(next)} is violated most`;
        return `Constraints of ${known.map(name).join(", ")}; support vectors ${known.filter(supports).map(name).join(", ")}. The weights are (${weights.map(fixed).join(", ")}), the slack is ${fixed(slack)}. Over all six policies the least objective is ${seen}.`;
      },
    },

    inverse: {
      sliders: {
        cell: [0, 3, 1, 2, "cell"], added: [-3, 3, 0.5, 0, "added to its action values"], price: [0, 1, 0.05, 0, "price β"],
        updates: [0, 500, 10, 0, "steps of gradient ascent"], discount: [0.5, 0.9, 0.05, 0.9, "discount"],
      },
      switches: { narrow: ["priced where the expert goes (off: everywhere)", false] },
      hint: "The expert starts in cell 1, and is paid 2 for each step from cell 3; a move goes the other way with probability 0.1. Grey: the expert’s rewards of ← and →; orange: the implied ones.",
      draw(settings, svg) {
        const { v, policy, reward, expert, objective, cost } = models.inverse(settings);
        const { cell } = settings;
        const column = (left, r, width, style) => make("rect", { x: left, y: 120 - 20 * Math.max(r, 0), width, height: Math.max(1, 20 * Math.abs(r)), class: style });
        svg.setAttribute("viewBox", "0 0 330 255");
        svg.replaceChildren(...range(4).flatMap((s) => [
          make("rect", { x: 6 + 80 * s, y: 4, width: 78, height: 248, class: s === cell ? "frame here" : "frame" }),
          ...[0, 1].flatMap((a) => [
            column(12 + 80 * s + 36 * a, s === 3 ? 2 : 0, 12, "dotted"), column(24 + 80 * s + 36 * a, reward[s][a], 16, "bar"),
            make("text", { x: 18 + 80 * s + 36 * a, y: 198 }, "←→"[a]), make("text", { x: 9 + 80 * s + 39 * a, y: 215 }, percent(policy[s][a])),
          ]),
          make("text", { x: 12 + 80 * s, y: 232 }, `V ${fixed(v[s])}`), make("text", { x: 12 + 80 * s, y: 248 }, `cell ${s}`),
        ]));
        return `The implied rewards of ← and → are ${reward.map((row, s) => `${row.map(fixed).join(" and ")} in cell ${s}`).join(", ")}. In cell ${cell}, → is chosen with ${percent(policy[cell][1])}, by the expert with ${percent(expert[cell][1])}. The objective is ${fixed(objective)}: log-likelihood ${fixed(objective + cost)}, less a price of ${fixed(cost)}.`;
      },
    },

    paint: {
      sliders: {
        temperature: [0.05, 1, 0.05, 0.2, "temperature"], discount: [0.5, 0.96, 0.02, 0.9, "discount"], slip: [0, 0.6, 0.05, 0, "slip"],
      },
      switches: { hard: ["the hard maximum", false] },
      start: { cells: range(64).map((s) => (s === 54 ? 1 : s === 28 || s === 36 ? -1 : 0)), here: 54 },
      hint: "Arrow keys move on the grid; space, or a click, paints a cell +1, −1 or 0.",
      draw(settings, svg) {
        const { cells, here, hard } = settings;
        const { v, policy, visits } = models.paint({ ...settings, size: 8, temperature: hard ? 0 : settings.temperature });
        const most = Math.max(...visits);
        svg.setAttribute("viewBox", "0 0 330 330");
        svg.setAttribute("tabindex", "0");
        svg.replaceChildren(...cells.flatMap((reward, s) => {
          const [left, top] = [5 + 40 * (s % 8), 285 - 40 * Math.floor(s / 8)];
          const pull = [policy[s][0] - policy[s][2], policy[s][3] - policy[s][1]].map((p) => 22 * p);
          const light = visits[s] > 0.6 * most;
          return [
            make("rect", { x: left, y: top, width: 39, height: 39, fill: color(Math.sqrt(visits[s] / most)), "data-cell": s,
              class: s === here ? "here" : "" }),
            arrow(left + 20 - pull[0] / 2, top + 22 - pull[1] / 2, ...pull, light ? "#000" : "#fff"),
            make("text", { x: left + 3, y: top + 14, fill: light ? "#000" : "#fff" }, reward ? (reward > 0 ? "+1" : "−1") : ""),
          ];
        }));
        const total = sum(visits);
        const [good, bad] = [1, -1].map((sign) => sum(visits.filter((_, s) => cells[s] === sign)) / total);
        const value = sum(v) / v.length;
        return `Cell (${here % 8}, ${Math.floor(here / 8)}) pays ${cells[here]}, and has ${percent(visits[here] / total)} of the visits. Cells of +1 have ${percent(good)}, those of −1 ${percent(bad)}. A start is worth ${fixed(value)} in the mean.`;
      },
      key(settings, key) {
        const [x, y] = [settings.here % 8, Math.floor(settings.here / 8)];
        const to = { ArrowRight: [x + 1, y], ArrowLeft: [x - 1, y], ArrowUp: [x, y + 1], ArrowDown: [x, y - 1] }[key];
        if (to && Math.min(...to) >= 0 && Math.max(...to) < 8) settings.here = to[1] * 8 + to[0];
        if (key === " " || key === "Enter") settings.cells[settings.here] = { 0: 1, 1: -1, "-1": 0 }[settings.cells[settings.here]];
        return Boolean(to) || key === " " || key === "Enter";
      },
    },
  };

  function build(box) {
    const figure = figures[box.dataset.play];
    const settings = structuredClone(figure.start || {});
    const svg = make("svg", { role: "img" });
    const said = document.createElement("p");
    said.setAttribute("aria-live", "polite");
    svg.setAttribute("aria-label", box.getAttribute("aria-label"));
    const update = () => (said.textContent = figure.draw(settings, svg));
    const control = (name, text, input, read) => {
      const label = document.createElement("label");
      const shown = document.createElement("span"); // a label is that of the first output or input in it
      const note = () => {
        settings[name] = read(input);
        shown.textContent = input.type === "range" ? ` ${settings[name]}` : "";
      };
      input.addEventListener("input", () => {
        note();
        update();
      });
      label.append(text, shown, input);
      note();
      return label;
    };
    const controls = document.createElement("div");
    controls.className = "play-controls";
    for (const [name, [min, max, step, value, text]] of Object.entries(figure.sliders)) {
      const input = Object.assign(document.createElement("input"), { type: "range", min, max, step });
      input.value = value;
      controls.append(control(name, text, input, (each) => Number(each.value)));
    }
    for (const [name, [text, checked]] of Object.entries(figure.switches || {})) {
      const input = Object.assign(document.createElement("input"), { type: "checkbox", checked });
      controls.append(control(name, text, input, (each) => each.checked));
    }
    if (figure.key) {
      svg.setAttribute("role", "application");
      svg.addEventListener("keydown", (event) => {
        if (figure.key(settings, event.key)) event.preventDefault();
        update();
      });
      svg.addEventListener("click", (event) => {
        const cell = event.target.closest("[data-cell]")?.dataset.cell;
        if (cell === undefined) return;
        settings.here = Number(cell);
        figure.key(settings, " ");
        update();
      });
    }
    if (figure.hint) controls.append(Object.assign(document.createElement("p"), { textContent: figure.hint }));
    box.querySelector("details").append(controls, svg, said);
    update();
  }

  /* The question is there, and the figure once it is unfolded. */
  function place(box) {
    box.querySelector("details").addEventListener("toggle", () => build(box), { once: true });
    box.hidden = false;
  }

  window.irlPlay = models;
  document.querySelectorAll("[data-play]").forEach(place);
})();
