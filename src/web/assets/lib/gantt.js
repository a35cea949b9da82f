// Spans of time, a lane a thing.
import { html } from './html.js';
import { duration } from './format.js';

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000, 604_800_000];

/** `lanes` are `{ name, spans: [{ from, to, fill, label }] }` in milliseconds; the axis goes from the first to the last, or as told. */
export function Gantt({ lanes, from: begin = Infinity, to: end = 0 }) {
  const all = lanes.flatMap((lane) => lane.spans);
  const first = Math.min(begin, ...all.map((span) => span.from)), last = Math.max(end, ...all.map((span) => span.to), first + 1);
  const width = last - first;
  const step = STEPS.find((it) => width / it <= 8) || width;
  const ticks = Array.from({ length: Math.floor(width / step) + 1 }, (_, index) => index * step);
  const share = (ms) => `${(ms * 100) / width}%`;
  return html`<div class="gantt">
    <div class="lane axis"><span></span><div class="track">${ticks.map((tick) => html`<span style=${{ left: share(tick) }}>${tick === 0 ? '0' : duration(tick)}</span>`)}</div><span class="num">in all</span></div>
    ${lanes.map((lane) => {
      const from = Math.min(...lane.spans.map((span) => span.from)), to = Math.max(...lane.spans.map((span) => span.to));
      return html`<div class="lane"><span class="clip">${lane.name}</span>
        <div class="track">${lane.spans.filter((span) => span.to > span.from || lane.spans.length === 1).map((span) => html`<i class=${span.fill} style=${{ left: share(span.from - first), width: share(span.to - span.from) }} title="${span.label}: ${duration(span.to - span.from)}"></i>`)}</div>
        <span class="num muted">${lane.spans.length ? duration(to - from) : '–'}</span></div>`;
    })}
  </div>`;
}
