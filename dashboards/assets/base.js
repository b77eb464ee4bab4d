// Building and changing DOM nodes. Data only ever becomes text nodes and attributes, never markup.
(() => {
  const L = (window.lineside = window.lineside || {});
  const SVG = "http://www.w3.org/2000/svg";

  // h("div", {class: "tile", onclick: f}, child, "text")
  L.h = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value == null || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((c) => c != null));
    return node;
  };
  // Writes only when something changed, so that a quiet board costs nothing.
  L.text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
  L.attr = (node, name, value) => {
    if (value == null || value === false) { if (node.hasAttribute(name)) node.removeAttribute(name); }
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  };
  L.style = (node, name, value) => { if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value); };
  L.show = (node, visible) => { if (node.hidden === visible) node.hidden = !visible; };

  // Shapes on a 24 x 24 grid: [element, attributes]. Filled state shapes carry their mark in --on.
  const stroke = (d) => ["path", { d, fill: "none", stroke: "currentColor", "stroke-width": "1.8", "stroke-linecap": "round", "stroke-linejoin": "round" }];
  const mark = (d) => ["path", { d, fill: "none", stroke: "var(--on, #fff)", "stroke-width": "2.6", "stroke-linecap": "round", "stroke-linejoin": "round" }];
  const fill = (d) => ["path", { d, fill: "currentColor" }];
  const disc = ["circle", { cx: 12, cy: 12, r: 10, fill: "currentColor" }];
  const ring = ["circle", { cx: 12, cy: 12, r: 9.2, fill: "none", stroke: "currentColor", "stroke-width": "2" }];
  const triangle = fill("M12 2.2c.6 0 1.1.3 1.4.8l9 16.2c.6 1.1-.2 2.3-1.4 2.3H3c-1.2 0-2-1.2-1.4-2.3l9-16.2c.3-.5.8-.8 1.4-.8z");
  const SHAPES = {
    running: [disc, ["path", { d: "M9.7 7.5v9l7-4.5z", fill: "var(--on, #fff)" }]],
    down: [fill("M8 2h8l6 6v8l-6 6H8l-6-6V8z"), mark("M8.7 8.7l6.6 6.6M15.3 8.7l-6.6 6.6")],
    waiting: [triangle, mark("M12 9v5M12 17.6v.1")],
    setup: [["rect", { x: 2, y: 2, width: 20, height: 20, rx: 4, fill: "currentColor" }], mark("M7 9h9.5l-2.5-2.5M17 15H7.5l2.5 2.5")],
    maintenance: [disc, ["path", { d: "M16.8 8.3l-2.1 2.1-1.4-1.4 2.1-2.1a3.6 3.6 0 0 0-4.8 4.5l-3.7 3.7a1.450 1.450 0 0 0 2 2l3.7-3.7a3.6 3.6 0 0 0 4.2-5.1z", fill: "var(--on, #fff)" }]],
    planned: [ring, stroke("M9.8 8.5v7M14.2 8.5v7")],
    unknown: [["circle", { cx: 12, cy: 12, r: 9.2, fill: "none", stroke: "currentColor", "stroke-width": "2", "stroke-dasharray": "3.6 2.180" }], stroke("M9.6 9.6a2.5 2.5 0 1 1 3.5 2.3c-.800.4-1.1.9-1.1 1.7M12 16.6v.1")],
    info: [disc, mark("M12 11.5v5M12 7.5v.1")],
    plant: [stroke("M3 20V5l2 0v7l5-3.5v3.5l5-3.5v3.5h6v8z"), stroke("M8 16h.1M12 16h.1M16 16h.1")],
    board: [stroke("M4 4h6.5v6.5H4zM13.5 4H20v6.5h-6.5zM4 13.5h6.5V20H4zM13.5 13.5H20V20h-6.5z")],
    losses: [stroke("M4 4v16h16M8 20V8h4v12M12 20v-8h4v8M16 20v-5h4")],
    kpis: [stroke("M4 20V10M10 20V4M16 20v-7M21 20H3")],
    improve: [stroke("M4 18l5-6 4 4 7-9M14 7h6v6")],
    spc: [stroke("M3 5h18M3 19h18M3 12l4-3 3 5 4-7 3 6 4-2")],
    trends: [stroke("M4 4v16h16M7 15l3.500-5 3.500 3 5-7")],
    alerts: [stroke("M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15zM10 21h4")],
    shift: [stroke("M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6")],
    orders: [stroke("M8 5H5v16h14V5h-3M9 3h6v4H9zM9 12l1.5 1.5 3-3M9 17h6")],
    check: [disc, mark("M7.500 12.500l3 3 6-6.500")],
    sources: [stroke("M9 3v5M15 3v5M6.500 8h11v3.500a5.500 5.500 0 0 1-11 0zM12 17v4")],
    chevron: [stroke("M8 10l4 4 4-4")],
    moon: [stroke("M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z")],
    sun: [["circle", { cx: 12, cy: 12, r: 4, fill: "none", stroke: "currentColor", "stroke-width": "1.8" }], stroke("M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4")],
    screen: [stroke("M3 5h18v12H3zM9 21h6M12 17v4")],
    person: [stroke("M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5a7.5 7.5 0 0 1 15 0")],
    close: [stroke("M6 6l12 12M18 6L6 18")],
  };
  // Decorative: the word beside it says the same.
  L.icon = (name, cls = "icon") => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("class", cls);
    svg.setAttribute("aria-hidden", "true");
    for (const [tag, attributes] of SHAPES[name] || SHAPES.unknown) {
      const part = document.createElementNS(SVG, tag);
      for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
      svg.append(part);
    }
    return svg;
  };

  // What a machine state looks like: the group gives colour and shape, the word is its own.
  L.STATES = {
    running: { group: "running", word: "Running" },
    down: { group: "down", word: "Down" },
    starved: { group: "waiting", word: "Starved" },
    blocked: { group: "waiting", word: "Blocked" },
    setup: { group: "setup", word: "Setup" },
    planned_stop: { group: "planned", word: "Planned stop" },
    maintenance: { group: "maintenance", word: "Maintenance" },
    unknown: { group: "unknown", word: "Unknown" },
    no_data: { group: "unknown", word: "No data" },
  };
  L.GROUPS = { running: "Running", planned: "Planned", maintenance: "Maintenance", setup: "Setup", waiting: "Waiting", down: "Down", unknown: "No data" };
  L.CATEGORY_GROUP = {
    running: "running", unplanned_downtime: "down", micro_stop: "down", changeover: "setup", starved: "waiting",
    blocked: "waiting", planned_downtime: "planned", not_scheduled: "planned", unknown: "unknown",
  };
  L.CATEGORY_WORD = {
    running: "Running", unplanned_downtime: "Unplanned stop", micro_stop: "Micro-stop", changeover: "Changeover", starved: "Starved",
    blocked: "Blocked", planned_downtime: "Planned stop", not_scheduled: "Not scheduled", unknown: "Unknown",
  };
  // One row of coloured pieces, from [start, end, category], over [from, to] in ms
  L.fillStrip = (node, pieces, from, to) => {
    const key = pieces.map((p) => p.join()).join(";") + Math.round(from / 5000);
    if (node.dataset.key === key) return;
    node.dataset.key = key;
    node.replaceChildren(...pieces.map(([start, end, category]) => {
      const a = Math.max(Date.parse(start), from), b = Math.min(Date.parse(end), to);
      if (b <= a) return null;
      const piece = L.h("i", { "data-group": L.CATEGORY_GROUP[category] || "unknown" });
      piece.style.left = `${(100 * (a - from)) / (to - from)}%`;
      piece.style.width = `${(100 * (b - a)) / (to - from)}%`;
      return piece;
    }).filter(Boolean));
  };
})();
