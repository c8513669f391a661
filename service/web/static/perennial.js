// Refreshes the part of a page marked data-refresh every two seconds; everything works without it, by reloading.
"use strict";

const PERIOD_MILLISECONDS = 2000;
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
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
}

// A person who is typing, has moved the keyboard focus here or is selecting text must not have it taken away.
function busyInside(part) {
  const selection = document.getSelection();
  const selecting = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  return part.contains(document.activeElement) || selecting;
}

async function loop() {
  await refresh();
  setTimeout(loop, PERIOD_MILLISECONDS);
}

if (region) setTimeout(loop, PERIOD_MILLISECONDS);
