// Shows an answer of the page Chat while it is written, then puts the page as the server knows it in place.
// Without this script the form is sent as any other, and the answer comes whole.
"use strict";

const form = document.getElementById("say");
const problem = document.getElementById("problem");
const answering = document.getElementById("answering");
const speech = answering.querySelector(".speech");
let leaving = null;

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  const says = button?.name === "do" && /^(say|again)\b/.test(button.value);
  // two models answer one after the other, so the page is asked for as a whole
  if (event.target !== form || !says || form.elements.beside?.value) return;
  event.preventDefault();
  if (leaving === null) send(new FormData(form, button)).catch(tell);
});

document.getElementById("stop").addEventListener("click", () => leaving?.abort());

document.getElementById("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit(form.querySelector('button[value="say"]'));
});

async function send(fields) {
  leaving = new AbortController();
  problem.hidden = true;
  speech.textContent = "";
  answering.hidden = false;
  answering.scrollIntoView({ block: "nearest" });
  const asked = { method: "POST", body: new URLSearchParams(fields), headers: { Accept: "text/event-stream" } };
  try {
    const answer = await fetch(form.action, { ...asked, signal: leaving.signal });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    await read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
    if (fields.get("do") === "say") form.elements.text.value = "";
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  } finally {
    leaving = null;
    answering.hidden = true;
    await refresh();
  }
}

async function read(reader) {
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) take(line);
  }
}

function take(line) {
  if (!line.startsWith("data: ") || line === "data: [DONE]") return;
  const event = JSON.parse(line.slice(6));
  if (event.error) throw new Error(event.error.message);
  speech.append(event.choices[0]?.delta?.content ?? "");
}

// What is stored, with its buttons; the address names the chat from now on.
async function refresh() {
  const page = await fetch(form.action + location.search);
  if (!page.ok) return;
  const fresh = new DOMParser().parseFromString(await page.text(), "text/html").getElementById("chat");
  document.getElementById("chat").replaceWith(document.adoptNode(fresh));
  history.replaceState(null, "", form.action + location.search);
  form.elements.text.focus();
}

function tell(error) {
  problem.textContent = error.message;
  problem.hidden = false;
}
