// The playground: one row of an objective, cell by cell; step through its target.
(() => {
  const { kinds, html, svg, number, scale, drawing, words } = birdie;
  const { objectives, generator, row, nearest, law, clean } = birdie.rows;
  const start = birdieData.playground;
  let kept = start.sequence; // the last sequence that could be read

  /** Letters to draw, and what is to be said about them. */
  function sequence(text) {
    if (!text.trim()) return { letters: start.sequence, notes: [] };
    const { letters, notes, problem } = clean(text);
    if (problem) return { letters: kept, notes: [], problem };
    if (letters.length < 24) {
      return { letters: start.sequence, notes: ["Fewer than 24 bases: the example is shown."] };
    }
    kept = letters;
    return { letters, notes };
  }

  /** Rate and span: the paper's while they are 0, so that each objective begins with its own. */
  const asked = ({ objective, rate, span }) =>
    ({ rate: rate || objectives[objective].rate, span: span || objectives[objective].span });

  function made(state) {
    const own = sequence(state.sequence);
    const { rate, span } = asked(state);
    const wanted = { rate: rate / 100, span, prefix: state.prefix / 100 };
    const fitting = () => nearest(state.objective, wanted, Number(state.slots), own.letters.length);
    if (!fitting().window) {
      own.notes.push(`No setting fits ${own.letters.length} bases: the example is shown.`);
      own.letters = start.sequence;
    }
    const { settings, window, why } = fitting();
    const starts = own.letters.length - window + 1; // of the window in the sequence, counted from 1
    const from = Math.min(state.from, starts);
    const letters = own.letters.slice(from - 1, from - 1 + window);
    const drawn = objectives[state.objective].draw(settings, window, generator(state.seed), letters);
    return { ...own, letters, starts, from, settings, why, drawn, tokens: row(state.objective, drawn, letters) };
  }

  /** Viridis, thinned so that letters stay readable, for places in the window only. */
  function shade(share) {
    const stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
    const at = Math.min(share * 4, 3.999);
    const low = Math.floor(at);
    const mix = stops[low].map((value, i) => Math.round(value + (at - low) * (stops[low + 1][i] - value)));
    return `rgba(${mix.join()},0.45)`;
  }

  const signs = { "<start>": "▸", "<eos>": "■", "<mask>": "?", "<ctx>": "c", "<find>": "f", "<to>": "t", "<sep>": "/" };
  const glyph = ({ kind, text }) =>
    kind === "base" ? text : kind === "objective" ? "o" : kind === "sentinel" ? text.slice(1, -1) : signs[text];

  function cells(tokens, bases, prompt, step) {
    const chosen = step > 0 ? prompt + step : -1; // the slot of the target token that is looked at
    const parts = [["prompt", 0, prompt], ["target", prompt, tokens.length]];
    const source = chosen > 0 ? tokens[chosen].place : null;
    return parts.filter(([, from, to]) => to > from).map(([title, from, to]) =>
      html("div", { class: "birdie-cells" }, html("span", { class: "birdie-part" }, title),
        ...tokens.slice(from, to).map((token, i) => {
          const slot = from + i;
          const classes = ["birdie-cell", token.kind];
          if (chosen >= 0 && slot > chosen) classes.push("later");
          if (slot === chosen) classes.push("chosen");
          else if (source !== null && token.place === source && slot < chosen) classes.push("source");
          const style = token.kind === "base" ? `background:${shade(token.place / Math.max(1, bases - 1))}` : undefined;
          return html("span", { class: classes.join(" "), style, "data-slot": slot, title: token.text }, glyph(token));
        })));
  }

  /** Span lengths as drawn (bars) and by their law (line). */
  function histogram(spans, least, width) {
    const lengths = spans.map(([, length]) => length);
    const [k, m] = [lengths.length, lengths.reduce((a, b) => a + b, 0)];
    const longest = Math.min(Math.max(...lengths, Math.ceil((3 * m) / k)), m);
    const right = Math.min(width, 420) - 10;
    const share = (length) => lengths.filter((one) => one === length).length / k;
    const all = Array.from({ length: longest }, (_, i) => i + 1);
    const highest = Math.max(...all.map((length) => Math.max(share(length), law(m, k, length, least))));
    const x = scale(0.5, longest + 0.5, 40, right);
    const y = scale(0, highest, 110, 20);
    const about = `Lengths of ${k} spans: ${lengths.join(", ")}`;
    const ticks = [...new Set([1, Math.round(longest / 2), longest])];
    return drawing(right + 10, 150, about,
      ...all.map((length) => svg("rect", { x: x(length - 0.4), width: x(1.8) - x(1), y: y(share(length)),
        height: 110 - y(share(length)), opacity: 0.35 })),
      svg("polyline", { points: all.map((l) => `${x(l)},${y(law(m, k, l, least))}`).join(" "), fill: "none",
        stroke: "currentColor", "stroke-width": 2 }),
      ...ticks.map((tick) => words(x(tick), 122, String(tick))),
      words((40 + right) / 2, 142, "span length (line: expected)"),
      words(36, 20, number(highest, 2), "end"), words(36, 110, "0", "end"));
  }

  function summary(state, { tokens, letters, settings, drawn }) {
    const title = objectives[state.objective].title;
    const targets = tokens.filter((token) => token.part === "target").length;
    const hides = { prefix_lm: () => `gives ${drawn.seen} of ${letters.length} bases`,
      copying: () => `shows all ${letters.length} bases`, next_token: () => "shows no base first" };
    const masked = () => {
      const bases = drawn.spans.reduce((sum, [, length]) => sum + length, 0);
      const verb = { deshuffling: "moves", selective_copying: "asks for" }[state.objective] || "hides";
      return `${verb} ${bases} of ${letters.length} bases in ${drawn.spans.length} span${drawn.spans.length > 1 ? "s" : ""} ` +
        `(mean ${number(bases / drawn.spans.length, 1)})`;
    };
    return `${title} ${(hides[state.objective] || masked)()}; ${targets} target tokens carry loss, ` +
      `${letters.length} bases are read.`;
  }

  function told(tokens, prompt, step) {
    if (!step) return "Step through the target, or point at a cell.";
    const token = tokens[prompt + step];
    const [from, seen] = [prompt + step, step - 1];
    const base = token.place !== null;
    const source = base && tokens.slice(0, from).some((other) => other.place === token.place);
    const where = !base ? "It is no base of the window."
      : source ? "Its base is in what it may see (outlined): it can be looked up."
        : "Its base is nowhere in what it may see: it must be inferred.";
    return `Target token ${step} of ${tokens.length - prompt - 1} is ${base ? `${token.text}, base ${token.place + 1}` : token.text}. ` +
      `To predict it the model sees the whole prompt (${prompt} tokens), <start> and ${seen} target token${seen === 1 ? "" : "s"}. ${where}`;
  }

  function draw(state, width) {
    const found = made(state);
    const { tokens, notes, problem, why, settings, drawn, letters, starts, from } = found;
    const prompt = tokens.findIndex((token) => token.part === "start");
    const targets = tokens.length - prompt - 1;
    const step = Math.min(state.step, targets);
    const near = why && `That does not fit, since ${why}; shown is rate ${number(100 * settings.rate, 0)}%, mean span ${settings.span}.`;
    const picture = cells(tokens, letters.length, prompt, step);
    if (drawn.spans) {
      picture.push(histogram(drawn.spans, state.objective === "selective_copying" ? start.shortest : 1, width));
    }
    const said = [problem, ...notes, near, summary(state, found), told(tokens, prompt, step)];
    return { picture, said: said.filter(Boolean).join(" "), facts: { targets, step, starts, from, ...(drawn.spans && asked(state)) } };
  }

  function listen(picture, state, set) {
    picture.tabIndex = 0;
    picture.setAttribute("role", "group");
    picture.setAttribute("aria-label", "The row. Arrow keys step through its target.");
    const move = (by) => {
      const { targets } = draw(state(), 320).facts;
      set({ step: Math.max(0, Math.min(targets, Math.min(state().step, targets) + by)) });
    };
    picture.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 }[event.key];
      if (by) { event.preventDefault(); move(by); }
    });
    const look = (event) => {
      const slot = event.target.dataset.slot;
      if (slot === undefined) return;
      const prompt = picture.querySelector(".birdie-cell.start").dataset.slot;
      const step = Math.max(0, slot - prompt);
      if (step !== state().step && slot >= Number(prompt)) set({ step });
    };
    picture.addEventListener("pointermove", look); // a new cell comes under a pointer that rests, too
    picture.addEventListener("click", look);
  }

  const spans = (state) => "span" in objectives[state.objective];
  kinds.playground = {
    defaults: { objective: "infilling", sequence: "", slots: "128", rate: 0, span: 0, prefix: 75, from: 1, seed: 1, step: 0 },
    controls: [
      { type: "choice", key: "objective", label: "Objective",
        options: Object.entries(objectives).map(([name, { title }]) => [name, title]) },
      { type: "choice", key: "slots", label: "Slots of the row", options: ["64", "128", "256"].map((n) => [n, n]) },
      { type: "slider", key: "rate", label: "Rate (%)", min: 5, max: 90, step: 5, when: spans },
      { type: "slider", key: "span", label: "Mean span (bases)", min: 1, max: 64, when: spans },
      { type: "slider", key: "prefix", label: "Given (%)", min: 5, max: 95, step: 5,
        when: (state) => state.objective === "prefix_lm" },
      { type: "slider", key: "from", label: "Window begins at base", min: 1, max: (state) => state.starts ?? 5000 },
      { type: "slider", key: "seed", label: "Seed", min: 1, max: 9999, when: spans },
      { type: "button", label: "Another draw", when: spans,
        act: (state, set) => set({ seed: (state.seed % 9999) + 1 }) },
      { type: "slider", key: "step", label: "Target token", min: 0, max: (state) => state.targets ?? 256 },
      { type: "play", key: "step", last: (state) => state.targets, every: 300 },
      { type: "letters", key: "sequence", label: "Your own sequence (A, C, G, T; 24 to 5,000 bases)" },
    ],
    settle: (next, now) => {
      const whole = Object.fromEntries(["span", "seed", "step", "from"].map((key) => [key, Math.round(next[key])]));
      const kept = next.objective === now.objective || next.rate !== now.rate || next.span !== now.span;
      return { ...next, ...whole, ...(kept ? {} : { rate: 0, span: 0 }) };
    },
    draw,
    listen,
  };
})();
