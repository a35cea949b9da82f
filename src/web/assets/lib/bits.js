// Small pieces that every page is made of.
import { html, useEffect, useMemo, useRef, useState } from './html.js';
import { refine, route } from './route.js';

const TONES = {
  RUNNING: 'running', ACTIVE: 'running', STARTED: 'running', COMPLETED: 'finished', FINISHED: 'finished', SUCCEEDED: 'finished', COMPLETE: 'finished',
  FAILED: 'failed', FAILING: 'failed', LOST: 'failed', UNHEALTHY: 'failed',
  CANCELED: 'canceled', CANCELLING: 'canceled', CANCELING: 'canceled', KILLED: 'canceled', SHUTDOWN: 'canceled', DECOMMISSIONED: 'canceled', DECOMMISSIONING: 'canceled', SUSPENDED: 'canceled',
};

/** The one colour of a state: running, finished, failed, cancelled, or on its way. */
export const tone = (state) => `tone-${TONES[state] || 'waiting'}`;

const ENDED = new Set(['FINISHED', 'FAILED', 'CANCELED', 'KILLED', 'COMPLETED', 'COMPLETE']);
export const hasEnded = (state) => ENDED.has(state);

const words = (state) => String(state || '').toLowerCase().replaceAll('_', ' ');

export const State = ({ of }) => html`<span class="state ${tone(of)} ${of === 'RUNNING' ? 'live' : ''}">${words(of)}</span>`;

/** Counts by state as one bar: `{ RUNNING: 3, FINISHED: 1 }`. */
export function StateBar({ counts }) {
  const entries = Object.entries(counts || {}).filter(([, number]) => number > 0);
  const total = entries.reduce((sum, [, number]) => sum + number, 0);
  const title = entries.map(([state, number]) => `${number} ${words(state)}`).join(', ');
  return html`<div class="bar" title=${title} role="img" aria-label=${title || 'no tasks'}>
    ${entries.map(([state, number]) => html`<i class=${tone(state)} style=${{ width: `${(number * 100) / total}%` }}></i>`)}
  </div>`;
}

/** Parts of a whole: `parts` are `{ value, fill, label, hatched }`. */
export function Meter({ parts, total, thin }) {
  const shown = parts.filter((part) => part.value > 0);
  const title = parts.map((part) => part.label).filter(Boolean).join(', ');
  return html`<div class="bar ${thin ? 'thin' : ''}" title=${title} role="img" aria-label=${title}>
    ${shown.map((part) => html`<i class="${part.fill} ${part.hatched ? 'hatched' : ''}" style=${{ width: `${total > 0 ? Math.min(100, (part.value * 100) / total) : 0}%` }}></i>`)}
  </div>`;
}

export const Legend = ({ entries }) => html`<div class="legend">
  ${entries.map(([fill, label, hatched]) => html`<span><i class="${fill} ${hatched ? 'hatched' : ''}"></i>${label}</span>`)}
</div>`;

export const Facts = ({ of }) => html`<div class="facts">
  ${of.filter(Boolean).map(([label, value, unit, title]) => html`<div class="fact" title=${title}><b>${value}${unit ? html` <small>${unit}</small>` : ''}</b><span>${label}</span></div>`)}
</div>`;

export const Card = ({ title, aside, children, pad, label }) => html`<section class="card" aria-label=${label || title}>
  ${title || aside ? html`<header><h2>${title}</h2>${aside}</header>` : ''}
  ${pad ? html`<div class="body">${children}</div>` : children}
</section>`;

export const Empty = ({ title, children }) => html`<div class="empty"><b>${title}</b>${children}</div>`;

/** What to show while there is nothing yet, or nothing will come. */
export function Pending({ error, what }) {
  if (error) return html`<div class="verdict error" role="alert"><div><b>${error.message}</b>${error.status === 0 ? html`<p>The page goes on by itself once it answers again.</p>` : ''}</div></div>`;
  return html`<div class="empty" aria-busy="true">${what ? `Loading ${what} …` : 'Loading …'}</div>`;
}

export const Pairs = ({ of }) => html`<dl class="pairs">${of.filter(Boolean).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;

export const Tabs = ({ of, current, label }) => html`<nav class="tabs" aria-label=${label}>
  ${of.map(([id, text, to]) => html`<a href=${to} aria-current=${id === current ? 'page' : undefined}>${text}</a>`)}
