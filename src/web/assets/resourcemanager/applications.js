// All applications, by state, user, queue and text.
import { html } from '../lib/html.js';
import { now } from '../lib/net.js';
import { href, refine, route } from '../lib/route.js';
import { Card, Empty, Filter, State, Table, filterText } from '../lib/bits.js';
import { counted, duration, exact, mebibytes, time } from '../lib/format.js';

const COLUMNS = [
  { id: 'id', label: 'Application', width: '250px', sort: (it) => it.id, cell: (it) => html`<a href=${href(['applications', it.id])}>${it.id}</a>` },
  { id: 'name', label: 'Name', sort: (it) => it.name, cell: (it) => html`<span title=${it.name}>${it.name}</span>` },
  { id: 'user', label: 'User', width: '80px', sort: (it) => it.user, cell: (it) => it.user },
  { id: 'queue', label: 'Queue', width: '90px', sort: (it) => it.queue, cell: (it) => it.queue },
  { id: 'state', label: 'State', width: '110px', sort: (it) => it.state, cell: (it) => html`<${State} of=${it.state === 'FINISHED' && it.finalStatus === 'FAILED' ? 'FAILED' : it.state} />` },
  { id: 'containers', label: 'Containers', num: true, width: '90px', sort: (it) => it.containers, cell: (it) => exact(it.containers) },
  { id: 'memory', label: 'Memory', num: true, width: '90px', sort: (it) => it.allocated[0], cell: (it) => mebibytes(it.allocated[0]) },
  { id: 'for', label: 'For', num: true, width: '90px', sort: (it) => (it.finished || now.value) - it.started, cell: (it) => html`<span title="Submitted ${time(it.started)}">${duration((it.finished || now.value) - it.started)}</span>` },
  { id: 'why', label: 'Waits for, ended by', cell: (it) => html`<span class="muted" title=${it.waiting || it.diagnostics}>${it.waiting || it.diagnostics}</span>` },
];

function Choice({ name, label, options }) {
  const value = route.value.query.get(name) || '';
  return html`<select aria-label=${label} value=${value} onChange=${(event) => refine({ [name]: event.target.value })}>
    <option value="">${label}</option>${[...new Set(options)].sort().map((it) => html`<option key=${it} value=${it} selected=${it === value}>${it}</option>`)}</select>`;
}

export function Applications({ view }) {
  const all = view.applications, query = route.value.query;
  const wanted = filterText();
  const found = all.filter((it) => ['state', 'user', 'queue'].every((name) => !query.get(name) || it[name] === query.get(name))
    && (!wanted || `${it.id} ${it.name} ${it.user} ${it.tags.join(' ')}`.toLowerCase().includes(wanted)));
  return html`<${Card} title="Applications" aside=${html`<div class="row wrap"><span class="muted">${counted(found.length, 'application')}</span>
      <${Choice} name="state" label="Any state" options=${all.map((it) => it.state)} />
      <${Choice} name="user" label="Any user" options=${all.map((it) => it.user)} />
      <${Choice} name="queue" label="Any queue" options=${all.map((it) => it.queue)} />
      <${Filter} label="Filter by id, name, tag" /></div>`}>
    <${Table} fixed columns=${COLUMNS} rows=${found} keyOf=${(it) => it.id} sort="-id" height="78vh" empty=${html`<${Empty} title=${all.length ? 'No application matches' : 'No application has been submitted'}>${all.length ? '' : html`<code>flott run -t yarn-per-job target/release/my-job</code>`}</${Empty}>`} /></${Card}>`;
}
