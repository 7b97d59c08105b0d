/* What the pages of this book do beyond showing text.  Plain; no page needs it to be read. */
"use strict";
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

  /* ---- where the reader is: the last heading above a third of the window */
  function spy() {
    const links = new Map();
    for (const link of all("#pst-page-toc-nav a[href^='#']")) {
      const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
      if (target) links.set(target.querySelector("h1, h2, h3, h4") || target, link);
    }
    if (!links.size) return;
    let waiting = false;
    const mark = () => {
      waiting = false;
      const line = innerHeight / 3;
      let here = links.values().next().value;
      for (const [heading, link] of links) {
        if (heading.getBoundingClientRect().top <= line) here = link;
      }
      const atEnd = scrollY + innerHeight >= document.documentElement.scrollHeight - 2;
      if (atEnd && scrollY > 0) here = [...links.values()].at(-1);
      for (const link of links.values()) {
        const open = link === here;
        link.classList.toggle("active", open);
        link.parentElement.classList.toggle("active", open);
        if (open) link.setAttribute("aria-current", "location");
        else link.removeAttribute("aria-current");
      }
    };
    const soon = () => {
      if (!waiting) requestAnimationFrame(mark);
      waiting = true;
    };
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    mark();
  }

  /* ---- the drawers of a narrow screen */
  function drawers() {
    for (const drawer of all("#pst-primary-sidebar-modal, #pst-secondary-sidebar-modal")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "drawer-close";
      button.setAttribute("aria-label", "Close");
      button.textContent = "\u00d7";
      button.addEventListener("click", () => drawer.close());
      drawer.prepend(button);
      drawer.addEventListener("click", (event) => {
        if (event.target.closest("a[href]")) drawer.close();
      });
      /* The theme carries all that is in the drawer back into the sidebar; the button stays. */
      drawer.addEventListener("close", () => drawer.prepend(button));
    }
  }

  /* ---- what is folded: one stop in each section, from which the arrow keys lead to the others */
  function folds() {
    const groups = new Map();
    for (const each of all(".bd-article details > summary")) {
      const section = each.closest(".bd-article > section > section");
      groups.set(section, [...(groups.get(section) || []), each]);
    }
    for (const stops of groups.values()) {
      const stop = (chosen) => stops.forEach((each) => (each.tabIndex = each === chosen ? 0 : -1));
      for (const [i, each] of stops.entries()) {
        each.classList.toggle("has-others", stops.length > 1);
        each.addEventListener("focus", () => stop(each));
        each.addEventListener("keydown", (event) => {
          const way = { ArrowDown: stops.slice(i + 1), ArrowUp: stops.slice(0, i).reverse() };
          const next = way[event.key]?.find((other) => other.checkVisibility({ visibilityProperty: true }));
          if (!next) return;
          event.preventDefault();
          next.focus();
        });
      }
      stop(stops[0]);
    }
  }

  /* ---- names and stops */
  function names() {
    for (const button of all(".copybtn")) button.tabIndex = -1;
    for (const button of all(".toggle-button")) {
      const title = button.closest(".admonition-title");
      const text = title ? title.textContent.replace(/\s+/g, " ").trim() : "";
      button.setAttribute("aria-label", `show or hide: ${text}`);
    }
  }

  /* ---- on paper the colours are the light ones */
  function paper() {
    const root = document.documentElement;
    let theme = null;
    const before = () => {
      if (theme === null) theme = root.dataset.theme;
      root.dataset.theme = "light";
    };
    const after = () => {
      if (theme !== null) root.dataset.theme = theme;
      theme = null;
    };
    addEventListener("beforeprint", before);
    addEventListener("afterprint", after);
    matchMedia("print").addEventListener("change", (event) => (event.matches ? before() : after()));
  }

  /* ---- what a reference leads to, beside it */
  const NOTED = "a.reference.internal, a.footnote-reference, .bd-article p a[href]";
  let notes = null;
  let shown = null;

  function loadNotes() {
    if (!notes) {
      notes = new Promise((resolve) => {
        const script = document.createElement("script");
        script.src = `${document.documentElement.dataset.content_root}_static/irl-notes.js`;
        script.onload = () => resolve(window.irlNotes || {});
        script.onerror = () => resolve({});
        document.head.append(script);
      });
    }
    return notes;
  }

  function key(link) {
    const root = new URL(document.documentElement.dataset.content_root, location.href).href;
    return link.href.startsWith(root) ? decodeURIComponent(link.href.slice(root.length)) : "";
  }

  function hide() {
    if (!shown) return;
    shown.link.removeAttribute("aria-describedby");
    shown.box.remove();
    shown = null;
  }

  async function show(link) {
    if (shown && shown.link === link) return;
    const footnote = link.matches(".footnote-reference") && document.getElementById(link.hash.slice(1));
    if (!footnote && !link.hash) return;
    const found = footnote ? footnote.innerHTML : (await loadNotes())[key(link)];
    if (!found || !link.matches(":hover, :focus")) return;
    hide();
    const box = document.createElement("div");
    box.className = "hover-note";
    box.id = "hover-note";
    box.setAttribute("role", "tooltip");
    box.innerHTML = found;
    for (const each of all("[id]", box)) each.removeAttribute("id");
    for (const each of all(".headerlink, .backrefs", box)) each.remove();
    document.body.append(box);
    link.setAttribute("aria-describedby", box.id);
    shown = { link, box };
    if (window.MathJax?.typesetPromise && box.querySelector(".math")) {
      await MathJax.typesetPromise([box]).catch(() => {});
    }
    const at = link.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.left, innerWidth - box.offsetWidth - 12));
    const below = at.bottom + box.offsetHeight + 12 < innerHeight || at.top < box.offsetHeight + 12;
    box.style.left = `${left + scrollX}px`;
    box.style.top = `${(below ? at.bottom + 6 : at.top - box.offsetHeight - 6) + scrollY}px`;
  }

  function hovering() {
    const article = document.querySelector(".bd-article");
    if (!article) return;
    let timer = 0;
    const enter = (event) => {
      const link = event.target.closest?.(NOTED);
      if (!link) return;
      clearTimeout(timer);
      timer = setTimeout(() => show(link), event.type === "focusin" ? 0 : 150);
    };
    const leave = (event) => {
      if (!event.target.closest?.(NOTED)) return;
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (shown && !shown.box.matches(":hover")) hide();
      }, 250);
    };
    article.addEventListener("mouseover", enter);
    article.addEventListener("focusin", enter);
    article.addEventListener("mouseout", leave);
    article.addEventListener("focusout", leave);
    document.addEventListener("mousemove", (event) => {
      if (shown && !event.target.closest(".hover-note") && !event.target.closest(NOTED)) {
        clearTimeout(timer);
        timer = setTimeout(() => shown && !shown.box.matches(":hover") && hide(), 250);
      }
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  }

  spy();
  paper();
  hovering();
  folds();
  addEventListener("DOMContentLoaded", drawers);
  addEventListener("load", names);
})();
