// Keyword: one keyword through time, and why it was mentioned more than expected.

import { address, call, get } from "./api.js";
import { seriesChart, standing, weekChart } from "./charts.js";
import { h, icon, replace } from "./dom.js";
import { about, compact, count, DAY, duration, percent, rarity, ratio, SHAPES, time } from "./format.js";
import { onIncident } from "./live.js";
import { badge, choice, complain, empty, heading, keywordAddress, keywordLink, load, loading, moreButton, panel, severity, table, tile } from "./parts.js";
import { mayWrite } from "./session.js";

const SPANS = [["1", "24 h"], ["3", "3 days"], ["7", "7 days"], ["28", "28 days"]];
const WINDOW = 900_000;
const DRIVERS = [["challenge", "Challenges"], ["sound", "Sounds"], ["author", "Authors"], ["word", "Co-occurring words"]];

export async function show(main, { signal, query, go }) {
  const keyword = query.get("q") ?? "";
  if (!keyword) {
    document.getElementById("search-text").focus();
    replace(main, heading("Keyword"), empty("Which keyword?", "Look one up above (press /), or choose one in Now or Trends."));
    return;
  }
  document.title = `${keyword} – Keyword anomalies`;
  const body = h("div", { class: "stack" });
  const watch = h("span", {});
  replace(main,
    heading(h("span", { dir: "auto" }, keyword), null, watch,
      h("a", { class: "button", href: `https://www.tiktok.com/tag/${encodeURIComponent(keyword)}`, target: "_blank", rel: "noreferrer noopener" }, icon("out"), "TikTok")),
    body);
  drawWatch();

  async function drawWatch() {
    const { items } = await get("/watchlist", {}, signal).catch(() => ({ items: [] })); // the view itself tells what is wrong
    const entry = items.find((item) => item.keyword === keyword);
    const focused = watch.contains(document.activeElement);
    let busy = false;
    const button = h("button", {
      type: "button", class: "toggle", "aria-pressed": String(Boolean(entry)),
      onclick: async () => {
        if (busy || !(await mayWrite())) return;
        busy = true;
        try {
          if (entry) await call("DELETE", `/watchlist/${entry.watch_id}`);
          else await call("POST", "/watchlist", { body: { keyword } });
        } catch (problem) {
          complain(problem.message);
        }
        drawWatch();
      },
    }, icon("watchlist"), entry ? "Watched" : "Watch");
    replace(watch, button);
    if (focused) button.focus();
  }

  const asked = query.get("incident");
  const span = query.get("days") ?? "1";
  let incidents = [];
  let incident = null; // the one that was asked for, or else the newest
  let end = null; // of the newest window
  const [facts, chart, drivers, season, list] = Array.from({ length: 5 }, () => h("div", {}));
  const download = h("a", { class: "button", href: address("/series.csv", { keyword }), download: `${keyword}.csv` }, icon("download"), "CSV");
  replace(body,
    facts,
    h("section", { class: "panel" },
      h("div", { class: "panel-head" },
        h("h2", {}, "Mentions per 15 minutes"),
        h("div", { class: "legend", "aria-hidden": "true" }, h("span", { class: "key-line" }, "mentions"), h("span", { class: "key-expected" }, "expected"), h("span", { class: "key-band" }, "usual range"), h("span", { class: "key-mark" }, "outlier")),
        h("div", { class: "actions" },
          choice("Span", SPANS, span, (days) => go(keywordAddress(keyword, { ...(asked ? { incident: asked } : {}), days }), { replace: true, keepFocus: true })),
          download)),
      chart),
    h("section", { class: "panel", id: "why" }, drivers),
    h("div", { class: "two" },
      panel("Usual week", "Mean mentions by hour, in your time zone", season),
      panel("Incidents", null, list)));
  for (const [place, rows] of [[chart, 6], [drivers, 5], [season, 3], [list, 3]]) replace(place, loading(rows));

  let reading = 0;
  async function readIncidents() {
    const mine = ++reading;
    const { items } = await get("/incidents", { keyword, order: "newest", state: ["open", "closed", "retracted"], limit: 20 }, signal);
    if (asked && !items.some((item) => String(item.incident_id) === asked)) {
      // A link to it may be older than the newest that are listed.
      const older = await get(`/incidents/${encodeURIComponent(asked)}`, {}, signal).catch((problem) => {
        if (problem.status !== 404 && problem.status !== 422) throw problem;
        complain(problem.message);
        return null;
      });
      if (older?.keyword === keyword) items.push(older);
    }
    if (mine !== reading) return; // a later answer was here before
    incidents = items;
    incident = items.find((item) => (asked ? String(item.incident_id) === asked : item.state !== "retracted")) ?? null;
  }

  async function readEnd() {
    // Without a span it ends with the newest window, as a series does, and is little.
    const { items: [newest] } = await get("/sparklines", { keyword }, signal);
    end = +new Date(newest.start) + newest.mentions.length * WINDOW;
  }

  /** Start and end of the incident's windows. */
  const ofIncident = () => incident && [+new Date(incident.opened_at), +new Date(incident.last_at) + WINDOW];

  /** Start and end of what the chart shows: up to now, but of an incident that was asked for and is long over its surroundings. */
  function shown() {
    const length = Number(span) * DAY;
    const last = asked && incident ? +new Date(incident.last_at) : end;
    const to = end - last > length * 0.8 ? Math.min(last + length / 2, end) : end;
    return { from: new Date(to - length), to: new Date(to) };
  }

  function incidentTable() {
    if (!incidents.length) return empty("No incidents", "This keyword has not been unusual.");
    return table(`Incidents of ${keyword}`, [["Opened"], ["Severity"], ["Shape"], ["Peak", "number"], ["Expected", "number"], ["State"]],
      incidents.map((item) => h("tr", { class: item === incident ? "current" : null },
        h("td", {}, h("a", { href: keywordAddress(keyword, { incident: item.incident_id }), "data-link": true, "aria-current": item === incident ? "true" : null }, time(item.opened_at, "full"))),
        h("td", {}, severity(item.severity)), h("td", {}, item.kind === "drop" ? "drop" : SHAPES[item.shape] ?? "–"),
        h("td", { class: "number" }, count(item.peak_mentions)), h("td", { class: "number" }, about(item.peak_expected)), h("td", {}, item.state))));
  }

  function drawFacts(points, present) {
    const tiles = [];
    if (present) { // else the last window is one of long ago, at some time after the incident
      const closed = points.findLast((point) => !point.open && point.mentions !== null);
      tiles.push(tile("Last closed window", count(closed?.mentions), closed
        ? h("span", {}, closed.expected === null ? "no baseline" : `${about(closed.expected)} expected`, ", from ", time(closed.window_start))
        : "none in this span"));
    }
    if (incident) {
      const own = incident.excess > 0 ? incident.excess / (incident.excess + (incident.tide ?? 0)) : null;
      tiles.push(
        tile("Peak", count(incident.peak_mentions), h("span", {}, `${ratio(incident.peak_mentions, incident.peak_expected)} of ${about(incident.peak_expected)} expected, `, time(incident.peak_at)), incident.severity),
        tile("How rare", rarity(incident.return_period_days, incident.p_value), "for this keyword"),
        tile(incident.state === "open" ? "Open since" : "Lasted", incident.state === "open" ? time(incident.opened_at) : duration(new Date(incident.last_at) - new Date(incident.opened_at) + WINDOW), h("span", {}, incident.kind === "drop" ? "drop" : SHAPES[incident.shape] ?? "shape not known yet", incident.status === "provisional" ? ", provisional" : "")),
        tile("Own wave", own === null ? "–" : percent(own), own === null ? "below what was expected" : `${count(Math.round(incident.tide))} of the rise come with the platform’s tide`));
    }
    replace(facts, h("dl", { class: "tiles" }, tiles));
  }

  async function drawChart(quiet) {
    await load(chart, async () => {
      if (quiet) await readEnd();
      const { from, to } = shown();
      const present = +to === end;
      download.href = address("/series.csv", { keyword, from, to });
      const { points } = await get("/series", { keyword, from, to }, signal);
      drawFacts(points, present);
      if (points.every((point) => !point.mentions)) return empty("Not mentioned in this span", "Choose a longer span. Keywords with fewer than two mentions in a window are not kept.");
      return [seriesChart(points, { keyword, highlight: ofIncident(), at: standing(chart) }), outlierTable(points)];
    }, { quiet, rows: 6 });
  }

  function outlierTable(points) {
    const found = points.filter((point) => point.outlier).toReversed();
    if (!found.length) return null;
    return h("details", {}, h("summary", {}, `${found.length} outlier window${found.length === 1 ? "" : "s"} as a table`),
      table("Outlier windows", [["Window"], ["Mentions", "number"], ["Expected", "number"], ["Usual range", "number"], ["Severity"], ["Status"]],
        found.map((point) => h("tr", {}, h("td", {}, time(point.window_start, "full")), h("td", { class: "number" }, count(point.mentions)), h("td", { class: "number" }, about(point.expected)),
          h("td", { class: "number" }, `${about(point.lower)} – ${about(point.upper)}`), h("td", {}, severity(point.outlier.severity)), h("td", {}, point.outlier.status)))));
  }

  async function drawDrivers(quiet) {
    await load(drivers, async () => {
      const { from, to } = shown();
      const [start, stop] = ofIncident()?.map((one) => new Date(one)) ?? [from, to];
      const of = incident;
      const found = await get("/drivers", { keyword, from: start, to: stop }, signal);
      return why(found, of, keyword, { from: start, to: stop }, signal);
    }, { quiet, rows: 5 });
  }

  async function drawIncidents(quiet) {
    await load(list, async () => {
      if (quiet) await readIncidents();
      return incidentTable();
    }, { quiet, rows: 3 });
  }

  /** Draw again what news of the keyword change. */
  async function refresh() {
    const revision = () => incident && `${incident.incident_id} ${incident.updated_at}`;
    const before = revision();
    await drawIncidents(true);
    drawChart(true);
    if (revision() !== before) drawDrivers(true);
  }

  await Promise.all([readIncidents(), readEnd()]);
  drawChart(false);
  drawDrivers(false);
  drawIncidents(false);
  load(season, async () => {
    const found = await get("/season", { keyword }, signal);
    return found.days ? [weekChart(found.mean), h("p", { class: "muted small" }, `From the last ${found.days} days.`)] : empty("No history yet", "It fills as the stream runs.");
  }, { rows: 3 });
  let pending = 0;
  onIncident((news) => {
    if (news && news.keyword !== keyword) return;
    clearTimeout(pending);
    pending = setTimeout(refresh, 500);
  }, signal);
  const clock = setInterval(() => drawChart(true), 60_000);
  signal.addEventListener("abort", () => {
    clearInterval(clock);
    clearTimeout(pending);
  });
}

