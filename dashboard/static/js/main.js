// The frame around the views: addresses, navigation, search, colours.

import { get } from "./api.js";
import { h, icon, replace } from "./dom.js";
import { connect } from "./live.js";
import { complain, failure, keywordAddress } from "./parts.js";
import * as session from "./session.js";

const VIEWS = {
  "/": ["Now", "now"],
  "/keyword": ["Keyword", "keyword"],
  "/trends": ["Trends", "trends"],
  "/watchlist": ["Watchlist", "watchlist"],
  "/pipeline": ["Pipeline", "pipeline"],
};
const main = document.getElementById("main");
let leave = new AbortController();

async function draw({ keepFocus = false } = {}) {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  if (!keepFocus) complain(); // what went wrong elsewhere is over
  const [title, module] = VIEWS[location.pathname] ?? VIEWS["/"];
  document.title = `${title} – Keyword anomalies`;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // Who pressed a filter goes on from it, although the view is drawn anew.
  const focused = keepFocus && document.activeElement;
  const spot = focused && main.contains(focused) ? { id: focused.id, text: focused.textContent, label: focused.closest("[role=group]")?.getAttribute("aria-label"), caret: focused.selectionStart } : null;
  document.body.dataset.view = module;
  try {
    const view = await import(`./${module}.js`);
    if (signal.aborted) return;
    const done = view.show(main, { signal, query: new URLSearchParams(location.search), go });
    if (spot) restore(spot);
    else if (!keepFocus) window.scrollTo(0, 0);
    await done;
    // What a view makes only of an answer has the focus back now, unless somebody has gone on meanwhile.
    if (spot && !signal.aborted && document.activeElement === document.body) restore(spot);
  } catch (problem) {
    if (problem.name === "AbortError" || signal.aborted) return;
    if (problem.status === undefined) console.error(problem);
    replace(main, failure(problem, () => draw()));
  }
}

function restore({ id, text, label, caret }) {
  const group = label && [...main.querySelectorAll("[role=group]")].find((one) => one.getAttribute("aria-label") === label);
  const target = (id && document.getElementById(id)) || [...(group?.querySelectorAll("button") ?? [])].find((one) => one.textContent === text);
  target?.focus();
  if (caret !== undefined && caret !== null && target?.setSelectionRange) target.setSelectionRange(caret, caret);
}

export function go(address, { replace: instead = false, keepFocus = false } = {}) {
  history[instead ? "replaceState" : "pushState"](null, "", address);
  const drawn = draw({ keepFocus });
  if (!keepFocus) main.focus({ preventScroll: true });
  return drawn;
}

function navigation() {
  replace(document.getElementById("nav"), Object.entries(VIEWS).map(([path, [title, name]]) => h("li", {}, h("a", { href: path, "data-link": true }, icon(name), h("span", {}, title)))));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-link]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(link.href);
  });
  addEventListener("popstate", () => draw());
}

function search() {
  const form = document.getElementById("search");
  const text = document.getElementById("search-text");
  let timer = 0;
  let asking = new AbortController();
  const stop = () => {
    clearTimeout(timer);
    asking.abort();
  };
  text.addEventListener("input", () => {
    stop();
    text.setCustomValidity("");
    asking = new AbortController();
    const { signal } = asking;
    timer = setTimeout(async () => {
      if (!text.value.trim()) return;
      const found = await get("/keywords", { prefix: text.value.trim() }, signal).catch(() => ({ items: [] }));
      if (!signal.aborted) replace(document.getElementById("search-list"), found.items.map((keyword) => h("option", { value: keyword })));
    }, 150);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const typed = text.value.trim();
    if (!typed) return;
    stop();
    let found;
    try {
      found = await get("/keyword", { text: typed }); // how a text becomes a keyword only the counting knows
    } catch (problem) {
      text.setCustomValidity(problem.message);
      text.reportValidity();
      return;
    }
    if (text.value.trim() !== typed) return; // somebody types on
    text.value = "";
    go(keywordAddress(found.keyword));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
    event.preventDefault();
    text.focus();
  });
}

function colours() {
  const button = document.getElementById("theme");
  const names = { auto: "as the system", light: "light", dark: "dark" };
  const icons = { auto: "auto", light: "sun", dark: "moon" };
  let chosen = document.documentElement.dataset.theme ?? "auto";
  const apply = () => {
    if (chosen === "auto") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("theme");
    } else {
      document.documentElement.dataset.theme = chosen;
      localStorage.setItem("theme", chosen);
    }
    button.setAttribute("aria-label", `Colours: ${names[chosen]}`);
    button.title = `Colours: ${names[chosen]}`;
    replace(button, icon(icons[chosen]));
  };
  button.addEventListener("click", () => {
    chosen = { auto: "light", light: "dark", dark: "auto" }[chosen];
    apply();
  });
  apply();
}

navigation();
search();
colours();
session.start();
document.addEventListener("signed-in", () => {
  // Who could read before goes on where they are: what they signed in for is being written just now.
  if (!session.current().required) return;
  connect();
  draw();
});
const drawn = draw();
connect();
session.refresh().catch(() => {});
await drawn;
