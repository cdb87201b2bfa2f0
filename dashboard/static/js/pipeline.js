// Pipeline: whether the stream keeps up, what it rejected, which baselines judge, how the batch stands.

import { get } from "./api.js";
import { seriesChart, standing } from "./charts.js";
import { h, icon, prose, renew, replace } from "./dom.js";
import { bytes, compact, count, dateText, DAY, duration, percent, REASONS, seconds, time } from "./format.js";
import { badge, empty, heading, load, panel, table, tile } from "./parts.js";

const REFRESH = 10_000;
const WINDOW = 900_000;
const PACE = 60_000; // what throughput is the mean of: Flink renews its counters every ten seconds only
const START = "python -m beam_pipelines.stream --runner=FlinkRunner --detach";
const BASES = { committed: "posts not worked through", estimated: "posts, when last fetched", unknown: "see below" };

/** Posts per second over the last minute, from what a job had read when; null until it is known. */
function pace(read) {
  const [first, last] = [read[0], read.at(-1)];
  return first && last.at > first.at ? (1000 * (last.posts - first.posts)) / (last.at - first.at) : null;
}

/** The job that reads Kafka: the daily batch may run beside it, and be the newer one. */
const reading = (flink) => flink?.jobs.find((job) => job.source !== null);

/** What is wrong with the stream as Flink tells it: what it wrote shows it only once a window is late. */
function jobFindings(flink) {
  if (!flink.reachable) return [{ level: "warning", what: "Whether the stream’s job runs is not known.", advice: flink.detail }];
  const job = reading(flink);
  if (!job) return [{ level: "warning", what: "No job reads posts.", advice: `Start the stream: \`${START}\`.` }];
  if (job.state !== "RUNNING") return [{ level: "warning", what: `The stream’s job is ${job.state.toLowerCase()}.`, advice: "It goes on from its last checkpoint. Why it failed is told by Flink’s web UI, under Exceptions." }];
  return [];
}

export async function show(main, { signal }) {
  const [findings, tiles, posts, flink, rest] = Array.from({ length: 5 }, () => h("div", { class: "stack" }));
  replace(main, heading("Pipeline", "From the feed to this page"), findings, tiles, posts, flink, rest);
  let running = null;
  let read = []; // of the stream's job, how many posts it had read when
  let drawn = "";
  let told = "";

  async function drawHealth(quiet) {
    await load(tiles, async () => {
      const health = await get("/health", {}, signal).catch((problem) => {
        if (problem.name !== "AbortError") replace(findings); // whether all is well nobody knows now
        told = "";
        throw problem;
      });
      const { stream, baselines } = health;
      const found = [...health.findings, ...(running ? jobFindings(running) : [])];
      const news = JSON.stringify([found, running !== null]);
      if (news !== told) { // said again and again it would be read out again and again
        told = news;
        replace(findings, found.map((finding) => h("div", { class: "finding", "data-level": finding.level, role: "status" }, icon("warning"), h("div", {}, h("b", {}, finding.what), h("p", {}, prose(finding.advice))))),
          running && found.length === 0 && h("div", { class: "finding", "data-level": "ok", role: "status" }, icon("ok"), h("b", {}, "All is well.")));
      }
      const windows = JSON.stringify([stream.windows, stream.last_closed_window_start]);
      if (windows !== drawn) {
        drawn = windows;
        renew(posts, panel("Posts per 15 minutes", ["Whole platform, ", ...shownTime(stream)], stream.windows.length
          ? seriesChart(points(stream), { keyword: "All posts", height: 180, at: standing(posts) })
          : empty("No windows yet", "Send posts with feed.produce, and start the stream.")));
      }
      renew(rest, h("div", { class: "two tables" }, deadLetters(health.dead_letters), batch(health)));
      const dead = health.dead_letters.reduce((sum, entry) => sum + entry.count, 0);
      const job = reading(running);
      const rate = pace(read);
      const lag = health.consumer;
      return [h("dl", { class: "tiles" },
        tile("Throughput", rate === null ? "–" : `${compact(Math.round(rate))}/s`, job ? "posts read" : "no job is seen to read"),
        tile("Kafka lag", lag?.posts_behind == null ? "–" : `${lag.basis === "estimated" ? "~" : ""}${compact(lag.posts_behind)}`, lag ? BASES[lag.basis] : "being measured"),
        tile("Stream lag", seconds(stream.lag_seconds), "since the newest window", stream.lag_seconds > 1200 ? "warn" : null),
        tile("Watermark delay", seconds(stream.watermark_delay_seconds), "since the last window that closed"),
        tile("Last window", count(stream.last_window_posts), stream.last_window_start ? h("span", {}, "posts, from ", time(stream.last_window_start)) : "none yet"),
        tile("Dead letters", count(dead), "in 7 days", null),
        tile("Baselines", baselines ? `v${baselines.version}` : "none", baselines ? h("span", {}, `${compact(baselines.keywords)} keywords, history to `, time(baselines.history_to)) : "only the hours before judge", baselines && baselines.age_seconds < 36 * 3600 ? null : "warn")),
        lag && h("p", { class: "muted small" }, "Kafka lag: ", prose(lag.detail))];
    }, { quiet, rows: 2 });
  }

  async function drawFlink(quiet) {
    await load(flink, async () => {
      running = await get("/flink", {}, signal);
      remember();
      if (!running.reachable) return panel("Flink", null, empty("Flink does not answer", running.detail));
      if (!running.jobs.length) return panel("Flink", `${running.slots_free} of ${running.slots_total} slots free`, empty("No job runs", h("p", {}, "Start the stream: ", h("code", {}, START))));
      return running.jobs.map((job) => panel(job.name, h("span", {}, badge(job.state.toLowerCase(), job.state === "RUNNING" ? "accent" : "warn"), " since ", time(job.started_at), job.restarts ? `, ${job.restarts} restarts` : "", " · ", h("a", { href: `${running.url}/#/job/running/${job.id}`, target: "_blank", rel: "noreferrer noopener" }, "Flink’s web UI")),
        h("dl", { class: "tiles small-tiles" },
          tile("Checkpoints", count(job.checkpoints.completed), job.checkpoints.failed ? `${job.checkpoints.failed} failed` : "none failed", job.checkpoints.failed ? "warn" : null),
          tile("Last checkpoint", job.checkpoints.last_completed_at ? time(job.checkpoints.last_completed_at, "ago") : "none yet", job.checkpoints.last_completed_at ? `took ${Math.round(job.checkpoints.last_duration_seconds * 1000)} ms` : ""),
          tile("State", bytes(job.checkpoints.last_size_bytes), "in the last checkpoint")),
        table(`Steps of ${job.name}`, [["Step"], ["In /s", "number"], ["Out /s", "number"], ["Busy", "number"], ["Back-pressure", "number"], ["Watermark"]],
          job.steps.map((step) => h("tr", {}, h("th", { scope: "row", class: "step", title: step.name }, stepName(step.name)),
            h("td", { class: "number" }, step.records_in_per_second === null ? "–" : compact(step.records_in_per_second)), h("td", { class: "number" }, step.records_out_per_second === null ? "–" : compact(step.records_out_per_second)),
            h("td", { class: "number" }, percent(step.busy)), h("td", { class: "number" }, percent(step.back_pressure)), h("td", {}, step.watermark ? time(step.watermark) : "–"))))));
    }, { quiet, rows: 4 });
  }

  function remember() {
    const job = reading(running);
    const posts = job?.steps.reduce((sum, step) => sum + (step.posts_read ?? 0), 0) ?? 0;
    // A job that is new, or was restarted, counts from the beginning.
    const last = read.at(-1);
    if (last && (last.job !== job?.id || posts < last.posts)) read = [];
    if (job) read = [...read.filter((one) => Date.now() - one.at < PACE), { job: job.id, at: Date.now(), posts }];
  }

  let busy = false;
  const clock = setInterval(async () => {
    if (busy || document.visibilityState !== "visible") return;
    busy = true; // while one answer is slow, no further are asked for
    await Promise.all([drawFlink(true), drawHealth(true)]);
    busy = false;
  }, REFRESH);
  signal.addEventListener("abort", () => clearInterval(clock));
  // The tiles wait for nobody; what Flink says is put in when it has said it.
  const measured = get("/kafka", {}, signal).catch(() => null); // its trouble is in its answer; what is left is the server's
  await Promise.all([drawHealth(false), drawFlink(false).then(() => drawHealth(true)), measured.then(() => drawHealth(true))]);
}

