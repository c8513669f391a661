// The keys of the page Review: each presses the button or follows the link that names it. Everything works without them.
"use strict";

const better = document.getElementById("better");
const content = document.getElementById("content");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || isTyping(event.target)) return;
  if (event.key === "c" && better) {
    event.preventDefault();
    better.open = true;
    content.focus();
    return;
  }
  if (!/^[a-z]$/.test(event.key)) return;
  const target = document.querySelector(`[data-key="${event.key}"]`);
  if (!target) return;
  event.preventDefault();
  target.click();
});

// A better answer begins with what was said, so that only what is wrong has to be written anew.
better?.addEventListener("toggle", () => {
  const chosen = document.querySelector('input[name="answer"]:checked');
  const speech = chosen?.closest(".turn").querySelector(":scope > .speech");
  if (better.open && content.value === "" && speech) content.value = speech.textContent;
});

function isTyping(element) {
  return element instanceof Element && element.matches("textarea, select, input:not([type=radio])");
}
