// Every page: the switch that opens all code, and what the theme leaves out for screen readers.
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
  const folds = document.querySelectorAll(".cell details.hide");
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
