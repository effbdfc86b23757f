// The servers in a ring, their timers, and the messages between them.

import { svg } from "./dom.js";

const CENTER = [320, 215], RADIUS = [215, 150], SIZE = 44;
export const FLIGHT_SECONDS = 0.35;   // on the screen; the film's own times are too short to see
const NAMED = new Set(["heartbeat", "append", "vote", "pre-vote", "snapshot"]);

export function places(nodes) {
  return new Map(nodes.map((node, place) => {
    const angle = (2 * Math.PI * place) / nodes.length - Math.PI / 2;
    return [node, [CENTER[0] + RADIUS[0] * Math.cos(angle), CENTER[1] + RADIUS[1] * Math.sin(angle)]];
  }));
}

export function ring(film, t, speed) {
  const where = places(film.nodes());
  const flight = FLIGHT_SECONDS * Math.min(speed, 1);
  const drawn = film.between(film.messages, t - flight, t).map((message) => dot(message, where, (t - message.t) / flight));
  return [...drawn.filter(Boolean), ...[...where].map(([node, at]) => server(film.at(node, t), node, at, t))];
}

function dot(message, where, share) {
  const from = where.get(message.node), to = where.get(message.to);
  if (!from || !to) return null;
  const lost = message.kind === "lost";
  const part = lost ? 0.6 : 0.12 + 0.76 * share;
  const x = from[0] + (to[0] - from[0]) * part, y = from[1] + (to[1] - from[1]) * part;
  if (lost) return svg("text", { class: "lost", x: x - 5, y: y + 6 }, "×");
  if (message.kind === "reply") return circle(message.granted ? "granted" : "refused", x, y, 6);
  const kind = NAMED.has(message.what) ? message.what : "other";
  if (kind === "vote" || kind === "pre-vote") return svg("rect", { class: kind, x: x - 6, y: y - 6, width: 12, height: 12 });
  if (kind !== "append") return circle(kind, x, y, 4);
  const group = svg("g", {}, circle(kind, x, y, Math.min(5 + Math.log2(1 + message.entries), 14)));
  group.append(svg("text", { class: "small", x: x + 9, y: y - 7 }, `${message.entries}`));
  return group;
}

const circle = (kind, x, y, r) => svg("circle", { class: kind, cx: x, cy: y, r });

function server(state, node, [x, y], t) {
  const role = !state || state.gone ? "dead" : state.role;
  const group = svg("g", {}, svg("circle", { class: `body ${role}`, cx: x, cy: y, r: SIZE }));
  if (role !== "dead" && state.timer !== null) group.append(timer(state, x, y, t));
  const line = (text, dy, kind = "") => group.append(svg("text", { class: kind, x, y: y + dy, "text-anchor": "middle" }, text));
  line(node, 0, "id");
  line(role === "dead" ? "gone" : role, 15, `small ${role}`);
  if (state && !state.never) {
    line(`term ${state.term}${state.vote ? `, vote ${state.vote}` : ""}`, SIZE + 20, "small");
  }
  return group;
}

function timer(state, x, y, t) {
  const left = Math.max(0, state.timer - Math.max(0, t - state.t));
  const share = Math.min(0.999, left / state.timer_max), r = SIZE + 6, angle = 2 * Math.PI * share - Math.PI / 2;
  const end = `${x + r * Math.cos(angle)} ${y + r * Math.sin(angle)}`;
  return svg("path", { class: "timer", d: `M ${x} ${y - r} A ${r} ${r} 0 ${share > 0.5 ? 1 : 0} 1 ${end}` });
}
