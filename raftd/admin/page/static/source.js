// Where a film comes from: the nodes, or a file. Both are JSON lines (docs/page.md).

const AGAIN_MS = 500;
const SILENT_MS = 2000;   // a node looks at itself ten times a second
const SETTLE_SECONDS = 0.3;
const HELD_MAX = 65536;

export const present = () => performance.now() / 1000;

async function readLines(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) take(JSON.parse(line));
  }
}

// Adds a stream's records to the film, moved to the page's clock. How far the teller's clock is ahead
// is known from the record that came quickest; the head and the history behind it may have been long
// on their way. So the first records are held until the teller's present was heard for a moment.
class Moved {
  constructor(film, now) {
    this.film = film;
    this.now = now;
    this.shift = now - present();
    this.settled = present() + SETTLE_SECONDS;
    this.held = [];
  }

  add(record) {
    this.shift = Math.max(this.shift, record.t - present());
    if (!this.held) {
      this.film.add({ ...record, t: record.t - this.shift });
      return;
    }
    this.held.push(record);
    if ((record.t >= this.now && present() >= this.settled) || this.held.length >= HELD_MAX) this.release();
  }

  release() {
    for (const record of this.held ?? []) this.film.add({ ...record, t: record.t - this.shift });
    this.held = null;
  }
}

// One attempt: what this node, or with `base` another one, tells.
async function tell(base, film, say, signal, addresses) {
  const silence = new AbortController();
  const stop = () => silence.abort();
  signal.addEventListener("abort", stop);
  let timer = setTimeout(stop, SILENT_MS), teller = "", moved = null;
  try {
    const answer = await fetch(`${base}/film/all`, { signal: silence.signal });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    await readLines(answer.body, (record) => {
      clearTimeout(timer);
      timer = setTimeout(stop, SILENT_MS);
      if (record.kind === "film") {
        moved = new Moved(film, record.now);
        teller = record.node;
        addresses.splice(0, addresses.length, "", ...Object.values(record.nodes).map((at) => `http://${at}`));
        say(`live, by way of ${record.node}`);
      } else moved.add(record);
    });
  } finally {
    moved?.release();
    if (teller && !signal.aborted) film.add({ kind: "gone", node: teller, why: "it tells no more", t: present() });
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

// Follows the cluster until `signal` says stop, by way of whichever node answers. Times become those
// of `present`.
export async function follow(film, say, signal) {
  const addresses = [""];
  for (let turn = 0; !signal.aborted; turn++) {
    const base = addresses[turn % addresses.length];
    try {
      await tell(base, film, say, signal, addresses);
    } catch (error) {
      if (signal.aborted) return;
      say(`no film from ${base || "the node that serves this page"} (${error.message}); trying the next`);
    }
    if (turn % addresses.length === addresses.length - 1) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

// Adds a file's records to the film. Returns the file's head.
export function parse(text, film) {
  let head = null;
  for (const [number, line] of text.split("\n").entries()) {
    if (!line.trim()) continue;
    let record;
    try {
      record = JSON.parse(line);
    } catch {
      throw new Error(`line ${number + 1} is no JSON`);
    }
    if (number === 0) {
      if (record.kind !== "film" || record.version !== 1) throw new Error("line 1 is not that of a film, version 1");
      head = record;
      film.steady = record.source === "live";
    } else if (typeof record.t === "number" && typeof record.node === "string") film.add(record);
    else throw new Error(`line ${number + 1} has no t or no node`);
  }
  if (head === null || film.end < film.begin) throw new Error("the file is empty");
  return head;
}
