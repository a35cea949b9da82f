// A vertex of a job: its subtasks, how evenly they work, plots, and every metric there is.
import { html, useMemo, useRef, useState } from '../lib/html.js';
import { now, usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Empty, Legend, Meter, Pairs, Pending, State, Table, Tabs } from '../lib/bits.js';
import { bytes, count, duration, eventTime, exact, isEnd, percent, permille } from '../lib/format.js';
import { History, Plot } from '../lib/plot.js';
import { heldBack } from './graph.js';
import { LEGEND } from './load.js';

const PARTS = [['subtasks', 'Subtasks'], ['plots', 'Plots'], ['metrics', 'Metrics'], ['accumulators', 'Accumulators'], ['taskmanagers', 'TaskManagers']];

const at = (endpoint, id) => (id && id !== '(unassigned)' ? html`<a href=${href(['taskmanagers', id])} title=${id}>${endpoint}</a>` : html`<span class="muted">unassigned</span>`);

/** Mean deviation in per cent of the mean, as Flink's skew page reckons. */
function skewOf(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
  if (!mean) return 0;
  return Math.min(100, (values.reduce((sum, value) => sum + Math.abs(value - mean), 0) / values.length / mean) * 100);
}

function Subtasks({ base }) {
  const { data, error } = usePoll(base, 2000);
  const { data: pressure } = usePoll(`${base}/backpressure`, 2000);
  if (!data) return html`<${Pending} error=${error} what="subtasks" />`;
  const load = new Map((pressure?.subtasks || []).map((it) => [it.subtask, it]));
  const most = Math.max(1, ...data.subtasks.map((it) => it.metrics['read-records']));
  const reads = data.subtasks.map((it) => it.metrics['read-records']);
  const columns = [
    { id: 'subtask', label: '#', num: true, width: '36px', sort: (it) => it.subtask, cell: (it) => it.subtask },
    { id: 'state', label: 'State', width: '100px', sort: (it) => it.status, cell: (it) => html`<${State} of=${it.status} />` },
    { id: 'load', label: 'Load', width: '90px', sort: (it) => load.get(it.subtask)?.busyRatio || 0, cell: (it) => html`<${SubtaskLoad} of=${load.get(it.subtask)} />` },
    { id: 'read', label: 'Records in', num: true, sort: (it) => it.metrics['read-records'], cell: (it) => html`<span title=${exact(it.metrics['read-records'])}>${count(it.metrics['read-records'])}</span>` },
    { id: 'share', label: 'Spread', width: '70px', cell: (it) => html`<${Meter} thin total=${most} parts=${[{ value: it.metrics['read-records'], fill: 'fill-accent', label: exact(it.metrics['read-records']) }]} />` },
    { id: 'written', label: 'Records out', num: true, sort: (it) => it.metrics['write-records'], cell: (it) => count(it.metrics['write-records']) },
    { id: 'endpoint', label: 'At', sort: (it) => it.endpoint, cell: (it) => at(it.endpoint, it['taskmanager-id']) },
    { id: 'attempt', label: 'Att.', title: 'Attempt', num: true, sort: (it) => it.attempt, cell: (it) => it.attempt },
    { id: 'duration', label: 'For', num: true, sort: (it) => it.duration, cell: (it) => duration(it.duration) },
  ];
  return html`<div class="body spread"><span class="muted">skew of records in: <b>${percent(skewOf(reads))}</b></span><${Legend} entries=${LEGEND} /></div>
    <${Table} columns=${columns} rows=${data.subtasks} keyOf=${(it) => it.subtask} sort="subtask" height="56vh" />`;
}

const SubtaskLoad = ({ of }) => (of
  ? html`<${Meter} total=${1} parts=${[
      { value: of.busyRatio, fill: 'fill-busy', label: `busy ${permille(of.busyRatio * 1000)}` },
      { value: of.ratio, fill: 'fill-held', label: `backpressured ${permille(of.ratio * 1000)}` },
      { value: of.idleRatio, fill: 'fill-idle', label: `idle ${permille(of.idleRatio * 1000)}` }]} />`
  : html`<span class="muted">–</span>`);

