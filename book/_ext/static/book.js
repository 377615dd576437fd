// Every page: one line of folds below each figure and table, the switch that opens all code, and what
// the theme leaves out for screen readers and for paper, which is light.
{
  const { dataset } = document.documentElement;
  try {
    for (const storage of [localStorage, sessionStorage]) {
      storage.setItem("birdie", "");
      storage.removeItem("birdie");
    }
  } catch { // storage is off, as in a sandboxed frame: the theme's controls work for this page
    const kept = new Map();
    const value = {
      getItem: (name) => kept.get(name) ?? null,
      setItem: (name, text) => { kept.set(name, text); },
      removeItem: (name) => { kept.delete(name); },
    };
    for (const name of ["localStorage", "sessionStorage"]) Reflect.defineProperty(window, name, { value });
    dataset.mode = dataset.theme = "light"; // as the theme begins
  }
  let shown;
  addEventListener("beforeprint", () => { [shown, dataset.theme] = [dataset.theme, "light"]; });
  addEventListener("afterprint", () => { dataset.theme = shown; });
}
addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("button[title]:not([aria-label])")) {
    button.setAttribute("aria-label", button.title);
  }
  for (const named of document.querySelectorAll("summary[aria-label], button[aria-label]")) {
    if (named.textContent.trim()) named.removeAttribute("aria-label"); // its words are its name
  }
  for (const button of document.querySelectorAll(".theme-switch-button")) {
    button.setAttribute("aria-label", "Color mode: light, dark or system settings"); // as its icons say
  }
  for (const list of document.querySelectorAll(".citation-list, .citation")) {
    list.removeAttribute("role"); // roles of docutils that these elements may not have
  }
  // A link into a fold opens it; folds of the theme are there once the page is loaded.
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold; (fold = target?.closest(".toggle-hidden, details:not([open])")); target.scrollIntoView()) {
      if (fold.localName === "details") fold.open = true;
      else fold.querySelector(".toggle-button").click();
    }
  };
  addEventListener("load", unfold);
  addEventListener("hashchange", unfold);
  const folds = document.querySelectorAll(".cell details.hide");
  // How it was made and its code go below the caption, or into the fold of a table.
  for (const made of document.querySelectorAll(".cell_output details.provenance")) {
    const [home, line] = [made.parentElement, document.createElement("div")];
    const table = home.previousElementSibling;
    line.className = "birdie-folds";
    (table?.matches(".admonition") ? table : made.closest("figure") ?? home).append(line);
    line.append(made);
    if (!home.children.length) home.remove();
  }
  const below = [...folds].flatMap((code) => {
    const line = [...code.parentElement.querySelectorAll(".birdie-folds")].pop();
    line?.append(code);
    return line ? [{ code, line }] : [];
  });
  const title = document.querySelector("article h1");
  if (!folds.length || !title) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "birdie-code";
  const remembered = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("birdie-code", value);
      return localStorage.getItem("birdie-code");
    } catch { return null; } // storage is off: the switch works for this page
  };
  const set = (open) => {
    folds.forEach((fold) => { fold.open = open; });
    document.documentElement.classList.toggle("birdie-folded", !open);
    for (const { code, line } of below) { // what is opened is not left behind the fold of a table
      const table = line.closest(".admonition");
      if (open && table) table.after(code);
      else line.append(code);
    }
    button.setAttribute("aria-pressed", open);
    button.textContent = open ? "Hide all code" : "Show all code";
  };
  button.onclick = () => {
    const open = button.getAttribute("aria-pressed") !== "true";
    remembered(open ? "open" : "folded");
    set(open);
  };
  set(remembered() === "open");
  title.after(button);
});
