// Play the director: shares of seven objectives for 35 rounds of a simulated world, against others.
// The law is that of `birdiedna/director/simulate.py`; the reward model's runs come from `03_reward_model`.
(() => {
  const { kinds, svg, number, scale, drawing, words, axes, apart } = birdie;
  const game = birdieData.director; // absent until `03_reward_model` has run
  if (!game) return;
  const { steps, names, classes, colours, law } = game;
  const rounds = steps.length - 1;
  const worlds = Object.fromEntries(game.worlds.map((world) => [world.key, world]));
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const dot = (a, b) => sum(a.map((value, i) => value * b[i]));
  const percent = (share) => `${number(100 * share, 0)}%`;

  // A mixture is text, a weight 0 to a (10) for each objective; a plan is `<mixture>x<rounds>-...`.
  const TEN = "0123456789a";
  const members = (group) => classes.map((one) => (one === group ? 1 : 0));
  const written = (weights) => weights.map((weight) => TEN[weight]).join("");
  const groups = [...new Set(classes)];
  const even = written(classes.map((group) => 6 / sum(members(group)))); // classes alike
  const weighed = (mixture) => [...mixture].map((letter) => TEN.indexOf(letter));
  function shares(mixture) {
    const weights = weighed(/[^0]/.test(mixture) ? mixture : even);
    return weights.map((weight) => weight / sum(weights));
  }
  const mixtures = (plan) => (plan ? plan.split("-") : []).flatMap((part) => {
    const [mixture, count] = part.split("x");
    return new Array(Number(count)).fill(mixture);
  }).slice(0, rounds);
  function planned(all) {
    const parts = [];
    for (const mixture of all.slice(0, rounds)) {
      const last = parts[parts.length - 1];
      if (last && last[0] === mixture) last[1] += 1;
      else parts.push([mixture, 1]);
    }
    return parts.map((part) => part.join("x")).join("-");
  }

  /** Exact losses after `step` steps in all and `effort` steps of own worth, by objective. */
  const lossesAt = (world, step, effort) => effort.map((spent, i) =>
    law.shared * Math.exp(-step / law.shared_steps) + world.floor[i] +
    world.own[i] * (1 + spent / (law.power * world.slow[i])) ** -law.power);

  /** Rounds with these ratios: losses and their weighted mean after each, the total rewards. */
  function follow(world, ratios) {
    let effort = names.map(() => 0);
    const losses = [lossesAt(world, 0, effort)];
    const rewards = [];
    ratios.forEach((mixture, round) => {
      const span = steps[round + 1] - steps[round];
      effort = effort.map((spent, i) => spent + span * dot(mixture, world.transfer.map((row) => row[i])));
      losses.push(lossesAt(world, steps[round + 1], effort));
      const earned = names.map((_, i) => birdie.rewards.cubic(losses[round][i], losses[round + 1][i]));
      rewards.push(groups.length * dot(world.weights, earned));
    });
    return { losses, mean: losses.map((now) => dot(world.weights, now)), rewards };
  }

  /** Everybody's mean loss by round; yours so far. */
  function rivals(world) {
    const always = (ratios) => follow(world, new Array(rounds).fill(ratios)).mean;
    return { uniform: always(shares(even)), best: always(world.best),
      learned: world.learned.mean, random: world.random.mean };
  }

  const TITLES = { you: "you", learned: "reward model", uniform: "uniform", random: "random", best: "best constant" };

  function sentence(state, world, yours, others) {
    const played = yours.rewards.length;
    const [uniform, best] = [others.uniform[rounds], others.best[rounds]];
    const room = uniform - best;
    const small = room < 0.05 ? ` With only ${number(room, 3)} nats to gain, that is too little to see.` : "";
    const staked = state.bet === "none" ? "" : ` You bet on ${TITLES[state.bet]}.`;
    const none = /[^0]/.test(state.shares) ? "" : " All weights are 0: the shares are uniform.";
    if (!played) {
      return `${world.title}: set the shares, then train. Uniform ends at ${number(uniform, 3)} nats, the ` +
        `best constant mixture at ${number(best, 3)}; between them is the room, ${number(room, 3)}.${staked}${none}`;
    }
    const mean = yours.mean[played];
    const earned = `Reward so far: you ${number(sum(yours.rewards), 1)}, the reward model ` +
      `${number(sum(world.learned.rewards.slice(0, played)), 1)}.`;
    if (played < rounds) {
      return `After round ${played} of ${rounds}, step ${steps[played].toLocaleString("en")}, your mean loss is ` +
        `${number(mean, 3)} nats; uniform ${number(others.uniform[played], 3)}, the reward model ` +
        `${number(others.learned[played], 3)}. ${earned}${staked}${none}`;
    }
    const placed = (loss) => {
      const gain = uniform - loss;
      if (Math.abs(gain) < 5e-4) return "like uniform";
      const share = gain > 0 && !small ? `, ${percent(gain / room)} of the room` : "";
      return `${number(Math.abs(gain), 3)} ${gain > 0 ? "below" : "above"} uniform${share}`;
    };
    const ends = { you: mean, learned: others.learned[rounds], uniform };
    const lowest = Object.keys(ends).filter((one) => ends[one] < Math.min(...Object.values(ends)) + 5e-4);
    const named = lowest.map((one) => TITLES[one]).join(" and ");
    const alike = lowest.length > 1 ? `${named} end alike, lowest of the three` : `lowest of the three: ${named}`;
    const bet = staked && `${staked.slice(0, -1)}; ${alike}.`;
    return `All ${rounds} rounds: you end at ${number(mean, 3)} nats, ${placed(mean)}; the reward model, over ` +
      `${game.seeds} seeds, ${placed(ends.learned)}; the best constant, ${placed(best)}.${small} ${earned}${bet}`;
  }

  const step = (value) => (value >= 1000 ? `${number(value / 1000, 0)}k` : String(value));
  const along = { ticks: [0, 4000, 8000, 12000, 16000], title: "step", form: step };

  /** Lines over steps with their names and colours at the right. `lines`: [{name, values, style}]. */
  function plot(lines, low, high, title, width) {
    const [left, right, top, bottom] = [44, width - 116, 28, 190];
    const x = scale(0, steps[rounds], left, right);
    const y = scale(low, high, bottom, top);
    const held = (value) => Math.max(top - 4, y(value));
    const gap = [0.01, 0.02, 0.05, 0.1, 0.2].find((one) => (high - low) / one <= 6) ?? 0.5;
    const first = Math.ceil(low / gap);
    const ticks = Array.from({ length: Math.floor(high / gap) - first + 1 }, (_, i) => (first + i) * gap);
    const ends = lines.map(({ values }) => held(values[values.length - 1]));
    const places = apart(ends, 14, top, bottom);
    return drawing(width, bottom + 44, title,
      axes({ to: x, ...along }, { to: y, ticks, title, form: (value) => number(value, 2) }, left, right, top, bottom),
      ...lines.flatMap(({ name, values, style }, i) => {
        const mark = (cx, cy) => svg("circle", { cx, cy, r: 3.5, fill: style.stroke });
        return [svg("polyline", { points: values.map((value, k) => `${x(steps[k])},${held(value)}`).join(" "),
          fill: "none", ...style }),
          mark(x(steps[values.length - 1]), ends[i]), mark(right + 12, places[i]),
          words(right + 19, places[i], name, "start")];
      }));
  }

  /** Shares of the rounds played, and of the next one in outline. */
  function strip(all, next, width) {
    const [left, right, top, bottom] = [44, width - 116, 8, 58];
    const x = scale(0, rounds, left, right);
    const column = (ratios, round, attributes) => {
      let at = bottom;
      return ratios.map((share, i) => {
        at -= share * (bottom - top);
        return svg("rect", { x: x(round), y: at, width: x(round + 1) - x(round) - 0.5,
          height: share * (bottom - top), fill: colours[i], ...attributes });
      });
    };
    const about = `Shares by round: ${all.length} rounds played; next ${names.map((name, i) =>
      `${name} ${percent(next[i])}`).join(", ")}`;
    return drawing(width, bottom + 26, about,
      svg("rect", { x: left, y: top, width: right - left, height: bottom - top, fill: "none",
        class: "birdie-grid", stroke: "currentColor", "stroke-opacity": 0.2 }),
      ...all.flatMap((mixture, round) => column(shares(mixture), round, {})),
      ...(all.length < rounds ? column(next, all.length, { "fill-opacity": 0.45 }) : []),
      words(left, bottom + 16, "shares by round; faint: the next", "start"));
  }

  function draw(state, width) {
    const world = worlds[state.world];
    const all = mixtures(state.plan);
    const yours = follow(world, all.map(shares));
    const others = rivals(world);
    const played = all.length;
    const half = width < 560 ? width : (width - 12) / 2;
    const cut = (values) => values.slice(0, played + 1);
    const top = Math.min(1.45, Math.max(...others.uniform.slice(4)) * 1.05);
    const least = Math.min(others.best[rounds], yours.mean[played] || Infinity);
    const means = [["best", { stroke: "var(--birdie-best)", "stroke-dasharray": "2 4" }],
      ["random", { stroke: "var(--birdie-random)", "stroke-dasharray": "6 3" }],
      ["uniform", { stroke: "var(--birdie-uniform)", "stroke-dasharray": "9 3 2 3" }],
      ["learned", { stroke: "var(--birdie-arm)" }]];
    const told = ["uniform", "best"]; // where they end is said before the first round
    const lines = means.map(([key, style]) => ({ name: TITLES[key],
      values: told.includes(key) ? others[key] : cut(others[key]),
      style: { ...style, "stroke-width": 2 } }));
    lines.push({ name: "you", values: yours.mean, style: { stroke: "currentColor", "stroke-width": 3.5 } });
    const each = names.map((name, i) => ({ name: game.codes[i], values: yours.losses.map((now) => now[i]),
      style: { stroke: colours[i], "stroke-width": 2 } }));
    const said = sentence(state, world, yours, others);
    return { said, facts: { ratios: shares(state.shares) }, picture: [
      plot(each, 0, 1.45, "your losses (nats)", half),
      plot(lines, Math.max(0, least - 0.1 * (top - least)), top, "mean loss (nats)", half),
      strip(all, shares(state.shares), width)] };
  }

  const train = (count) => (state, set) => set({
    plan: planned([...mixtures(state.plan), ...new Array(count).fill(state.shares)]) });

  /** The rest of the rounds class after class, each alone. */
  function rush(state, set) {
    const done = mixtures(state.plan);
    const left = rounds - done.length;
    const rest = Array.from({ length: left }, (_, i) =>
      written(members(groups[Math.floor((i * groups.length) / left)]).map((one) => 10 * one)));
    set({ plan: planned([...done, ...rest]) });
  }

  kinds.director = {
    defaults: { world: game.worlds[0].key, bet: "none", shares: even, plan: "" },
    controls: [
      { type: "choice", key: "world", label: "World", options: game.worlds.map(({ key, title }) => [key, title]) },
      { type: "choice", key: "bet", label: "Who ends lowest? Your bet",
        options: [["none", "no bet"], ["you", "you"], ["uniform", "uniform"], ["learned", "the reward model"]] },
      { type: "shares", key: "shares", label: "Shares of the next rounds", options: names, colours },
      { type: "kept", key: "plan", fits: (text) => /^[0-9a]{7}x\d{1,2}(-[0-9a]{7}x\d{1,2})*$/.test(text) },
      { type: "button", label: "Train 1 round", act: train(1) },
      { type: "button", label: "5 rounds", act: train(5) },
      { type: "button", label: "To the end", act: train(rounds) },
      { type: "button", label: "Undo a round", act: (state, set) =>
        set({ plan: planned(mixtures(state.plan).slice(0, -1)) }) },
      { type: "button", label: "Even shares", act: (_, set) => set({ shares: even }) },
      { type: "button", label: "Rush: class after class", act: rush },
    ],
    draw,
  };
  birdie.follow = (world, ratios) => follow(worlds[world], ratios);
  birdie.rushed = () => { let plan; rush({ plan: "" }, (made) => { plan = made.plan; }); return mixtures(plan).map(shares); };
})();
