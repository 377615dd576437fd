// What every explorable shares: labelled inputs above a picture, words that are read out, and its
// state in the address. A kind is {defaults, controls, draw}; `<div data-explore="kind">` shows it.
window.birdie = (() => {
  const kinds = {};

  function made(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") node.addEventListener(name, value);
      else if (value !== undefined && value !== false) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }
  const html = (tag, attributes = {}, ...children) =>
    made(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    made(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

  /** A number with a true minus; `sign` writes + too. */
  function number(value, digits, sign = false) {
    const text = Math.abs(value).toFixed(digits);
    const zero = Number(text) === 0;
    return (value < 0 && !zero ? "−" : sign && !zero ? "+" : "") + text;
  }

  /** A function from a domain to pixels. */
  const scale = (low, high, left, right) => (value) =>
    left + ((value - low) / (high - low)) * (right - left);

  /** A drawing of fixed size with its words for screen readers. */
  const drawing = (width, height, about, ...children) =>
    svg("svg", { width, height, role: "img", "aria-label": about, class: "birdie-drawing" },
      ...children);

  /** Text at a place; `anchor` is start, middle or end. */
  const words = (x, y, text, anchor = "middle") =>
    svg("text", { x, y, "text-anchor": anchor, "dominant-baseline": "middle" }, text);

  /** A frame with ticks on both axes and their titles. `across`, `down`: {to, ticks, title, form}. */
  function axes(across, down, left, right, top, bottom) {
    const lines = svg("g", { class: "birdie-grid" });
    const texts = svg("g", { "aria-hidden": "true" });
    for (const tick of across.ticks) {
      const x = across.to(tick);
      lines.append(svg("line", { x1: x, x2: x, y1: top, y2: bottom }));
      texts.append(words(x, bottom + 14, across.form(tick)));
    }
    for (const tick of down.ticks) {
      const y = down.to(tick);
      lines.append(svg("line", { x1: left, x2: right, y1: y, y2: y }));
      texts.append(words(left - 6, y, down.form(tick), "end"));
    }
    texts.append(words((left + right) / 2, bottom + 32, across.title));
    texts.append(words(left - 30, top - 16, down.title, "start"));
    return svg("g", {}, lines, texts);
  }

  /** Places at least `gap` apart, in the order of those wanted, between two edges. */
  function apart(wanted, gap, low, high) {
    const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
    const places = [];
    order.forEach((i, k) => { places[i] = Math.max(wanted[i], k ? places[order[k - 1]] + gap : low); });
    let edge = high;
    for (const i of order.reverse()) { places[i] = Math.min(places[i], edge); edge = places[i] - gap; }
    return places;
  }

  const line = (points) => svg("polyline", { points: points.map((p) => p.join()).join(" "),
    fill: "none", stroke: "currentColor", "stroke-width": 2 });

  // Controls: {node, show(state)}. `read(text, state)` gives a value from the address, or undefined.
  const given = (value, state) => (typeof value === "function" ? value(state) : value);

  function choice({ key, label, options }, set) {
    const input = html("select", { name: key, change: () => set({ [key]: input.value }) },
      ...options.map(([value, title]) => html("option", { value }, title)));
    return { node: html("label", {}, `${label} `, input),
      show: (state) => { input.value = state[key]; } };
  }

  function slider({ key, label, min, max, step = 1, log = false, marks = [] }, set) {
    let state;
    const steps = 1000;
    const bounds = () => [given(min, state), given(max, state)];
    const rounded = (value) => (log ? Number(value.toPrecision(3)) : value);
    const unlog = (at) => bounds()[0] * (bounds()[1] / bounds()[0]) ** (at / steps);
    const tolog = (value) => steps * Math.log(value / bounds()[0]) / Math.log(bounds()[1] / bounds()[0]);
    const range = html("input", { type: "range", name: key, "aria-label": label,
      input: () => set({ [key]: rounded(log ? unlog(Number(range.value)) : Number(range.value)) }) });
    const box = html("input", { type: "number", step: "any", "aria-label": `${label}, exactly`,
      change: () => {
        const [low, high] = bounds();
        const value = Number(box.value);
        if (box.value !== "" && value >= low && value <= high) set({ [key]: value });
        else {
          const shown = (x) => Number(x.toPrecision(4));
          set({}, `${label} can be ${shown(low)} to ${shown(high)}; ${box.value || "that"} is ` +
            `outside, so it stays ${shown(state[key])}.`);
        }
      } });
    const presets = marks.map(([value, title]) =>
      html("button", { type: "button", click: () => set({ [key]: value }) }, title));
    return { node: html("div", { class: "birdie-slider" },
        html("label", {}, `${label} `, range), box, ...presets),
      show: (now) => {
        state = now;
        const [low, high] = bounds();
        [range.min, range.max, range.step] = log ? [0, steps, 1] : [low, high, given(step, state)];
        range.value = log ? tolog(state[key]) : state[key];
        range.setAttribute("aria-valuetext", Number(state[key].toPrecision(4)));
        box.value = Number(state[key].toPrecision(4));
      } };
  }

  function checks({ key, label, options }, set) {
    const boxes = options.map((title) => html("input", { type: "checkbox", "aria-label": title,
      change: () => set({ [key]: boxes.map((box) => (box.checked ? 1 : 0)).join("") }) }));
    const labels = options.map((title, i) => html("label", {}, boxes[i], ` ${title}`));
    return { node: html("fieldset", {}, html("legend", {}, label), ...labels),
      show: (state) => boxes.forEach((box, i) => { box.checked = state[key][i] === "1"; }) };
  }

  function letters({ key, label }, set) {
    const input = html("textarea", { name: key, rows: 2, spellcheck: "false",
      input: () => set({ [key]: input.value }) });
    return { node: html("label", { class: "birdie-wide" }, label, input),
      show: (state) => { if (input.value !== state[key]) input.value = state[key]; } };
  }

  function button({ label, act }, set) {
    let state;
    const node = html("button", { type: "button", click: () => act(state, set) }, label);
    return { node, show: (now) => { state = now; } };
  }

  /** Weights 0 to 10 of several things, as one text with a letter for each; `ratios` are shown. */
  function shares({ key, label, options, colours }, set) {
    const digits = "0123456789a";
    const rows = options.map((title, i) => {
      const range = html("input", { type: "range", min: 0, max: 10, name: `${key}${i}`, "aria-label": title,
        input: () => set({ [key]: rows.map((row) => digits[row.range.value]).join("") }) });
      return { range, said: html("output", {}) };
    });
    return { node: html("fieldset", { class: "birdie-shares" }, html("legend", {}, label),
        ...rows.map(({ range, said }, i) => html("label", { style: `--colour:${colours[i]}` },
          html("span", {}, options[i]), range, said))),
      show: (state) => rows.forEach(({ range, said }, i) => {
        range.value = digits.indexOf(state[key][i]);
        const percent = `${number(100 * state.ratios[i], 0)}%`;
        said.textContent = percent;
        range.setAttribute("aria-valuetext", percent);
      }) };
  }

  /** Steps a number on by itself to its end; any other change stops it. */
  function play({ key, last, every }, set) {
    let [state, timer] = [undefined, undefined];
    const ends = () => state[key] >= given(last, state);
    const node = html("button", { type: "button", click: () => (timer ? stop() : start()) }, "Play");
    function stop() {
      if (!timer) return;
      timer = clearInterval(timer);
      node.textContent = "Play";
      set({});
    }
    function start() {
      if (ends()) set({ [key]: 0 });
      timer = setInterval(() => (ends() ? stop() : set({ [key]: state[key] + 1 }, "", true)), every);
      node.textContent = "Pause";
    }
    return { node, start, stop, show: (now) => { state = now; } };
  }

  /** A part of the state that has no input of its own, only a place in the address. */
  const kept = () => ({ node: "", show: () => {} });

  const makers = { choice, slider, checks, letters, button, shares, play, kept };

  /** The state that the address asks for; what a control cannot show is left at its default. */
  function asked(name, kind) {
    const address = new URLSearchParams(location.search);
    const state = { ...kind.defaults };
    for (const { key, type, min, max, options, fits } of kind.controls) {
      const text = key && address.get(`${name}.${key}`);
      if (text === null || text === undefined) continue;
      const value = typeof state[key] === "number" ? Number(text) : text;
      const can = {
        slider: () => value >= given(min, state) && value <= given(max, state),
        choice: () => options.some((option) => option[0] === value),
        checks: () => new RegExp(`^[01]{${options && options.length}}$`).test(value),
        shares: () => new RegExp(`^[0-9a]{${options && options.length}}$`).test(value),
        letters: () => true,
        kept: () => fits(value),
      }[type];
      if (can && can()) state[key] = value;
    }
    return kind.settle ? kind.settle(state, kind.defaults) : state;
  }

  let waiting;
  function remember(name, kind, state) {
    clearTimeout(waiting); // browsers refuse many changes of the address in a short time
    waiting = setTimeout(() => {
      const address = new URLSearchParams(location.search);
      for (const key of Object.keys(kind.defaults)) {
        if (state[key] === kind.defaults[key]) address.delete(`${name}.${key}`);
        else address.set(`${name}.${key}`, state[key]);
      }
      const query = address.toString();
      history.replaceState(null, "", (query ? `?${query}` : location.pathname) + location.hash);
    }, 250);
  }

  function build(box) {
    const name = box.dataset.explore;
    const kind = kinds[name];
    if (!kind) { // its data are made by a chapter that has not run
      box.append("The data of this figure come from a chapter that has not run here.");
      return;
    }
    let state = asked(name, kind);
    const picture = html("div", { class: "birdie-picture" });
    const said = html("p", { role: "status", class: "birdie-said" });
    const problem = html("p", { role: "alert", class: "birdie-problem" });
    const set = (changes, note = "", passing = false) => {
      if (!passing) controls.forEach((control) => control.stop?.());
      const next = { ...state, ...changes };
      state = kind.settle ? kind.settle(next, state) : next;
      problem.textContent = note;
      said.setAttribute("aria-live", passing ? "off" : "polite"); // what plays is not read out
      show();
      if (!passing) remember(name, kind, state);
    };
    const controls = kind.controls.map((one) => ({ ...makers[one.type](one, set), when: one.when }));
    const reset = html("button", { type: "button", click: () => set({ ...kind.defaults }) }, "Reset");
    function show() {
      const drawn = kind.draw(state, Math.min(picture.clientWidth || 320, 720), set);
      for (const control of controls) {
        if (control.when) control.node.hidden = !control.when(state);
        control.show({ ...state, ...drawn.facts });
      }
      picture.replaceChildren(...drawn.picture);
      if (said.textContent !== drawn.said) said.textContent = drawn.said;
    }
    box.append(html("form", { submit: (event) => event.preventDefault() },
      ...controls.map((control) => control.node), reset), problem, picture, said);
    kind.listen?.(picture, () => state, set);
    show();
    const still = matchMedia("(prefers-reduced-motion: reduce), print").matches;
    if (kind.moves && !still && state[kind.moves] === kind.defaults[kind.moves]) {
      controls.forEach((control) => control.start?.());
    }
    let width = picture.clientWidth;
    new ResizeObserver(() => {
      if (picture.clientWidth !== width) { width = picture.clientWidth; show(); }
    }).observe(picture);
  }

  addEventListener("DOMContentLoaded", () =>
    document.querySelectorAll("[data-explore]").forEach(build));
  return { kinds, html, svg, number, scale, drawing, words, axes, line, apart };
})();