function Plots({ vertex, kept }) {
  const name = (metric) => `${vertex.id}.${metric}`;
  const shared = { history: kept.history, version: kept.version };
  return html`<div class="body plots">
    <${Plot} ...${shared} title="Records a second" lines=${[{ name: name('in'), label: 'in', token: '--finished' }, { name: name('out'), label: 'out', token: '--running' }]} />
    <${Plot} ...${shared} title="Where the time goes, %" max=${100} format=${(value) => `${Math.round(value)}`} lines=${[
      { name: name('busy'), label: 'busy', token: '--busy' }, { name: name('backpressured'), label: 'backpressured', token: '--held' }, { name: name('idle'), label: 'idle', token: '--muted' }]} />
  </div>`;
}

/** Picks metrics by name; each picked one is plotted, summed over the subtasks. */
function Metrics({ base }) {
  const { data: names, error } = usePoll(`${base}/subtasks/metrics`, 0);
  const [picked, setPicked] = useState([]);
  const [wanted, setWanted] = useState('');
  const history = useMemo(() => new History(), [base]);
  const last = useRef({ values: null, version: 0 });
  const { data: values } = usePoll(picked.length ? `${base}/subtasks/metrics?get=${picked.map(encodeURIComponent).join()}` : null, 1000);
  if (!names) return html`<${Pending} error=${error} what="metrics" />`;
  if (values && values !== last.current.values) {
    last.current = { values, version: last.current.version + 1 };
    history.note(Math.round(now.value / 1000), Object.fromEntries(values.map((it) => [it.id, it.sum])));
  }
  const found = names.map((it) => it.id).filter((id) => id.toLowerCase().includes(wanted.toLowerCase())).sort();
  const toggle = (id) => setPicked(picked.includes(id) ? picked.filter((it) => it !== id) : [...picked, id]);
  return html`<div class="body stack">
    <input type="search" placeholder="Metric …" aria-label="Filter metrics" value=${wanted} onInput=${(event) => setWanted(event.target.value)} />
    <div class="row wrap">${found.map((id) => html`<button key=${id} class=${picked.includes(id) ? 'primary' : ''} aria-pressed=${picked.includes(id)} onClick=${() => toggle(id)}>${id}</button>`)}</div>
    ${picked.length === 0 ? html`<p class="muted">Pick metrics to plot them from now on, summed over the subtasks.</p>` : ''}
    ${values?.length ? html`<${Table} keyOf=${(it) => it.id} rows=${values} columns=${[
      { id: 'id', label: 'Metric', cell: (it) => html`<code>${it.id}</code>` },
      ...['min', 'avg', 'max', 'sum'].map((name) => ({ id: name, label: name, num: true, cell: (it) => count(it[name]) })),
      { id: 'skew', label: 'skew', num: true, cell: (it) => percent(it.skew) }]} />` : ''}
    <div class="plots">${picked.map((id) => html`<${Plot} key=${id} title=${id} history=${history} version=${last.current.version} lines=${[{ name: id, label: 'sum', token: '--accent' }]} />`)}</div>
  </div>`;
}

function Accumulators({ base }) {
  const { data, error } = usePoll(`${base}/accumulators`, 2000);
  if (!data) return html`<${Pending} error=${error} />`;
  const columns = [
    { id: 'name', label: 'Name', sort: (it) => it.name, cell: (it) => it.name },
    { id: 'type', label: 'Type', cell: (it) => html`<span class="muted">${it.type}</span>` },
    { id: 'value', label: 'Value', num: true, cell: (it) => html`<code>${it.value}</code>` },
  ];
  return html`<${Table} columns=${columns} rows=${data['user-accumulators']} keyOf=${(it) => it.name} empty=${html`<${Empty} title="The program counts nothing here">Accumulators that functions of this vertex register in <code>open</code> show here.</${Empty}>`} />`;
}