function why(found, incident, keyword, span, signal) {
  const exact = found.basis === "exact";
  const title = incident ? (incident.kind === "drop" ? "What came with it" : "Why it spiked") : "What came with it";
  const head = h("div", { class: "panel-head" },
    h("div", {}, h("h2", {}, title, " ", badge(!exact ? "sampled" : found.estimated ? "estimated" : "exact", exact ? "accent" : "warn")), h("p", { class: "muted" }, incident && when(incident), found.explanation)),
    found.expected !== null && h("p", { class: "sum" }, h("b", {}, count(found.mentions)), " mentions, ", h("b", {}, about(found.expected)), " expected"));
  const lists = DRIVERS.map(([kind, name]) => [name, found.drivers.filter((driver) => driver.kind === kind)]).filter(([, members]) => members.length);
  const relative = found.drivers.some((driver) => driver.share_of_excess !== null);
  const top = Math.max(...found.drivers.map((driver) => driver.share_of_excess ?? driver.posts), relative ? 1 : 0);
  const share = (driver) => Math.min((relative ? driver.share_of_excess ?? 0 : driver.posts) / top, 1);
  const bar = (driver) => h("li", { class: "driver" },
    h("div", { class: "driver-name" },
      driver.keyword !== null ? keywordLink(driver.keyword) : h("span", { dir: "auto" }, driver.name),
      h("span", { class: "number" }, relative && driver.share_of_excess !== null ? percent(Math.min(driver.share_of_excess, 1)) : exact ? count(driver.posts) : `${driver.posts} shared`)),
    h("div", { class: "bar", "aria-hidden": "true" }, h("i", { vars: { "--share": share(driver).toFixed(3) } })),
    h("p", { class: "muted small" },
      exact ? `${count(driver.posts)} posts${driver.usual_share !== null ? `, usually in ${percent(driver.usual_share)}` : ""}` : "also unusual then",
      driver.example_posts.length > 0 && [" · ", driver.example_posts.map((id, i) => [i ? ", " : "", postLink(id, i ? String(i + 1) : "post 1")])]));
  const note = relative ? h("p", { class: "muted small" }, "Shares of the excess: posts beyond the driver’s usual share. A post may carry several drivers, so they need not add up to 100 %.") : null;
  return [head,
    lists.length ? h("div", { class: "drivers" }, lists.map(([name, members]) => h("div", {}, h("h3", {}, name), h("ul", {}, members.map(bar))))) : h("p", { class: "muted" }, exact ? "No challenge, sound, author or word stands out." : "No other unusual keyword shares its sample posts."),
    note,
    found.breadth && breadth(found.breadth),
    h("h3", {}, "Posts", exact ? "" : " the stream sampled"),
    posts(found, keyword, span, signal)];
}

