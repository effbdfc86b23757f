// Each log as cells, coloured by term; where it is committed and applied.

import { svg } from "./dom.js";

const CELLS = 40, CELL = 20, HEIGHT = 20, ROW = 30, LEFT = 60;
export const colour = (term) => `hsl(${(term * 67) % 360} 65% 72%)`;

function termAt(terms, index) {
  let found = null;
  for (const [first, term] of terms) if (first <= index) found = term;
  return found;
}

export function logs(film, t) {
  const states = film.nodes().map((node) => film.at(node, t)).filter((state) => state && !state.never);
  const last = Math.max(0, ...states.map((state) => state.last));
  const first = Math.max(1, last - CELLS + 1);
  const width = LEFT + CELLS * CELL + 20;
  const x = (index) => LEFT + (index - first) * CELL;
  const head = [];
  for (let index = first; index <= last; index++) {
    if (index === first || index % 5 === 0) head.push(svg("text", { class: "small", x: x(index) + 2, y: 11 }, `${index}`));
  }
  const rows = states.map((state, place) => row(state, first, x, 16 + place * ROW));
  return { view: `0 0 ${width} ${18 + states.length * ROW}`, parts: [...head, ...rows] };
}

function row(state, first, x, y) {
  const group = svg("g", {}, svg("text", { class: state.gone ? "dead" : "", x: 8, y: y + 15 }, state.node));
  for (let index = Math.max(first, state.first); index <= state.last; index++) {
    const term = termAt(state.terms, index), loose = index > state.durable ? " loose" : "";
    group.append(svg("rect", { class: `cell${loose}`, x: x(index), y, width: CELL, height: HEIGHT, fill: colour(term ?? 0) }));
    group.append(svg("text", { class: `cell-term${loose}`, x: x(index) + CELL / 2, y: y + 14 }, term === null ? "·" : `${term}`));
  }
  for (const name of ["commit", "applied"]) {
    if (state[name] < first - 1) continue;
    const at = x(state[name] + 1) - (name === "applied" ? 3 : 0);
    group.append(svg("line", { class: name, x1: at, x2: at, y1: y - 3, y2: y + HEIGHT + 3 }));
  }
  if (state.last < first) group.append(svg("text", { class: "small", x: x(first) + 4, y: y + 14 }, `ends at ${state.last}, further back`));
  return group;
}
