// Asks the dispatcher every few seconds and shows the answer. Knows nothing of how commands are given.

import * as actions from "/page/actions.js";
import * as letters from "/page/letters.js";
import * as replays from "/page/replays.js";
import { button, count, foreign, make, moment, renew, span, table } from "/page/parts.js";
import { plotBars, plotLine } from "/page/plot.js";

const POLL_MS = 5000;
const EAGER_MS = 1000;
const EAGER_POLLS = 10;
const ANSWER_MS_MAX = 8000;
const REASONS = [
  "rejected", "exhausted", "expired", "duplicate", "unconfirmed", "cancelled", "invalid", "oversize",
];
const FLOOD_BREAKER = "the flood breaker";
const STANDINGS = {
  even: "an even share: a lane is not registered in Redis",
  alone: "an even share: Redis is away",
  silent: "sends nothing: Redis is away, or has lost its data",
};

const the = (id) => document.getElementById(id);
const sum = (list, of) => list.reduce((all, each) => all + of(each), 0);
let seen = null;
let seenAt = 0;
let eager = 0;
let timer = 0;

async function read(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS_MAX), credentials: "omit" });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response.json();
}

async function poll() {
  clearTimeout(timer);
  try {
    const [status, history] = await Promise.all(["/status", "/page/history"].map(read));
    seen = { status, history, nowMs: Date.parse(history.now) };
    seenAt = performance.now();
    show();
  } catch {
    fail();
  }
  eager = Math.max(0, eager - 1);
  timer = setTimeout(poll, eager ? EAGER_MS : POLL_MS);
}

// What the dispatcher must ask Kafka for may take long, or fail, and the rest is shown all the same.
let group = { lanes: [], error: null };

async function follow(path, take) {
  if (!document.hidden) {
    try {
      take(await read(path));
    } catch {
      take(null);
    }
  }
  setTimeout(follow, eager ? EAGER_MS : POLL_MS, path, take);
}

function takeGroup(answer) {
  group = answer ?? { ...group, error: "Kafka did not answer in time" };
  if (seen) show();
}

function fail() {
  document.body.classList.add("stale");
  pill("no answer", "bad");
  const since = seen === null ? "" : ` What is shown is ${span((performance.now() - seenAt) / 1000)} old.`;
  alerts([["bad", `This replica does not answer.${since} If it was stopped, another replica has taken over its lanes: open that one's page.`]]);
}

function pill(text, kind) {
  the("state").textContent = text;
  the("state").className = `pill ${kind}`;
}

let alerted = "";
/** Put anew only if they changed, so that they are read out once. */
function alerts(list) {
  const now = JSON.stringify(list);
  if (now === alerted) return;
  alerted = now;
  the("alerts").replaceChildren(...list.map(([kind, text]) => make("p", { class: kind }, foreign(text))));
}

function show() {
  const { status } = seen;
  document.body.classList.remove("stale");
  the("identity").replaceChildren(
    foreign(`${status["group-id"]} · ${status.profile} at ${status["url-host"]} · replica ${status.owner} · ${status.version}`),
  );
  the("freshness").textContent = `as of ${seen.history.now.slice(11, 19)} UTC`;
  const holds = merged(status.lanes);
  pill(...state(status, holds));
  alerts(warnings(status));
  tiles(status);
  showHolds(holds);
  plots();
  showFlows(status, holds);
  showLanes(status);
  the("act-note").textContent = seen.history["takes-commands"]
    ? "Every lane of every replica obeys within seconds. Each command asks for the operators’ token once."
    : "Off: set http.token (DISPATCHER_HTTP__TOKEN) and start the dispatcher anew. The commands `holds`, `calls` and `limit` work without it.";
  for (const each of document.querySelectorAll("#actions button, #actions input, #holds button, #flows button")) {
    each.disabled = !seen.history["takes-commands"];
  }
}

function state(status, holds) {
  if (status.error) return ["in trouble", "bad"];
  if (status.draining) return ["stopping", "warn"];
  if (!status.ready) return ["starting", "warn"];
  if (status.lanes.some((lane) => lane.pause)) return ["paused", "bad"];
  if (holds.some((hold) => hold.scope === "account")) return ["account held", "bad"];
  if (holds.length) return [holds.length === 1 ? "1 flow held" : `${holds.length} flows held`, "warn"];
  return status.standby ? ["standby", "good"] : ["working", "good"];
}

function warnings(status) {
  const found = status.error ? [["bad", status.error]] : [];
  for (const lane of status.lanes) {
    if (lane.pause) {
      const rest = lane["paused-seconds"] > 0 ? "; it tries again by itself" : "";
      found.push(["bad", `Lane ${lane.lane} is paused: ${lane.pause}${rest}.`]);
    }
    if (STANDINGS[lane.standing]) found.push(["warn", `Lane ${lane.lane}: ${STANDINGS[lane.standing]}.`]);
  }
  if (group.error) found.push(["warn", `The owners of lanes could not be read: ${group.error}`]);
  if (status.standby) found.push(["good", "This replica is a standby: it owns no lane, so it has no figures of its own."]);
  return found;
}

