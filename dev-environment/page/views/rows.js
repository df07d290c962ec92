// Rows that Python keeps current (rows.py). Whatever it is given is text: nothing of it ever becomes markup.
import { h, markRaw, toRaw } from "vue";

const WIDTH = 96;
const HEIGHT = 22;

// One time is at the same place in all curves of a row, though some of them begin later.
function spark(points, row) {
  if (points.length < 2) return null;
  const times = row.cells.flatMap((cell) => (cell.spark || []).map(([x]) => x));
  const from = Math.min(...times);
  const across = Math.max(...times) - from || 1;
  const most = Math.max(...points.map((point) => point[1])) || 1;
  // A point without a value ends the line; one that stands alone is drawn as a line of no length, which has round ends.
  const isKnown = (point) => point && point[1] !== null;
  const place = ([x, y], at) =>
    `${isKnown(points[at - 1]) ? "L" : "M"}${(((x - from) / across) * WIDTH).toFixed(1)},${(HEIGHT - 2 - (y / most) * (HEIGHT - 4)).toFixed(1)}h0`;
  const attributes = { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
  return h("svg", attributes, h("path", { d: points.map((point, at) => (isKnown(point) ? place(point, at) : "")).join("") }));
}

const percent = (value) => `${Math.min(Math.max(value, 0), 100).toFixed(3)}%`;

export default {
  props: { columns: Array, rows: Array, label: String, empty: String },
  emits: ["open", "act"],
  data() {
    return { shown: markRaw([...toRaw(this.rows)]), lacking: this.empty };
  },
  methods: {
    patch(order, changed, empty) {
      const known = new Map(this.shown.map((row) => [row.id, row]));
      for (const row of changed) known.set(row.id, row);
      this.lacking = empty;
      this.shown = markRaw(order.map((id) => known.get(id)));
    },
    cell(row, cell, column, isFirst) {
      const inner = [];
      if (cell.dot) inner.push(h("span", { class: ["dot", cell.dot], "aria-hidden": "true" }));
      if (cell.text !== undefined) inner.push(h("bdi", { class: "text" }, cell.text));
      if (cell.note) inner.push(h("bdi", { class: "note" }, cell.note));
      if (cell.tags) inner.push(...cell.tags.map(([text, tone]) => h("bdi", { class: ["tag", tone] }, text)));
      if (cell.spark) inner.push(spark(cell.spark, row));
      if (cell.bar) {
        const style = { left: percent(cell.bar[0]), width: percent(cell.bar[1]) };
        inner.push(h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: ["bar", cell.bar[2]], style })));
      }
      let content = inner;
      if (cell.act) {
        const act = () => this.$emit("act", row.id);
        content = h("button", { class: "small", type: "button", disabled: cell.off, "aria-label": cell.act, onClick: act }, inner);
      } else if (cell.href) {
        content = h("a", { class: "aside", href: cell.href }, inner);
      } else if (isFirst && row.href) {
        content = h("a", { class: "whole", href: row.href, "aria-label": row.label }, inner);
      } else if (isFirst && row.opens) {
        const open = () => this.$emit("open", row.id);
        const attributes = { class: "whole", type: "button", "aria-expanded": String(!!row.detail), "aria-label": row.label, onClick: open };
        content = h("button", attributes, inner);
      }
      const style = cell.depth ? { paddingLeft: `${10 + cell.depth * 14}px` } : undefined;
      const attributes = { role: "cell", class: [column.class_, cell.class_], style, title: cell.title, "data-label": column.title };
      return h("td", attributes, content);
    },
    detail(row) {
      const { fields, links, lines, stack } = row.detail;
      const parts = [];
      if (links) parts.push(h("p", links.map(([text, href]) => h("a", { class: "link", href }, text))));
      if (lines) {
        const logged = lines.map(([level, text, href]) =>
          h("li", { class: level }, [h("span", { class: ["tag", level] }, level), href ? h("a", { class: "link", href }, text) : h("bdi", text)]),
        );
        parts.push(h("ul", { class: "lines", "aria-label": "log lines" }, logged));
      }
      if (stack) parts.push(h("pre", { class: "stack", tabindex: 0 }, stack));
      if (fields) parts.push(h("dl", { class: "fields" }, fields.flatMap(([name, value]) => [h("dt", h("bdi", name)), h("dd", h("bdi", value))])));
      return h("tr", { role: "row", class: "detail", key: `${row.id} detail` }, h("td", { role: "cell", colspan: this.columns.length }, parts));
    },
  },
  render() {
    if (!this.shown.length) return h("p", { class: "empty", role: "status" }, this.lacking);
    const head = this.columns.map((column) => h("th", { role: "columnheader", scope: "col", class: column.class_ }, column.title));
    const body = this.shown.flatMap((row) => {
      const cells = row.cells.map((cell, index) => this.cell(row, cell, this.columns[index], !index));
      const line = h("tr", { role: "row", key: row.id, class: row.class_, "data-id": row.id }, cells);
      return row.detail ? [line, this.detail(row)] : [line];
    });
    return h("table", { class: "rows", role: "table", "aria-label": this.label }, [
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
      h("tbody", { role: "rowgroup" }, body),
    ]);
  },
};
