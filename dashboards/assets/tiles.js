// One machine's tile, and the row of a line.
(() => {
  const L = (window.lineside = window.lineside || {});
  const { h, text, attr, style, show } = L;
  const BEHIND = 0.1;   // share of expected by which a machine may be behind before it turns red

  L.factors = (cls = "apq") => {
    const rows = ["A", "P", "Q"].map((letter) => {
      const bar = h("i"), value = h("b");
      return { bar, value, row: h("div", {}, h("span", {}, letter), h("em", {}, bar), value) };
    });
    return {
      root: h("div", { class: cls }, ...rows.map((r) => r.row)),
      update(kpi, places) {
        [kpi.availability, kpi.performance, kpi.quality].forEach((ratio, i) => {
          style(rows[i].bar, "width", `${Math.min(100, (ratio || 0) * 100)}%`);
          text(rows[i].value, L.format.percent(ratio, places));
        });
      },
    };
  };

  // a bar of good parts with a tick where they should be now
  L.progress = () => {
    const done = h("i"), tick = h("u");
    return {
      root: h("div", { class: "progress" }, done, tick),
      update(good, expected, target) {
        const scale = Math.max(target || 0, good || 0);
        style(done, "width", scale ? `${(100 * good) / scale}%` : "0%");
        show(tick, expected != null && scale > 0);
        if (scale && expected != null) style(tick, "left", `${Math.min(100, (100 * expected) / scale)}%`);
      },
    };
  };
  L.judge = (good, expected) => {
    if (expected == null || good == null) return "none";
    if (good >= expected) return good > expected ? "ahead" : "none";
    return expected - good > BEHIND * expected ? "behind" : "near";
  };

  L.tile = (machine) => {
    const icon = h("span", { class: "shape" }), word = h("b"), timer = h("time");
    const name = h("button", { type: "button", class: "name", onclick: () => L.drawer.open(machine.id) }, machine.name);
    const badge = h("span", { class: "badge", hidden: true });
    const missing = h("b"), unread = h("span", { class: "unread", hidden: true }, L.icon("waiting"), missing);
    const oee = h("span", {}), unit = h("small", {}, "%");
    const factors = L.factors(), progress = L.progress();
    const good = h("b"), target = h("span"), against = h("em");
    const why = h("b", { class: "why" }), slack = h("span", { class: "slack" });
    const strip = h("div", { class: "strip" });
    const root = h("article", { class: "tile", "data-machine": machine.id },
      h("div", { class: "band" }, icon, word, timer),
      h("div", { class: "body" },
        h("div", { class: "title" }, h("h3", {}, name), h("span", { class: "muted" }, machine.description), unread, badge),
        h("div", { class: "figures" }, h("div", { class: "oee" }, oee, unit), factors.root),
        h("div", { class: "count" }, h("span", {}, good, target), against),
        progress.root,
        h("div", { class: "order" }, why, slack),
        strip));
    let shown = null;

    const update = (m) => {
      const silence = L.stream.silence();
      const state = L.STATES[silence == null ? m.state : "no_data"] || L.STATES.unknown;
      const since = m.state === "no_data" ? m.last_sample : m.since;
      if (shown !== state) {
        shown = state;
        root.dataset.group = state.group;
        icon.replaceChildren(L.icon(state.group));
        text(word, state.word);
      }
      text(timer, L.format.elapsed(silence ?? (since ? (L.stream.now() - Date.parse(since)) / 1000 : null)));
      return silence;
    };
    const draw = (m) => {
      update(m);
      text(oee, L.format.percent(m.kpi.oee));
      show(unit, m.kpi.oee != null);
      factors.update(m.kpi, 0);
      attr(factors.root, "data-empty", m.kpi.availability == null);
      text(good, L.format.number(m.good));
      text(target, m.target == null ? "" : ` / ${L.format.number(m.target)}`);
      text(against, L.format.against(m.good, m.expected));
      root.dataset.judge = L.judge(m.good, m.expected);
      progress.update(m.good, m.expected, m.target);
      const uncoded = m.stop_start != null && !m.reason;
      const label = m.order ? `${m.order.id} · ${m.order.material_name}` : "No order";
      text(why, uncoded ? "Needs a reason" : m.cause || m.reason || label);
      attr(why, "data-kind", uncoded ? "uncoded" : m.cause || m.reason ? "cause" : "order");
      attr(why, "title", label);
      const late = m.order?.slack != null && m.order.slack < -60;
      const risk = m.order?.why ? `${Math.round(100 * m.order.risk)} % risk` : "";
      text(slack, m.order ? (late ? L.format.slack(m.order.slack) : risk || `${Math.floor((100 * m.order.good) / Math.max(1, m.order.quantity))} %`) : "");
      attr(slack, "data-late", late);
      attr(slack, "title", m.order ? `order ${L.format.number(m.order.good)} of ${L.format.number(m.order.quantity)}, ${L.format.slack(m.order.slack) || "no due date"}${m.order.why ? `. ${risk}: ${m.order.why.charAt(0).toLowerCase()}${m.order.why.slice(1)}` : ""}` : null);
      text(missing, String(m.unread));
      attr(unread, "title", `${m.unread} signal${m.unread === 1 ? "" : "s"} without a value`);
      show(unread, m.unread > 0 && m.state !== "no_data");
      text(badge, String(m.alerts));
      attr(badge, "title", `${m.alerts} open alerts`);
      show(badge, m.alerts > 0);
      const now = L.stream.now();
      L.fillStrip(strip, m.strip, now - 7200e3, now);
    };
    draw(machine);
    return { root, draw, update };
  };

  L.line = (line) => {
    const trouble = h("span", { class: "trouble" }), oee = h("b"), output = h("b"), material = h("span", { class: "muted" });
    const grid = h("div", { class: "tiles" });
    const root = h("section", { class: "line", "aria-label": line.name },
      h("div", { class: "line-head" }, h("h2", {}, line.name), material,
        h("span", { class: "line-figures" }, trouble, h("span", {}, "OEE ", oee), h("span", {}, "Output ", output))),
      grid);
    return {
      root, grid,
      draw(l, machines) {
        style(root, "--n", String(Math.max(1, l.machines.length)));
        text(material, l.material || "");
        const stopped = machines.filter((m) => !["running", "planned_stop"].includes(m.state)).length;
        text(trouble, stopped ? `${stopped} of ${machines.length} not running` : "");
        text(oee, l.kpi.oee == null ? L.format.none : `${L.format.percent(l.kpi.oee)} %`);
        text(output, `${L.format.number(l.good)}${l.target == null ? "" : ` / ${L.format.number(l.target)}`}`);
      },
    };
  };
})();
