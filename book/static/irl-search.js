/* Searches the book by section.  The index is irl-index.js, so that it works from a disk, too. */
"use strict";
(() => {
  const { pages, entries } = window.irlIndex;
  const MOST = 30;
  const PIECE = 230; // characters of a section that are shown
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const level = (text) =>
    text.toLowerCase().normalize("NFD").replace(/[\u0300-\u036f]/g, "").replace(/[-\u2010-\u2013_.]/g, " ");
  /* Plurals and -ing, -ed count as the word. */
  const stem = (word) =>
    word.length > 4 ? word.replace(/(ies|y|ing|ed|es|s)$/, "") : word;
  const words = (query) => level(query).split(/[^\p{L}\p{N}]+/u).filter(Boolean);

  const prepared = entries.map(([page, anchor, title, text, object]) => ({
    page, anchor, title, text, object,
    head: ` ${level(title)} `,
    place: ` ${level(pages[page][1])} `,
    body: ` ${level(text)} `,
    length: 1 + text.length / 1500,
  }));

  const count = (text, pattern) => (text.match(pattern) || []).length;

  function search(query) {
    const terms = [...new Set(words(query))];
    if (!terms.length) return [];
    const patterns = terms.map((term) => new RegExp(`(?<=[^\\p{L}\\p{N}])${escaped(stem(term))}`, "gu"));
    const phrase = new RegExp(
      `(?<=[^\\p{L}\\p{N}])${terms.map((t) => escaped(stem(t))).join("\\p{L}*\\s+")}`, "gu");
    const rare = patterns.map((p) => {
      const holding = prepared.filter((e) => count(e.head + e.body, p)).length;
      return Math.log(1 + prepared.length / (1 + holding));
    });
    const asksName = /[a-z][_.][a-z]/i.test(query);
    const found = [];
    for (const entry of prepared) {
      let score = 0;
      let missing = 0;
      /* One word of several in a title says little. */
      const share = patterns.filter((pattern) => count(entry.head, pattern)).length / patterns.length;
      patterns.forEach((pattern, i) => {
        const inHead = count(entry.head, pattern);
        const inPlace = count(entry.place, pattern);
        const inBody = count(entry.body, pattern);
        if (!inHead && !inBody && !inPlace) missing += 1;
        score += rare[i] * (4 * share ** 2 * Math.min(inHead, 1) + (share === 1 && !entry.anchor ? 3 : inPlace ? 0.7 : 0)
          + (2.2 * inBody) / (inBody + entry.length));
      });
      if (missing === patterns.length || (missing && patterns.length < 3)) continue;
      if (patterns.length > 1 && count(entry.head + entry.body, phrase)) score *= 4;
      if (entry.head.trim() === terms.join(" ")) score *= 1.3;
      if (!pages[entry.page][0].startsWith("notebooks/")) score *= 0.15;
      if (/^(summary|exercises|references|check your understanding)$/i.test(entry.title)) score *= 0.35;
      score *= 0.5 ** missing;
      /* Who writes a name as code means the object. */
      if (entry.object) score *= asksName ? 8 : 0.3;
      else if (pages[entry.page][0].startsWith("book/api")) score *= 0.5;
      if (score > 0) found.push({ entry, score });
    }
    return found.sort((a, b) => b.score - a.score).slice(0, MOST).map((each) => each.entry);
  }

  function piece(entry, query) {
    const terms = words(query).map((term) => escaped(stem(term)));
    const pattern = new RegExp(`(${terms.join("|")})[\\p{L}]*`, "iu");
    const at = Math.max(0, entry.text.search(pattern));
    const sentence = entry.text.lastIndexOf(". ", at);
    const start = sentence >= 0 && at - sentence < 140 ? sentence + 2 : Math.max(0, at - 60);
    const shown = entry.text.slice(start, start + PIECE);
    const paragraph = document.createElement("p");
    const marks = new RegExp(`((?<![\\p{L}])(?:${terms.join("|")})[\\p{L}]*)`, "giu");
    for (const [i, part] of shown.split(marks).entries()) {
      if (i % 2) {
        const mark = document.createElement("mark");
        mark.textContent = part;
        paragraph.append(mark);
      } else {
        paragraph.append(part);
      }
    }
    if (start + PIECE < entry.text.length) paragraph.append("\u2026");
    return paragraph;
  }

  function show(query) {
    const status = document.getElementById("search-status");
    const list = document.getElementById("search-hits");
    list.replaceChildren();
    const hits = search(query);
    status.textContent = !query.trim() ? "" : hits.length
      ? `${hits.length === MOST ? `The first ${MOST}` : hits.length} section${hits.length === 1 ? "" : "s"}, the closest first.`
      : `Nothing in the book has \u201c${query}\u201d. Try fewer words, or another form of them.`;
    for (const entry of hits) {
      const [address, page] = pages[entry.page];
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = address + (entry.anchor ? `#${entry.anchor}` : "");
      link.textContent = entry.title;
      const place = document.createElement("span");
      place.className = "hit-place";
      place.textContent = page;
      item.append(link, place, piece(entry, query));
      list.append(item);
    }
  }

  window.irlSearch = search;
  const asked = new URLSearchParams(location.search).get("q") || "";
  for (const input of document.querySelectorAll("form.bd-search input")) input.value = asked;
  const input = document.querySelector(".bd-search-container form.bd-search input");
  if (input) {
    input.focus();
    input.select();
  }
  show(asked);
})();
