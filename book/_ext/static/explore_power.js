// How likely seeds show a gap: power of the paired t test, looked up in a table made by Python.
(() => {
  const { kinds, svg, number, scale, drawing, axes, line } = birdie;
  const { ratios, least, table } = birdieData.power;
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

  function sentence({ gap, spread, seeds }) {
    const found = power(gap / spread, seeds);
    const wanted = enough(gap / spread);
    return `With ${seeds} seeds per arm, a true gap of ${gap} points is seen with a chance of ` +
      `${number(100 * found, 0)}%. A chance of 80% takes ${wanted ?? `more than ${most}`} seeds.`;
  }

  function draw(state, width) {
    const [left, right, top, bottom] = [52, width - 20, 28, 250];
    const x = scale(least, most, left, right);
    const y = scale(0, 1, bottom, top);
    const ratio = state.gap / state.spread;
    const points = table.map((_, i) => [x(least + i), y(power(ratio, least + i))]);
    const said = sentence(state);
    return { said, picture: [drawing(width, bottom + 44, said,
      axes({ to: x, ticks: [3, 10, 20, 30, 40], title: "pre-training seeds per arm", form: String },
        { to: y, ticks: [0, 0.5, 0.8, 1], title: "chance to see the gap",
          form: (value) => `${100 * value}%` }, left, right, top, bottom),
      line(points),
      svg("circle", { cx: x(state.seeds), cy: y(power(ratio, state.seeds)), r: 7,
        fill: "currentColor" }))] };
  }

  kinds.power = {
    defaults: { gap: 0.3, spread: 1, seeds: 10 },
    controls: [
      { type: "slider", key: "gap", label: "True gap (points)", min: 0.05, max: 3, log: true },
      { type: "slider", key: "spread", label: "Spread between seeds (SD, points; assumed)",
        min: 0.1, max: 5, log: true },
      { type: "slider", key: "seeds", label: "Seeds", min: least, max: most },
    ],
    settle: (next) => ({ ...next, seeds: Math.round(next.seeds) }),
    draw,
  };
  birdie.power = power;
})();
