// Passkeys: where the browser has them, the button is shown; it asks our own host for a challenge and hands the answer back.
const button = document.querySelector("[data-passkey]");
const able = window.isSecureContext && window.PublicKeyCredential?.parseRequestOptionsFromJSON;

if (!window.isSecureContext) document.querySelector("[data-insecure]")?.removeAttribute("hidden");
if (button && able) {
  button.hidden = false;
  document.querySelector("[data-passkey-or]")?.removeAttribute("hidden");
  button.addEventListener("click", ask);
}

async function send(path, body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json", "X-CSRF-Token": button.dataset.csrf };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail);
  return said;
}

async function ask() {
  const form = button.form;
  const told = document.querySelector("[data-passkey-error]");
  told.hidden = true;
  button.setAttribute("aria-busy", "true");
  try {
    const options = await send(`${button.dataset.passkey}/opcoes`, {});
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const credential = (await navigator.credentials.get({ publicKey })).toJSON();
    const { go } = await send(button.dataset.passkey, {
      credential, keep: form.elements.keep?.checked === true, para: form.elements.para?.value ?? "",
    });
    window.location.assign(go);
  } catch (error) {
    told.textContent = error.name === "NotAllowedError"
      ? "A chave de acesso não foi usada. Tente de novo ou entre com a senha." : error.message;
    told.hidden = false;
    button.removeAttribute("aria-busy");
  }
}