/** The holds of all lanes, each once. */
function merged(lanes) {
  const found = new Map();
  for (const lane of lanes) {
    for (const hold of lane.holds) {
      const key = `${hold.scope} ${hold.name}`;
      const one = found.get(key) ?? { ...hold, lanes: [] };
      one.lanes.push(lane.lane);
      found.set(key, one);
    }
  }
  return [...found.values()].sort((one, other) => one.scope.localeCompare(other.scope) || one.since.localeCompare(other.since));
}

const lagOf = (lane) => sum(lane.partitions, (each) => each.lag ?? 0);

function tiles(status) {
  const lanes = status.lanes;
  const sent = sum(lanes, (lane) => lane["calls-in-window"]);
  const limit = sum(lanes, (lane) => lane["calls-per-minute"]);
  const backlog = sum(lanes, lagOf);
  const oldest = Math.max(0, ...lanes.map((lane) => lane["oldest-event-age-seconds"] ?? 0));
  const failed = sum(seen.history.samples, (each) => sum(Object.values(each["dead-letters"]), (number) => number));
  const apart = sum(lanes, (lane) => lane["parked-calls"] + lane["overflow-calls"]);
  const rows = [
    ["Sent in the last minute", count(sent), limit ? `${Math.round((100 * sent) / limit)} % of the limit of ${count(limit)}` : "no lane, no limit"],
    ["Backlog", count(backlog + apart), apart ? `${count(apart)} of them wait apart: held, not at this hour, or over their share` : "events without an outcome"],
    ["Drained in", drained(lanes, backlog), apart ? "without those that wait apart" : "at the pace of the last minute"],
    ["Oldest event that waits", oldest ? span(oldest) : "–", oldest ? "since it was published" : "nothing waits"],
    ["Dead letters", count(failed), "in the last 15 minutes, of this replica"],
  ];
  the("tiles").replaceChildren(...rows.map(([name, value, note]) => make(
    "div", {}, make("dt", {}, name), make("dd", {}, value), make("dd", { class: "quiet" }, note),
  )));
}

/** Lanes drain side by side, so the slowest one counts. */
function drained(lanes, backlog) {
  if (!backlog) return "now";
  const minutes = lanes.filter(lagOf).map((lane) => lane["minutes-until-drained"]);
  if (minutes.includes(null)) return "unknown";
  return span(Math.max(1, 60 * Math.max(...minutes)));
}

function advice(hold) {
  if (hold.by === FLOOD_BREAKER) {
    return "Too many of its calls failed, so the rest was kept from the same fate. Search its dead letters below, repair the cause, then release it; replay what failed.";
  }
  if (hold.by) return "An operator’s hold: no call is tried. Release it when its cause is gone.";
  const next = hold["next-probe-seconds"];
  const when = next === null ? "" : next < 1 ? " The next one goes now." : ` The next one goes in ${span(next)}.`;
  return `Repair the cause and wait: single calls are tried by themselves (${hold.probes} so far), and the first accepted one ends the hold.${when} Releasing ends it at once.`;
}

const titled = (hold) => hold.scope === "flow" ? `Flow ${hold.name}`
  : hold.name === "*" ? "Every account" : `Account ${hold.name}`;

function showHolds(holds) {
  const cards = holds.map((hold) => make(
    "div", { class: "hold" },
    make("div", {},
      make("h3", {}, foreign(titled(hold))),
      make("p", {}, foreign(hold.reason)),
      make("p", {}, advice(hold)),
      make("p", { class: "quiet" }, `since ${moment(hold.since, seen.nowMs)}, `, hold.by ? "by " : "by the dispatcher", foreign(hold.by),
        hold.code === null ? "" : `, code ${hold.code}`, `, in lane ${hold.lanes.join(", ")}`)),
    button("Release …", () => command(actions.release(hold.scope, hold.name)), "plain", `Release ${titled(hold)}`),
  ));
  renew(the("holds"), cards.length ? cards : make("p", { class: "quiet" }, "Nothing is held."));
}

function plots() {
  const { history, nowMs } = seen;
  const stepMs = history["step-seconds"] * 1000;
  const at = history.samples.map((each) => ({ ...each, ms: Date.parse(each.at) }));
  the("plots-note").textContent = at.length * stepMs < 14 * 60_000
    ? "Of this replica’s lanes, since it started." : "Of this replica’s lanes.";
  plotLine(the("plot-calls"), "Calls in the last minute", "and their limit (dashed)",
    at.map((each) => ({ ms: each.ms, value: each["calls-in-window"], limit: each["calls-per-minute"] })), nowMs, stepMs);
  plotLine(the("plot-backlog"), "Backlog", "events without an outcome",
    at.map((each) => ({ ms: each.ms, value: each.backlog })), nowMs, stepMs);
  plotBars(the("plot-letters"), "Dead letters", "by reason, each half a minute",
    at.map((each) => ({ ms: each.ms, counts: each["dead-letters"] })), nowMs, REASONS);
}

