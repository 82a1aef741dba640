// Asks, and then sends one command. Knows nothing of what is shown elsewhere. The token lives in
// this variable alone: no cookie, no storage; so nothing sends it but the functions below.

let token = "";

const the = (id) => document.getElementById(id);
const REQUEST_MS_MAX = 30_000;

/** Sends a request with the token; the answer's JSON, or an Error with one line for people. */
export async function send(method, path, body, id = null, msMax = REQUEST_MS_MAX) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (id !== null) headers["Idempotency-Key"] = id;
  let response;
  try {
    response = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(msMax), credentials: "omit", redirect: "error",
    });
  } catch {
    throw new Error("No answer. It may have been done or not: doing it again here is safe.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401) {
    forget();
    throw new Error("This is not the operators' token of this dispatcher.");
  }
  if (!response.ok) throw new Error(answer.error ?? `The dispatcher answers HTTP ${response.status}.`);
  return answer;
}

export function forget() {
  token = "";
  the("forget").hidden = true;
}

/** Names a command, so that giving it again after no answer never does it twice. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Opens the dialog for one action; resolves with what `act` returned, or null if it was left.
 *
 * asked: {title, text, label, reason: whether one is needed, typed: a word to be typed or null,
 * danger, act(reason, id)}.
 */
export function ask(asked) {
  const dialog = the("dialog");
  const id = newId();
  the("dialog-title").textContent = asked.title;
  the("dialog-text").textContent = asked.text;
  the("dialog-do").textContent = asked.label;
  the("dialog-do").className = asked.danger ? "danger" : "";
  the("dialog-error").textContent = "";
  the("dialog-typed-label").textContent = `Type ${asked.typed ?? ""} to make sure`;
  for (const [field, shown] of [["reason", asked.reason], ["typed", asked.typed], ["token", token === ""]]) {
    the(`dialog-${field}`).hidden = the(`dialog-${field}-label`).hidden = !shown;
    the(`dialog-${field}`).value = "";
  }
  dialog.showModal();
  return new Promise((resolve) => {
    const finish = (value) => {
      the("dialog-token").value = "";
      the("dialog-form").onsubmit = the("dialog-close").onclick = dialog.onclose = null;
      if (dialog.open) dialog.close();
      resolve(value);
    };
    dialog.onclose = () => finish(null);
    the("dialog-close").onclick = () => finish(null);
    the("dialog-form").onsubmit = async (event) => {
      event.preventDefault();
      const refused = missing(asked);
      if (refused) {
        wrong(...refused);
        return;
      }
      if (the("dialog-token").value) token = the("dialog-token").value.trim();
      the("dialog-do").disabled = true;
      try {
        const done = await asked.act(the("dialog-reason").value.trim(), id);
        the("forget").hidden = false;
        finish(done);
      } catch (error) {
        the("dialog-token").hidden = the("dialog-token-label").hidden = token !== "";
        wrong(token === "" ? "token" : "do", error.message);
      } finally {
        the("dialog-do").disabled = false;
      }
    };
  });
}

function missing(asked) {
  if (asked.reason && !the("dialog-reason").value.trim()) {
    return ["reason", "A reason is needed: whoever finds this must know why calls stand still."];
  }
  if (asked.typed && the("dialog-typed").value.trim() !== asked.typed) {
    return ["typed", `Type ${asked.typed} exactly as it stands here.`];
  }
  return token === "" && !the("dialog-token").value.trim() ? ["token", "The token is needed."] : null;
}

function wrong(field, text) {
  the("dialog-error").textContent = text;
  the("dialog-do").disabled = false;
  the(`dialog-${field}`).focus();
}

/** Does `act` at once if the token is known, else asks for it first; null if that was left. */
export async function withToken(title, text, label, act) {
  return token === "" ? ask({ title, text, label, act: () => act() }) : act();
}

const EVERY = "*";
const WAITS = "Nothing is lost: what waits stays in Kafka, so mind the retention of the requests.";

export const holdFlow = (flow) => ask({
  title: `Hold flow ${flow}`, label: "Hold it", reason: true,
  text: `Nothing of this flow is sent any more, in any lane, but what is under way. ${WAITS}`,
  act: (reason, id) => send("POST", "/holds", { scope: "flow", name: flow, reason }, id),
});

export const holdEverything = () => ask({
  title: "Hold every account", label: "Stop all calls", reason: true, danger: true,
  text: `No call of any flow is sent any more, in any lane, but what is under way. ${WAITS}`,
  act: (reason, id) => send("POST", "/holds", { scope: "account", name: EVERY, reason }, id),
});

export const release = (scope, name) => ask({
  title: name === EVERY ? "Release every account" : `Release ${scope} ${name}`, label: "Release",
  text: "Sending goes on at once, whoever set the hold. If its cause is still there, the dispatcher holds again by itself.",
  act: (_, id) => send("DELETE", `/holds/${scope}/${encodeURIComponent(name)}`, undefined, id),
});

export const cancelCalls = (flow) => ask({
  title: `Cancel all calls of flow ${flow}`, label: "Cancel these calls", reason: true, typed: flow,
  danger: true,
  text: "All calls of this flow that are published by now and not yet sent become dead letters “cancelled”. This cannot be taken back; they can be replayed. Later ones are called: stop the upstream, or hold the flow first.",
  act: (reason, id) => send("POST", "/calls/cancel", { "flow-id": flow, reason }, id),
});

export const setLimit = (limit) => ask({
  title: `Set the limit to ${limit.toLocaleString("en")} calls a minute`, label: "Set the limit", reason: true,
  text: "For all lanes together, until it is set again or reset. It must not be above what the provider allows.",
  act: (reason, id) => send("PUT", "/limit", { "calls-per-minute": limit, reason }, id),
});

export const resetLimit = () => ask({
  title: "Back to the configured limit", label: "Reset the limit",
  text: "All lanes take the limit of their configuration again.",
  act: (_, id) => send("DELETE", "/limit", undefined, id),
});
