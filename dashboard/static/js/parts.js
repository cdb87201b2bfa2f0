// Parts that several views are made of.

import { h, icon, prose, renew, replace } from "./dom.js";
import { time } from "./format.js";

export const SEVERITIES = ["critical", "high", "medium", "low"];

/** A severity as bars and word: colour alone tells nobody anything. */
export function severity(level) {
  const height = SEVERITIES.length - SEVERITIES.indexOf(level);
  const bars = [1, 2, 3, 4].map((i) => h("i", { class: i <= height ? "on" : null }));
  return h("span", { class: "severity", "data-severity": level }, h("span", { class: "bars", "aria-hidden": "true" }, bars), level);
}

export const keywordAddress = (keyword, parameters = {}) => `/keyword?${new URLSearchParams({ q: keyword, ...parameters })}`;

export function keywordLink(keyword, parameters = {}, attributes = {}) {
  return h("a", { href: keywordAddress(keyword, parameters), "data-link": true, class: "keyword", dir: "auto", ...attributes }, keyword);
}

/** A badge. */
export const badge = (text, kind = null, title = null) => h("span", { class: "badge", "data-kind": kind, title }, text);

/** What is shown while something loads. */
export const loading = (rows = 6) =>
  h("div", { class: "skeleton", role: "status" }, h("span", { class: "hidden" }, "Loading"), Array.from({ length: rows }, () => h("i")));

/** What is shown when there is nothing, and what to do about it. */
export const empty = (title, ...advice) => h("div", { class: "empty" }, h("h3", {}, title), advice.map((text) => (typeof text === "string" ? h("p", {}, prose(text)) : text)));

/** What is shown when something went wrong. */
export function failure(problem, retry) {
  return h("div", { class: "empty failure", role: "alert" },
    icon("warning"),
    h("h3", {}, problem.title ?? "Something went wrong"),
    h("p", {}, prose(problem.message)),
    retry && h("button", { type: "button", onclick: retry }, "Try again"));
}

const renewedAt = new WeakMap(); // of an element, when what it shows was answered

/** Note that what an element shows is of now, and take back what `stale` said of it. */
export function renewed(element) {
  renewedAt.set(element, new Date());
  element.querySelector(":scope > .stale")?.remove();
}

/** Say above what is shown of when it is, as it could not be renewed. */
export function stale(element, problem) {
  const note = h("p", { class: "stale", role: "status" }, icon("warning"), h("span", {}, "Not renewed since ", time(renewedAt.get(element)), ": ", prose(problem.message)));
  const said = element.querySelector(":scope > .stale");
  if (said?.textContent === note.textContent) return; // said again it would be read out again
  said?.remove();
  element.prepend(note);
}

const newest = new WeakMap();
const filled = new WeakSet();

/**
 * Load something into an element: a skeleton meanwhile, the problem if there is one. A quiet load leaves what is shown until
 * there is something newer, also when it fails. Of several loads of an element the one that began last counts, in whatever
 * order they are answered.
 */
export async function load(element, work, { quiet = false, rows } = {}) {
  newest.set(element, work);
  if (!quiet) {
    filled.delete(element);
    replace(element, loading(rows));
  }
  try {
    const children = await work();
    if (newest.get(element) !== work) return;
    renewed(element);
    if (children === undefined) return;
    filled.add(element);
    renew(element, children);
  } catch (problem) {
    if (problem.name === "AbortError" || newest.get(element) !== work) return;
    if (problem.status === undefined) console.error(problem);
    if (filled.has(element)) stale(element, problem);
    else renew(element, failure(problem, () => load(element, work)));
  }
}

/** A button that shows more, once at a time. `next` fetches and shows it, and tells whether there is still more. */
export function moreButton(text, next) {
  const place = h("div", { class: "more" });
  let busy = false;
  const draw = () => renew(place, h("button", { type: "button", onclick: press }, text));
  async function press() {
    if (busy) return;
    busy = true;
    try {
      if (await next()) draw();
      else replace(place);
    } catch (problem) {
      if (problem.name !== "AbortError") replace(place, failure(problem, press));
    } finally {
      busy = false;
    }
  }
  draw();
  return place;
}

/** A group of buttons of which one is pressed. */
export function choice(label, options, value, choose) {
  return h("div", { class: "choice", role: "group", "aria-label": label },
    options.map(([key, text]) => h("button", { type: "button", "aria-pressed": String(key === value), onclick: () => choose(key) }, text)));
}

/** Title of a view. */
export function heading(title, subtitle, ...actions) {
  return h("div", { class: "heading" }, h("div", {}, h("h1", {}, title), subtitle && h("p", { class: "muted", id: "subtitle" }, subtitle)), h("div", { class: "actions" }, actions));
}

export const panel = (title, hint, ...children) =>
  h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", {}, title), hint && h("p", { class: "muted" }, hint)), children);

/** A fact with its name; `note` explains, `state` colours it. */
export const tile = (name, value, note, state = null) =>
  h("div", { class: "tile", "data-state": state }, h("dt", {}, name), h("dd", {}, h("span", { class: "tile-value" }, value), note && h("span", { class: "tile-note" }, note)));

/** A table; columns are [title, class, hidden title]. */
export function table(caption, columns, rows) {
  return h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([title, kind]) => h("th", { scope: "col", class: kind }, title)))),
      h("tbody", {}, rows)));
}

export const announce = (text) => {
  document.getElementById("announce").textContent = text;
};

/** Say what went wrong with what somebody did, where it is seen however far they have scrolled; without a text take it back. */
export const complain = (text = "") => {
  replace(document.getElementById("complaint"), prose(text));
};
