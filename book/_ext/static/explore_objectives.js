// The objectives in JavaScript, as `birdiedna/objectives` has them: sizes, layouts, rows.
// Layouts are drawn with a seed of their own; given a layout, a row equals Python's token by token.
(() => {
  const fixed = birdieData.playground;
  const LEAST = 24; // a shorter window shows nothing
  const half = (value) => Math.floor(value + 0.5);
  const sum = (values) => values.reduce((a, b) => a + b, 0);

  /** A generator of numbers in [0, 1) from a whole number (mulberry32). */
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  /** `count` different numbers below `below`, in random order. */
  function pick(random, below, count) {
    const all = Array.from({ length: below }, (_, i) => i);
    for (let i = 0; i < count; i++) {
      const j = i + Math.floor(random() * (below - i));
      [all[i], all[j]] = [all[j], all[i]];
    }
    return all.slice(0, count);
  }

  /** A uniformly random composition of `total` into `parts` positive whole numbers. */
  function compose(random, total, parts) {
    const cuts = pick(random, total - 1, parts - 1).map((cut) => cut + 1).sort((a, b) => a - b);
    return [...cuts, total].map((cut, i) => cut - (i ? cuts[i - 1] : 0));
  }

  /** Gaps (k+1) and spans (k) in turn, from the left end of the window. */
  function place(gaps, lengths) {
    const spans = [];
    const rests = [];
    let at = 0;
    gaps.forEach((gap, i) => {
      rests.push([at, gap]);
      at += gap;
      if (i < lengths.length) { spans.push([at, lengths[i]]); at += lengths[i]; }
    });
    return { spans, rests };
  }

  function layout(random, window, noise, count) {
    const gaps = compose(random, window - noise + 2, count + 1);
    gaps[0] -= 1;
    gaps[count] -= 1;
    return place(gaps, compose(random, noise, count));
  }

  /** A permutation that moves `moved` of `items` in one cycle. */
  function cycle(random, items, moved) {
    const chosen = pick(random, items, moved);
    const order = Array.from({ length: items }, (_, i) => i);
    chosen.forEach((one, i) => { order[one] = chosen[(i + moved - 1) % moved]; });
    return order;
  }

  function counts(window, rate, mean) {
    const noise = Math.max(1, half(rate * window));
    const spans = Math.min(Math.max(1, half(noise / mean)), noise);
    if (spans > window - noise + 1) throw new RangeError("the spans would touch each other");
    return { noise, spans };
  }

  // An objective: sizes(settings, window), draw(settings, window, random, letters), and
  // write(drawn, window) -> [prompt, target], lists of [place, length] or of names of tokens.
  const objectives = {
    infilling: {
      title: "Infilling", token: "infill_50_3", rate: 50, span: 3,
      counts({ rate, span }, window) {
        const { noise } = counts(window, rate, span);
        const exact = Math.min(Math.max(1, noise / span), noise);
        const nearest = half(exact);
        const whole = Math.abs(noise / nearest / span - 1) <= 0.01 || exact === nearest;
        const spans = whole ? nearest : Math.ceil(exact);
        if (spans > Math.min(window - noise + 1, 256)) throw new RangeError("the spans would touch each other");
        return { noise, spans, fewer: whole ? 0 : spans - exact };
      },
      sizes(settings, window) {
        const { noise, spans } = this.counts(settings, window);
        return [1 + window - noise + spans, noise + spans + 1];
      },
      draw(settings, window, random) {
        const { noise, spans, fewer } = this.counts(settings, window);
        return layout(random, window, noise, random() < fewer ? spans - 1 : spans);
      },
      write({ spans, rests }) {
        return [[...spans.flatMap((_, i) => [rests[i], `${i}`]), rests[spans.length]],
          [...spans.flatMap((span, i) => [`${i}`, span]), "eos"]];
      },
    },
    prefix_lm: {
      title: "Prefix LM", token: "prefix_lm_75", prefix: 75,
      sizes({ prefix }, window) {
        const seen = Math.floor(prefix * window);
        return [1 + seen, window - seen + 1];
      },
      draw: ({ prefix }, window) => ({ seen: Math.floor(prefix * window) }),
      write: ({ seen }, window) => [[[0, seen]], [[seen, window - seen], "eos"]],
    },
    deshuffling: {
      title: "Deshuffling", token: "deshuffling_50", rate: 50, span: 16,
      counts({ rate, span }, window) {
        if (span !== 1) return counts(window, rate, span);
        const noise = Math.max(1, half(rate * window));
        return { noise, spans: noise };
      },
      sizes(settings, window) {
        if (this.counts(settings, window).spans < 2) throw new RangeError("there are fewer than two spans to exchange");
        return [1 + window, window + 1];
      },
      draw(settings, window, random) {
        const { noise, spans } = this.counts(settings, window);
        const drawn = settings.span === 1 ? scatter(random, window, noise)
          : layout(random, window, noise, spans);
        return { ...drawn, order: cycle(random, spans, spans) };
      },
      write({ spans, rests, order }, window) {
        return [[...order.flatMap((from, i) => [rests[i], spans[from]]), rests[spans.length]],
          [[0, window], "eos"]];
      },
    },
    autoencoding: {
      title: "Autoencoding", token: "autoencoding_30_50", rate: 30, span: 3,
      sizes({ rate, span }, window) {
        const { noise, spans } = counts(window, rate, span);
        return [1 + window - noise + spans, window + 1];
      },
      draw({ rate, span }, window, random) {
        const { noise, spans } = counts(window, rate, span);
        const drawn = layout(random, window, noise, spans);
        return { ...drawn, order: cycle(random, spans + 1, half((spans + 1) / 2)) };
      },
      write({ rests, order }, window) {
        return [order.flatMap((from, i) => (i ? ["mask", rests[from]] : [rests[from]])),
          [[0, window], "eos"]];
      },
    },
    copying: {
      title: "Copying", token: "copying",
      sizes: (_, window) => [1 + window, window + 1],
      draw: () => ({}),
      write: (_, window) => [[[0, window]], [[0, window], "eos"]],
    },
    selective_copying: {
      title: "Selective copying", token: "selective_copying_15", rate: 15, span: 16,
      counts({ rate, span }, window) {
        const { noise, spans } = counts(window, rate, span);
        if (noise < spans * fixed.shortest) {
          throw new RangeError(`spans of ${fixed.shortest} bases or more are needed, to be worth finding`);
        }
        if (noise + spans * (fixed.before + fixed.after) > window) {
          throw new RangeError("there is no room for the bases around the spans that ask for them");
        }
        return { noise, spans };
      },
      sizes(settings, window) {
        const { noise, spans } = this.counts(settings, window);
        return [2 + window + (2 + fixed.before + fixed.after) * spans, noise + spans];
      },
      draw(settings, window, random, letters) {
        const { noise, spans } = this.counts(settings, window);
        const around = fixed.before + fixed.after;
        const one = () => {
          const lengths = compose(random, noise - spans * (fixed.shortest - 1), spans)
            .map((length) => length + fixed.shortest - 1);
          const gaps = compose(random, window - noise - spans * around + spans + 1, spans + 1)
            .map((gap) => gap - 1);
          return place(gaps, lengths.map((length) => length + around)).spans
            .map(([start], i) => [start + fixed.before, lengths[i]]);
        };
        const twice = ([start]) => {
          const asked = letters.slice(start - fixed.before, start);
          return letters.indexOf(asked) !== letters.lastIndexOf(asked);
        };
        const draws = Array.from({ length: fixed.placements }, one);
        const doubts = draws.map((drawn) => drawn.filter(twice).length);
        const best = draws[doubts.indexOf(Math.min(...doubts))];
        return { spans: pick(random, spans, spans).map((i) => best[i]), first: random() < 0.5 };
      },
      write({ spans, first }, window) {
        const context = ["ctx", [0, window]];
        const queries = spans.flatMap(([start, length]) => ["find", [start - fixed.before, fixed.before],
          "to", [start + length, fixed.after]]);
        return [first ? [...context, ...queries] : [...queries, ...context],
          spans.flatMap((span, i) => [span, i === spans.length - 1 ? "eos" : "sep"])];
      },
    },
    next_token: {
      title: "Next token", token: null,
      sizes: (_, window) => [0, window],
      draw: () => ({}),
      write: (_, window) => [[], [[0, window]]],
    },
  };

  /** Single bases chosen anywhere, neighbours too. */
  function scatter(random, window, count) {
    const chosen = pick(random, window, count).sort((a, b) => a - b);
    const gaps = [...chosen, window].map((at, i) => at - (i ? chosen[i - 1] + 1 : 0));
    return place(gaps, new Array(count).fill(1));
  }

  /** The row: [{text, part, kind, place}], place null unless a base; part prompt, start, target. */
  function row(name, drawn, letters) {
    const { token, write } = objectives[name];
    const [prompt, target] = write(drawn, letters.length);
    const opening = token === null ? [] : [token];
    const kinds = { eos: "end", mask: "mask", start: "start", [token]: "objective" };
    const tokens = [];
    const add = (part, pieces) => {
      for (const piece of pieces) {
        if (typeof piece === "string") {
          const kind = /^\d+$/.test(piece) ? "sentinel" : kinds[piece] || "delimiter";
          tokens.push({ text: `<${piece}>`, part, kind, place: null });
          continue;
        }
        for (let i = 0; i < piece[1]; i++) {
          tokens.push({ text: letters[piece[0] + i], part, kind: "base", place: piece[0] + i });
        }
      }
    };
    add("prompt", [...opening, ...prompt]);
    add("start", ["start"]);
    add("target", target);
    return tokens;
  }

  /** The largest window of at most `bases` whose row fits `slots`; 0 if none does. */
  function fit(name, settings, slots, bases) {
    for (let window = Math.min(slots, bases); window > 0; window--) {
      try {
        if (sum(objectives[name].sizes(settings, window)) <= slots) return window;
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
    return 0;
  }

  /** Settings that fit: those asked for, else the nearest, and then why ({settings, window, why}). */
  function nearest(name, settings, slots, bases) {
    const window = fit(name, settings, slots, bases);
    if (window >= LEAST) return { settings, window, why: "" };
    let why = "prompt and target are longer than the row";
    try {
      objectives[name].sizes(settings, Math.max(1, Math.floor(Math.min(slots / 2, bases))));
    } catch (error) {
      why = error.message;
    }
    const others = [];
    for (let rate = 5; rate <= 90; rate += 5) {
      for (let span = 1; span <= 64; span++) {
        const far = Math.abs(rate / 100 - settings.rate) * 20 + Math.abs(Math.log2(span / settings.span)) * 2;
        others.push({ far, settings: { ...settings, rate: rate / 100, span } });
      }
    }
    others.sort((a, b) => a.far - b.far);
    for (const other of others) {
      const fitting = fit(name, other.settings, slots, bases);
      if (fitting >= LEAST) return { settings: other.settings, window: fitting, why };
    }
    return { settings, window: 0, why };
  }

  /** P(length) of a span when all ways to cut m bases into k spans of at least `least` are alike. */
  function law(m, k, length, least = 1) {
    const [total, at] = [m - k * (least - 1), length - least + 1];
    if (k === 1) return at === total ? 1 : 0;
    if (at < 1 || total - at < k - 1) return 0;
    let p = (k - 1) / (total - 1); // C(total-at-1, k-2) / C(total-1, k-1), factor by factor
    for (let i = 1; i < at; i++) p *= (total - k - i + 1) / (total - 1 - i);
    return p;
  }

  /** Letters of a pasted sequence: {letters, notes}; {problem} if one is no nucleotide code. */
  function clean(text) {
    const notes = [];
    const lines = text.split(/\r?\n/);
    const names = lines.filter((one) => one.startsWith(">")).length;
    if (names > 1) notes.push(`${names} records are read as one sequence.`);
    const body = lines.filter((one) => !one.startsWith(">")).join("");
    let letters = "";
    let place = 0;
    for (const letter of body) {
      if (/\s/.test(letter)) continue;
      place += 1;
      const upper = letter.toUpperCase();
      if (!/^[ACGTUNRYSWKMBDHV]$/.test(upper)) {
        return { problem: `“${letter}” at place ${place} is no nucleotide code; the picture stays.` };
      }
      letters += "ACGT".includes(upper) ? upper : upper === "U" ? "T" : "N";
    }
    const odd = (body.match(/[RYSWKMBDHV]/gi) || []).length;
    if (odd) notes.push(`${odd} ambiguity letter${odd > 1 ? "s are" : " is"} read as N.`);
    if (letters.length > 5000) notes.push(`Of ${letters.length.toLocaleString("en")} bases the first 5,000 are kept.`);
    return { letters: letters.slice(0, 5000), notes };
  }

  birdie.rows = { objectives, generator, row, fit, nearest, law, clean };
})();
