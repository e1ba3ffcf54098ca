// Words, lists and questions to the app, without any state.

export const $ = (id) => document.getElementById(id);
export const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export const MODALITIES = ["visible", "thermal"];

// ---- words

export const labelOf = (it) => it.name ?? (it.person === null ? "Unknown" : `Person ${it.person}`);
export const capital = (word) => word[0].toUpperCase() + word.slice(1);
export const spaced = (word) => capital(word.replaceAll("_", " "));
export const fixed = (value, digits, unit) => (value === null || value === undefined ? "–" : `${value.toFixed(digits)} ${unit}`);

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const count = (unit, each) => `${Math.floor(whole / each)}\u00a0${unit}`;
  if (whole < 60) return count("s", 1);
  if (whole < 3600) return count("min", 60);
  if (whole < 86400) return `${count("h", 3600)}\u00a0${Math.floor((whole % 3600) / 60)}\u00a0min`;
  return count(whole < 2 * 86400 ? "day" : "days", 86400);
}

export function moment(node, seconds) {
  const date = new Date(seconds * 1000);
  const day = date.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  put(node, date.toLocaleString(undefined, { ...day, hour: "2-digit", minute: "2-digit" }));
  node.dateTime = date.toISOString();
}

// ---- lists that keep their elements, and so the focus

export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function slot(node, name, text) {
  put(node.querySelector(`[data-slot=${name}]`), text);
}

export function fill(list, items, keyOf, make, update) {
  const keys = new Set(items.map((item) => String(keyOf(item))));
  const old = new Map();
  for (const node of [...list.children]) {
    if (keys.has(node.dataset.key)) old.set(node.dataset.key, node);
    else node.remove();
  }
  items.forEach((item, index) => {
    const key = String(keyOf(item));
    const node = old.get(key) ?? make();
    node.dataset.key = key;
    node.item = item;
    update(node, item);
    if (list.children[index] !== node) list.insertBefore(node, list.children[index] ?? null);
  });
}

export function fromTemplate(id, actions = {}) {
  return () => {
    const node = $(id).content.firstElementChild.cloneNode(true);
    for (const [name, act] of Object.entries(actions)) {
      node.querySelector(`[data-do=${name}]`).addEventListener("click", () => act(node.item));
    }
    return node;
  };
}

export function facts(list, pairs) {
  const make = () => {
    const node = document.createElement("div");
    node.append(document.createElement("dt"), document.createElement("dd"));
    return node;
  };
  fill(list, pairs, ([name]) => name, make, (node, [name, text]) => {
    put(node.firstChild, name);
    put(node.lastChild, text);
  });
}

export function chip(node, it) {
  const mark = node.querySelector(".chip");
  put(mark, it.person === null ? "?" : String(it.person));
  mark.style.backgroundColor = it.color;
  mark.style.color = luminance(it.color) > 0.18 ? "#0b1015" : "#ffffff";
}

// Of a color #rrggbb in 0..1, as WCAG 2 defines it: black and white are equally readable on 0.18.
function luminance(color) {
  const [red, green, blue] = [1, 3, 5].map((start) => {
    const share = parseInt(color.slice(start, start + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

export function pill(node, kind, text) {
  node.dataset.state = kind;
  put(node, text);
}

// ---- asking the app

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

export async function ask(path, method = "GET", body = undefined) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.ok) return response.status === 204 ? null : response.json();
  const answer = await response.json().catch(() => ({}));
  throw new Refused(response.status, capital(answer.error ?? `the app answered ${response.status}`));
}

export function confirmed(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}
