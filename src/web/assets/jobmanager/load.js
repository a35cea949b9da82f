// What a vertex spends its time on: working, waiting for room downstream, or waiting for input.
import { html } from '../lib/html.js';
import { Meter } from '../lib/bits.js';
import { permille } from '../lib/format.js';

/** The word for it, as the graph colours it. Thresholds are those of the diagnosis. */
export function loadOf(vertex) {
  if (!vertex.rated) return 'none';
  if (vertex.backpressured[1] >= 200 && vertex.backpressured[1] >= vertex.busy[1] / 4) return 'held';
  return vertex.busy[1] >= 800 ? 'busy' : 'ok';
}

/** Mean shares as one bar. */
export function Load({ of, thin }) {
  if (!of.rated) return html`<div class="bar ${thin ? 'thin' : ''}" title="not measured"></div>`;
  const parts = [
    { value: of.busy[0], fill: 'fill-busy', label: `busy ${permille(of.busy[0])}` },
    { value: of.backpressured[0], fill: 'fill-held', label: `backpressured ${permille(of.backpressured[0])}` },
    { value: of.idle[0], fill: 'fill-idle', label: `idle ${permille(of.idle[0])}` },
  ];
  return html`<${Meter} parts=${parts} total=${Math.max(1000, parts.reduce((sum, part) => sum + part.value, 0))} thin=${thin} />`;
}

export const LEGEND = [['fill-busy', 'busy'], ['fill-held', 'backpressured'], ['fill-idle', 'idle']];
