// Three different numbers: what is given away, what is set aside for a container that does not fit yet, what is really used.
import { html } from '../lib/html.js';
import { Meter } from '../lib/bits.js';
import { percent } from '../lib/format.js';

export const LEGEND = [['tone-running', 'allocated'], ['tone-waiting', 'reserved', true], ['fill-accent', 'really used on the machines']];

/** One bar of allocated and reserved; `label` names what of. */
export const Given = ({ allocated, reserved, total, format, thin }) => html`<${Meter} thin=${thin} total=${total} parts=${[
  { value: allocated, fill: 'tone-running', label: `${format(allocated)} of ${format(total)} allocated` },
  { value: reserved, fill: 'tone-waiting', hatched: true, label: reserved ? `${format(reserved)} reserved` : '' },
]} />`;

export const Used = ({ used, total, format }) => html`<${Meter} thin total=${total} parts=${[{ value: used, fill: 'fill-accent', label: `${format(used)} really used` }]} />`;

export const Capacity = ({ rows }) => html`<div class="stack" style=${{ gap: '14px' }}>
  ${rows.map((row) => html`<div>
    <div class="spread" style=${{ marginBottom: '4px' }}><b>${row.label}</b><span class="muted num">
      ${row.format(row.allocated)} of ${row.format(row.total)} allocated${row.total ? `, ${percent((row.allocated * 100) / row.total)}` : ''}${row.reserved ? `, ${row.format(row.reserved)} reserved` : ''}${row.pending ? `, ${row.format(row.pending)} asked for` : ''}${row.used !== undefined ? `, ${row.format(row.used)} really used` : ''}</span></div>
    <div class="stack" style=${{ gap: '3px' }}><${Given} ...${row} />${row.used !== undefined ? html`<${Used} ...${row} />` : ''}</div>
  </div>`)}
</div>`;
