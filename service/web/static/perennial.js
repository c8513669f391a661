// Refreshes the part of a page marked data-refresh every two seconds, and draws the curves in figures marked data-chart.
// Everything works without it: by reloading, and by the table in each figure.
"use strict";

const PERIOD_MILLISECONDS = 2000;
const CHART_HEIGHT = 240;
const LINE_COLOURS = { training: "--leaf", dev: "--info" };
const region = document.querySelector("[data-refresh]");
const lost = document.querySelector("[data-lost]");

async function refresh() {
  if (document.hidden || busyInside(region)) return;
  try {
    const answer = await fetch(region.dataset.refresh, { headers: { "X-Fragment": "1" }, redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const html = await answer.text();
    if (html !== region.lastHtml && !busyInside(region)) replace(html);
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

function replace(html) {
  const open = [...region.querySelectorAll("details[open]")].map((part) => part.id);
  region.innerHTML = html;
  region.lastHtml = html;
  drawCharts(region);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
}

function drawCharts(part) {
  if (!window.uPlot) return;
  for (const figure of part.querySelectorAll("[data-chart]")) {
    figure.querySelector(".uplot")?.remove();
    const { steps, lines } = JSON.parse(figure.dataset.chart);
    const chart = new uPlot(chartOptions(Object.keys(lines), figure.clientWidth), [steps, ...Object.values(lines)]);
    figure.prepend(chart.root);
    figure.querySelector("details").removeAttribute("open");
    new ResizeObserver(() => chart.setSize({ width: figure.clientWidth, height: CHART_HEIGHT })).observe(figure);
  }
}

function chartOptions(labels, width) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const series = labels.map((label) => ({
    label,
    stroke: colour(LINE_COLOURS[label]),
    width: 2,
    spanGaps: true,
    points: { show: label === "dev", size: 7, fill: colour(LINE_COLOURS[label]) },
    value: (_, number) => (number === null ? "–" : number.toFixed(3)),
  }));
  return {
    width,
    height: CHART_HEIGHT,
    scales: { x: { time: false } },
    axes: [axis, axis],
    series: [{ label: "step" }, ...series],
    cursor: { drag: { x: false, y: false } },
  };
}

// A person who is typing, has moved the keyboard focus here, is selecting text or reads a curve keeps what they look at.
function busyInside(part) {
  const selection = document.getSelection();
  const selecting = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  const pointing = part.querySelector(".uplot:hover") !== null;
  return part.contains(document.activeElement) || selecting || pointing;
}

async function loop() {
  await refresh();
  setTimeout(loop, PERIOD_MILLISECONDS);
}

drawCharts(document);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts(document));
if (region) setTimeout(loop, PERIOD_MILLISECONDS);