function showFlows(status, holds) {
  const waiting = new Map();
  for (const lane of status.lanes) {
    for (const flow of lane.flows) waiting.set(flow["flow-id"], (waiting.get(flow["flow-id"]) ?? 0) + flow["waiting-calls"]);
  }
  const held = new Map(holds.filter((hold) => hold.scope === "flow").map((hold) => [hold.name, hold]));
  for (const name of held.keys()) if (!waiting.has(name)) waiting.set(name, 0);
  const rows = [...waiting].sort((one, other) => other[1] - one[1]).map(([flow, calls]) => [
    foreign(flow), count(calls), held.has(flow) ? "held" : "going",
    make("span", { class: "buttons" },
      held.has(flow)
        ? button("Release …", () => command(actions.release("flow", flow)), "plain", `Release ${flow}`)
        : button("Hold …", () => command(actions.holdFlow(flow)), "plain", `Hold ${flow}`),
      button("Cancel calls …", () => command(actions.cancelCalls(flow)), "danger", `Cancel calls of ${flow}`)),
  ]);
  renew(the("flows"), rows.length
    ? table("Flows that wait", [["Flow"], ["In memory", "number"], ["State"], ["Do"]], rows)
    : make("p", { class: "quiet" }, "No flow waits, and none is held."));
}

function showLanes(status) {
  const mine = new Map(status.lanes.map((lane) => [lane.lane, lane]));
  const known = new Map(group.lanes.map(({ lane, owner }) => [lane, owner]));
  const numbers = [...new Set([...known.keys(), ...mine.keys()])].sort((one, other) => one - other);
  const rows = numbers.map((number) => {
    const lane = mine.get(number);
    if (!lane) return [number, ownerOf(known.get(number)), "", "", "", "", "", ""];
    const oldest = lane["oldest-event-age-seconds"];
    return [
      number, "this replica", lane.state,
      `${count(lane["calls-in-window"])} of ${count(lane["calls-per-minute"])}`,
      count(lagOf(lane)), count(lane["parked-calls"] + lane["overflow-calls"]),
      count(lane["in-flight"]), oldest === null ? "–" : span(oldest),
    ];
  });
  const elsewhere = numbers.filter((number) => !mine.has(number) && known.get(number)).length;
  the("lanes-note").textContent = elsewhere
    ? "Figures of other replicas’ lanes stand on their own pages." : "";
  renew(the("lanes"), rows.length ? table("Lanes", [
    ["Lane"], ["Owner"], ["State"], ["Sent last minute", "number"], ["Backlog", "number"],
    ["Wait apart", "number"], ["Requests under way", "number"], ["Oldest event", "number"],
  ], rows) : make("p", { class: "quiet" }, "No lane is known yet."));
}

const ownerOf = (owner) => owner ? foreign(owner.replace(/^call-dispatcher-/, "")) : make("strong", { class: "error" }, "nobody");

async function command(asked) {
  const done = await asked;
  if (done === null) return;
  the("said").className = "good";
  the("said").textContent = `Written as ${done.id}. Every lane obeys within seconds.`;
  eager = EAGER_POLLS;
  poll();
}

function refuse(field, text) {
  the("said").className = "bad";
  the("said").textContent = text;
  field.focus();
}

function withFlow(act) {
  const flow = the("flow-name").value.trim();
  if (/^[A-Za-z0-9]{8}$/.test(flow)) command(act(flow));
  else refuse(the("flow-name"), "A flow-id has exactly 8 ASCII letters and digits, like AbCd1234.");
}

function withLimit() {
  const text = the("limit-value").value.replace(/[\s,.]/g, "");
  if (/^[1-9][0-9]{0,9}$/.test(text)) command(actions.setLimit(Number(text)));
  else refuse(the("limit-value"), "The limit is a whole number of calls a minute.");
}

function on(id, event, act) {
  the(id).addEventListener(event, (happened) => {
    happened.preventDefault();
    act();
  });
}

on("flow-form", "submit", () => withFlow(actions.holdFlow));
on("flow-cancel", "click", () => withFlow(actions.cancelCalls));
on("account-hold", "click", () => command(actions.holdEverything()));
on("account-release", "click", () => command(actions.release("account", "*")));
on("limit-form", "submit", withLimit);
on("limit-reset", "click", () => command(actions.resetLimit()));
on("forget", "click", actions.forget);
replays.start(() => { eager = EAGER_POLLS; });
letters.start(() => seen !== null && seen.history["takes-commands"]);
document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : poll());
window.addEventListener("resize", () => seen && plots());
poll();
follow("/page/lanes", takeGroup);
follow("/page/replays", replays.show);
