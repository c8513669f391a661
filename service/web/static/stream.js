// Keeps the parts of a page current by server-sent events, and counts elapsed time on between them.
// A lost connection is shown and tried again; whoever comes back gets every part as it is by then. Without this script the
// page stands as it was loaded.
"use strict";

(() => {
  const SILENT_MILLISECONDS = 10000;
  const BACK_MILLISECONDS = 3000;
  const region = document.querySelector("[data-stream]");
  const lostSign = document.querySelector("[data-lost]");
  const pausedSign = document.querySelector("[data-paused]");
  const waiting = new Map();
  let source, silence;

  function open() {
    source = new EventSource(region.dataset.stream);
    source.addEventListener("parts", (event) => {
      heard();
      for (const [name, html] of Object.entries(JSON.parse(event.data))) show(name, html);
    });
    source.addEventListener("beat", heard);
    source.addEventListener("end", () => {
      clearTimeout(silence);
      source.close();
      lostSign.hidden = true;
    });
    source.onerror = lose;
    listen();
  }

  function heard() {
    lostSign.hidden = true;
    listen();
  }

  function listen() {
    clearTimeout(silence);
    silence = setTimeout(() => {
      source.close();
      lose();
    }, SILENT_MILLISECONDS);
  }

  // The browser comes back by itself unless it was answered something else than a stream: then we are asked to sign in, say.
  async function lose() {
    lostSign.hidden = false;
    if (source.readyState !== EventSource.CLOSED) return;
    clearTimeout(silence);
    const answer = await fetch(location.href, { redirect: "manual" }).catch(() => null);
    if (answer && (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403)) return location.reload();
    setTimeout(open, BACK_MILLISECONDS);
  }

  function show(name, html) {
    const part = region.querySelector(`[data-part="${CSS.escape(name)}"]`);
    if (!part) return;
    if (isSelecting(part)) {
      waiting.set(name, html);
      pausedSign.hidden = false;
      return;
    }
    put(part, html);
  }

  function isSelecting(part) {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  }

  // What a person has opened stays open, the keyboard stays where it is, and a curve that is drawn grows.
  function put(part, html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const place = focusIn(part);
    for (const old of part.querySelectorAll("details[id]")) {
      const same = fresh.content.getElementById(old.id);
      if (same && !same.closest("[data-chart]")) same.open = old.open;
    }
    for (const old of part.querySelectorAll("[data-chart][id]")) keepChart(old, fresh.content.getElementById(old.id));
    part.replaceChildren(fresh.content);
    tellTimes(part);
    drawNewCharts(part);
    count();
    place?.();
  }

  function focusIn(part) {
    const held = document.activeElement;
    if (!held || !part.contains(held)) return null;
    const all = (root) => [...root.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")];
    const index = all(part).indexOf(held);
    const { id } = held;
    return () => (id ? document.getElementById(id) : all(part)[index])?.focus({ preventScroll: true });
  }

  function keepChart(old, fresh) {
    if (!fresh || !old.chart) return;
    const { steps, lines } = JSON.parse(fresh.dataset.chart);
    if (old.chart.series.length !== Object.keys(lines).length + 1) return;
    old.chart.setData([steps, ...Object.values(lines)]);
    old.dataset.chart = fresh.dataset.chart;
    old.querySelector("figcaption").replaceWith(fresh.querySelector("figcaption"));
    old.querySelector("table").replaceWith(fresh.querySelector("table"));
    fresh.replaceWith(old);
  }

  function drawNewCharts(part) {
    const drawn = [...part.querySelectorAll("[data-chart]")].every((figure) => figure.chart);
    if (!drawn) drawCharts(part);
  }

  function count() {
    for (const shown of document.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, Math.floor(Date.now() / 1000 - Number(shown.dataset.since)));
      const minutes = Math.floor(seconds / 60);
      const hours = Math.floor(minutes / 60);
      const two = (number) => String(number).padStart(2, "0");
      shown.textContent = hours ? `${hours} h ${two(minutes % 60)} min` : minutes ? `${minutes} min ${two(seconds % 60)} s` : `${seconds} s`;
    }
  }

  document.addEventListener("selectionchange", () => {
    for (const [name, html] of waiting) {
      const part = region.querySelector(`[data-part="${CSS.escape(name)}"]`);
      if (isSelecting(part)) continue;
      waiting.delete(name);
      put(part, html);
    }
    if (pausedSign) pausedSign.hidden = waiting.size === 0;
  });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => {
    if (event.persisted && region) open();
  });
  setInterval(count, 1000);
  count();
  if (region) open();
})();