/** The stream's windows as points of a chart. */
function points({ windows, last_closed_window_start: closed }) {
  return windows.map(([window_start, posts]) => ({
    window_start, mentions: posts, expected: null, lower: null, upper: null, outlier: null,
    open: posts !== null && (closed === null || new Date(window_start) > new Date(closed)),
  }));
}

/** Of which time the windows are: of a stream that is long dead they are not the last ones. */
const shownTime = ({ windows, lag_seconds: lag }) => (lag === null || lag * 1000 < DAY
  ? ["last 24 hours"]
  : ["24 hours up to ", time(+new Date(windows.at(-1)[0]) + WINDOW)]);

/** Flink joins the names of the transforms that it runs as one. */
const stepName = (name) => name.match(/\{([^{}]*)\}$/)?.[1] ?? name.replace(/^Source: /, "");

function deadLetters(found) {
  const total = found.reduce((sum, entry) => sum + entry.count, 0);
  return panel("Dead letters", "Posts that could not be read, last 7 days", found.length
    ? table("Dead letters by reason", [["Reason"], ["Count", "number"], ["Share", "number"], ["Newest"], ["Example", "wide"]],
        found.map((entry) => h("tr", {}, h("th", { scope: "row" }, REASONS(entry.reason)), h("td", { class: "number" }, count(entry.count)), h("td", { class: "number" }, percent(entry.count / total)), h("td", {}, time(entry.last_seen_at)), h("td", { class: "wide muted" }, entry.example))))
    : empty("None", "The daily batch collects them here. As they come, they are in the Kafka topic of dead letters."));
}

function batch({ parsed_days, parity_days, baselines }) {
  const parity = new Map(parity_days.map((day) => [day.date, day]));
  const rows = parsed_days.map((day) => {
    const checked = parity.get(day.date);
    return h("tr", {}, h("th", { scope: "row" }, dateText(day.date)), h("td", { class: "number" }, count(day.posts)), h("td", { class: "number" }, count(day.duplicates)), h("td", { class: "number" }, count(day.late_posts)),
      h("td", {}, checked ? (checked.unexplained ? badge(`${count(checked.unexplained)} unexplained`, "warn") : badge(`equal but ${count(checked.late + checked.duplicate + checked.missing)} explained`, "accent")) : h("span", { class: "muted" }, "not checked")));
  });
  return panel("Daily batch", baselines ? h("span", {}, `Baselines ${baselines.version} (${baselines.detector}) from ${Math.round((new Date(baselines.history_to) - new Date(baselines.history_from)) / DAY)} days`) : null, rows.length
    ? table("Parsed days and parity", [["Day (UTC)"], ["Posts", "number"], ["Duplicates", "number"], ["Late", "number"], ["Stream against batch"]], rows)
    : empty("No day has been parsed yet", h("p", {}, "Run it: ", h("code", {}, "python -m beam_pipelines.parse --date YYYY-MM-DD"))));
}
