// The page: the live picture, who is here, who was, how the cameras do, and what may be changed.

import { $, MODALITIES, Refused, ask, capital, chip, confirmed, duration, fill, fromTemplate, labelOf, moment, pill, put, slot } from "/parts.js";
import { showCameras, showSystem } from "/numbers.js";
import { watch } from "/live.js";

const LIST_PERIOD = 10_000;

let signedIn = false;
let paused = false;
let stream = null;
let chosen = null; // whose history is shown, null for everyone's
let here = new Map(); // label by number, of those who were in view at the last state
let states = new Map(); // state by camera, at the last state

// ---- telling how it went

let toastTimer = 0;
function toast(text, kind = "good") {
  $("toast").dataset.kind = kind;
  put($("toast"), text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => put($("toast"), ""), 6000);
}

const reason = (error) => (error instanceof Refused ? error.message : "The app does not answer.");

async function attempt(action) {
  try {
    await action();
    return true;
  } catch (error) {
    if (error.status === 401) showLogin();
    else toast(reason(error), "bad");
    return false;
  }
}

// ---- signing in

function showLogin() {
  signedIn = false;
  stream?.close();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  $("content").hidden = $("leave").hidden = true;
  if ($("login").hidden) {
    $("login").hidden = false;
    $("token").focus();
  }
  pill($("health"), "waiting", "Signed out");
}

async function signIn(token) {
  try {
    await ask("/login", "POST", { token });
  } catch (error) {
    showLogin();
    put($("refused"), reason(error));
    return;
  }
  put($("refused"), "");
  $("token").value = "";
  await start();
}

async function start() {
  const token = location.hash.slice(1);
  if (token) {
    history.replaceState(null, "", location.pathname); // the token leaves the address bar and the history
    return signIn(token);
  }
  try {
    showPeople(await ask(`/api/people?search=${encodeURIComponent($("search").value)}`));
  } catch (error) {
    if (error.status === 401) showLogin();
    else setTimeout(start, 2000);
    return;
  }
  signedIn = true;
  $("login").hidden = true;
  $("content").hidden = $("leave").hidden = false;
  listen();
  refreshHistory();
}

// ---- the state, told by the app

function listen() {
  stream?.close();
  stream = new EventSource("/api/live");
  stream.onmessage = (message) => showState(JSON.parse(message.data));
  stream.onerror = () => {
    if (!signedIn) return;
    pill($("health"), "bad", "Connection lost, trying again");
    if (stream.readyState === EventSource.CLOSED) setTimeout(start, 2000);
  };
}

function showState({ health, silence, now }) {
  if (!now) return pill($("health"), "waiting", "Starting");
  const troubled = MODALITIES.filter((it) => now.cameras[it] && !["up", "ended"].includes(now.cameras[it].state));
  if (health === "ok") pill($("health"), "good", "Running");
  else if (silence !== null) pill($("health"), "bad", `No news for ${duration(silence)}`);
  else pill($("health"), "bad", troubled.map((it) => `${capital(it)}: ${now.cameras[it].state}`).join(", "));
  put($("clock"), new Date(now.time * 1000).toLocaleTimeString());
  showPresent(now);
  showCameras(now);
  showSystem(now);
  tellNews(now);
}

function showPresent(now) {
  const keyOf = (it) => (it.person === null ? JSON.stringify(it.tracks) : it.person);
  const present = [...now.present].sort((one, two) => one.since - two.since || labelOf(one).localeCompare(labelOf(two)));
  put($("present-count"), String(present.length));
  $("nobody").hidden = present.length > 0;
  const make = fromTemplate("present-item", { name: nameOrEnrol, history: showHistoryOf });
  fill($("present"), present, keyOf, make, (node, it) => {
    chip(node, it);
    slot(node, "name", labelOf(it));
    const cameras = MODALITIES.filter((camera) => camera in it.tracks).map((camera) => `track ${it.tracks[camera]} in ${camera}`);
    slot(node, "where", `${MODALITIES.filter((camera) => camera in it.tracks).join(" · ")} · for ${duration(now.time - it.since)}`);
    const [naming, past] = node.querySelectorAll("button");
    put(naming, it.person === null ? "Enrol" : "Name");
    naming.setAttribute("aria-label", it.person === null ? `Enrol unknown, ${cameras.join(", ")}` : `Name person ${it.person}`);
    past.setAttribute("aria-label", `History of ${labelOf(it)}`);
    past.hidden = it.person === null;
    if (it.name !== null && document.activeElement === naming) past.focus();
    naming.hidden = it.name !== null;
  });
}

function tellNews(now) {
  const known = new Map(now.present.filter((it) => it.person !== null).map((it) => [it.person, labelOf(it)]));
  const cameras = new Map(Object.entries(now.cameras).map(([modality, it]) => [modality, it.state]));
  const news = [
    ...[...known].filter(([person]) => !here.has(person)).map(([, name]) => `${name} is here.`),
    ...[...here].filter(([person]) => !known.has(person)).map(([, name]) => `${name} has left.`),
    ...[...cameras].filter(([it, state]) => states.has(it) && states.get(it) !== state).map(([it, state]) => `${capital(it)} camera: ${state}.`),
  ];
  if (news.length) put($("news"), news.join(" "));
  const changed = known.size !== here.size || [...known.keys()].some((person) => !here.has(person));
  here = known;
  if (changed) refreshPeople(); // who is here is told there, too
  states = cameras;
}

