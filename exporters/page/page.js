// Fetches the page anew and swaps in the parts that changed. Without this script the page reloads itself.
"use strict";
(() => {
  const every = Number(document.documentElement.dataset.refresh) * 1000;
  const lost = document.getElementById("lost");
  let shownAt = new Date();

  function put(part, fresh) {
    if (part.innerHTML !== fresh.innerHTML) {
      for (const open of part.querySelectorAll("details[open]")) {
        fresh.querySelector("#" + CSS.escape(open.id))?.setAttribute("open", "");
      }
      const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
      part.replaceChildren(...fresh.childNodes);
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    }
    part.className = fresh.className;
  }

  function show(page) {
    const selection = getSelection();
    if (selection && !selection.isCollapsed) return; // somebody is copying something
    const names = (from) => [...from.querySelectorAll("main [data-live]")].map((part) => part.id).join();
    if (names(page) !== names(document)) {
      document.querySelector("main").replaceWith(page.querySelector("main"));
    } else {
      for (const fresh of page.querySelectorAll("[data-live]")) put(document.getElementById(fresh.id), fresh);
    }
    document.title = page.title;
    document.getElementById("icon").href = page.getElementById("icon").href;
  }

  async function refresh() {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
        if (!answer.ok) throw new Error(answer.status);
        show(new DOMParser().parseFromString(await answer.text(), "text/html"));
        shownAt = new Date();
        lost.hidden = true;
      } catch {
        lost.querySelector("time").textContent = shownAt.toLocaleTimeString();
        lost.hidden = false;
      }
      document.body.classList.toggle("is-lost", !lost.hidden);
    }
    setTimeout(refresh, every);
  }

  setTimeout(refresh, every);
})();
