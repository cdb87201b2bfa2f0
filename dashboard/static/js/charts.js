// Charts, drawn as SVG: a keyword's line over the range that is usual for it.

import { h, s } from "./dom.js";
import { about, clockText, count, dayText, DAY, fullText, HOUR, ratio } from "./format.js";

/** Path through points, broken where a value is missing; one without neighbours is a dash, else it would not be seen. */
function line(values, x, y) {
  const missing = (i) => (values[i] ?? null) === null;
  return values.map((value, i) => {
    if (value === null) return "";
    const place = `${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!missing(i - 1)) return `L${place}`;
    return missing(i + 1) ? `M${place}m-2 0h4` : `M${place}`;
  }).join("");
}

/** Areas between two lines, one for each run of points that has both. */
function area(lower, upper, x, y) {
  let path = "";
  let run = [];
  const close = () => {
    if (run.length > 1) {
      const top = run.map((i) => `${x(i).toFixed(1)} ${y(upper[i]).toFixed(1)}`);
      const bottom = run.toReversed().map((i) => `${x(i).toFixed(1)} ${y(lower[i]).toFixed(1)}`);
      path += `M${top.join("L")}L${bottom.join("L")}Z`;
    }
    run = [];
  };
  lower.forEach((value, i) => (value === null || upper[i] === null ? close() : run.push(i)));
  close();
  return path;
}

/** A small chart of a keyword's last two days. */
export function sparkline(series, { width = 180, height = 34, label }) {
  const { mentions, lower, upper, outlier } = series;
  const top = Math.max(1, ...mentions.filter((v) => v !== null), ...upper.filter((v) => v !== null));
  const x = (i) => 3 + (i * (width - 6)) / Math.max(mentions.length - 1, 1);
  const y = (v) => height - 3 - (v / top) * (height - 6);
  const marks = mentions.flatMap((value, i) => (outlier[i] && value !== null ? [s("circle", { cx: x(i).toFixed(1), cy: y(value).toFixed(1), r: 1.8, class: "mark" })] : []));
  return s("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    s("path", { class: "band", d: area(lower, upper, x, y) }),
    s("path", { class: "line", d: line(mentions, x, y) }),
    marks);
}

/** Columns, the last one stressed; none where a value is missing. */
export function columns(values, { width = 96, height = 26, label }) {
  const top = Math.max(1, ...values); // to Math.max null is zero
  const step = width / values.length;
  return s("svg", { class: "columns", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    values.map((value, i) => {
      if (value === null) return null;
      const tall = Math.max((value / top) * (height - 2), 1);
      return s("rect", { x: (i * step + 1).toFixed(1), y: (height - tall).toFixed(1), width: (step - 2).toFixed(1), height: tall.toFixed(1), rx: 1, class: i === values.length - 1 ? "last" : null });
    }));
}

function ticks(top) {
  const rough = top / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max([1, 2, 5, 10].map((m) => m * power).find((m) => m >= rough), 1);
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => i * step);
}

function timeTicks(from, to, room) {
  const step = [HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY].find((one) => (to - from) / one <= room) ?? 7 * DAY;
  const first = new Date(from);
  first.setHours(0, 0, 0, 0);
  const found = [];
  for (let at = +first; at <= to; at += step) if (at >= from) found.push(new Date(at));
  return { step, found };
}

/** The window at which somebody left the chart in an element, for the chart that takes its place; null for the newest. */
export const standing = (element) => element.querySelector(".chart")?.dataset.at ?? null;

/** The large chart: pointer or arrow keys walk through its windows. `points` as the API gives them, none left out. */
export function seriesChart(points, { keyword, highlight = null, height = 300, at: stood = null }) {
  const frame = h("div", {
    class: "chart", tabindex: "0", role: "slider", "aria-label": `${keyword}: mentions by window. Arrow keys walk through the windows.`,
    "aria-valuemin": "0", "aria-valuemax": String(points.length - 1), "aria-valuenow": String(points.length - 1), "aria-orientation": "horizontal",
  });
  const tip = h("div", { class: "tip", hidden: true });
  const times = points.map((point) => +new Date(point.window_start));
  const values = (name) => points.map((point) => point[name] ?? null);
  const found = points.findIndex((point) => point.window_start === stood);
  let at = found < 0 ? points.length - 1 : found;
  let place = () => {};

  function draw() {
    const width = Math.max(frame.clientWidth, 260);
    const [left, right, above, below] = [44, 12, 12, 26];
    const top = 1.06 * Math.max(4, ...values("mentions"), ...values("upper"));
    const x = (i) => left + ((times[i] - times[0]) / (times.at(-1) - times[0] || 1)) * (width - left - right);
    const xt = (t) => left + ((t - times[0]) / (times.at(-1) - times[0] || 1)) * (width - left - right);
    const y = (v) => height - below - (v / top) * (height - above - below);
    const { step, found } = timeTicks(times[0], times.at(-1), width / 80);
    const shade = highlight && [Math.max(xt(highlight[0]), left), Math.min(xt(highlight[1]), width - right)];
    const cross = s("g", { class: "cross" }, s("line", { y1: above, y2: height - below }), s("circle", { r: 3.5 }));
    cross.setAttribute("visibility", "hidden");
    const marks = points.flatMap((point, i) => (point.outlier && point.mentions !== null
      ? [s("circle", { cx: x(i).toFixed(1), cy: y(point.mentions).toFixed(1), r: 3.6, class: "mark", "data-severity": point.outlier.severity })] : []));
    const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
      ticks(top).map((v) => [
        s("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
        s("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, count(v))]),
      found.map((date) => s("text", { x: xt(+date), y: height - 8, "text-anchor": "middle" }, step >= DAY || (date.getHours() === 0 && date.getMinutes() === 0) ? dayText(date) : clockText(date))),
      shade && shade[1] > shade[0] && s("rect", { class: "shade", x: shade[0], width: Math.max(shade[1] - shade[0], 2), y: above, height: height - above - below }),
      s("path", { class: "band", d: area(values("lower"), values("upper"), x, y) }),
      s("path", { class: "expected", d: line(values("expected"), x, y) }),
      s("path", { class: "line", d: line(points.map((point) => (point.open ? null : point.mentions)), x, y) }),
      s("path", { class: "growing", d: line(points.map((point, i) => (point.open || points[i + 1]?.open ? point.mentions : null)), x, y) }),
      marks, cross);
    frame.replaceChildren(drawing, tip);
    place = (i, shown) => {
      at = Math.min(Math.max(i, 0), points.length - 1);
      const point = points[at];
      frame.setAttribute("aria-valuenow", String(at));
      if (at < points.length - 1) frame.dataset.at = point.window_start;
      else delete frame.dataset.at; // who follows the newest window goes on with the next one
      frame.setAttribute("aria-valuetext", describe(point));
      cross.setAttribute("visibility", shown ? "visible" : "hidden");
      tip.hidden = !shown;
      if (!shown) return;
      const [cx, cy] = [x(at), y(point.mentions ?? 0)];
      cross.firstChild.setAttribute("x1", cx);
      cross.firstChild.setAttribute("x2", cx);
      cross.lastChild.setAttribute("cx", cx);
      cross.lastChild.setAttribute("cy", cy);
      tip.replaceChildren(...details(point));
      tip.style.setProperty("--x", `${Math.min(Math.max(cx, 100), width - 100)}px`);
    };
  }
  frame.addEventListener("pointermove", (event) => {
    const across = event.clientX - frame.getBoundingClientRect().left;
    const share = (across - 44) / Math.max(frame.clientWidth - 56, 1);
    place(Math.round(share * (points.length - 1)), true);
  });
  frame.addEventListener("pointerleave", () => place(at, document.activeElement === frame));
  frame.addEventListener("focus", () => place(at, frame.matches(":focus-visible")));
  frame.addEventListener("blur", () => place(at, false));
  frame.addEventListener("keydown", (event) => {
    const jump = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageUp: at + 4, PageDown: at - 4, Home: 0, End: points.length - 1 }[event.key];
    if (jump === undefined) return;
    event.preventDefault();
    place(jump, true);
  });
  new ResizeObserver(() => {
    draw();
    place(at, frame.matches(":focus-visible"));
  }).observe(frame);
  return frame;
}

function describe(point) {
  const usual = point.expected === null ? "no baseline" : `${about(point.expected)} expected, usual ${about(point.lower)} to ${about(point.upper)}`;
  const mark = point.outlier ? `, outlier, ${point.outlier.severity}` : "";
  return `${fullText(new Date(point.window_start))}: ${point.mentions === null ? "not counted" : `${count(point.mentions)} mentions`}, ${usual}${mark}`;
}

function details(point) {
  const date = new Date(point.window_start);
  const row = (name, value) => h("div", {}, h("span", { class: "muted" }, name), h("b", {}, value));
  return [
    h("p", {}, fullText(date)),
    row("Mentions", point.mentions === null ? "–" : count(point.mentions)),
    ...(point.expected === null ? [] : [row("Expected", about(point.expected)), row("Usual range", `${about(point.lower)} – ${about(point.upper)}`)]),
    ...(point.outlier ? [row(point.outlier.severity, ratio(point.mentions, point.expected))] : []),
    ...(point.open ? [h("p", { class: "muted" }, "still counting")] : []),
  ];
}

/** The week of a keyword: rows are days, columns hours, in the reader's zone. */
export function weekChart(mean) {
  const shift = Math.round(-new Date().getTimezoneOffset() / 60);
  const local = mean.map((_, hour) => mean[(((hour - shift) % 168) + 168) % 168]);
  const top = Math.max(...local.filter((v) => v !== null), 1e-9);
  const days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
  const peak = local.indexOf(top);
  const name = (hour) => `${days[Math.floor(hour / 24)]} ${String(hour % 24).padStart(2, "0")}:00`;
  const label = peak < 0 ? "Mean mentions by hour of the week" : `Mean mentions by hour of the week; most on ${name(peak)}, ${about(top)} per window`;
  const cells = local.map((value, hour) => {
    const cell = s("rect", { x: 34 + (hour % 24) * 15, y: Math.floor(hour / 24) * 17, width: 13, height: 15, rx: 2.5, class: value === null ? "none" : "cell" },
      s("title", {}, `${name(hour)}: ${value === null ? "not seen" : `${about(value)} mentions per window`}`));
    if (value !== null) cell.style.setProperty("--share", (value / top).toFixed(3));
    return cell;
  });
  return s("svg", { class: "week", viewBox: "0 0 396 138", role: "img", "aria-label": label },
    days.map((day, i) => s("text", { x: 0, y: i * 17 + 12 }, day)), cells,
    [0, 6, 12, 18, 23].map((hour) => s("text", { x: 34 + hour * 15 + 6.5, y: 134, "text-anchor": "middle" }, String(hour).padStart(2, "0"))));
}