// ---- people

async function refreshPeople() {
  await attempt(async () => showPeople(await ask(`/api/people?search=${encodeURIComponent($("search").value)}`)));
}

function showPeople({ total, found, people }) {
  put($("people-count"), String(total));
  const make = fromTemplate("person-item", { history: showHistoryOf, rename, forget });
  fill($("people"), people, (it) => it.person, make, (node, it) => {
    chip(node, it);
    slot(node, "name", labelOf(it));
    const ago = Date.now() / 1000 - it.last_seen;
    slot(node, "seen", here.has(it.person) ? "Here now" : `Seen ${duration(ago)} ago`);
    const looks = MODALITIES.map((modality) => `${it.prototypes[modality] ?? 0} ${modality}`).join(", ");
    slot(node, "kept", `${looks} views · ${it.expires === null ? "kept for good" : `kept for ${duration(it.expires - Date.now() / 1000)}`}`);
    for (const button of node.querySelectorAll("button")) {
      const verb = capital(button.dataset.do);
      button.setAttribute("aria-label", button.dataset.do === "history" ? `History of ${labelOf(it)}` : `${verb} ${labelOf(it)}`);
    }
  });
  const searched = $("search").value.trim();
  let note = "";
  if (total === 0) note = "Nobody is known yet.";
  else if (found === 0) note = "Nobody fits the search.";
  else if (people.length < found) note = `${people.length} of ${found} are shown; search to see others.`;
  else if (searched) note = `${found} of ${total} fit.`;
  put($("people-note"), note);
}

async function askName(title, text, name) {
  put($("naming-title"), title);
  put($("naming-text"), text);
  $("name").value = name;
  $("name").focus();
  return (await confirmed($("naming"))) ? $("name").value.trim() : "";
}

async function changed(action, told) {
  if (!(await attempt(action))) return;
  toast(told);
  await Promise.all([refreshPeople(), refreshHistory()]);
}

async function nameOrEnrol(it) {
  if (it.person !== null) return rename(it);
  const modality = MODALITIES.find((camera) => camera in it.tracks);
  const track = it.tracks[modality];
  const name = await askName("Enrol", `Unknown, ${modality} camera, track ${track}`, "");
  if (name) await changed(() => ask("/api/people", "POST", { modality, track, name }), `${name} is enrolled.`);
}

async function rename(it) {
  const name = await askName(`Rename ${labelOf(it)}`, "The number stays the same.", it.name ?? "");
  if (name) await changed(() => ask(`/api/people/${it.person}`, "PATCH", { name }), `Person ${it.person} is ${name}.`);
}

async function forget(it) {
  put($("forgetting-title"), `Forget ${labelOf(it)}?`);
  if (!(await confirmed($("forgetting")))) return;
  if (chosen?.person === it.person) chosen = null;
  await changed(() => ask(`/api/people/${it.person}`, "DELETE"), `${labelOf(it)} is forgotten.`);
  if (document.activeElement === document.body) $("search").focus();
}

// ---- history

function showHistoryOf(it) {
  chosen = it;
  refreshHistory();
  $("history-title").focus();
  $("history-title").scrollIntoView({ block: "nearest" });
}

async function refreshHistory() {
  const wish = new URLSearchParams();
  if (chosen) wish.set("person", chosen.person);
  if ($("period").value) wish.set("since", String(Date.now() / 1000 - Number($("period").value)));
  await attempt(async () => showVisits((await ask(`/api/history?${wish}`)).visits));
}

function showVisits(visits) {
  put($("history-title"), chosen ? `History of ${labelOf(chosen)}` : "History");
  $("everyone").hidden = !chosen;
  $("no-visits").hidden = visits.length > 0;
  $("visits-table").hidden = visits.length === 0;
  fill($("visits"), visits, (it) => `${it.person} ${it.camera} ${it.began}`, fromTemplate("visit-item"), (node, it) => {
    chip(node, it);
    slot(node, "name", labelOf(it));
    slot(node, "camera", capital(it.camera));
    const [began, ended] = node.querySelectorAll("time");
    moment(began, it.began);
    if (it.ended === null) put(ended, "now");
    else moment(ended, it.ended);
    slot(node, "lasted", duration((it.ended ?? Date.now() / 1000) - it.began));
  });
}

// ---- what one can do

let typing = 0;
$("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(refreshPeople, 200);
});
$("period").addEventListener("change", refreshHistory);
$("everyone").addEventListener("click", () => {
  chosen = null;
  refreshHistory();
  $("history-title").focus();
});
$("pause").addEventListener("click", () => {
  paused = !paused;
  put($("pause"), paused ? "Resume" : "Pause");
});
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn($("token").value.trim());
});
$("leave").addEventListener("click", async () => {
  if (await attempt(() => ask("/logout", "POST"))) showLogin();
});
for (const button of document.querySelectorAll("[data-cancel]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
addEventListener("hashchange", start);
setInterval(() => {
  if (signedIn && !document.hidden) Promise.all([refreshPeople(), refreshHistory()]);
}, LIST_PERIOD);

start();
watch(() => signedIn && !paused && !document.hidden);
