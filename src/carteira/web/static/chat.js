// The assistant's chat: messages and answers are added below each other without loading another page. The forms
// work without this script. A message whose answer does not come is sent again under its own key, so that it acts once.
const log = document.getElementById("chat");
const composer = document.querySelector(".composer");
const field = composer.elements.message;
const WAIT = 30_000;
let isWaiting = false;

function bubble(name) {
  const made = document.getElementById(name).content.firstElementChild.cloneNode(true);
  log.append(made);
  made.scrollIntoView({ block: "nearest" });
  return made;
}

function put(waiting, html) {
  const answer = new DOMParser().parseFromString(html, "text/html").querySelector("[data-turn]");
  if (!answer) return false;
  for (const old of log.querySelectorAll("[data-choices]")) old.remove();
  for (const key of document.querySelectorAll("[name=pedido]")) key.value = answer.dataset.turn;
  for (const key of document.querySelectorAll("[name=sobre]")) key.value = answer.dataset.standing;
  waiting.replaceWith(...[...answer.children].filter((part) => !part.matches("[data-mine]")));
  log.lastElementChild.scrollIntoView({ block: "nearest" });
  return true;
}

async function send(address, body, waiting) {
  isWaiting = true;
  let why = "A internet caiu. Nada se perdeu: tente de novo.";
  try {
    const options = { method: "POST", body, headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(WAIT) };
    const answer = await fetch(address, options);
    const go = answer.headers.get("HX-Redirect");
    if (go) { window.location.assign(go); return; }
    if (put(waiting, await answer.text())) return;
    why = answer.status === 429
      ? "Muitas mensagens em pouco tempo. Espere um minuto e tente de novo."
      : "Não deu para responder agora. Tente de novo em instantes.";
  } catch (error) {
    if (error.name === "TimeoutError") why = "A resposta está demorando. Tente de novo: nada é feito duas vezes.";
  } finally {
    isWaiting = false;
  }
  const failed = bubble("chat-failed");
  waiting.replaceWith(failed);
  failed.querySelector("[data-why]").textContent = why;
  failed.querySelector("button").addEventListener("click", () => {
    if (isWaiting) return;
    const next = bubble("chat-waiting");
    failed.replaceWith(next);
    send(address, body, next);
  });
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-say]")) return;
  event.preventDefault();
  if (isWaiting) return;
  const body = new FormData(form, event.submitter);
  const file = form.querySelector("[type=file]")?.files[0];
  const said = file ? file.name : body.get("message").trim();
  if (!said) return;
  bubble("chat-mine").querySelector("p").textContent = said;
  if (form === composer) { field.value = ""; field.focus(); }
  send(form.action, file ? body : new URLSearchParams(body), bubble("chat-waiting"));
});
