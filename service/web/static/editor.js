// A recipe's editor: numbers its lines, and says beside the text what is wrong with it while it is typed.
// Without this script the text is checked when it is sent.
"use strict";

(() => {
  const PAUSE_MILLISECONDS = 350;
  const editor = document.querySelector("[data-editor]");
  if (!editor) return;
  const text = editor.querySelector("textarea");
  const lines = editor.querySelector(".lines");
  const list = editor.querySelector(".problems");
  const fine = editor.querySelector("[data-fine]");
  const sample = document.querySelector("template[data-problem]");
  const token = text.form.querySelector("[name=csrf]").value;
  let timer, asked = 0;

  function number(wrong = new Set()) {
    const count = text.value.split("\n").length;
    lines.replaceChildren(...Array.from({ length: count }, (_, index) => {
      const line = document.createElement("span");
      line.textContent = `${index + 1}\n`;
      line.classList.toggle("wrong", wrong.has(index + 1));
      return line;
    }));
    lines.scrollTop = text.scrollTop;
  }

  async function check() {
    const turn = ++asked;
    const body = new URLSearchParams({ csrf: token, text: text.value });
    const answer = await fetch(editor.dataset.editor, { method: "POST", body }).catch(() => null);
    if (!answer?.ok || turn !== asked) return;
    show((await answer.json()).problems);
  }

  function show(problems) {
    list.replaceChildren(...problems.map(({ line, sentence }) => {
      const item = sample.content.firstElementChild.cloneNode(true);
      const button = item.querySelector("button");
      button.textContent += ` ${line}`;
      button.dataset.line = line;
      item.querySelector("span").textContent = sentence;
      return item;
    }));
    fine.hidden = problems.length > 0;
    number(new Set(problems.map((one) => one.line)));
    place();
  }

  // Each sentence stands beside its line where there is room for that, and below the one before.
  function place() {
    const beside = editor.getBoundingClientRect().width > 700;
    const height = parseFloat(getComputedStyle(text).lineHeight);
    let free = 0;
    for (const item of list.children) {
      item.style.position = beside ? "absolute" : "static";
      item.style.left = item.style.right = "0";
      if (!beside) continue;
      const wanted = (Number(item.querySelector("button").dataset.line) - 1) * height - text.scrollTop;
      const top = Math.max(free, wanted);
      item.style.top = `${top}px`;
      free = top + item.offsetHeight + 6;
    }
  }

  list.addEventListener("click", (event) => {
    const line = Number(event.target.dataset?.line);
    if (!line) return;
    const before = text.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    const end = text.value.indexOf("\n", before);
    text.focus();
    text.setSelectionRange(before, end < 0 ? text.value.length : end);
    text.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(text).lineHeight));
  });
  text.addEventListener("input", () => {
    number();
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE_MILLISECONDS);
  });
  text.addEventListener("scroll", () => {
    lines.scrollTop = text.scrollTop;
    place();
  });
  addEventListener("resize", place);
  number();
  check();
})();
