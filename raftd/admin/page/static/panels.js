// What is said in words: the table of servers, elections, events, rates.

import { find, html, show, svg } from "./dom.js";
import { title } from "./elections.js";
import { upTo } from "./film.js";

const EVENTS_SHOWN = 14, ELECTIONS_SHOWN = 30, RATE_SECONDS = 2, CHANGES_SHOWN = 8;

export function servers(film, t) {
  const states = film.nodes().map((node) => film.at(node, t) ?? { node, gone: "not seen yet", never: true });
  const rows = states.map((state) => {
    const role = state.gone ? `gone: ${state.gone}` : state.role;
    if (state.never) return [state.node, role];
    return [state.node, role, state.term, state.vote ?? "-", state.leader ?? "-", state.last, state.durable, state.commit, state.applied, state.snapshot];
  });
  show(find("servers").tBodies[0], JSON.stringify(rows), () => rows.map((row, place) => {
    const kind = states[place].gone ? "dead" : states[place].role;
    const cells = row.slice(1).map((value, cell) => html("td", cell === 0 ? { class: kind, colspan: row.length > 2 ? 1 : 9 } : {}, `${value}`));
    return html("tr", { "data-node": row[0], "data-role": kind }, html("th", { scope: "row" }, row[0]), ...cells);
  }));
}

let listed = new Map();   // id of a button -> its election, with all the answers that have come until now

export function electionList(found, t, chosen, say, choose) {
  const shown = found.slice(-ELECTIONS_SHOWN).reverse();
  listed = new Map(shown.map((one) => [`${one.node} ${one.t}`, one]));
  const key = shown.map((one) => title(one) + say(one.t)).join() + (chosen ? chosen.node + chosen.t : "");
  show(find("elections"), key, () => shown.map((one) => {
    const pressed = chosen !== null && chosen.node === one.node && chosen.t === one.t;
    const id = `${one.node} ${one.t}`;
    const button = html("button", { "aria-pressed": pressed, "data-id": id }, html("time", {}, say(one.t)), ` ${title(one)}`);
    button.addEventListener("click", () => choose(listed.get(id)));
    return html("li", { "data-won": one.won }, button);
  }));
}

export function events(film, t, say) {
  const shown = film.between(film.events, -Infinity, t).slice(-EVENTS_SHOWN).reverse();
  show(find("events"), shown.map((event) => event.t + event.detail + say(event.t)).join(), () => shown.map((event) =>
    html("li", { class: event.level }, html("time", {}, say(event.t)), ` ${event.node} ${event.event.replaceAll("_", " ")}: ${event.detail}`)));
}

// The store's newest changes as of `t`, whoever told them: all nodes apply the same.
export function changes(film, t) {
  const found = new Map();
  for (let place = upTo(film.changes, t) - 1; place >= 0 && found.size < 3 * CHANGES_SHOWN; place--) {
    for (const [revision, what, key, bytes] of film.changes[place].changes) found.set(`${revision} ${key}`, [revision, what, key, bytes]);
  }
  const shown = [...found.values()].sort((a, b) => b[0] - a[0]).slice(0, CHANGES_SHOWN);
  show(find("changes").tBodies[0], JSON.stringify(shown), () => shown.map(([revision, what, key, bytes]) =>
    html("tr", {}, html("td", {}, `${revision}`), html("td", {}, what), html("th", { scope: "row" }, key || "(hidden)"),
      html("td", {}, what === "put" ? `${bytes} bytes` : ""))));
}

// The mean of what was measured in the last seconds, in milliseconds; null: nothing was.
function latency(film, t, pick) {
  const taken = film.nodes().flatMap((node) => film.between(film.states.get(node), t - RATE_SECONDS, t))
    .flatMap((state) => (state.ms ? pick(state.ms) : [])).filter((value) => typeof value === "number");
  return taken.length ? taken.reduce((total, value) => total + value, 0) / taken.length : null;
}

const LATENCIES = [
  ["entry, ms", (ms) => [ms.entry]], ["sync, ms", (ms) => [ms.sync]], ["round trip, ms", (ms) => Object.values(ms.trips ?? {})],
];

export function rates(film, t) {
  const sent = film.between(film.messages, t - RATE_SECONDS, t).filter((message) => message.kind === "send");
  const sum = (name) => sent.reduce((total, message) => total + (message[name] ?? 0), 0) / RATE_SECONDS;
  const commit = (when) => Math.max(0, ...film.nodes().map((node) => film.at(node, when)?.commit ?? 0));
  const values = [
    ["entries committed/s", (commit(t) - commit(t - RATE_SECONDS)) / RATE_SECONDS],
    ["entries sent/s", sum("entries")], ["messages/s", sum("count")],
  ];
  const rows = values.map(([name, value]) => [name, Math.max(0, value).toFixed(0)]);
  for (const [name, pick] of LATENCIES) {
    const value = latency(film, t, pick);
    if (value !== null) rows.push([name, value.toFixed(value < 10 ? 2 : 0)]);
  }
  show(find("rates"), rows.join(), () => rows.map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, value))));
}

export function marks(film, found) {
  const span = Math.max(film.end - film.begin, 1e-9);
  const x = (t) => (1000 * (t - film.begin)) / span;
  const key = `${found.length} ${film.begin} ${Math.round(film.end * 2)}`;
  show(find("marks"), key, () => found.map((one) =>
    svg("rect", { class: one.won ? "won-mark" : "lost-mark", x: x(one.t) - 2, y: one.won ? 0 : 5, width: 4, height: one.won ? 12 : 7 })));
}
