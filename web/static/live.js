// Shows changes sooner: whenever the event stream says so, the page is fetched
// again and what has changed in its main part is changed here. What stays the
// same stays the same element, with its focus; what somebody has begun to fill
// in is left alone; and nothing moves under a pointer that is about to press.
// Without this script everything works; a page without a form then reloads by
// itself.
"use strict";
(() => {
  const url = document.currentScript.dataset.live;
  const band = document.getElementById("stale");
  const silent = 25000, aiming = 1500, telling = 60000, opened = Date.now();
  let heard = opened, lost = null, asked = false, busy = false, source = null;

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

  // A click must not lose its target: neither between the button's way down and
  // up, nor while the pointer comes to rest on it.
  let down = false, moved = 0;
  addEventListener("pointermove", () => { moved = Date.now(); }, { capture: true, passive: true });
  addEventListener("pointerdown", () => { down = true; }, true);
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => { down = false; }, 200), true);
  const presses = () => down || Date.now() - moved < aiming && document.querySelector("main :is(a, button, summary, label, input, select):hover");

  async function look() {
    if (busy) { asked = true; return; }
    if (document.hidden) return;
    busy = true;
    asked = false;
    try {
      while (presses()) await new Promise((go) => setTimeout(go, 100));
      const answer = await fetch(location.href, { headers: { "X-Understudy-Live": "1" } });
      if (answer.status === 401) { location.reload(); return; }
      const text = await answer.text();
      if (presses()) asked = true;
      else put(text);
      found();
    } catch { lose(); }
    busy = false;
    if (asked) setTimeout(look, 300);
  }

  function put(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const part of ["main", "nav"]) {
      const from = fresh.querySelector(part), to = document.querySelector(part);
      if (from && to) become(to, from);
    }
  }

  // begun says whether somebody fills in a form that is there, or has.
  function begun(part) {
    if (part.nodeType !== Node.ELEMENT_NODE) return false;
    const fields = [...part.querySelectorAll("input, select, textarea")];
    return fields.some((f) => f === document.activeElement || f.type !== "hidden" && (
      f.options ? f.selectedIndex !== Math.max(0, [...f.options].findLastIndex((o) => o.defaultSelected)) : f.value !== f.defaultValue || f.checked !== f.defaultChecked));
  }

  // who tells apart what must not become another while somebody is about to
  // press it: two links are one if they lead to the same page, two buttons if
  // they say the same, two sections if their headings do.
  const more = { a: (n) => n.getAttribute("href"), button: (n) => n.name + n.value + n.textContent, section: (n) => n.querySelector("h2")?.textContent };
  const who = (node) => node.nodeName + " " + (node.id ?? "") + " " + (more[node.localName]?.(node) ?? "");

  // become makes an element what the fresh one is.
  function become(old, fresh) {
    if (old.localName === "form" && begun(old)) return;
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && name !== "open") old.setAttribute(name, value);
    let at = old.firstChild;
    const all = [...fresh.childNodes], names = all.map(who);
    for (const [i, next] of all.entries()) {
      let same = at, passed = [];
      for (; same && who(same) !== names[i]; same = same.nextSibling) passed.push(who(same));
      if (!same || passed.some((name) => names.indexOf(name, i + 1) > 0)) { old.insertBefore(next, at); continue; } // what is passed over is still to come
      at = drop(at, same);
      if (next.nodeType === Node.ELEMENT_NODE) become(same, next);
      else if (same.nodeValue !== next.nodeValue) same.nodeValue = next.nodeValue;
      at = same.nextSibling;
    }
    drop(at, null);
  }

  // drop takes away what stands from one node up to another, but not what was
  // just done, which stays to be read for a minute, nor what somebody has begun to fill in.
  function drop(from, to) {
    while (from !== to) {
      const next = from.nextSibling;
      if (!(from.classList?.contains("told") && Date.now() - opened < telling || begun(from))) from.remove();
      from = next;
    }
    return to;
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
