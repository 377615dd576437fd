// What a fall of the loss earns, by the rules of the reward model.
(() => {
  const { kinds, svg, number, scale, drawing, axes, line } = birdie;
  const clip = (value) => Math.max(-1, Math.min(1, value));
  const powered = (power) => (before, after) => {
    const fall = (before - after) / before;
    const shaped = Math.sqrt(before * after) * Math.sign(fall) * Math.abs(fall) ** power;
    return clip(100 * Math.E * Math.tanh(Math.E * shaped));
  };
  const rules = {
    cubic: powered(3),
    power_1: powered(1),
    dna_linear: (before, after) => Math.tanh((20 * (before - after)) / before),
  };

  /** The smallest relative drop that earns `wanted`; undefined if none does. */
  function needed(rule, before, wanted) {
    for (let drop = 0; drop < 1; drop += 0.0005) {
      if (rules[rule](before, before * (1 - drop)) >= wanted) return drop;
    }
    return undefined;
  }

  const percent = (share) => `${number(100 * share, Math.abs(share) < 0.1 ? 2 : 1)}%`;

  function sentence({ before, after, rule }) {
    const drop = (before - after) / before;
    const earned = rules[rule](before, after);
    const shown = number(earned, Math.abs(earned) < 0.01 ? 4 : 2, true);
    const most = needed(rule, before, 0.99);
    const full = rule === "dna_linear" ? undefined : needed(rule, before, 1); // tanh only comes near
    const move = drop < 0 ? "rise" : "drop";
    const nats = (value) => Number(value.toPrecision(4));
    const rest = full !== undefined ? `The full reward takes a drop of ${percent(full)}.`
      : most !== undefined ? `This rule never gives the full reward; 0.99 takes a drop of ${percent(most)}.`
        : "From here no drop earns the full reward.";
    return `A ${move} from ${nats(before)} to ${nats(after)} nats (${percent(Math.abs(drop))}) ` +
      `earns ${shown}. ${rest}`;
  }

  function draw(state, width) {
    const { before, after, rule } = state;
    const [left, right, top, bottom] = [48, width - 20, 28, 200];
    const x = scale(0.4, 1.1, left, right);
    const y = scale(-1, 1, bottom, top);
    const points = [];
    for (let share = 0.4; share <= 1.1001; share += 0.0025) {
      points.push([x(share), y(rules[rule](before, before * share))]);
    }
    const said = sentence(state);
    return { said, picture: [drawing(width, bottom + 44, said,
      axes({ to: x, ticks: [0.4, 0.6, 0.8, 1], title: "loss after ÷ loss before",
        form: (value) => number(value, 1) },
        { to: y, ticks: [-1, 0, 1], title: "reward", form: (value) => number(value, 0, true) },
        left, right, top, bottom),
      line(points),
      svg("circle", { cx: x(after / before), cy: y(rules[rule](before, after)), r: 7,
        fill: "currentColor" }))] };
  }

  const marks = [[4.5, "language model 4.5"], [1.386, "even guess 1.386"], [1.3, "DNA 1.3"],
    [0.01, "solved 0.01"]];
  kinds.reward = {
    defaults: { before: 1.3, after: 1.29, rule: "cubic" },
    controls: [
      { type: "slider", key: "before", label: "Loss before (nats)", min: 0.005, max: 6, log: true, marks },
      { type: "slider", key: "after", label: "Loss after (nats)", step: "any",
        min: (state) => 0.4 * state.before, max: (state) => 1.1 * state.before },
      { type: "choice", key: "rule", label: "Rule", options: [["cubic", "cubic (Birdie)"],
        ["power_1", "power 1"], ["dna_linear", "dna_linear (ours)"]] },
    ],
    // another loss before keeps the ratio
    settle: (next, now) => (next.before !== now.before && next.after === now.after
      ? { ...next, after: (now.after / now.before) * next.before } : next),
    draw,
  };
  birdie.rewards = rules;
  birdie.neededDrop = needed;
})();
