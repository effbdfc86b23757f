// Elections of a film, and in a sentence why each came out as it did. Pure functions.

import { upTo } from "./film.js";

const CAMPAIGNS = new Set(["candidate", "pre-candidate"]);
const LATE_SECONDS = 1;
// How far a reply may seem to come before its question: clocks of other nodes are known to some milliseconds. A term
// has one election of a node; pre-votes for the same term follow each other by an election timeout.
const EARLY_SECONDS = { vote: 1, "pre-vote": 0.05 };

const reasonOf = (event) => event.detail.split(": ").slice(1).join(": ");

// Every campaign, oldest first: {node, t, end, pre, term, why, won, votes: Map(voter -> reply)}
export function elections(film) {
  const found = [];
  const roles = film.events.filter((event) => event.event === "role");
  roles.forEach((event, place) => {
    if (!CAMPAIGNS.has(event.role)) return;
    const after = roles.slice(place + 1).find((later) => later.node === event.node);
    const pre = event.role === "pre-candidate";
    if (pre && after?.role === "candidate") return;   // told with the election that it led to
    found.push(campaign(film, roles, place, after, pre));
  });
  return found;
}

function campaign(film, roles, place, after, pre) {
  const event = roles[place];
  const before = roles.slice(0, place).reverse().find((earlier) => earlier.node === event.node);
  const trial = event.detail.endsWith("pre-vote won") ? before : null;
  const term = pre ? event.term + 1 : event.term;
  const end = after?.t ?? Infinity;
  const votes = new Map();
  const name = pre ? "pre-vote" : "vote";
  for (const reply of film.between(film.messages, event.t - EARLY_SECONDS[name], end + LATE_SECONDS)) {
    if (reply.kind === "reply" && reply.to === event.node && reply.what === name && reply.term === term) {
      votes.set(reply.node, reply);
    }
  }
  return {
    node: event.node, t: event.t, end, pre, term, votes, over: Boolean(after),
    won: after?.role === "leader", outcome: after ? reasonOf(after) : "",
    why: reasonOf(trial ?? event), voters: film.at(event.node, event.t + 0.2)?.voters ?? film.nodes(),
  };
}

export function title(election) {
  if (election.won) return `${election.node} is elected in term ${election.term}`;
  const asked = election.pre ? `pre-vote for term ${election.term}` : `term ${election.term}`;
  return election.over ? `${election.node} is not elected (${asked})` : `${election.node} asks for votes (${asked})`;
}

const list = (names) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;

export function explain(election) {
  const { node, term, voters, votes } = election;
  const others = voters.filter((voter) => voter !== node);
  const granted = others.filter((voter) => votes.get(voter)?.granted);
  const refused = others.filter((voter) => votes.has(voter) && !votes.get(voter).granted);
  const silent = others.filter((voter) => !votes.has(voter));
  const needed = Math.floor(voters.length / 2) + 1;
  const asked = election.pre ? "asked whether it could win" : "asked for votes";
  const parts = [`${node} ${asked} in term ${term}, because: ${election.why || "its timer ran out"}.`];
  const have = granted.length + 1;
  if (granted.length) {
    parts.push(`${list(granted)} ${election.pre ? "would vote" : "voted"} for it.`);
  }
  for (const voter of refused) {
    parts.push(`${voter} refused${votes.get(voter).why ? `: ${votes.get(voter).why}` : ""}.`);
  }
  if (silent.length) {
    parts.push(`No answer of ${list(silent)} was seen.`);
  }
  const outcome = election.outcome ? `: ${election.outcome}` : "";
  const count = `With its own vote it has ${have} of ${voters.length}, and needs ${needed}`;
  if (election.won && have < needed) parts.push(`It was elected; whose votes made that so is not in this film.`);
  else if (election.won) parts.push(`${count}: a majority, so it leads term ${term} (Section 5.2).`);
  else if (!election.over) parts.push(`${count}: undecided at this moment.`);
  else if (have < needed) parts.push(`${count}. It did not get them${outcome}.`);
  // Answers are lost or late, and a node's own vote waits for its disk: what was said is not what it counted.
  else parts.push(`With its own vote these are ${have} of ${voters.length}, and it needs ${needed}, but they did not all`
    + ` count before its candidacy ended${outcome}.`);
  return parts.join(" ");
}

// The election after (or before) the moment `t`.
export function neighbour(found, t, forward) {
  const place = forward ? upTo(found, t + 1e-3) : upTo(found, t - 1e-3) - 1;
  return found[place] ?? null;
}
