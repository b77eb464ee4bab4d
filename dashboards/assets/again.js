// What somebody has reached in a part of a page that is drawn again (dashboards/again.py): Dash builds such a part anew, so
// the place of the keyboard, what is folded out, how far it is scrolled and the zoom of a chart are given back here.
(() => {
  const PLACE = ".stacked[id]", SCROLLS = ".scroll, .drawer-side", PATIENCE = 5000;   // ms a chart may take to be drawn
  const reached = new WeakMap();   // place -> what was reached in it; another address has other places
  const at = (place) => reached.get(place) || reached.set(place, { scrolled: new Map(), zoomed: new Map() }).get(place);
  const within = (node) => node?.closest?.(PLACE);
  const all = (root, what) => [...root.querySelectorAll(what)];
  const said = (node) => node.id || node.textContent;

  document.addEventListener("focusin", (e) => {
    const place = within(e.target);
    if (!place) return;
    const alike = all(place, e.target.tagName);
    const number = alike.filter((n) => said(n) === said(e.target)).indexOf(e.target);
    at(place).focused = { node: e.target, said: said(e.target), number, index: alike.indexOf(e.target) };
  });
  document.addEventListener("scroll", (e) => {
    const place = within(e.target);
    if (place && e.target.matches(SCROLLS)) at(place).scrolled.set(all(place, SCROLLS).indexOf(e.target), [e.target.scrollLeft, e.target.scrollTop]);
  }, true);

  const follow = (chart, place) => {
    if (chart.dataset.followed) return;
    chart.dataset.followed = "1";
    chart.on("plotly_relayout", () => {
      const ranges = {};
      for (const [name, axis] of Object.entries(chart.layout)) {
        if (/^[xy]axis/.test(name) && !axis.fixedrange) ranges[name] = axis.autorange ? null : [...axis.range];
      }
      at(place).zoomed.set(chart.parentNode.id, ranges);
    });
  };
  document.addEventListener("pointerdown", (e) => {
    const place = within(e.target), chart = e.target.closest?.(".js-plotly-plot");
    if (place && chart) follow(chart, place);
  }, true);

  const zoom = (place, id, ranges, until) => {
    const chart = place.querySelector(`#${CSS.escape(id)} .js-plotly-plot`);
    if (!chart?.layout || !chart.on || !chart.querySelector(".main-svg")) {
      if (Date.now() < until && place.isConnected) requestAnimationFrame(() => zoom(place, id, ranges, until));
      return;
    }
    const changes = {};
    for (const [name, range] of Object.entries(ranges)) if (range) changes[`${name}.range`] = range;
    if (Object.keys(changes).length) window.Plotly.relayout(chart, changes);
    follow(chart, place);
  };
  const giveBack = (place, gone) => {
    const before = at(place), { focused } = before;
    const open = gone.flatMap((root) => [...(root.matches("details") ? [root] : []), ...all(root, "details")]).map((d) => d.open);
    const now = all(place, "details");
    if (now.length === open.length) now.forEach((d, i) => { if (open[i]) d.open = true; });
    const scrolls = all(place, SCROLLS);
    for (const [i, [left, top]] of before.scrolled) scrolls[i]?.scrollTo({ left, top, behavior: "instant" });
    if (focused && gone.some((root) => root.contains(focused.node)) && (!document.activeElement || document.activeElement === document.body)) {
      const alike = all(place, focused.node.tagName);
      const same = alike.filter((n) => said(n) === focused.said);
      (same[focused.number] || same[0] || alike[focused.index])?.focus({ preventScroll: true });
    }
    for (const [id, ranges] of before.zoomed) zoom(place, id, ranges, Date.now() + PATIENCE);
  };
  new MutationObserver((records) => {
    const places = new Map();
    for (const r of records) {
      if (!r.removedNodes.length || !r.target.matches?.(PLACE)) continue;
      places.set(r.target, [...(places.get(r.target) || []), ...[...r.removedNodes].filter((n) => n.nodeType === 1)]);
    }
    for (const [place, gone] of places) if (place.isConnected) giveBack(place, gone);
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
