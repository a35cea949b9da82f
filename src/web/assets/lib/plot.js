// Lines over time.
import uPlot from '../vendor/uplot.js';
import { html, useEffect, useRef } from './html.js';
import { colour, dark } from './theme.js';
import { count } from './format.js';

/** Values of the last minutes, by name; a page keeps one while it is open. */
export class History {
  constructor(length = 600) {
    this.length = length;
    this.times = [];
    this.series = new Map();
  }

  /** Notes `values` (name to number) at `seconds`. */
  note(seconds, values) {
    if (this.times.at(-1) >= seconds) return;
    this.times.push(seconds);
    for (const name of Object.keys(values)) {
      if (!this.series.has(name)) this.series.set(name, new Array(this.times.length - 1).fill(null));
    }
    for (const [name, list] of this.series) list.push(values[name] ?? null);
    if (this.times.length > this.length) {
      this.times.shift();
      for (const list of this.series.values()) list.shift();
    }
  }

  columns(names) {
    return [this.times, ...names.map((name) => this.series.get(name) || new Array(this.times.length).fill(null))];
  }
}

/** `lines` are `{ name, label, token }`; `version` changes when the history has. */
export function Plot({ title, history, lines, version, format = count, max }) {
  const box = useRef(null);
  const plot = useRef(null);
  const names = lines.map((line) => line.name).join();
  useEffect(() => {
    const axis = { stroke: colour('--muted'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' };
    const options = {
      width: box.current.clientWidth || 330,
      height: 130,
      cursor: { y: false, sync: { key: 'flott' } },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, max || Math.max(high || 1, 1)] } },
      axes: [{ ...axis, size: 24, space: 76, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toTimeString().slice(0, 8)) }, { ...axis, size: 52, space: 28, values: (_, ticks) => ticks.map(format) }],
      series: [{ label: 'at', value: (_, at) => (at ? new Date(at * 1000).toLocaleTimeString() : '–') },
        ...lines.map((line) => ({ label: line.label, stroke: colour(line.token), width: 1.5, points: { show: false }, value: (_, value) => (value === null ? '–' : format(value)) }))],
    };
    plot.current = new uPlot(options, history.columns(lines.map((line) => line.name)), box.current);
    const observer = new ResizeObserver(() => { if (box.current) plot.current?.setSize({ width: box.current.clientWidth, height: 130 }); });
    observer.observe(box.current);
    return () => { observer.disconnect(); plot.current?.destroy(); plot.current = null; };
  }, [names, dark.value]);
  useEffect(() => { plot.current?.setData(history.columns(lines.map((line) => line.name))); }, [version]);
  return html`<figure class="card plot" style=${{ margin: 0 }} aria-label=${title}><header><h2>${title}</h2></header><div ref=${box} style=${{ padding: '4px 6px' }}></div></figure>`;
}
