// News of incidents, as they come, for whichever view is open.

const listeners = new Set();
let source = null;
let later = 0;

/** Hear of each revised incident until `signal` is aborted. */
export function onIncident(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
}

function show(state, text) {
  document.getElementById("live").dataset.state = state;
  document.getElementById("live-text").textContent = text;
}

function disconnect() {
  clearTimeout(later);
  source?.close();
}

/** Listen while the page is seen: a browser has six connections to a host, for all its tabs. */
export function connect() {
  disconnect();
  if (document.visibilityState === "hidden") return;
  source = new EventSource("/api/v1/events");
  source.addEventListener("open", () => {
    show("on", "Live");
    // What happened before the connection stood is read anew.
    for (const listener of listeners) listener(null);
  });
  source.addEventListener("error", () => {
    show("off", source.readyState === EventSource.CLOSED ? "Not live" : "Reconnecting");
    if (source.readyState === EventSource.CLOSED) later = setTimeout(connect, 10_000);
  });
  source.addEventListener("incident", (event) => {
    const incident = JSON.parse(event.data);
    for (const listener of listeners) listener(incident);
  });
}

document.addEventListener("visibilitychange", connect);
addEventListener("pagehide", disconnect);
// A page that the browser had kept goes on.
addEventListener("pageshow", (event) => event.persisted && connect());
