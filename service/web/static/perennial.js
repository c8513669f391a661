// Refreshes the part of a page marked data-refresh every two seconds, draws the curves in figures marked data-chart, and
// tells times by the reader's clock. Everything works without it: by reloading, by the table in each figure, and in UTC.
"use strict";

const PERIOD_MILLISECONDS = 2000;
const CHART_HEIGHT = 240;
const FEW_POINTS = 30;
const LINE_COLOURS = ["--leaf", "--info", "--warn", "--bad", "--ink", "--soft"];
const region = document.querySelector("[data-refresh]");
const lost = document.querySelector("[data-lost]");
// as the server sent them, before anything was drawn into them
let parts = region ? [...region.children].map((part) => part.outerHTML) : [];

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(region.dataset.refresh, { headers: { "X-Fragment": "1" }, redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    replace(await answer.text());
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

// Only what has changed is put in place, and who had the focus there has it again: a screen reader is not led astray.
function replace(html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const news = [...fresh.content.children];
  if (news.length !== region.children.length) {
    if (isBusy(region)) return;
    parts = news.map((part) => part.outerHTML);
    return keepingPlace(region, () => region.replaceChildren(...news), () => region);
  }
  news.forEach((part, place) => {
    const old = region.children[place];
    if (part.outerHTML === parts[place] || isBusy(old)) return;
    parts[place] = part.outerHTML;
    keepingPlace(old, () => old.replaceWith(part), () => part);
  });
}

function keepingPlace(old, swap, now) {
  const open = [...old.querySelectorAll("details[open]")].map((part) => part.id);
  const focused = old.contains(document.activeElement) ? selectorOf(document.activeElement) : null;
  swap();
  prepare(now());
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) now().querySelector(focused)?.focus({ preventScroll: true });
}

function selectorOf(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.tagName === "SUMMARY" && element.parentElement.id) return `#${CSS.escape(element.parentElement.id)} > summary`;
  const href = element.getAttribute("href");
  return href ? `a[href="${CSS.escape(href)}"]` : null;
}

// A person who is selecting text, reads a curve or types into a form keeps what they look at.
function isBusy(part) {
  const selection = document.getSelection();
  const selecting = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  const typing = document.activeElement.matches("input, textarea, select") && part.contains(document.activeElement);
  return selecting || typing || part.querySelector(".uplot:hover") !== null;
}

function prepare(part) {
  tellTimes(part);
  drawCharts(part);
}

function tellTimes(part) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of part.querySelectorAll("time[datetime]")) {
    time.title ||= time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
  }
}

function drawCharts(part) {
  if (!window.uPlot) return;
  for (const figure of part.querySelectorAll("[data-chart]")) {
    figure.querySelector(".uplot")?.remove();
    const data = JSON.parse(figure.dataset.chart);
    const chart = new uPlot(chartOptions(data, figure.clientWidth), [data.steps, ...Object.values(data.lines)]);
    figure.prepend(chart.root);
    figure.chart = chart;
    figure.querySelector("details").removeAttribute("open");
    new ResizeObserver(() => chart.setSize({ width: figure.clientWidth, height: CHART_HEIGHT })).observe(figure);
  }
}

// `time`: the steps are seconds since 1970, of days in UTC; `unit` stands behind the figures.
function chartOptions({ steps, lines, time, unit }, width) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const series = Object.entries(lines).map(([label, line], place) => ({
    label,
    stroke: colour(LINE_COLOURS[place % LINE_COLOURS.length]),
    width: 2,
    spanGaps: true,
    points: { show: line.filter((value) => value !== null).length <= FEW_POINTS, size: 7, fill: colour(LINE_COLOURS[place % LINE_COLOURS.length]) },
    value: (_, number) => (number === null ? "–" : unit ? `${number.toFixed(1)} ${unit}` : number.toFixed(3)),
  }));
  return {
    width,
    height: CHART_HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { x: { time: time === true }, y: unit === "%" ? { range: [0, 100] } : {} },
    axes: [time && steps.length < 2 ? { ...axis, show: false } : axis, axis],
    series: [{ label: time ? "day" : "step", ...(time ? { value: "{YYYY}-{MM}-{DD}" } : {}) }, ...series],
    cursor: { drag: { x: false, y: false } },
  };
}

async function loop() {
  await refresh();
  setTimeout(loop, PERIOD_MILLISECONDS);
}

prepare(document);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts(document));
if (region) setTimeout(loop, PERIOD_MILLISECONDS);