/** When an incident was, as the beginning of a text. */
const when = (incident) => (incident.state === "open"
  ? ["Since ", time(incident.opened_at, "full"), ". "]
  : [time(incident.opened_at, "full"), " to ", time(+new Date(incident.last_at) + WINDOW, "full"), ". "]);

const postLink = (id, text) => h("a", { href: `https://www.tiktok.com/@/video/${encodeURIComponent(id)}`, target: "_blank", rel: "noreferrer noopener" }, text);

function breadth(found) {
  return h("dl", { class: "tiles small-tiles" },
    tile("Distinct authors", count(found.authors), `${count(found.posts)} posts`),
    tile("Busiest author", percent(found.top_author_share), [found.top_author ?? "–", found.usual_top_author_share !== null ? `, usually ${percent(found.usual_top_author_share)}` : ""].join("")),
    tile("Breadth", found.posts ? `${(found.authors / found.posts).toFixed(2)}` : "–", "authors per post: near 1 is a crowd, near 0 a few"));
}

function posts(found, keyword, span, signal) {
  if (!found.posts.length) return empty("No posts to show", found.basis === "exact" ? "None was parsed for these windows." : "The stream kept no samples of these windows.");
  const list = h("ul", { class: "posts" }, found.posts.map(post));
  if (found.basis !== "exact") return list;
  if (found.breadth.posts <= found.posts.length) return list;
  let cursor = null;
  return [list, moreButton("Show all posts", async () => {
    const page = await get("/posts", { keyword, from: span.from, to: span.to, cursor, limit: 24 }, signal);
    if (cursor === null) list.replaceChildren(); // the examples are among them
    list.append(...page.items.map(post));
    cursor = page.next_cursor;
    return cursor !== null;
  })];
}

function post(item) {
  return h("li", { class: "post" },
    h("a", { href: item.url, target: "_blank", rel: "noreferrer noopener", class: "post-link" }, item.author_name ? `@${item.author_name}` : `Post ${item.post_id}`, icon("out")),
    item.text !== null && h("p", { class: "post-text", dir: "auto" }, item.text),
    item.text === null && h("p", { class: "muted small" }, "Text and author follow when the day is parsed."),
    h("p", { class: "muted small" },
      item.seen_at && time(item.seen_at), item.engagement !== null && ` · ${compact(item.digg_count)} likes · ${compact(item.comment_count)} comments · ${compact(item.share_count)} shares`, item.music && ` · ♪ ${item.music}`));
}