</nav>`;

/** A filter whose text is part of the address. */
export function Filter({ name = 'q', label, width = '220px' }) {
  return html`<input type="search" aria-label=${label} placeholder=${label} value=${route.value.query.get(name) || ''} style=${{ width }}
    onInput=${(event) => refine({ [name]: event.target.value })} />`;
}
export const filterText = (name = 'q') => (route.value.query.get(name) || '').toLowerCase();

const ROW_PX = 30;
/** Rows that are scrolled over before others are drawn; so many and a few more are drawn beyond those in sight. */
const STEP_ROWS = 8;
const DRAWN_WHOLE_MAX = 120;

/**
 * A table. Columns are `{ id, label, num, cell(row), sort(row), width }`; a long one draws only the rows in sight.
 * `sort` is the column it starts with, with `-` in front for descending.
 */
export function Table({ columns, rows, keyOf, sort = '', height = '60vh', selected, onPick, empty, fixed }) {
  const [order, setOrder] = useState(sort);
  const [top, setTop] = useState(0);
  const box = useRef(null);
  const [descending, by] = order.startsWith('-') ? [true, order.slice(1)] : [false, order];
  const sorted = useMemo(() => {
    const column = columns.find((it) => it.id === by);
    return column ? [...rows].sort((a, b) => compare(column.sort(a), column.sort(b)) * (descending ? -1 : 1)) : rows;
  }, [rows, columns, order]);
  const long = sorted.length > DRAWN_WHOLE_MAX;
  const visible = Math.ceil((box.current?.clientHeight || 700) / ROW_PX) + 20;
  const first = long ? Math.max(0, Math.min(Math.floor(top / ROW_PX) - 10, sorted.length - visible)) : 0;
  const drawn = long ? sorted.slice(first, first + visible) : sorted;
  useEffect(() => { if (!long) setTop(0); }, [long]);
  if (rows.length === 0 && empty) return empty;
  const head = (it) => html`<th class=${it.num ? 'num' : ''} style=${it.width ? { width: it.width } : undefined}
      aria-sort=${it.id === by ? (descending ? 'descending' : 'ascending') : undefined} title=${it.title}>
    ${it.sort ? html`<button onClick=${() => setOrder(it.id === by && !descending ? `-${it.id}` : it.id)}>${it.label}${it.id === by ? (descending ? ' ↓' : ' ↑') : ''}</button>` : it.label}
  </th>`;
  return html`<div class="table ${fixed ? 'fixed' : ''}" ref=${box} style=${long ? { maxHeight: height } : undefined} onScroll=${long ? (event) => setTop(Math.floor(event.target.scrollTop / ROW_PX / STEP_ROWS) * STEP_ROWS * ROW_PX) : undefined}>
    <table>
      <thead><tr>${columns.map(head)}</tr></thead>
      <tbody>
        ${first > 0 ? html`<tr aria-hidden="true"><td colspan=${columns.length} style=${{ height: `${first * ROW_PX}px`, padding: 0 }}></td></tr>` : ''}
        ${drawn.map((row) => html`<tr key=${keyOf(row)} class=${selected === keyOf(row) ? 'selected' : ''} onClick=${onPick ? () => onPick(row) : undefined}>
          ${columns.map((it) => html`<td class="${it.num ? 'num' : ''} ${it.wrap ? 'wrap' : ''}">${it.cell(row)}</td>`)}
        </tr>`)}
        ${long && first + drawn.length < sorted.length ? html`<tr aria-hidden="true"><td colspan=${columns.length} style=${{ height: `${(sorted.length - first - drawn.length) * ROW_PX}px`, padding: 0 }}></td></tr>` : ''}
      </tbody>
    </table>
  </div>`;
}

const WORDS = new Intl.Collator(undefined, { numeric: true });

function compare(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return WORDS.compare(String(a ?? ''), String(b ?? ''));
}

/** What the diagnosis says, worst first; those beyond the second wait behind a button. */
export function Verdicts({ of, link }) {
  const [all, setAll] = useState(false);
  if (!of?.length) return '';
  const shown = all ? of : of.slice(0, 2);
  return html`<div class="stack" style=${{ gap: '6px' }} role="status">
    ${shown.map((it) => html`<div class="verdict ${it.severity}" data-kind=${it.kind}>
      <div><b>${it.cause}</b>${it.evidence ? html`<p>${it.evidence}</p>` : ''}${it.remedy ? html`<p class="remedy">→ ${it.remedy}</p>` : ''}</div>
      ${link && link(it) ? html`<a class="more" href=${link(it)}>evidence</a>` : ''}
    </div>`)}
    ${of.length > 2 ? html`<button class="plain" onClick=${() => setAll(!all)}>${all ? 'fewer' : `${of.length - 2} more`}</button>` : ''}
  </div>`;
}

/** The sign of event time; drawn, for not every font has one. */
export const Clock = () => html`<svg class="clock" viewBox="0 0 12 12" aria-hidden="true"><circle cx="6" cy="6" r="5" /><path d="M6 3v3.2l2 1.2" /></svg>`;
