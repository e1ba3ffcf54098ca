// How the cameras and the device do.

import { $, MODALITIES, capital, duration, facts, fill, fixed, fromTemplate, pill, slot, spaced } from "/parts.js";

export function showCameras(now) {
  const cameras = MODALITIES.filter((modality) => modality in now.cameras);
  fill($("cameras"), cameras, (modality) => modality, fromTemplate("camera-item"), (node, modality) => {
    const it = now.cameras[modality];
    slot(node, "title", `${capital(modality)} camera`);
    slot(node, "source", it.name);
    slot(node, "problem", it.problem ?? "");
    const kind = it.state === "up" ? "good" : ["ended", "connecting"].includes(it.state) ? "waiting" : "bad";
    pill(node.querySelector(".state"), kind, capital(it.state));
    facts(node.querySelector("dl"), [
      ["Rate", fixed(it.rate, 1, "fps")], ["Age of picture", fixed(it.age, 2, "s")],
      ["Size", it.size ? it.size.join(" × ") : "–"], ["Received", it.received.toLocaleString()],
      ["Dropped", it.dropped.toLocaleString()], ["Reconnects", String(it.reconnects)],
      ["Stalls", String(it.stalls)], ["Frozen", String(it.frozen)],
    ]);
  });
}

export function showSystem(now) {
  const milliseconds = (quantile) => (quantile in now.latency ? `${(now.latency[quantile] * 1000).toFixed(0)} ms` : "–");
  const queues = Object.entries(now.queues).map(([name, it]) => [
    `Queue: ${name}`, it.dropped ? `${it.length}, ${it.dropped} lost` : String(it.length),
  ]);
  facts($("system"), [
    ["Latency, median", milliseconds("0.5")], ["Latency, 95 %", milliseconds("0.95")],
    ["Thermal after visible", now.pair_offset === null ? "–" : `${(now.pair_offset * 1000).toFixed(0)} ms`],
    ["Temperature", fixed(now.celsius, 0, "°C")], ["In the gallery", String(now.gallery_size ?? "–")],
    ["Running for", duration(now.uptime)], ["Version", now.version], ...queues,
    ...Object.entries(now.engines).map(([modality, name]) => [`${capital(modality)} engine`, name]),
  ]);
  facts($("stages"), Object.entries(now.stages).map(([stage, spent]) => [spaced(stage), spent.toFixed(1)]));
  facts($("events"), Object.entries(now.events).map(([event, count]) => [spaced(event), count.toLocaleString()]));
}
