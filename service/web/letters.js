// Looks for dead letters. Knows nothing of lanes; what it finds was written by strangers.

import { send, withToken } from "/page/actions.js";
import { count, foreign, make, table } from "/page/parts.js";
import { offer } from "/page/replays.js";

const SEARCH_MS_MAX = 130_000;
const KINDS_SHOWN = 12;

const the = (id) => document.getElementById(id);

export function start(takesCommands) {
  the("letters-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!takesCommands()) {
      the("letters").replaceChildren(make("p", { class: "error" },
        "Searching is off while http.token is not set; `call-dispatcher dead-letters list` does the same."));
      return;
    }
    search(wanted(event.target));
  });
}

function wanted(form) {
  const given = [...new FormData(form)].map(([name, value]) => [name, value.trim()]);
  return Object.fromEntries(given.filter(([, value]) => value !== ""));
}

async function search(what) {
  const place = the("letters");
  place.replaceChildren(make("p", { role: "status" }, "Searching …"));
  const look = () => send("POST", "/page/dead-letters", what, null, SEARCH_MS_MAX);
  try {
    const found = await withToken("Search dead letters",
      "What is found are customers’ identifiers, so the search needs the token, as changes do.",
      "Search", look);
    if (found === null) place.replaceChildren();
    else show(place, found);
    offer(found?.total ? what : null);
  } catch (error) {
    place.replaceChildren(make("p", { class: "error", role: "alert" }, error.message));
  }
}

/** Partition and offset, as the command `dead-letters show` takes them. */
const placeOf = (source) => source.split("-").slice(-2).join("-");

function show(place, found) {
  const kinds = found.counts.slice(0, KINDS_SHOWN);
  const rest = found.counts.length - kinds.length;
  const summary = make("p", { role: "status" }, found.total === 0 ? "No dead letters."
    : `${count(found.total)} dead letters${rest > 0 ? `; ${count(rest)} more kinds are not shown` : ""}. Newest first; \`dead-letters show EVENT\` tells the whole history of one.`);
  if (found.total === 0) {
    place.replaceChildren(summary);
    return;
  }
  place.replaceChildren(
    summary,
    table("Dead letters by kind",
      [["Reason"], ["Code"], ["Flow"], ["Hour (UTC)"], ["Count", "number"]],
      kinds.map((kind) => [kind.reason, foreign(kind.code || "–"), foreign(kind["flow-id"]), kind.hour, count(kind.count)])),
    table("The newest dead letters",
      [["Event"], ["Failed at (UTC)"], ["Reason"], ["Flow", "id"], ["Client identifier", "wide"], ["Attempts", "number"], ["Message", "wide"]],
      found.rows.map((row) => [
        foreign(placeOf(row.source)), foreign(row["failed-at"].replace("T", " ").replace("Z", "")),
        make("span", {}, row.reason, row.code ? " " : "", foreign(row.code)),
        foreign(row["flow-id"]), foreign(row["client-identifier"]), count(row.attempts), foreign(row.message),
      ]), "cards letters"),
  );
}
