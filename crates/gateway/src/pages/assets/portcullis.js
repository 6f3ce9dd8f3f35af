// Conveniences, and passkeys, which browsers have for scripts alone. Every page is complete without this file.

// The approve button answers only once the page has been in front of the person for half a second, so that a click
// meant for something else cannot land on it.
for (const button of document.querySelectorAll("button[data-guarded]")) {
  let timer = 0;
  const lock = () => {
    clearTimeout(timer);
    button.disabled = true;
  };
  const unlockSoon = () => {
    clearTimeout(timer);
    if (document.visibilityState === "visible") timer = setTimeout(() => (button.disabled = false), 500);
  };
  lock();
  unlockSoon();
  addEventListener("blur", lock);
  addEventListener("focus", unlockSoon);
  addEventListener("pageshow", unlockSoon);
  document.addEventListener("visibilitychange", () => (document.hidden ? lock() : unlockSoon()));
  // Whoever reaches for the page has it in front of them, whatever the window's focus says.
  addEventListener("pointermove", () => button.disabled && !timer && unlockSoon());
}

// Copy buttons appear only where they work.
if (navigator.clipboard) {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Press Ctrl+C";
        getSelection().selectAllChildren(source);
      }
      setTimeout(() => (button.textContent = label), 1600);
    });
  }
}

// Passkeys: what the browser is asked stands on the button, and its answer goes with the form.
for (const button of document.querySelectorAll("button[data-passkey-get], button[data-passkey-create]")) {
  if (!globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON) break;
  const { form } = button;
  const said = form.querySelector("[data-passkey-said]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (!form.reportValidity()) return;
    const { passkeyGet, passkeyCreate } = button.dataset;
    button.disabled = true;
    said.textContent = "Your browser asks for your passkey.";
    try {
      const answer = passkeyCreate
        ? await navigator.credentials.create({
            publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(passkeyCreate)),
          })
        : await navigator.credentials.get({
            publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(passkeyGet)),
          });
      form.elements.assertion.value = JSON.stringify(answer.toJSON());
      said.textContent = "";
      form.submit();
    } catch (error) {
      said.textContent =
        error.name === "InvalidStateError"
          ? "This device has a passkey for this account already."
          : "It did not work, or was stopped. Nothing was changed. Try again.";
      button.disabled = false;
    }
  });
}
