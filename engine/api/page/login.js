// Logging in: with the one-time token of the address, or with what a person types.

import { byId, setText } from "./dom.js";
import { get, post } from "./api.js";

// Returns the session once there is one.
export async function login() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (token) {
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
    try {
      await post("/api/login", { token });
    } catch (error) {
      setText(byId("login-error"), error.message);
    }
  }
  try {
    return await get("session");
  } catch (error) {
    if (error.status !== 401) setText(byId("login-error"), error.message);
  }
  return ask();
}

function ask() {
  byId("app").hidden = true;
  byId("login").hidden = false;
  byId("login-secret").focus();
  return new Promise((resolve) => {
    const form = byId("login-form");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const field = byId("login-secret");
      const secret = tokenOf(field.value.trim());
      setText(byId("login-error"), "");
      try {
        await post("/api/login", secret);
        const session = await get("session");
        field.value = "";
        byId("login").hidden = true;
        resolve(session);
      } catch (error) {
        setText(byId("login-error"), error.message);
        field.select();
      }
    });
  });
}

// A pasted address holds its token. Tokens are 43 characters of base64url; everything else is a password.
function tokenOf(text) {
  const pasted = /[?&]token=([\w-]+)/.exec(text);
  if (pasted) return { token: pasted[1] };
  return /^[\w-]{43}$/.test(text) ? { token: text } : { password: text };
}

export async function logout() {
  try {
    await post("/api/logout", {});
  } finally {
    location.reload();
  }
}
