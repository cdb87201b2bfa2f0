// Watchlist: keywords that a person follows.

import { call, get } from "./api.js";
import { sparkline } from "./charts.js";
import { h, icon, replace } from "./dom.js";
import { count, time } from "./format.js";
import { onIncident } from "./live.js";
import { announce, complain, empty, heading, keywordLink, load, severity, table } from "./parts.js";
import { current, mayWrite } from "./session.js";

const MOST_CHARTS = 50; // that the API gives at a time

export async function show(main, { signal }) {
  const body = h("div", { class: "stack" });
  const error = h("p", { class: "form-error", role: "alert" });
  const keyword = h("input", { id: "watch-keyword", name: "keyword", required: true, maxlength: "200", placeholder: "dance or #dance", autocomplete: "off" });
  const list = h("input", { id: "watch-list", name: "list", maxlength: "100", placeholder: "General", list: "watch-lists", autocomplete: "off" });
  const note = h("input", { id: "watch-note", name: "note", maxlength: "2000", placeholder: "Why it matters", autocomplete: "off" });
  const lists = h("datalist", { id: "watch-lists" });
  const drawn = new Map();
  const field = (label, input) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
  replace(main,
    heading("Watchlist", "Keywords you follow, and how they are"),
    h("form", {
      class: "panel add", "aria-label": "Follow a keyword",
      onsubmit: async (event) => {
        event.preventDefault();
        error.textContent = "";
        if (!(await mayWrite())) return;
        try {
          const added = await call("POST", "/watchlist", { body: { keyword: keyword.value.trim(), ...(list.value.trim() ? { list: list.value.trim() } : {}), note: note.value.trim() || null } });
          announce(`${added.keyword} is on the watchlist.`);
          keyword.value = note.value = "";
          keyword.focus();
          draw(true);
        } catch (problem) {
          error.textContent = problem.message;
        }
      },
    }, field("Keyword", keyword), field("List", list), field("Note", note), lists, h("button", { type: "submit", class: "primary" }, "Follow"), error),
    body);

  const change = async (work, done) => {
    if (!(await mayWrite())) return;
    try {
      await work();
      announce(done);
    } catch (problem) {
      complain(problem.message);
    }
    draw(true);
  };

  function row(item, charts) {
    const text = h("input", {
      class: "in-place", "aria-label": `Note on ${item.keyword}`, value: item.note ?? "", maxlength: "2000", placeholder: "Add a note",
      onchange: (event) => change(() => call("PATCH", `/watchlist/${item.watch_id}`, { body: { note: event.target.value.trim() || null } }), "Note saved."),
      onkeydown: (event) => event.key === "Enter" && event.target.blur(),
    });
    const name = h("input", {
      class: "in-place", "aria-label": `List of ${item.keyword}`, value: item.list, maxlength: "100", list: "watch-lists",
      onchange: (event) => change(() => call("PATCH", `/watchlist/${item.watch_id}`, { body: { list: event.target.value.trim() || "General" } }), "Moved."),
      onkeydown: (event) => event.key === "Enter" && event.target.blur(),
    });
    return h("tr", {},
      h("th", { scope: "row" }, keywordLink(item.keyword)),
      h("td", {}, item.open_severity ? h("a", { class: "plain", href: `/keyword?${new URLSearchParams({ q: item.keyword, incident: item.open_incident })}`, "data-link": true }, severity(item.open_severity)) : h("span", { class: "muted" }, "as usual")),
      h("td", { class: "chart-cell" }, charts.get(item.keyword)),
      h("td", { class: "number" }, count(item.incidents_7d)),
      h("td", {}, item.last_incident_at ? time(item.last_incident_at) : h("span", { class: "muted" }, "never")),
      h("td", {}, name), h("td", { class: "wide" }, text),
      h("td", {}, h("button", { type: "button", class: "quiet icon-only", "aria-label": `Stop following ${item.keyword}`, title: "Stop following", onclick: () => change(() => call("DELETE", `/watchlist/${item.watch_id}`), `${item.keyword} is followed no longer.`) }, icon("remove"))));
  }

  /** Draw the lists; with `patient`, only while nobody types in them. */
  async function draw(quiet, patient = false) {
    await load(body, async () => {
      const found = await get("/watchlist", {}, signal);
      if (patient && body.contains(document.activeElement)) return undefined;
      replace(lists, found.lists.map((one) => h("option", { value: one })));
      if (!found.items.length) {
        return empty("You follow no keywords yet", current().signed_in || !current().writable ? "Add one above: a word, a hashtag or an emoji." : "Add one above: a word, a hashtag or an emoji. You will be asked for the token once.");
      }
      const charts = new Map(found.items.map((item) => [item.keyword, h("span", {}, drawn.get(item.keyword)?.cloneNode(true))]));
      drawCharts(charts);
      return found.lists.map((name) => {
        const members = found.items.filter((item) => item.list === name);
        return h("section", { class: "panel flush" },
          h("div", { class: "panel-head" }, h("h2", { dir: "auto" }, name), h("p", { class: "muted" }, `${members.length} keyword${members.length === 1 ? "" : "s"}`)),
          table(`Followed keywords in ${name}`, [["Keyword"], ["Now"], ["48 hours", "chart-cell"], ["Incidents, 7 days", "number"], ["Last incident"], ["List"], ["Note", "wide"], [h("span", { class: "hidden" }, "Remove")]], members.map((item) => row(item, charts))));
      });
    }, { quiet });
  }

  /** Fill in the charts, which the lists do not wait for. */
  async function drawCharts(charts) {
    const keywords = [...charts.keys()];
    try {
      for (let i = 0; i < keywords.length; i += MOST_CHARTS) {
        const { items } = await get("/sparklines", { keyword: keywords.slice(i, i + MOST_CHARTS) }, signal);
        for (const series of items) {
          drawn.set(series.keyword, sparkline(series, { width: 130, height: 28, label: `Last 48 hours of ${series.keyword}` }));
          replace(charts.get(series.keyword), drawn.get(series.keyword));
        }
      }
    } catch (problem) {
      if (problem.name !== "AbortError") console.warn(problem.message);
    }
  }

  let pending = 0;
  onIncident(() => {
    clearTimeout(pending);
    pending = setTimeout(() => draw(true, true), 500);
  }, signal);
  signal.addEventListener("abort", () => clearTimeout(pending));
  await draw(false);
}
