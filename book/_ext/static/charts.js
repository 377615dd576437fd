// Charts as wide as their column, fewer panels beside each other on small screens; shown data as CSV.
window.birdieFit = (wide, width) => {
  const narrow = width < 500;
  const fewer = (columns) => (narrow ? 1 : width < 640 ? Math.max(1, columns >> 1) : columns);
  const smaller = (key, value) => {
    if (key === "labelLimit") return Math.min(value, width - 20);
    return key === "legend" && value?.columns ? { ...value, columns: fewer(value.columns) } : value;
  };
  const spec = width < 640 ? JSON.parse(JSON.stringify(wide), smaller) : wide;
  if (narrow) { // names wider than a panel have room at its left
    const { header, legend } = spec.config ?? {};
    spec.config = { ...spec.config, axisX: { titleAnchor: "end" }, header: { ...header, labelAnchor: "end" },
      legend: { ...legend, layout: { top: { anchor: "end" } } } };
  }
  if (narrow && spec.hconcat) {
    const { hconcat, ...rest } = spec;
    return { ...rest, vconcat: hconcat };
  }
  const { spacing, ...beside } = spec.usermeta ?? {}; // pixels between panels, and beside them
  if (!width || beside.margin === undefined) return spec;
  const margin = beside.margin - (narrow ? 44 : 0); // a phone has no button beside the chart
  if (spec.vconcat) {
    return { ...spec, vconcat: spec.vconcat.map((view) => ({ ...view, width: width - margin })) };
  }
  const columns = fewer(spec.columns);
  const panel = Math.floor((width - margin - (columns - 1) * spacing) / columns);
  // panels below each other stay as wide as their axis, also under a longer title
  const stacked = narrow && !spec.resolve ? { bounds: "flush", spacing: 36 } : {};
  return { ...spec, ...stacked, columns, spec: { ...spec.spec, width: Math.max(panel, 60) } };
};
addEventListener("DOMContentLoaded", () => {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (rows) => rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
  const listed = (table) => [...table.rows].map((row) => [...row.cells].map((c) => c.textContent.replaceAll("\u00a0", " ")));
  const flat = (records) => {
    const names = [...new Set(records.flatMap(Object.keys))];
    return [names, ...records.map((record) => names.map((name) => record[name]))];
  };
  for (const output of document.querySelectorAll(".cell_output")) {
    const shown = output.querySelectorAll(".birdie-chart, table[id^=tab-]");
    output.querySelectorAll("details.provenance").forEach((fold, index) => {
      const one = shown[index];
      if (!one) return;
      const link = (rows, number) => {
        const made = document.createElement("a");
        const part = number ? ` ${number + 1}` : "";
        made.textContent = `Data of this ${one.tBodies ? "table" : "figure"}${part} (CSV)`;
        made.download = `${one.id.replace("chart-", "")}${part.replace(" ", "-")}.csv`;
        made.href = `data:text/csv;charset=utf-8,${encodeURIComponent(csv(rows))}`;
        fold.append(made, " ");
      };
      const add = () => {
        const several = Object.values(one.birdieSpec?.datasets ?? {}).filter((d) => d.length > 1);
        (one.tBodies ? [listed(one)] : several.map(flat)).forEach(link);
      };
      fold.addEventListener("toggle", add, { once: true });
    });
  }
});
