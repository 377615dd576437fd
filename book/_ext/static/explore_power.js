// How likely seeds show a gap: power of the paired t test, looked up in a table made by Python, and
// experiments of so many seeds, drawn one after the other.
(() => {
  const { kinds, svg, number, scale, drawing, words, axes, line } = birdie;
  const { ratios, least, table, edges } = birdieData.power;
  const most = least + table.length - 1;

  /** Chance of p < 0.05 with this many seeds, when gap over spread is `ratio`. */
  function power(ratio, seeds) {
    const row = table[seeds - least];
    const at = scale(Math.log(ratios[0]), Math.log(ratios[ratios.length - 1]), 0, ratios.length - 1);
    const place = Math.max(0, Math.min(ratios.length - 1, at(Math.log(ratio))));
    const low = Math.min(Math.floor(place), ratios.length - 2);
    return row[low] + (place - low) * (row[low + 1] - row[low]);
  }

  function enough(ratio) {
    for (let seeds = least; seeds <= most; seeds++) if (power(ratio, seeds) >= 0.8) return seeds;
    return undefined;
  }

  /** The n-th experiment: gaps of the seeds, their mean, its 95% t interval, whether 0 is outside. */
  function experiment({ gap, spread, seeds }, n) {
    let last = n * 7919;
    const chance = () => { // mulberry32: the same numbers for the same n
      last = (last + 0x6d2b79f5) | 0;
      let t = Math.imul(last ^ (last >>> 15), 1 | last);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
    };
    const normal = () => Math.sqrt(-2 * Math.log(chance())) * Math.cos(2 * Math.PI * chance());
    const gaps = Array.from({ length: seeds }, () => gap + spread * normal());
    const mean = gaps.reduce((sum, one) => sum + one, 0) / seeds;
    const variance = gaps.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (seeds - 1);
    const half = edges[seeds - least] * Math.sqrt(variance / seeds);
    return { gaps, mean, low: mean - half, high: mean + half, seen: Math.abs(mean) > half };
  }

  function sentence(state) {
    const { gap, spread, seeds, tries } = state;
    const found = power(gap / spread, seeds);
    const wanted = enough(gap / spread);
    const seen = Array.from({ length: tries }, (_, i) => experiment(state, i + 1).seen);
    return `With ${seeds} seeds per arm, a true gap of ${gap} points is seen with a chance of ` +
      `${number(100 * found, 0)}%. A chance of 80% takes ${wanted ?? `more than ${most}`} seeds. ` +
      `Experiment ${tries} ${seen[tries - 1] ? "sees the gap" : "does not see it"}; ` +
      `seen so far: ${seen.filter(Boolean).length} of ${tries}.`;
  }

  /** One experiment: a dot a seed, the interval of the mean, the true gap as a tick. */
  function strip(state, left, right, middle) {
    const { gaps, mean, low, high, seen } = experiment(state, state.tries);
    const reach = 1.05 * Math.max(...[...gaps, low, high, state.gap].map(Math.abs));
    const x = scale(-reach, reach, left, right);
    const rule = (value, kind, half) => svg("line",
      { x1: x(value), x2: x(value), y1: middle - half, y2: middle + half, class: kind, stroke: "currentColor" });
    return svg("g", {},
      rule(0, "birdie-zero", 24), rule(state.gap, "", 12),
      ...gaps.map((gap) => svg("circle", { cx: x(gap), cy: middle - 10, r: 3, fill: "currentColor", opacity: 0.5 })),
      svg("line", { x1: x(low), x2: x(high), y1: middle + 8, y2: middle + 8, stroke: "currentColor",
        "stroke-width": 4, opacity: seen ? 1 : 0.45 }),
      svg("circle", { cx: x(mean), cy: middle + 8, r: 6, fill: "currentColor" }),
      svg("g", { "aria-hidden": "true" }, words(x(0), middle + 36, "0"),
        words(left, middle - 36, `experiment ${state.tries}: gaps (points)`, "start")));
  }

  function draw(state, width) {
    const [left, right, top, bottom] = [52, width - 20, 28, 170];
    const x = scale(least, most, left, right);
    const y = scale(0, 1, bottom, top);
    const ratio = state.gap / state.spread;
    const points = table.map((_, i) => [x(least + i), y(power(ratio, least + i))]);
    const said = sentence(state);
    return { said, picture: [drawing(width, bottom + 150, said,
      axes({ to: x, ticks: [3, 10, 20, 30, 40], title: "pre-training seeds per arm", form: String },
        { to: y, ticks: [0, 0.5, 0.8, 1], title: "chance to see the gap",
          form: (value) => `${100 * value}%` }, left, right, top, bottom),
      line(points),
      svg("circle", { cx: x(state.seeds), cy: y(power(ratio, state.seeds)), r: 7,
        fill: "currentColor" }), strip(state, left, right, bottom + 106))] };
  }

  kinds.power = {
    defaults: { gap: 0.3, spread: 1, seeds: 10, tries: 1 },
    controls: [
      { type: "slider", key: "gap", label: "True gap (points)", min: 0.05, max: 3, log: true },
      { type: "slider", key: "spread", label: "Spread between seeds (SD, points; assumed)",
        min: 0.1, max: 5, log: true },
      { type: "slider", key: "seeds", label: "Seeds", min: least, max: most },
      { type: "button", label: "Another experiment", act: (state, set) => set({ tries: state.tries + 1 }) },
      { type: "kept", key: "tries", fits: (value) => value >= 1 && value <= 1000 },
    ],
    settle: (next) => ({ ...next, seeds: Math.round(next.seeds), tries: Math.min(1000, Math.round(next.tries)) }),
    draw,
  };
  birdie.power = power;
  birdie.experiment = experiment;
})();
