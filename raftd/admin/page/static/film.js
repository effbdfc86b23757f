// A film in memory: what each node looked like and what was said, by time in seconds.

const KEPT_SECONDS = 600;
const UNSEEN_SECONDS = 1;
const MESSAGES = new Set(["send", "reply", "lost"]);

// How many items of the sorted list have t at or below `t`.
export function upTo(list, t) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].t <= t) low = middle + 1; else high = middle;
  }
  return low;
}

function insert(list, record) {
  if (!list.length || list[list.length - 1].t <= record.t) list.push(record);
  else list.splice(upTo(list, record.t), 0, record);
}

export class Film {
  constructor(keptSeconds = KEPT_SECONDS) {
    this.kept = keptSeconds;
    this.steady = true;        // a running node shows itself ten times a second; the simulator after changes
    this.states = new Map();   // node -> what it looked like, and that it was gone
    this.events = [];
    this.messages = [];
    this.notes = [];
    this.changes = [];         // of the store, as each node told them
    this.begin = Infinity;
    this.end = -Infinity;
    this.version = 0;          // of events and messages: lists that are made of them know when to change
    this.seen = new Map();     // node and life -> the number of its last record
  }

  add(record) {
    if (record.n !== undefined) {
      const key = `${record.node} ${record.life}`;
      if (record.n <= (this.seen.get(key) ?? 0)) return;
      this.seen.set(key, record.n);
    }
    this.begin = Math.min(this.begin, record.t);
    this.end = Math.max(this.end, record.t);
    if (!this.states.has(record.node)) this.states.set(record.node, []);
    if (record.kind === "state" || record.kind === "gone") insert(this.states.get(record.node), record);
    else if (MESSAGES.has(record.kind)) insert(this.messages, record);
    else if (record.kind === "event") insert(this.events, record);
    else if (record.kind === "note") insert(this.notes, record);
    else if (record.kind === "changes") insert(this.changes, record);
    if (record.kind === "event" || record.what === "vote" || record.what === "pre-vote") this.version++;
    if (this.end - this.begin > this.kept * 1.2) this.forget(this.end - this.kept);
  }

  forget(before) {
    for (const list of [this.events, this.messages, this.changes, ...this.states.values()]) list.splice(0, upTo(list, before));
    this.begin = before;
    this.version++;
  }

  nodes() {
    return [...this.states.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  }

  // The node as of `t`: its last state, with `gone` if it could not be seen since; null: never seen.
  at(node, t) {
    const list = this.states.get(node) ?? [];
    let place = upTo(list, t) - 1;
    if (place < 0) return null;
    const gone = list[place].kind === "gone" ? list[place].why : "";
    while (place >= 0 && list[place].kind === "gone") place--;
    if (place < 0) return { node, gone, never: true };
    const unseen = this.steady && t - list[place].t > UNSEEN_SECONDS ? "nothing is heard of it" : "";
    return { ...list[place], gone: gone || unseen };
  }

  between(list, from, to) {
    return list.slice(upTo(list, from), upTo(list, to));
  }

  // The next moment after (or before) `t` at which something was said or happened.
  step(t, forward) {
    const times = [];
    for (const list of [this.events, this.messages]) {
      const place = forward ? upTo(list, t + 1e-6) : upTo(list, t - 1e-6) - 1;
      if (list[place]) times.push(list[place].t);
    }
    if (!times.length) return t;
    return forward ? Math.min(...times) : Math.max(...times);
  }
}
