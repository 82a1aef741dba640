// Plans, executes and resumes replays. Knows nothing of what may be sent again: the plan says that.

import { ask, send, withToken } from "/page/actions.js";
import { button, count, foreign, make, renew, table } from "/page/parts.js";

const PLAN_MS_MAX = 310_000;

const the = (id) => document.getElementById(id);
let wanted = null;
let hurry = () => undefined;

/** `onChange` is called when there will be something new to see soon. */
export function start(onChange) {
  hurry = onChange;
  the("plan-form").addEventListener("submit", (event) => {
    event.preventDefault();
    plan(new FormData(event.target));
  });
}

/** Offers to plan a replay of what a search found; null if that was nothing. */
export function offer(search) {
  wanted = search;
  the("plan-form").hidden = search === null;
  the("plan").replaceChildren();
}

async function plan(ticked) {
  const body = { ...wanted, force: ticked.has("force"), "drop-expires-at": ticked.has("drop-expires-at") };
  if (ticked.has("set-start-time")) body["set-start-time"] = "now";
  const place = the("plan");
  place.replaceChildren(make("p", { role: "status" }, "Looking at them; nothing is sent …"));
  try {
    const made = await withToken("Plan a replay", "It only looks: nothing is sent.", "Plan",
      () => send("POST", "/page/replays", body, null, PLAN_MS_MAX));
    if (made === null) place.replaceChildren();
    else showPlan(place, made);
  } catch (error) {
    place.replaceChildren(make("p", { class: "error", role: "alert" }, foreign(error.message)));
  }
}

function showPlan(place, made) {
  const said = make("pre", { tabindex: "0", "aria-label": "The plan" }, made.said);
  const rate = make("input", { inputmode: "decimal", autocomplete: "off", placeholder: "as live traffic allows" });
  const send = () => execute(made.plan, `Send ${count(made.planned)} events again`, rate.value.trim());
  const go = make("div", { class: "search" },
    make("label", {}, "Events a second", rate), button(`Send ${count(made.planned)} again …`, send, ""));
  place.replaceChildren(...[said, made.plan === null ? null : go].filter((each) => each !== null));
}

async function execute(plan, title, rate = "") {
  const pace = rate === "" ? "at a rate below what live traffic leaves of the limit" : `at ${rate} events a second`;
  const done = await ask({
    title, label: "Send",
    text: `They are sent ${pace}. It stops by itself when more than half fail again, and can be stopped and resumed at any time.`,
    act: () => send("POST", `/page/replays/${plan}`, rate === "" ? {} : { rate: Number(rate) }),
  });
  if (done === null) return;
  the("plan").replaceChildren(make("p", { role: "status" }, "It has begun; see below."));
  hurry();
}

async function stop() {
  const done = await ask({
    title: "Stop the replay", label: "Stop it", text: "What was sent stays sent. It can be resumed.",
    act: () => send("DELETE", "/page/replays"),
  });
  if (done !== null) hurry();
}

const STATES = {
  running: "good", interrupted: "warn", aborted: "bad", done: "good",
};

/** The list, as the dispatcher tells it; null if it could not be read. */
export function show(answer) {
  const place = the("replays");
  if (answer === null || answer.error) {
    renew(place, make("p", { class: "error" }, foreign(answer?.error ?? "The replays could not be read.")));
    return;
  }
  if (answer.replays.some((each) => each.state === "running")) hurry();
  const rows = answer.replays.map((each) => [
    foreign(each.id),
    make("span", { class: `pill ${STATES[each.state] ?? ""}` }, each.state),
    `${count(each.done)} of ${count(each.planned)}`, count(each.sent), count(each.accepted), count(each.failed),
    foreign(each.note || each["run-by"]), doing(each, answer),
  ]);
  renew(place,
    answer.said ? make("pre", { tabindex: "0", "aria-label": "What the last replay of this replica said" }, answer.said) : null,
    rows.length ? table("Replays", [
      ["Replay"], ["State"], ["Done", "number"], ["Sent", "number"], ["Accepted", "number"],
      ["Failed again", "number"], ["Note, or who runs it"], ["Do"],
    ], rows) : make("p", { class: "quiet" }, "None yet."));
}

function doing(replay, answer) {
  if (replay.state === "running" && answer["runs-here"]) return button("Stop …", stop, "danger", `Stop ${replay.id}`);
  if (replay.state === "running" || replay.state === "done") return "";
  if (replay.plan === null) return "its plan is not on this machine: resume it by command";
  return button("Resume …", () => execute(replay.plan, `Resume replay ${replay.id}`), "plain", `Resume ${replay.id}`);
}
