// Numbers and times as people read them. Times are shown in the reader's zone, with UTC on hover.

import { h } from "./dom.js";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayClock = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayOnly = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));
export const compact = (value) => (value < 10_000 ? whole.format(value) : short.format(value));
export const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(share < 0.095 ? 1 : 0)} %`);
/** A number of mentions that was worked out: small ones keep a digit. */
export const about = (value) => (value === null || value === undefined ? "–" : value < 10 ? value.toFixed(1) : whole.format(value));

/** How many times as much; of a drop, how little is left. */
export function ratio(actual, expected) {
  if (!expected) return "new";
  const times = actual / expected;
  return times < 1 ? `−${Math.round(100 * (1 - times))} %` : `×${times < 10 ? times.toFixed(1) : whole.format(times)}`;
}

/** How rare an incident is, in words. */
export function rarity(days, probability) {
  if (days !== null && days !== undefined) {
    if (days < 1.5) return "about once a day";
    if (days < 60) return `once in ${Math.round(days)} days`;
    if (days < 730) return `once in ${Math.round(days / 30.4)} months`;
    return days < 36_500 ? `once in ${Math.round(days / 365.25)} years` : "once in over 100 years";
  }
  if (!probability) return probability === 0 ? "1 in over 10¹² windows" : "–";
  return probability < 1e-12 ? "1 in over 10¹² windows" : `1 in ${short.format(1 / probability)} windows`;
}

export function duration(milliseconds) {
  const minutes = Math.max(0, Math.round(milliseconds / MINUTE));
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  return `${Math.round(minutes / 1440)} days`;
}

export const seconds = (value) => (value === null || value === undefined ? "–" : value < 90 ? `${Math.round(value)} s` : duration(value * 1000));

const utc = (date) => `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
const isToday = (date) => new Date().toDateString() === date.toDateString();

/** A point in time in the reader's zone; hover tells UTC. */
export function time(iso, form = "auto") {
  if (!iso) return h("span", {}, "–");
  const date = new Date(iso);
  const text =
    form === "clock" || (form === "auto" && isToday(date)) ? clock.format(date)
    : form === "day" ? dayOnly.format(date)
    : form === "ago" ? `${duration(Date.now() - date)} ago`
    : dayClock.format(date);
  return h("time", { datetime: date.toISOString(), title: utc(date) }, text);
}

export const clockText = (date) => clock.format(date);
export const dayText = (date) => dayOnly.format(date);
export const fullText = (date) => dayClock.format(date);
/** A calendar day, which has no zone. */
export const dateText = (iso) => calendar.format(new Date(`${iso}T00:00:00Z`));

export const SHAPES = { pulse: "pulse", ramp_up: "ramp-up", mean_shift: "lasting shift" };
export const REASONS = (reason) => reason.replaceAll("_", " ");
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const unit = Math.min(Math.floor(Math.log2(Math.max(value, 1)) / 10), 4);
  return `${(value / 2 ** (10 * unit)).toFixed(unit ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}
