// Table 1 with tasks to switch off: the mean gap, its interval and two exact tests follow.
(() => {
  const { kinds, svg, number, scale, drawing, words } = birdie;
  const { tasks, sets, t, tata } = birdieData.table1;

  /** Exact two-sided p of the sign test: `ahead` of `n` gaps are above zero. */
  function signP(ahead, n) {
    let [choose, sum] = [1, 0];
    for (let i = 0; i <= Math.min(ahead, n - ahead); i++) {
      sum += choose;
      choose = (choose * (n - i)) / (i + 1);
    }
    return Math.min(1, (2 * sum) / 2 ** n);
  }

  /** Exact two-sided p of Wilcoxon's signed-rank test; ties get mean ranks, zeros are left out. */
  function rankP(all) {
    const gaps = all.filter((gap) => gap !== 0);
    const sizes = gaps.map((gap) => Math.round(Math.abs(gap) * 1e6));
    const ranks = sizes.map((size) => // twice the rank, so that it is whole
      2 * sizes.filter((other) => other < size).length + sizes.filter((o) => o === size).length + 1);
    const total = ranks.reduce((a, b) => a + b, 0);
    const patterns = new Array(total + 1).fill(0); // of signs, by their sum of positive ranks
    patterns[0] = 1;
    for (const rank of ranks) {
      for (let sum = total; sum >= rank; sum--) patterns[sum] += patterns[sum - rank];
    }
    const found = ranks.reduce((sum, rank, i) => sum + (gaps[i] > 0 ? rank : 0), 0);
    const extreme = patterns.filter((_, sum) => Math.abs(2 * sum - total) >= Math.abs(2 * found - total));
    return extreme.reduce((a, b) => a + b, 0) / 2 ** gaps.length;
  }

  /** What is to be said of some gaps, in points: n, ahead, mean, half (of the 95% interval), p. */
  function recount(gaps) {
    const n = gaps.length;
    const mean = gaps.reduce((a, b) => a + b, 0) / n;
    const square = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0);
    const half = n > 1 ? (t[n] * Math.sqrt(square / (n - 1))) / Math.sqrt(n) : NaN;
    const ahead = gaps.filter((gap) => gap > 0).length;
    return { n, ahead, mean, half, sign: signP(ahead, n), rank: rankP(gaps) };
  }

  function sentence({ n, ahead, mean, half, sign, rank }) {
    if (n === 0) return "Choose a task.";
    const counted = `Birdie is ahead in ${ahead} of ${n} task${n > 1 ? "s" : ""}; mean gap ` +
      `${number(mean, 2, true)} points`;
    if (n === 1) return `${counted}. An interval needs two tasks.`;
    return `${counted}, 95% interval ${number(mean - half, 2, true)} to ` +
      `${number(mean + half, 2, true)}. Sign test p ${number(sign, 2)}, signed-rank p ` +
      `${number(rank, 2)}. Dropping rows after seeing them is exploration, no test.`;
  }

  function draw(state, width, set) {
    const gaps = tasks.map((task) => task[state.score]);
    const chosen = gaps.filter((_, i) => state.on[i] === "1");
    const counted = recount(chosen);
    const order = gaps.map((_, i) => i).sort((a, b) => gaps[b] - gaps[a]);
    const [left, row] = [width < 480 ? 145 : 170, 20];
    const x = scale(-2, 6, left, width - 40);
    const bottom = row * (tasks.length + 2);
    const parts = [-2, 0, 2, 4, 6].flatMap((tick) => [
      svg("line", { x1: x(tick), x2: x(tick), y1: 6, y2: bottom,
        class: tick ? "birdie-faint" : "birdie-zero" }),
      words(x(tick), bottom + 14, number(tick, 0, true))]);
    order.forEach((i, place) => {
      const y = row * (place + 0.7);
      const toggled = state.on.slice(0, i) + (state.on[i] === "1" ? 0 : 1) + state.on.slice(i + 1);
      parts.push(svg("g", { class: "birdie-row", click: () => set({ on: toggled }) },
        svg("rect", { x: 0, y: y - row / 2, width, height: row, fill: "transparent" }),
        words(left - 8, y, tasks[i].task, "end"),
        svg("circle", { cx: x(gaps[i]), cy: y, r: 6, stroke: "currentColor",
          fill: state.on[i] === "1" ? "currentColor" : "none" })));
    });
    if (counted.n) {
      const [y, at] = [bottom - row * 0.6, x(counted.mean)];
      if (counted.n > 1) {
        parts.push(svg("line", { x1: Math.max(left, x(counted.mean - counted.half)),
          x2: Math.min(width, x(counted.mean + counted.half)), y1: y, y2: y,
          stroke: "currentColor", "stroke-width": 3 }));
      }
      parts.push(words(left - 8, y, "mean, 95% interval", "end"),
        svg("path", { d: `M${at - 9} ${y}l9 -9l9 9l-9 9z`, fill: "currentColor" }));
    }
    parts.push(words((left + width) / 2, bottom + 34, "gap in points"));
    const counts = state.score === "accuracy" && state.on[tata.place] === "1";
    const sequences = number((tasks[tata.place].accuracy * state.rows) / 100, 0);
    const said = sentence(counted) + (counts ? ` ${tasks[tata.place].task}: ${sequences} ` +
      `sequences of ${state.rows}.` : "");
    return { picture: [drawing(width, bottom + 46, said, ...parts)], said };
  }

  const preset = ([label, on]) => ({ type: "button", label, act: (_, set) => set({ on }) });
  kinds.recount = {
    defaults: { score: "accuracy", on: "1".repeat(tasks.length), rows: String(tata.sizes[0]) },
    controls: [
      { type: "choice", key: "score", label: "Score", options: [["accuracy", "accuracy"], ["f1", "F1"]] },
      ...Object.entries(sets).map(preset),
      { type: "choice", key: "rows", label: `Rows of ${tasks[tata.place].task}`,
        options: tata.sizes.map((size) => [String(size), String(size)]) },
      { type: "checks", key: "on", label: "Tasks", options: tasks.map((task) => task.task) },
    ],
    draw,
  };
  birdie.recount = recount;
})();
