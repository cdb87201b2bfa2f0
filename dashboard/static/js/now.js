// Now: what is unusual at the moment, the most unusual first.

import { call, get } from "./api.js";
import { sparkline } from "./charts.js";
import { h, icon, renew, replace } from "./dom.js";
import { about, compact, count, duration, rarity, ratio, SHAPES, time } from "./format.js";
import { onIncident } from "./live.js";
import { announce, badge, choice, complain, empty, failure, heading, keywordLink, loading, moreButton, renewed, SEVERITIES, severity, stale } from "./parts.js";
import { mayWrite } from "./session.js";

const PAGE = 50;
const REFRESH = 60_000;

export async function show(main, { signal, query, go }) {
  const filters = {
    state: query.get("state") ?? "open",
    severity: query.getAll("severity"),
    kind: query.get("kind") ?? "",
    search: query.get("search") ?? "",
    watched: query.has("watched"),
    order: query.get("order") ?? "score",
  };
  const list = h("div", { class: "incidents" });
  const more = h("div", {});
  const summary = h("span", {}, "");
  const sparks = new Map();
  const asked = new Map(); // when each keyword's sparkline was asked for
  let items = [];
  let loaded = false;
  let next = null;
  let timer = 0;

  function change(changes) {
    const all = { ...filters, ...changes };
    const parameters = new URLSearchParams();
    if (all.state !== "open") parameters.set("state", all.state);
    for (const one of all.severity) parameters.append("severity", one);
    if (all.kind) parameters.set("kind", all.kind);
    if (all.search) parameters.set("search", all.search);
    if (all.watched) parameters.set("watched", "");
    if (all.order !== "score") parameters.set("order", all.order);
    go(`/${parameters.size ? `?${parameters}` : ""}`, { replace: true, keepFocus: true });
  }

  const request = (extra = {}) => get("/incidents", {
    state: filters.state === "all" ? ["open", "closed", "retracted"] : filters.state,
    severity: filters.severity, kind: filters.kind, search: filters.search, watched: filters.watched,
    order: filters.order, limit: PAGE, ...extra,
  }, signal);

  function row(incident) {
    const spark = h("div", { class: "cell-spark" }, sparks.get(incident.keyword)?.cloneNode(true) ?? h("div", { class: "spark-room" }));
    const own = incident.excess > 0 ? incident.excess / (incident.excess + (incident.tide ?? 0)) : null;
    const label = incident.kind === "drop" ? "drop" : SHAPES[incident.shape] ?? null;
    return h("li", { class: "incident", "data-id": incident.incident_id, "data-severity": incident.severity },
      h("div", { class: "cell-name" },
        keywordLink(incident.keyword, { incident: incident.incident_id }),
        h("div", { class: "tags" },
          label && badge(label),
          incident.status === "provisional" && badge("provisional", "soft", "The window is still open; the figures may grow."),
          incident.state !== "open" && badge(incident.state, incident.state === "retracted" ? "warn" : "soft"),
          incident.watched && badge("watched", "accent"))),
      h("div", { class: "cell-count" },
        h("b", {}, compact(incident.peak_mentions)),
        h("span", { class: "muted" }, ` vs ${about(incident.peak_expected)} expected`),
        h("span", { class: `change ${incident.kind}` }, icon(incident.kind === "drop" ? "down" : "up"), ratio(incident.peak_mentions, incident.peak_expected))),
      spark,
      h("div", { class: "cell-rare" }, h("b", {}, rarity(incident.return_period_days, incident.p_value)), own !== null && tideBar(own, incident)),
      h("div", { class: "cell-since" },
        h("span", {}, h("span", { class: "muted" }, incident.state === "open" ? "since " : "on "), time(incident.opened_at)),
        h("span", { class: "muted" }, incident.state === "open" ? duration(Date.now() - new Date(incident.opened_at)) : duration(new Date(incident.last_at) - new Date(incident.opened_at) + 900_000))),
      h("div", { class: "cell-feedback", role: "group", "aria-label": `Feedback on ${incident.keyword}` }, feedbackButtons(incident)));
  }

  function tideBar(own, incident) {
    const text = `${Math.round(own * 100)} % own wave`;
    return h("span", { class: "tide", title: `Of the rise at its peak ${count(Math.round(incident.excess))} mentions are its own and ${count(Math.round(incident.tide))} come with the growth of the whole platform.` },
      h("span", { class: "tide-bar", "aria-hidden": "true" }, h("i", { vars: { "--share": own.toFixed(3) } })), text);
  }

  function feedbackButtons(incident) {
    return [["useful", "Useful"], ["not_useful", "Not useful"]].map(([verdict, text]) =>
      h("button", {
        type: "button", class: "quiet icon-only", "aria-pressed": String(incident.verdict === verdict),
        "aria-label": `${text}: ${incident.keyword}`, title: text, "data-verdict": verdict,
        onclick: async (event) => {
          const focused = document.activeElement === event.currentTarget;
          if (!(await mayWrite())) return;
          const taken = incident.verdict === verdict;
          try {
            if (taken) await call("DELETE", `/incidents/${incident.incident_id}/feedback`);
            else await call("PUT", `/incidents/${incident.incident_id}/feedback`, { body: { verdict } });
          } catch (problem) {
            complain(problem.message);
            return;
          }
          announce(taken ? "Feedback withdrawn." : `${incident.keyword}: marked as ${text.toLowerCase()}.`);
          // The row may have been drawn anew meanwhile, from an answer that did not know the verdict yet.
          const shown = items.find((item) => item.incident_id === incident.incident_id) ?? incident;
          shown.verdict = taken ? null : verdict;
          const group = list.querySelector(`[data-id="${incident.incident_id}"] .cell-feedback`);
          if (group) replace(group, feedbackButtons(shown));
          if (focused) group?.querySelector(`[data-verdict="${verdict}"]`)?.focus();
        },
      }, icon(verdict)));
  }

  function draw() {
    const open = filters.state === "open";
    summary.textContent = items.length
      ? `${next ? `more than ${items.length}` : items.length} ${open ? "open " : ""}incident${items.length === 1 ? "" : "s"}`
      : "";
    if (!items.length) {
      const filtered = filters.severity.length || filters.kind || filters.search || filters.watched;
      renew(list, filtered
        ? empty("Nothing matches these filters", h("button", { type: "button", onclick: () => change({ severity: [], kind: "", search: "", watched: false }) }, "Clear filters"))
        : empty(open ? "Nothing unusual right now" : "No incidents yet",
            "New ones appear here by themselves.",
            h("p", {}, "Expected something? See whether the stream runs and has baselines in ", h("a", { href: "/pipeline", "data-link": true }, "Pipeline"), ".")));
      renew(more);
      return;
    }
    const groups = filters.order === "score" ? SEVERITIES.map((level) => [level, items.filter((item) => item.severity === level)]) : [["", items]];
    renew(list, groups.filter(([, members]) => members.length).map(([level, members]) => h("section", { "aria-label": level ? `${level} incidents` : "Incidents" },
      level && h("h2", { class: "group" }, severity(level), h("span", { class: "muted" }, String(members.length))),
      h("ul", {}, members.map(row)))));
    renew(more, next && moreButton("Show more", loadMore));
  }

  async function drawSparks(keywords) {
    const wanted = [...new Set(keywords)].slice(0, 50);
    if (!wanted.length) return;
    for (const keyword of wanted) asked.set(keyword, Date.now());
    try {
      const { items: found } = await get("/sparklines", { keyword: wanted }, signal);
      for (const series of found) {
        const last = series.mentions.findLast((value) => value !== null) ?? 0;
        sparks.set(series.keyword, sparkline(series, { label: `Last 48 hours of ${series.keyword}: ${series.outlier.filter(Boolean).length} outlier windows, ${count(last)} mentions in the newest` }));
      }
      for (const element of list.querySelectorAll(".incident")) {
        const item = items.find((one) => String(one.incident_id) === element.dataset.id);
        if (item && sparks.has(item.keyword)) replace(element.querySelector(".cell-spark"), sparks.get(item.keyword).cloneNode(true));
      }
    } catch (problem) {
      for (const keyword of wanted) asked.delete(keyword);
      if (problem.name !== "AbortError") console.warn(problem.message);
    }
  }

  // What changes the list takes turns, so that no answer meets a list that another has changed meanwhile.
  let turn = Promise.resolve();
  let waiting = false;
  function inTurn(work) {
    const done = turn.then(work);
    turn = done.catch(() => {});
    return done;
  }

  function refresh() {
    if (waiting) return turn; // the one that has not begun yet will see what this one would
    waiting = true;
    return inTurn(async () => {
      waiting = false;
      try {
        const page = await request({ limit: Math.min(Math.max(items.length, PAGE), 500) });
        const before = new Map(items.map((item) => [item.incident_id, item.updated_at]));
        const changed = page.items.filter((item) => before.get(item.incident_id) !== item.updated_at);
        const newest = Math.max(0, ...before.keys());
        const opened = loaded ? changed.filter((item) => item.state === "open" && item.incident_id > newest) : [];
        items = page.items;
        next = page.next_cursor;
        renewed(list);
        draw();
        if (loaded) for (const item of changed) list.querySelector(`[data-id="${item.incident_id}"]`)?.classList.add("fresh");
        loaded = true;
        if (opened.length === 1) announce(`New incident: ${opened[0].keyword}, ${opened[0].severity}.`);
        else if (opened.length) announce(`${opened.length} new incidents: ${opened.map((item) => item.keyword).join(", ")}.`);
        drawSparks(items.filter((item) => changed.includes(item) || !(Date.now() - asked.get(item.keyword) < REFRESH)).map((item) => item.keyword));
      } catch (problem) {
        if (problem.name === "AbortError") return;
        if (loaded) stale(list, problem);
        else renew(list, failure(problem, refresh));
      }
    });
  }

  const loadMore = () => inTurn(async () => {
    const page = await request({ cursor: next });
    const shown = new Set(items.map((item) => item.incident_id));
    items = [...items, ...page.items.filter((item) => !shown.has(item.incident_id))];
    next = page.next_cursor;
    draw();
    drawSparks(page.items.map((item) => item.keyword));
    return next !== null;
  });

  const search = h("input", {
    type: "search", "aria-label": "Only keywords that contain", placeholder: "Filter keywords", value: filters.search, id: "filter-text",
    oninput: (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => change({ search: event.target.value.trim() }), 300);
    },
  });
  replace(main,
    heading("Now", summary,
      h("label", { class: "select" }, h("span", { class: "hidden" }, "Order"),
        h("select", { id: "filter-order", value: filters.order, onchange: (event) => change({ order: event.target.value }) },
          h("option", { value: "score" }, "Most unusual first"), h("option", { value: "newest" }, "Newest first")))),
    h("div", { class: "filters" },
      choice("State", [["open", "Open"], ["closed", "Closed"], ["all", "All"]], filters.state, (state) => change({ state })),
      h("div", { class: "choice multi", role: "group", "aria-label": "Severity" },
        SEVERITIES.map((level) => h("button", {
          type: "button", id: `severity-${level}`, "aria-pressed": String(filters.severity.includes(level)), "data-severity": level,
          onclick: () => change({ severity: filters.severity.includes(level) ? filters.severity.filter((one) => one !== level) : [...filters.severity, level] }),
        }, level))),
      choice("Kind", [["", "All kinds"], ["surge", "Surges"], ["drop", "Drops"]], filters.kind, (kind) => change({ kind })),
      h("button", { type: "button", class: "toggle", id: "filter-watched", "aria-pressed": String(filters.watched), onclick: () => change({ watched: !filters.watched }) }, icon("watchlist"), "Watchlist"),
      search),
    list, more);
  replace(list, loading(8));

  let pending = 0;
  onIncident(() => {
    clearTimeout(pending);
    pending = setTimeout(refresh, 400);
  }, signal);
  const clock = setInterval(refresh, REFRESH);
  signal.addEventListener("abort", () => {
    clearInterval(clock);
    clearTimeout(pending);
    clearTimeout(timer);
  });
  await refresh();
}
