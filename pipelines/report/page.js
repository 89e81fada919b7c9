"use strict";
(() => {
  const scenes = JSON.parse(document.getElementById("data").textContent);
  const cards = [...document.querySelectorAll(".card")];
  const states = new Map(); // card → what was drawn on it

  // ---- small things ----------------------------------------------------------------------------------

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function shape(tag, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  const share = (value) => (value === null ? "–" : value.toFixed(2));
  const number = (value) => (value === null ? "" : Number.isInteger(value) ? String(value) : value.toFixed(2));
  const listed = (counts) => [...counts].map(([name, count]) => (count > 1 ? `${name} × ${count}` : name)).join(", ");
  const support = (region) => `${region.votes.length} of ${region.eligible ?? "?"}`;
  const keyOf = (element) => element.dataset.k.split(" ")[0];
  const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);

  function tally(names) {
    const counts = new Map();
    for (const name of names) counts.set(name, (counts.get(name) || 0) + 1);
    return counts;
  }

  // ---- the picture -----------------------------------------------------------------------------------

  function frame(box, quad) {
    if (quad) return ["polygon", { points: quad.join(" ") }];
    const [x0, y0, x1, y1] = box;
    return ["rect", { x: x0, y: y0, width: Math.max(x1 - x0, 0), height: Math.max(y1 - y0, 0) }];
  }

  function outlined(box, quad, mask, kind) {
    const group = shape("g", { class: kind });
    const [tag, place] = frame(box, quad);
    if (mask) group.append(shape("path", { d: mask, class: "mask" }));
    group.append(shape(tag, { ...place, class: "shape halo" }), shape(tag, { ...place, class: "shape edge" }));
    return group;
  }

  function drawPicture(state) {
    const { scene, picture } = state;
    if (!picture) return;
    const svg = shape("svg", { viewBox: `0 0 ${scene.width} ${scene.height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    state.layer = shape("g", {});
    state.tags = make("div", { class: "tags", "aria-hidden": "true" });
    const order = scene.regions.map((_, i) => i).filter((i) => scene.regions[i].box);
    order.sort((a, b) => area(scene.regions[b].box) - area(scene.regions[a].box)); // small ones can be pointed at
    for (const i of order) {
      const region = scene.regions[i];
      const group = outlined(region.box, region.quad, region.mask, `region ${region.colour}${region.quad ? " writing-shape" : ""}`);
      const [tag, place] = frame(region.box, region.quad);
      group.append(shape(tag, { ...place, class: "hit" }));
      group.dataset.k = `r${i}`;
      svg.append(group);
      const label = make("span", { class: `tag ${region.colour}`, "data-k": `r${i}` }, `${region.label} ${share(region.confidence)}`);
      state.placed.push({ label, box: region.box, weight: region.confidence || 0 });
    }
    state.placed.sort((a, b) => b.weight - a.weight);
    state.tags.append(...state.placed.map((tag) => tag.label));
    svg.append(state.layer);
    picture.append(svg, state.tags);
    new ResizeObserver(() => place(state, state.placed)).observe(picture);
  }

  /* Each label takes the first free corner of its box; one that finds none waits until it is pointed at. */
  function place(state, tags) {
    const taken = [];
    const width = state.picture.clientWidth;
    const height = state.picture.clientHeight;
    const scale = width / state.scene.width;
    const sizes = tags.map((tag) => [tag.label.offsetWidth, tag.label.offsetHeight]);
    tags.forEach((tag, i) => {
      const [w, h] = sizes[i];
      const [x0, y0, x1, y1] = tag.box.map((value) => value * scale);
      const corners = [[x0, y0 - h], [x0, y0], [x1 - w, y0 - h], [x0, y1], [x1 - w, y0], [x0, y1 - h], [x1 - w, y1 - h]];
      const inside = corners.map(([x, y]) => [Math.min(Math.max(x, 0), Math.max(width - w, 0)), y]);
      const fits = ([x, y]) =>
        y >= 0 && y + h <= height && taken.every(([a, b, c, d]) => x >= c || x + w <= a || y >= d || y + h <= b);
      const spot = inside.find(fits);
      const [x, y] = spot || [inside[1][0], Math.min(Math.max(y0, 0), height - h)];
      if (spot) taken.push([x, y, x + w, y + h]);
      tag.label.classList.toggle("crowded", !spot);
      tag.label.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    });
  }

  // ---- pointing: a region (r), a phrase (p) or a rejection (x), by its place in the scene -----------------

  function ghost(state, box, quad, words, kind, mask) {
    if (!box) return null;
    state.layer.append(outlined(box, quad, mask, kind));
    return { label: make("span", { class: `tag lit temporary ${kind}` }, words), box };
  }

  function voteGhosts(state, votes, kind) {
    return votes.map(([who, label, score, box]) => ghost(state, box, null, `${who}: ${label ?? ""} ${share(score)}`, `${kind} dashed`));
  }

  function aboutRegion(state, i) {
    const region = state.scene.regions[i];
    const keys = [`r${i}`];
    state.scene.phrases.forEach((phrase, p) => phrase.boxes.some((box) => box.region === i) && keys.push(`p${p}`));
    const said = region.votes.map(([who]) => who).join(", ");
    return {
      keys,
      words: [region.label, ` · confidence ${share(region.confidence)} · ${support(region)} votes: ${said}`],
      ghosts: () => voteGhosts(state, region.votes, region.colour),
    };
  }

  function aboutPhrase(state, p) {
    const phrase = state.scene.phrases[p];
    const keys = [`p${p}`];
    for (const box of phrase.boxes) if (box.region !== null) keys.push(`r${box.region}:row`);
    const linked = tally(phrase.boxes.filter((box) => box.region !== null).map((box) => state.scene.regions[box.region].label));
    const count = phrase.boxes.length === 1 ? "1 box" : `${phrase.boxes.length} boxes`;
    return {
      keys,
      words: [phrase.phrase, ` · ${count} · phrase score ${share(phrase.score)}${linked.size ? ` · linked to ${listed(linked)}` : ""}`],
      ghosts: () =>
        phrase.boxes.map((box) => {
          const region = box.region === null ? null : state.scene.regions[box.region];
          const kind = region ? region.colour : "plain";
          return ghost(state, box.box, null, `${phrase.phrase} ${share(box.confidence)}`, kind, box.mask ?? region?.mask);
        }),
    };
  }

  function because({ reason, value, threshold }) {
    if (value === null) return reason;
    return `${reason} ${number(value)}${threshold === null ? "" : `, limit ${number(threshold)}`}`;
  }

  function aboutRejection(state, x) {
    const item = state.scene.rejected[x];
    return {
      keys: [`x${x}`],
      words: [item.said, ` · rejected in ${item.stage}: ${because(item)}`],
      ghosts: () =>
        item.votes.length > 1
          ? [ghost(state, item.box, item.quad, `${item.said}: ${item.reason}`, "x"), ...voteGhosts(state, item.votes, "x")]
          : [ghost(state, item.box, item.quad, `${item.said}: ${because(item)}`, "x dashed")],
    };
  }

  const about = { r: aboutRegion, p: aboutPhrase, x: aboutRejection };

  function point(state, key) {
    key = key || state.pinned;
    if (key === state.shown) return;
    state.shown = key;
    for (const element of state.card.querySelectorAll(".lit")) element.classList.remove("lit");
    state.layer?.replaceChildren();
    state.tags?.querySelectorAll(".temporary").forEach((tag) => tag.remove());
    const found = key ? about[key[0]](state, Number(key.slice(1))) : { keys: [], words: [], ghosts: () => [] };
    for (const name of found.keys) {
      const [k, only] = name.split(":");
      const parts = only ? `tr[data-k="${k}"]` : `[data-k~="${k}"]`;
      for (const element of state.card.querySelectorAll(parts)) element.classList.add("lit");
    }
    const ghosts = state.layer ? found.ghosts().filter(Boolean) : [];
    const seen = ghosts.length > 0 || (key && key[0] === "r");
    state.picture?.classList.toggle("busy", Boolean(seen));
    state.tags?.append(...ghosts.map((tag) => tag.label));
    const lit = state.placed.filter((tag) => tag.label.classList.contains("lit"));
    if (state.layer) place(state, ghosts.length ? [...lit, ...ghosts] : state.placed);
    const [strong, rest] = found.words;
    state.caption.replaceChildren(...(strong === undefined ? [] : [make("b", {}, strong), rest]));
  }

  function pin(state, key) {
    for (const button of state.card.querySelectorAll("[aria-expanded=true]")) button.setAttribute("aria-expanded", "false");
    for (const row of state.card.querySelectorAll(".more")) row.remove();
    state.pinned = state.pinned === key ? null : key;
    point(state, state.pinned);
    const row = state.pinned && state.card.querySelector(`tr[data-k="${state.pinned}"]`);
    if (row && state.pinned[0] === "r") {
      row.querySelector("button").setAttribute("aria-expanded", "true");
      row.after(candidates(state.scene.regions[Number(state.pinned.slice(1))]));
    }
  }

  // ---- the tables ------------------------------------------------------------------------------------

  function origin(granularity, who, similarity) {
    const facts = [granularity, who, similarity === null ? null : `similarity ${share(similarity)}`];
    return make("small", {}, facts.filter(Boolean).join(" · "));
  }

  function candidates(region) {
    const lines = region.candidates.map(([text, ...facts]) => make("li", {}, `“${text}” `, origin(...facts)));
    const all = make("td", { colspan: 4, class: "full" }, make("small", {}, "Candidates for its text"), make("ul", {}, ...lines));
    return make("tr", { class: "more" }, all);
  }

  function votes(list) {
    return make("ul", {}, ...list.map(([who, label, score]) =>
      make("li", { class: "vote" }, make("span", {}, who), make("span", {}, label ?? ""), make("span", {}, share(score)))));
  }

  function regionRow(region, i) {
    const name = make("button", { type: "button", class: region.colour, "aria-expanded": "false" }, region.label || "–");
    const bar = make("i", {});
    bar.style.setProperty("--share", `${Math.min(Math.max(region.confidence || 0, 0), 1) * 100}%`);
    const text = region.kind === "text"
      ? make("small", {}, "writing")
      : make("span", {}, `${region.text} `, origin(region.granularity, null, region.similarity));
    return make("tr", { "data-k": `r${i}` }, make("td", {}, name), make("td", {}, text),
      make("td", {}, share(region.confidence), make("span", { class: "amount" }, bar)),
      make("td", { class: "full" }, make("small", {}, support(region)), votes(region.votes)));
  }

  function rejectionRow(item, x) {
    const said = make("button", { type: "button", class: item.box ? "x" : "bare" }, item.said || "–");
    const where = item.text === null ? null : make("small", {}, ` in text ${item.text + 1}`);
    return make("tr", { "data-k": `x${x}` },
      make("td", {}, said, where, item.by.length ? make("small", {}, ` by ${item.by.join(", ")}`) : null),
      make("td", {}, item.reason, " ", make("small", {}, item.stage)),
      make("td", { class: "n" }, number(item.value)), make("td", { class: "n" }, number(item.threshold)));
  }

  function table(heads, rows) {
    const names = heads.map(([text, kind]) => make("th", { scope: "col", class: kind || "" }, text));
    return make("table", { class: "rows" }, make("thead", {}, make("tr", {}, ...names)), make("tbody", {}, ...rows));
  }

  function drawTables(state) {
    const { scene, card } = state;
    if (scene.regions.length)
      card.querySelector(".regions").append(table([["region"], ["text"], ["confidence"], ["votes"]], scene.regions.map(regionRow)));
    if (!scene.rejected.length) return;
    const many = scene.rejected.length === 1 ? "1 rejection" : `${scene.rejected.length} rejections`;
    const fold = make("details", {}, make("summary", {}, many));
    fold.addEventListener("toggle", () => {
      if (fold.open && !fold.querySelector("table"))
        fold.append(table([["what"], ["why"], ["value", "n"], ["limit", "n"]], scene.rejected.map(rejectionRow)));
    });
    card.querySelector(".rejections").append(fold);
  }

  function drawMarks(state) {
    for (const mark of state.card.querySelectorAll("mark")) {
      const phrase = state.scene.phrases[Number(mark.dataset.k.split(" ").find((key) => key[0] === "p").slice(1))];
      const linked = phrase.boxes.find((box) => box.region !== null);
      mark.classList.add(linked ? state.scene.regions[linked.region].colour : "plain");
      mark.tabIndex = 0;
      mark.setAttribute("role", "button");
    }
  }

  function listen(state) {
    const { card } = state;
    const target = (event) => event.target.closest("[data-k]");
    card.addEventListener("pointerover", (event) => event.pointerType !== "touch" && point(state, target(event) && keyOf(target(event))));
    card.addEventListener("pointerleave", () => point(state, null));
    card.addEventListener("focusin", (event) => {
      if (event.target.matches(":focus-visible") && target(event)) point(state, keyOf(target(event)));
    });
    card.addEventListener("focusout", () => point(state, null));
    card.addEventListener("click", (event) => target(event) && pin(state, keyOf(target(event))));
    card.addEventListener("keydown", (event) => {
      if (event.target.matches("mark") && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        pin(state, keyOf(event.target));
      }
    });
  }

  function draw(card) {
    if (states.has(card)) return;
    const scene = scenes[Number(card.dataset.scene)];
    const [picture, caption] = [card.querySelector(".picture"), card.querySelector("figcaption")];
    const state = { card, scene, picture, caption, placed: [], pinned: null, shown: null };
    states.set(card, state);
    drawPicture(state);
    drawTables(state);
    drawMarks(state);
    listen(state);
  }

  // ---- finding -----------------------------------------------------------------------------------------

  const bar = document.querySelector(".bar");
  const [words, label, reason, found] = ["words", "label", "reason", "found"].map((id) => document.getElementById(id));

  const labels = (scene) => scene.regions.filter((region) => region.kind === "object").map((region) => region.label);
  const reasons = (scene) => scene.rejected.map((item) => `${item.stage}: ${item.reason}`);

  const haystacks = new Map();
  function haystack(card, scene) {
    if (!haystacks.has(card)) {
      const texts = [...card.querySelectorAll(".text > p:first-of-type")].map((text) => text.textContent);
      const said = scene.regions.flatMap(({ label, text, votes, candidates }) =>
        [label, text, ...votes.map((vote) => vote[1]), ...candidates.map((candidate) => candidate[0])]);
      haystacks.set(card, [scene.id, ...texts, ...said].join("\n").toLowerCase());
    }
    return haystacks.get(card);
  }

  function fits(card) {
    const scene = scenes[Number(card.dataset.scene)];
    if (label.value && !labels(scene).includes(label.value)) return false;
    if (reason.value === "*" && !scene.rejected.length) return false;
    if (reason.value.startsWith("=") && !reasons(scene).includes(reason.value.slice(1))) return false;
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    return !wanted.length || wanted.every((word) => haystack(card, scene).includes(word));
  }

  function filter() {
    let shown = 0;
    for (const card of cards) {
      card.hidden = !fits(card);
      shown += !card.hidden;
    }
    found.textContent = shown === cards.length ? `${cards.length} shown` : `${shown} of ${cards.length}`;
  }

  function choices(select, values, prefix) {
    const counts = tally(values.flatMap((names) => [...new Set(names)]));
    for (const [name, count] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
      select.append(make("option", { value: prefix + name }, `${name} (${count})`));
  }

  function step(direction) {
    const shown = cards.filter((card) => !card.hidden);
    const line = bar.getBoundingClientRect().bottom + 12;
    const tops = shown.map((card) => card.getBoundingClientRect().top);
    const next = direction > 0 ? tops.findIndex((top) => top > line + 8) : tops.findLastIndex((top) => top < line - 24);
    const card = shown[next];
    if (!card) return;
    card.scrollIntoView();
    card.querySelector("h2 a").focus({ preventScroll: true });
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const state of states.values()) if (state.pinned) pin(state, state.pinned);
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "/") {
      event.preventDefault();
      words.focus();
    }
    if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  });

  choices(label, scenes.map(labels), "");
  choices(reason, scenes.map(reasons), "=");
  for (const box of bar.querySelectorAll("[type=checkbox]"))
    box.addEventListener("change", () => {
      document.body.classList.toggle(box.value, box.checked);
      for (const state of states.values()) if (state.layer) place(state, state.placed);
    });
  for (const field of [words, label, reason]) field.addEventListener("input", filter);
  bar.addEventListener("submit", (event) => event.preventDefault());
  bar.hidden = false;
  filter();

  for (const card of cards) {
    const scene = scenes[Number(card.dataset.scene)];
    if (scene.width) card.querySelector(".picture")?.style.setProperty("--ratio", (scene.width / scene.height).toFixed(4));
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) (draw(entry.target), near.unobserve(entry.target));
  }, { rootMargin: "800px" });
  cards.forEach((card) => near.observe(card));
  addEventListener("beforeprint", () => cards.forEach(draw));
})();
