// Signing in: the token is exchanged for a cookie that scripts cannot read, and kept nowhere else.

import { call, get } from "./api.js";
import { h, replace } from "./dom.js";
import { complain } from "./parts.js";

let session = { signed_in: false, writable: false, required: false };
const button = () => document.getElementById("sign-in");
const dialog = () => document.getElementById("sign-in-dialog");

export const current = () => session;

export async function refresh() {
  session = await get("/session");
  button().textContent = session.signed_in ? "Sign out" : "Sign in";
  button().hidden = !session.writable && !session.required;
  return session;
}

/** See that writing is allowed, asking for the token if need be; false if nobody may write, or the person gave up. */
export async function mayWrite() {
  complain();
  try {
    if (!session.writable) await refresh(); // perhaps it has not been answered yet
  } catch (problem) {
    complain(problem.message);
    return false;
  }
  if (!session.writable) {
    complain("This dashboard is read-only: it was started without DASHBOARD_TOKEN or without PGEDITOR_PASSWORD. `make up` writes both to .env.");
    return false;
  }
  return session.signed_in || ask();
}

function ask() {
  return new Promise((resolve) => {
    const error = h("p", { class: "form-error", role: "alert" });
    const token = h("input", { type: "password", id: "token", name: "token", required: true, autocomplete: "current-password" });
    const form = h(
      "form",
      {
        method: "dialog",
        onsubmit: async (event) => {
          event.preventDefault();
          try {
            await call("POST", "/session", { body: { token: token.value } });
            await refresh();
          } catch (problem) {
            error.textContent = problem.message;
            token.select();
            return;
          }
          dialog().close();
          document.dispatchEvent(new CustomEvent("signed-in"));
          resolve(true);
        },
      },
      h("h2", { id: "sign-in-title" }, "Sign in"),
      h("p", { class: "muted" }, "To edit the watchlist and give feedback. The token is DASHBOARD_TOKEN in the file .env of whoever runs this dashboard."),
      h("label", { for: "token" }, "Token"),
      token,
      error,
      h("div", { class: "dialog-buttons" },
        h("button", { type: "button", onclick: () => dialog().close() }, "Cancel"),
        h("button", { type: "submit", class: "primary" }, "Sign in")),
    );
    replace(dialog(), form);
    dialog().addEventListener("close", () => resolve(session.signed_in), { once: true });
    if (!dialog().open) dialog().showModal();
    token.focus();
  });
}

export function start() {
  button().addEventListener("click", async () => {
    if (!session.signed_in) {
      ask();
      return;
    }
    complain();
    try {
      await call("DELETE", "/session");
      await refresh();
    } catch (problem) {
      complain(problem.message);
      return;
    }
    if (session.required) ask();
  });
  document.addEventListener("token-needed", async () => {
    if (dialog().open) return;
    const now = await refresh().catch(() => session); // the view tells what is wrong
    if (now.signed_in || dialog().open) return;
    ask();
  });
}
