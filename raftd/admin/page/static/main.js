// Puts the parts together: a film, the moment that is shown, the drawings of it, and the controls.

import { find } from "./dom.js";
import { elections, explain, neighbour, title } from "./elections.js";
import { Film, upTo } from "./film.js";
import { logs } from "./logs.js";
import { changes, electionList, events, marks, rates, servers } from "./panels.js";
import { Player } from "./player.js";
import { ring } from "./ring.js";
import { follow, parse, present } from "./source.js";

const FRAME_MS = 40;
const player = new Player();
let film = new Film(), found = [], foundOf = -1, chosen = null, follower = null, announced = "", drawnAt = 0;

const say = (t) => (player.growing ? `${(t - present()).toFixed(1)} s` : `${(t - film.begin).toFixed(3)} s`);
const status = (text) => { find("source").textContent = text; };

function live() {
  follower?.abort();
  follower = new AbortController();
  use(new Film());
  player.cluster();
  find("back-to-live").hidden = true;
  follow(film, status, follower.signal);
}

function use(other) {
  film = other;
  foundOf = -1;
  found = [];
  choose(null);
}

function play(text, name) {
  const other = new Film(Infinity);
  find("problem").textContent = "";
  try {
    const head = parse(text, other);
    follower?.abort();
    use(other);
    player.file(film, head.speed ?? (head.source === "sim" ? 0.2 : 1));
    find("speed").value = String(player.speed);
    find("back-to-live").hidden = false;
    status(head.title ? `${name}: ${head.title}` : `plays ${name}`);
  } catch (error) {
    find("problem").textContent = `${name} cannot be played: ${error.message}`;
  }
}

function choose(election) {
  chosen = election;
  find("explanation").textContent = election ? explain(election) : "Choose an election to read why it came out as it did.";
}

function jump(forward) {
  const election = neighbour(found, player.t, forward);
  if (!election) return;
  visit(election);
}

function visit(election) {
  player.pause();
  player.go(election.t);
  choose(election);
}

function stepTo(forward) {
  player.pause();
  player.go(film.step(player.t, forward));
}

function announce(t) {
  const election = neighbour(found, t, false);
  const gone = film.nodes().filter((node) => film.at(node, t)?.gone);
  const text = [election ? title(election) : "", gone.length ? `${gone.join(", ")} gone` : ""].filter(Boolean).join("; ");
  if (text === announced) return;
  announced = text;
  find("announce").textContent = text;
}

function draw() {
  const t = player.t;
  if (film.version !== foundOf) {
    found = elections(film);
    foundOf = film.version;
    if (chosen) choose(found.find((one) => one.node === chosen.node && one.t === chosen.t) ?? chosen);
  }
  find("ring").replaceChildren(...ring(film, t, player.live ? 1 : player.speed));
  const cells = logs(film, t);
  find("logs").setAttribute("viewBox", cells.view);
  find("logs").replaceChildren(...cells.parts);
  servers(film, t);
  electionList(found, t, chosen, (when) => (player.growing ? new Date(performance.timeOrigin + when * 1000).toLocaleTimeString("en-GB") : say(when)), visit);
  events(film, t, (when) => (player.growing ? new Date(performance.timeOrigin + when * 1000).toLocaleTimeString("en-GB") : say(when)));
  rates(film, t);
  changes(film, t);
  const note = film.notes[upTo(film.notes, t) - 1]?.text ?? "";
  if (find("note").textContent !== note) find("note").textContent = note;
  marks(film, found);
  announce(t);
  find("play").textContent = player.playing ? "pause" : "play";
  find("live").setAttribute("aria-pressed", player.live);
  find("live").disabled = !player.growing;
  find("time").textContent = say(t);
  find("timeline").setAttribute("aria-valuetext", say(t));
  if (document.activeElement !== find("timeline") || player.playing) {
    find("timeline").value = (1000 * (t - film.begin)) / Math.max(film.end - film.begin, 1e-9);
  }
}

function frame(nowMs) {
  if (nowMs - drawnAt >= FRAME_MS) {
    player.pass((nowMs - drawnAt) / 1000, film, present());
    drawnAt = nowMs;
    if (film.end >= film.begin) draw();
  }
  requestAnimationFrame(frame);
}

function speed(change) {
  const select = find("speed");
  select.selectedIndex = Math.max(0, Math.min(select.options.length - 1, select.selectedIndex + change));
  setSpeed();
}

function setSpeed() {
  player.speed = Number(find("speed").value);
  if (player.speed !== 1) player.live = false;
}

const KEYS = {
  " ": () => player.toggle(), ArrowRight: () => stepTo(true), ArrowLeft: () => stepTo(false), n: () => jump(true),
  p: () => jump(false), l: () => goLive(), "+": () => speed(1), "-": () => speed(-1),
};

// Has the key a meaning of its own where the focus is? Space on the election that is shown goes on, as elsewhere.
function isTaken(target, key) {
  if (target.matches("input[type=range]")) return key.startsWith("Arrow");
  if (target.closest("input, select")) return key === " " || key.startsWith("Arrow");
  return Boolean(target.closest("button:not(#elections [aria-pressed=true])")) && key === " ";
}

function goLive() {
  if (!player.growing) return;
  player.cluster();
  find("speed").value = "1";
}

function controls() {
  const on = (id, act) => find(id).addEventListener("click", act);
  on("play", () => player.toggle());
  on("step", () => stepTo(true));
  on("step-back", () => stepTo(false));
  on("next", () => jump(true));
  on("previous", () => jump(false));
  on("live", goLive);
  on("back-to-live", live);
  find("speed").addEventListener("change", setSpeed);
  find("timeline").addEventListener("input", (event) => {
    player.pause();
    player.go(film.begin + (event.target.value / 1000) * (film.end - film.begin));
  });
  find("file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) play(await file.text(), file.name);
  });
  document.addEventListener("keydown", (event) => {
    if (isTaken(event.target, event.key)) return;
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    act();
    event.preventDefault();
  });
}

controls();
live();
requestAnimationFrame(frame);