function Places({ base }) {
  const { data, error } = usePoll(`${base}/taskmanagers`, 3000);
  if (!data) return html`<${Pending} error=${error} />`;
  const columns = [
    { id: 'endpoint', label: 'TaskManager', cell: (it) => at(it.endpoint, it['taskmanager-id']) },
    { id: 'status', label: 'State', cell: (it) => html`<${State} of=${it.status} />` },
    { id: 'in', label: 'Records in', num: true, sort: (it) => it.metrics['read-records'], cell: (it) => count(it.metrics['read-records']) },
    { id: 'out', label: 'Records out', num: true, sort: (it) => it.metrics['write-records'], cell: (it) => count(it.metrics['write-records']) },
    { id: 'bytes', label: 'Bytes out', num: true, cell: (it) => bytes(it.metrics['write-bytes']) },
    { id: 'for', label: 'For', num: true, cell: (it) => duration(it.duration) },
  ];
  return html`<${Table} columns=${columns} rows=${data.taskmanagers} keyOf=${(it) => it['taskmanager-id'] + it.endpoint} />`;
}

export function Vertex({ job, vertex, part, kept, plan }) {
  const base = `jobs/${job}/vertices/${vertex.id}`;
  const to = (name) => href(['jobs', job, 'graph', vertex.id, name]);
  const inputs = plan.nodes.find((node) => node.id === vertex.id)?.inputs || [];
  return html`<aside class="card drawer" aria-label="Vertex ${vertex.name}">
    <header><h2 style=${{ overflowWrap: 'anywhere' }}>${vertex.name}</h2><a class="button" href=${href(['jobs', job, 'graph'])} aria-label="Close">✕</a></header>
    <div class="body"><${Pairs} of=${[
      ['State', html`<${State} of=${vertex.status} /> <span class="muted">${Object.entries(vertex.tasks).map(([state, number]) => `${number} ${state.toLowerCase()}`).join(', ')}</span>`],
      ['Parallelism', vertex.parallelism],
      inputs.length ? ['Reads by', [...new Set(inputs.map((input) => (input.ship_strategy || '').toLowerCase()))].join(', ')] : null,
      vertex.rated ? ['Busiest subtask', html`busy ${permille(vertex.busy[1])}, backpressured ${permille(vertex.backpressured[1])}`] : null,
      vertex.watermark !== null && vertex.watermark !== undefined ? ['Watermark', html`${eventTime(vertex.watermark)}${isEnd(vertex.watermark) ? '' : html` <span class="muted">${duration(now.value - vertex.watermark)} behind the clock</span>`}`] : null,
      vertex['held-back'] ? ['Held back', heldBack(vertex)] : null,
      vertex.hot ? ['Hot key', html`${vertex['hot-key'] ? html`<code>${vertex['hot-key']}</code>` : 'one key'} has at least <b>${permille(vertex.hot)}</b> of the latest records`] : null,
      vertex.bad ? ['Malformed', `${exact(vertex.bad)} records repaired or dropped`] : null,
    ]} /></div>
    <${Tabs} of=${PARTS.map(([name, text]) => [name, text, to(name)])} current=${part} label="Views of this vertex" />
    ${part === 'subtasks' ? html`<${Subtasks} base=${base} />` : ''}
    ${part === 'plots' ? html`<${Plots} vertex=${vertex} kept=${kept} />` : ''}
    ${part === 'metrics' ? html`<${Metrics} base=${base} />` : ''}
    ${part === 'accumulators' ? html`<${Accumulators} base=${base} />` : ''}
    ${part === 'taskmanagers' ? html`<${Places} base=${base} />` : ''}
  </aside>`;
}
