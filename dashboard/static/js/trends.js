// Trends: what was posted much more on a day than on the week before.

import { get } from "./api.js";
import { columns } from "./charts.js";
import { h, replace } from "./dom.js";
import { about, compact, count, dateText } from "./format.js";
import { badge, choice, empty, heading, keywordLink, load, moreButton, table } from "./parts.js";

const SUBJECTS = [["keywords", "Keywords"], ["challenges", "Challenges"], ["sounds", "Sounds"], ["musicians", "Musicians"]];

export async function show(main, { signal, query, go }) {
  const subject = SUBJECTS.some(([key]) => key === query.get("of")) ? query.get("of") : "keywords";
  const order = query.get("order") === "volume" ? "volume" : "growth";
  const date = query.get("date");
  const body = h("div", { class: "stack" });
  const days = h("span", {});
  const change = (changes) => {
    const all = { of: subject, order, ...(date ? { date } : {}), ...changes };
    go(`/trends?${new URLSearchParams(all)}`, { replace: true, keepFocus: true });
  };
  replace(main,
    heading("Trends", "Posts of a day against the week before it"),
    h("div", { class: "filters" },
      choice("Of what", SUBJECTS, subject, (of) => change({ of })),
      choice("Order", [["growth", "Fastest growth"], ["volume", "Most posts"]], order, (one) => change({ order: one })),
      days),
    body);

  const request = (cursor) => get(`/trends/${subject}`, { order, date, cursor, limit: 50 }, signal);
  await load(body, async () => {
    const page = await request(null);
    if (page.date === null) return empty("No day has been parsed yet", "Trends come with the daily batch, which counts whole days.", page.advice);
    const options = page.dates.includes(page.date) ? page.dates : [page.date, ...page.dates];
    replace(days, h("label", { class: "select" }, h("span", { class: "hidden" }, "Day (UTC)"),
      h("select", { id: "trends-day", value: page.date, onchange: (event) => change({ date: event.target.value }) }, options.map((day) => h("option", { value: day }, dateText(day))))));
    if (page.state === "not_parsed") return empty("This day has not been parsed", page.advice);
    if (page.state === "no_trends") return empty("This day has no trends yet", "It has been parsed; what grew on it has not been worked out.", page.advice);
    if (!page.items.length) return empty("Nothing on this day", "No entry had ten posts or more. Choose another day.");
    const rows = page.items.map((item, i) => row(item, i, subject));
    const frame = table(`Trending ${subject}`, [[h("span", { class: "hidden" }, "Rank"), "rank"], [SUBJECTS.find(([key]) => key === subject)[1].slice(0, -1)], ["Posts", "number"], ["Usual", "number"], ["Growth", "number"], ["8 days", "chart-cell"], ...(subject === "keywords" ? [] : [["Engagement", "number"]])], rows);
    let next = page.next_cursor;
    let shown = page.items.length;
    const more = next && moreButton("Show more", async () => {
      const following = await request(next);
      frame.querySelector("tbody").append(...following.items.map((item, i) => row(item, shown + i, subject)));
      shown += following.items.length;
      next = following.next_cursor;
      return next !== null;
    });
    const against = page.compared_days ? `Usual: what its share of the posts of ${page.compared_days === 1 ? "the day" : `the ${page.compared_days} days`} before makes of this day’s posts. Growth: posts over usual, both raised by ten.` : "There is no earlier day to compare with yet.";
    return [h("p", { class: "muted small" }, `${dateText(page.date)}, UTC. ${against}`), frame, more];
  }, { rows: 10 });
}

function row(item, i, subject) {
  const growth = item.growth === null ? badge("–") : h("b", { class: item.growth >= 1 ? "rise" : "fall" }, `×${item.growth < 10 ? item.growth.toFixed(1) : count(item.growth)}`);
  const name = item.keyword !== null ? keywordLink(item.keyword, { days: 7 }) : h("span", { dir: "auto" }, item.name);
  return h("tr", {},
    h("td", { class: "rank muted" }, String(i + 1)),
    h("th", { scope: "row" }, name, item.artist && h("span", { class: "muted" }, ` ${item.artist}`)),
    h("td", { class: "number" }, count(item.posts)),
    h("td", { class: "number muted" }, about(item.usual)),
    h("td", { class: "number" }, item.usual === 0 && [badge("new", "accent"), " "], growth),
    h("td", { class: "chart-cell" }, columns(item.daily, { label: `Posts of eight days: ${item.daily.map((posts) => (posts === null ? "not known" : count(posts))).join(", ")}` })),
    subject !== "keywords" && h("td", { class: "number" }, compact(item.engagement)));
}
