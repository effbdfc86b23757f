// Elections of a film, and in a sentence why each came out as it did. Pure functions.

import { upTo } from "./film.js";

const CAMPAIGNS = new Set(["candidate", "pre-candidate"]);
const LATE_SECONDS = 1;
// How far a reply may seem to come before its question: clocks of other nodes are known to some milliseconds. A term
// has one election of a node; pre-votes for the same term follow each other by an election timeout.
const EARLY_SECONDS = { vote: 1, "pre-vote": 0.05 };

const reasonOf = (event) => event.detail.split(": ").slice(1).join(": ");

// Every campaign, oldest first: {node, t, end, pre, term, rounds, why, won, votes: Map(voter -> reply)}. A node without a
// majority asks for pre-votes again and again: as one campaign of many rounds they leave others in the list.
export function elections(film) {
  const found = [], trials = new Map();
  const roles = film.events.filter((event) => event.event === "role");
  roles.forEach((event, place) => {
    const pre = event.role === "pre-candidate";
    const trial = pre ? trials.get(event.node) : undefined;
    if (!pre) trials.delete(event.node);
    if (!CAMPAIGNS.has(event.role)) return;
    const after = roles.slice(place + 1).find((later) => later.node === event.node);
    if (pre && after?.role === "candidate") return;   // told with the election that it led to
    if (trial?.term === event.term + 1) return prolong(film, trial, event, after);
    const made = campaign(film, roles, place, after, pre);
    if (pre) trials.set(event.node, made);
    found.push(made);
  });
  return found;
}

function campaign(film, roles, place, after, pre) {
  const event = roles[place];
  const before = roles.slice(0, place).reverse().find((earlier) => earlier.node === event.node);
  const trial = event.detail.endsWith("pre-vote won") ? before : null;
  const made = {
    node: event.node, t: event.t, pre, term: pre ? event.term + 1 : event.term, rounds: 1, votes: new Map(),
    why: reasonOf(trial ?? event), voters: film.at(event.node, event.t + 0.2)?.voters ?? film.nodes(),
  };
  finish(film, made, event, after);
  return made;
}

function prolong(film, trial, event, after) {
  trial.rounds += 1;
  finish(film, trial, event, after);
}

// What came of it, and who answered in the round that `event` began. What comes after the next round has begun is that
// one's: it was told of rounds that were over, as votes that did not count.
function finish(film, made, event, after) {
  const name = made.pre ? "pre-vote" : "vote", end = after?.t ?? Infinity, early = EARLY_SECONDS[name];
  const again = made.pre && after !== undefined && CAMPAIGNS.has(after.role);
  for (const reply of film.between(film.messages, event.t - early, again ? end - early : end + LATE_SECONDS)) {
    if (reply.kind === "reply" && reply.to === made.node && reply.what === name && reply.term === made.term) {
      made.votes.set(reply.node, reply);
    }
  }
  Object.assign(made, { end, over: Boolean(after), won: after?.role === "leader", outcome: after ? reasonOf(after) : "" });
}

const times = (election) => (election.rounds > 1 ? `, ${election.rounds} times` : "");

export function title(election) {
  if (election.won) return `${election.node} is elected in term ${election.term}`;
  const asked = election.pre ? `pre-vote for term ${election.term}${times(election)}` : `term ${election.term}`;
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
  const parts = [`${node} ${asked} in term ${term}${times(election)}, because: ${election.why || "its timer ran out"}.`];
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
