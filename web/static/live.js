// Shows changes sooner: whenever the event stream says so, the page is fetched
// again and its main part put in the place of the old one. Without this script
// everything works; the page then reloads by itself.
"use strict";
(() => {
  const url = document.currentScript.dataset.live;
  const band = document.getElementById("stale");
  const silent = 25000;
  let heard = Date.now(), lost = null, asked = false, busy = false, source = null;

  const clock = (t) => new Date(t).toISOString().slice(11, 19) + " UTC";

  function lose() {
    if (lost) return;
    lost = heard;
    band.textContent = "The connection has been lost since " + clock(lost) + ". What you see is from then; it is tried again.";
    band.hidden = false;
    document.body.classList.add("is-stale");
  }

  function found() {
    heard = Date.now();
    if (!lost) return;
    lost = null;
    band.hidden = true;
    document.body.classList.remove("is-stale");
  }

  // A click must not lose its target between the button's way down and up.
  let pressed = false;
  addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => { pressed = false; }, 200), true);

  // Somebody who is writing into a form, or has opened a menu of it, is not disturbed.
  function writing() {
    const at = document.activeElement;
    if (pressed) return true;
    return at && at.closest("main form") && at.matches("input, select, textarea");
  }

  async function look() {
    if (busy) { asked = true; return; }
    if (document.hidden || writing()) return;
    busy = true;
    asked = false;
    try {
      const answer = await fetch(location.href, { headers: { "X-Understudy-Live": "1" } });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok && !writing()) put(await answer.text());
      found();
    } catch { lose(); }
    busy = false;
    if (asked) setTimeout(look, 300);
  }

  function put(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const from = fresh.querySelector("main"), to = document.querySelector("main");
    if (!from) return;
    const at = document.activeElement, id = at && to.contains(at) ? at.id : "";
    const open = [...to.querySelectorAll("details[open][id]")].map((d) => d.id);
    const told = to.querySelector(":scope > .told"); // what was just done stays to be read
    to.replaceChildren(...(told ? [told] : []), ...from.childNodes);
    for (const one of open) document.getElementById(one)?.setAttribute("open", "");
    if (id) document.getElementById(id)?.focus({ preventScroll: true });
    const menu = fresh.querySelector("nav");
    if (menu && !document.querySelector("nav")?.contains(document.activeElement)) document.querySelector("nav")?.replaceWith(menu);
  }

  function follow() {
    source = new EventSource(url);
    source.addEventListener("beat", () => { found(); look(); });
    source.addEventListener("change", () => { found(); look(); });
    source.addEventListener("bye", () => location.reload());
    source.onerror = () => {
      lose();
      if (source.readyState === EventSource.CLOSED) setTimeout(follow, 5000);
    };
  }

  setInterval(() => { if (Date.now() - heard > silent) lose(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  addEventListener("pagehide", () => source.close());
  follow();
})();
