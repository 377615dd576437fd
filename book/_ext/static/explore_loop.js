// The loop of the method, as a real run logged it: a row of DNA, losses, rewards, the next shares.
(() => {
  const { kinds, html, svg, number, scale, drawing, words } = birdie;
  const log = birdieData.loop; // absent until `03_reward_model` has run
  if (!log) return;
  const { objectives: mixture, names, codes, colours, rounds } = log;
  const BASES = 32;
  const percent = (share) => `${number(100 * share, 0)}%`;

  // How a window of 32 bases becomes a row: the objective's page twin, with spans that fit.
  const small = {
    infill_50_3: ["infilling", { rate: 0.5, span: 3 }], infill_15_32: ["infilling", { rate: 0.25, span: 8 }],
    prefix_lm_75: ["prefix_lm", { prefix: 0.75 }], deshuffling_50: ["deshuffling", { rate: 0.5, span: 4 }],
    autoencoding_30_50: ["autoencoding", { rate: 0.3, span: 3 }],
    selective_copying_15: ["selective_copying", { rate: 0.25, span: 8 }] };

  const highest = (values) => values.indexOf(Math.max(...values));

  /** The row shown in a round: an objective drawn by its share, over the round's own window. */
  function shown(round) {
    const { objectives, generator, row } = birdie.rows;
    const random = generator(round + 1);
    const { sequence } = birdieData.playground;
    const at = (round * 37) % (sequence.length - BASES);
    const letters = sequence.slice(at, at + BASES);
    let left = random();
    const which = Math.max(0, rounds[round].ratios.findIndex((share) => (left -= share) < 0));
    const [name, settings] = small[mixture[which]] || [mixture[which], {}];
    const drawn = objectives[name].draw(settings, BASES, random, letters);
    return { which, letters, tokens: row(name, drawn, letters) };
  }

  const SIGNS = { "<start>": "▸", "<eos>": "■", "<mask>": "?", "<ctx>": "c", "<find>": "f", "<to>": "t", "<sep>": "/" };
  const sign = ({ kind, text }) => (kind === "base" ? text : kind === "objective" ? "o" : SIGNS[text] || text.slice(1, -1));

  /** The window above, and below it the row that it becomes: bases fly to their places. */
  function dna({ letters, tokens }, flies, width) {
    const perLine = width < 480 ? 20 : 40;
    const size = (width - 64) / perLine;
    const place = (i, line) => [64 + (i % perLine) * size, 4 + (line + Math.floor(i / perLine)) * 22];
    const parts = [[words(0, place(0, 0)[1] + 9, "window", "start")]];
    const cell = ([x, y], text, kind, at, style) => svg("g", { class: `birdie-flying ${kind}`, style },
      svg("rect", { x, y, width: size - 1, height: 18, rx: 2,
        style: kind === "base" ? `fill:hsl(${280 - (220 * at) / BASES} 55% 60% / 0.5)` : undefined }),
      words(x + size / 2, y + 10, text));
    [...letters].forEach((letter, i) => parts.push([cell(place(i, 0), letter, "base", i)]));
    let line = Math.ceil(BASES / perLine) + 0.5;
    for (const [part, most] of [["prompt", 54], ["target", BASES + 2]]) {
      const own = tokens.filter((token) => (token.part === "prompt") === (part === "prompt"));
      parts.push([words(0, place(0, line)[1] + 9, part, "start")]);
      own.forEach((token, i) => {
        const to = place(i, line);
        const from = token.place === null ? to : place(token.place, 0);
        const style = `--dx:${from[0] - to[0]}px;--dy:${from[1] - to[1]}px`;
        parts.push([cell(to, sign(token), token.kind, token.place, flies ? style : undefined)]);
      });
      line += Math.ceil(most / perLine) + 0.25; // always the same height
    }
    return drawing(width, place(0, line)[1], "the window and its row", ...parts.flat());
  }

  const NOTHING = names.map(() => 0);

  /** Bars from zero (null: not measured yet), which grow from their former length. */
  function bars(given, former, low, high, form, width) {
    const values = given || NOTHING;
    const x = scale(low, high, 40, width - 48);
    const zero = x(0);
    return drawing(width, names.length * 20 + 4, "one bar per objective", ...values.flatMap((value, i) => {
      const y = 2 + i * 20;
      const length = Math.abs(x(value) - zero);
      const before = former && value ? former[i] / value : 1;
      return [words(34, y + 9, codes[i], "end"),
        svg("rect", { class: "birdie-bar", x: Math.min(x(value), zero), y, width: length, height: 16,
          fill: colours[i], style: `--from:${number(before, 3).replace("−", "-")};transform-origin:${zero}px 0` }),
        words(Math.max(x(value), zero) + 4, y + 9, given ? form(value) : "–", "start")];
    }));
  }

  function sentence(round, phase, which) {
    const { start, end, ratios, before, after, rewards } = rounds[round];
    const falls = before.map((loss, i) => loss - after[i]);
    const [best, fell] = [highest(rewards), highest(falls)];
    const most = number(rewards[best], 2, true);
    const equal = rewards.filter((reward) => number(reward, 2, true) === most).length;
    const next = rounds[round + 1];
    const [was, will] = [ratios, next?.ratios ?? ratios].map((shares) => percent(shares[best]));
    return [
      () => `Round ${round + 1}, steps ${start} to ${end}. A row is drawn by the shares, here ${names[which]} ` +
        `(${percent(ratios[which])}): the model reads the prompt and must write the target.`,
      () => `After the round, losses on held-out rows: ${names[fell]} fell most, from ${number(before[fell], 2)} to ` +
        `${number(after[fell], 2)} nats.`,
      () => `Falls earn rewards: ${equal === 1 ? `${names[best]} earns` : `${equal} objectives earn`} most, ${most}.`,
      () => `The director chooses the next shares${next.explored ? ", this time at random" : ""}: ${names[best]} ` +
        `${was === will ? `stays at ${will}` : `goes from ${was} to ${will}`}.`,
    ][phase]();
  }

  function draw({ at }, width) {
    const [round, phase] = [Math.floor(at / 4), at % 4];
    const [former, now, next] = [rounds[round - 1], rounds[round], rounds[round + 1]];
    const found = shown(round);
    const [columns, third] = width < 560 ? [1, width - 16] : [3, (width - 60) / 3];
    const losses = phase ? now.after : now.before;
    const rewards = phase > 1 ? now.rewards : former && !phase ? former.rewards : null;
    const panel = (title, active, picture) => html("div", { class: `birdie-panel${active ? " active" : ""}` },
      html("b", {}, title), picture);
    const said = sentence(round, phase, found.which);
    const stage = html("div", { role: "img", "aria-label": said },
      panel(`1 · a row of DNA: ${names[found.which]}`, phase === 0, dna(found, phase === 0, width - 16)),
      html("div", { class: "birdie-ring", style: `grid-template-columns:repeat(${columns},1fr)` },
        panel("2 · held-out losses (nats)", phase === 1,
          bars(losses, phase === 1 ? now.before : null, 0, Math.max(1.6, ...losses), (value) => number(value, 2), third)),
        panel("3 · rewards", phase === 2,
          bars(rewards, phase === 2 ? NOTHING : null, -1, 1, (value) => number(value, 2, true), third)),
        panel(`4 · shares ↺`, phase === 3,
          bars(phase === 3 ? next.ratios : now.ratios, phase === 3 ? now.ratios : null, 0, 1, percent, third))),
      html("small", {}, names.map((name, i) => `${codes[i]} ${name}`).join(" · ")));
    return { said, picture: [stage] };
  }

  const last = 4 * rounds.length - 2; // the shares after the last round are not told
  kinds.loop = {
    defaults: { at: 0 },
    controls: [
      { type: "play", key: "at", last, every: 1600 },
      { type: "button", label: "Step", act: ({ at }, set) => set({ at: (at + 1) % (last + 1) }) },
      { type: "slider", key: "at", label: "Stage", min: 0, max: last },
    ],
    settle: (next) => ({ at: Math.round(next.at) }),
    moves: "at",
    draw,
  };
})();
