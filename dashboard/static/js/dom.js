// Making elements. Text only ever becomes text: there is no way here to make markup of it.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. Attributes that are null or false are left out; `on…` are listeners. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") continue;
    else if (name === "vars") for (const [key, number] of Object.entries(value)) element.style.setProperty(key, number);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  if (attributes.value !== undefined) element.value = attributes.value; // of a select only once it has its options
  return element;
}

/** Put new children in place of the old ones. */
export function replace(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
}

const FOCUSABLE = "a[href], button, input, select, summary, [tabindex]";

/** What tells an element from those beside it, whatever figures they show. */
const nameOf = (element) => [element.tagName, element.id, element.getAttribute("aria-label") ?? element.getAttribute("href") ?? element.textContent].join();

/**
 * Put newer children in place of the old ones, for somebody who is reading them: what had the focus has it again, what was
 * opened stays open. A child with `data-id` is known by that, wherever it stands now.
 */
export function renew(element, ...children) {
  const focused = element.contains(document.activeElement) && document.activeElement !== element ? document.activeElement : null;
  const item = focused?.closest("[data-id]")?.dataset.id;
  const scope = (id) => (id !== undefined && element.querySelector(`[data-id="${CSS.escape(id)}"]`)) || element;
  const within = (id) => [...scope(id).querySelectorAll(FOCUSABLE)];
  const alike = focused && within(item).filter((one) => nameOf(one) === nameOf(focused)).indexOf(focused);
  const [place, placeInItem] = [within().indexOf(focused), within(item).indexOf(focused)];
  const opened = [...element.querySelectorAll("details")].map((one) => one.open);
  replace(element, ...children);
  [...element.querySelectorAll("details")].forEach((one, i) => {
    if (opened[i]) one.open = true;
  });
  if (!focused) return;
  const same = within(item).filter((one) => nameOf(one) === nameOf(focused))[alike];
  // Without it the focus goes to what stands in its place now, rather than to the beginning of the page.
  const instead = scope(item) === element ? within().at(place) ?? within().at(-1) : within(item).at(placeInItem);
  const target = same ?? instead ?? document.getElementById("main");
  target.focus({ preventScroll: true });
  if (same?.matches("input") && same.value !== focused.value) same.value = focused.value; // is being typed
  if (same?.matches("input")) same.setSelectionRange(focused.selectionStart, focused.selectionEnd);
}

/** Text in which commands stand between backticks. */
export const prose = (text) => text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));

const ICONS = {
  now: "M2 9h3l2-5 3 9 2-4h3",
  keyword: "M6 2 4.5 14M11.5 2 10 14M2.5 5.5h11M2 10.5h11",
  trends: "M2 12 6 8l3 3 5-6M10.5 5H14v3.5",
  watchlist: "m8 2 1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.3l-3.7 2 .8-4.1L2 6.3l4.2-.5z",
  pipeline: "M2 4h5v3H2zM9 9h5v3H9zM7 5.5h2.5V9",
  up: "M8 13V3M4 7l4-4 4 4",
  down: "M8 3v10M4 9l4 4 4-4",
  out: "M6 3H3v10h10v-3M9 3h4v4M13 3 7.5 8.5",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8 13 13M13 3l-1.2 1.2M4.2 11.8 3 13",
  moon: "M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1z",
  auto: "M8 2a6 6 0 1 0 0 12V2z",
  useful: "M5 7v6H2.5V7zM5 7l3-5c1 0 1.6.7 1.5 1.7L9.2 6H13c.8 0 1.3.7 1.1 1.5l-1 4.3c-.2.7-.8 1.2-1.5 1.2H5",
  not_useful: "M5 9V3H2.5v6zM5 9l3 5c1 0 1.6-.7 1.5-1.7L9.2 10H13c.8 0 1.3-.7 1.1-1.5l-1-4.3c-.2-.7-.8-1.2-1.5-1.2H5",
  warning: "M8 2.5 14.5 13.5h-13zM8 6.5v3.2M8 11.6v.2",
  ok: "m3 8.5 3.2 3.2L13 5",
  download: "M8 2v8M4.5 6.8 8 10.2l3.5-3.4M2.5 13.5h11",
  remove: "m4 4 8 8M12 4l-8 8",
};

/** Make an icon; it says nothing to a screen reader. */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}
