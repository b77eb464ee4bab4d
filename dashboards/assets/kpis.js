// The strip of figures over the board.
(() => {
  const L = (window.lineside = window.lineside || {});
  const { h, text, attr, style, show } = L;
  const GOAL = 0.04;   // share of stop time without a reason that is still good
  const card = (title, cls, ...children) => h("section", { class: `kpi ${cls}` }, h("h2", {}, title), ...children);

  L.kpiStrip = () => {
    const oee = h("span"), target = h("span"), diff = h("b"), factors = L.factors("apq wide"), coverage = h("p", { class: "hint", hidden: true });
    const good = h("span"), goodTarget = h("small"), against = h("b"), progress = L.progress(), forecast = h("b"), share = h("span"), range = h("span");
    const bar = h("div", { class: "states" }), counts = h("div", { class: "counts" });
    const minutes = h("span"), plannedShare = h("p", { class: "muted" }), top = h("ol", { class: "top" });
    const uncoded = h("span"), stops = h("small"), uncodedShare = h("span"), goal = h("b", {}, `goal under ${GOAL * 100} %`);
    const goodCard = card("Good parts, this shift", "k-good",
      h("div", { class: "row" }, h("div", { class: "big" }, good, goodTarget), against),
      progress.root, h("p", { class: "muted" }, "forecast at shift end ", forecast, share, range));
    const root = h("div", { class: "kpis" },
      card("Plant OEE", "k-oee",
        h("div", { class: "split" }, h("div", {}, h("div", { class: "big" }, oee, h("small", { class: "unit" }, "%")), h("p", { class: "muted" }, target, diff)), factors.root), coverage),
      goodCard,
      card("Machines by state", "k-states", bar, counts),
      card("Unplanned downtime, this shift", "k-down",
        h("div", { class: "split" }, h("div", {}, h("div", { class: "big" }, minutes, h("small", {}, " min")), plannedShare), top)),
      card("Stops without a reason", "k-uncoded",
        h("div", { class: "big" }, uncoded, stops), h("p", { class: "muted" }, uncodedShare, goal)));

    const drawStates = (machines) => {
      const groups = {};
      const silent = L.stream.silence() != null;
      for (const m of machines) {
        const group = silent ? "unknown" : (L.STATES[m.state] || L.STATES.unknown).group;
        groups[group] = (groups[group] || 0) + 1;
      }
      const present = Object.keys(L.GROUPS).filter((g) => groups[g] || (g !== "unknown" && g !== "setup" && g !== "maintenance"));
      const key = present.map((g) => g + (groups[g] || 0)).join();
      if (bar.dataset.key === key) return;
      bar.dataset.key = key;
      bar.replaceChildren(...present.filter((g) => groups[g]).map((g) => {
        const piece = h("i", { "data-group": g });
        piece.style.flexGrow = groups[g];
        return piece;
      }));
      counts.replaceChildren(...present.map((g) => h("span", { "data-group": g, "data-zero": !groups[g] }, L.icon(g), h("b", {}, String(groups[g] || 0)), h("span", {}, L.GROUPS[g]))));
    };
    const draw = (b) => {
      text(oee, L.format.percent(b.kpi.oee));
      const points = b.kpi.oee == null ? null : (b.kpi.oee - b.target_oee) * 100;
      text(target, `target ${L.format.percent(b.target_oee)}`);
      text(diff, points == null ? "" : ` · ${points < 0 ? "\u2212" : "+"}${Math.abs(points).toFixed(1)} pt`);
      attr(diff, "data-judge", points == null ? "none" : points >= 0 ? "ahead" : "behind");
      factors.update(b.kpi, 1);
      show(coverage, b.kpi.coverage != null && b.kpi.coverage < 0.995);
      text(coverage, `known for ${L.format.percent(b.kpi.coverage, 0)} % of the time`);
      text(good, L.format.number(b.good));
      text(goodTarget, b.target == null ? "" : ` / ${L.format.number(b.target)}`);
      text(against, L.format.against(b.good, b.expected));
      attr(against, "data-judge", L.judge(b.good, b.expected) === "near" ? "behind" : L.judge(b.good, b.expected));
      progress.update(b.good, b.expected, b.target);
      text(forecast, L.format.number(b.forecast));
      attr(forecast, "title", b.forecast_low == null ? "too little is known yet for an interval" : "in 8 of 10 cases between these two numbers");
      text(range, b.forecast_low == null ? "" : ` · ${L.format.number(b.forecast_low)} to ${L.format.number(b.forecast_high)}`);
      text(share, b.forecast != null && b.target ? ` (${L.format.percent(b.forecast / b.target)} %)` : "");
      drawStates(b.machines);
      text(minutes, L.format.number(b.downtime / 60));
      text(plannedShare, b.planned ? `${L.format.percent(b.downtime / b.planned)} % of planned time` : "no planned time yet");
      const most = Math.max(1, ...b.top.map((l) => l.seconds));
      const key = JSON.stringify(b.top);
      if (top.dataset.key !== key) {
        top.dataset.key = key;
        top.replaceChildren(...b.top.slice(0, 3).map((loss) => {
          const piece = h("i");
          piece.style.width = `${(100 * loss.seconds) / most}%`;
          return h("li", {}, h("span", { title: loss.name }, loss.name), h("em", {}, piece), h("b", {}, L.format.length(loss.seconds)));
        }));
      }
      text(uncoded, L.format.number(b.uncoded));
      text(stops, `  of ${L.format.number(b.stops)} stop${b.stops === 1 ? "" : "s"}`);
      text(uncodedShare, b.uncoded_share == null ? "" : `${L.format.percent(b.uncoded_share)} % of stop time · `);
      attr(goal, "data-judge", b.uncoded_share != null && b.uncoded_share >= GOAL ? "behind" : "none");
    };
    return { root, draw, tick: drawStates };
  };
})();
