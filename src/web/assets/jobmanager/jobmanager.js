// The JobManager itself: configuration with its origin, metrics, log.
import { html } from '../lib/html.js';
import { usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Card, Empty, Filter, Pending, Table, Tabs, filterText } from '../lib/bits.js';
import { counted } from '../lib/format.js';
import { LogView } from '../lib/log.js';
import { MetricsTable } from './taskmanagers.js';

const COLUMNS = [
  { id: 'key', label: 'Key', width: '42%', sort: (it) => it.key, cell: (it) => html`<code>${it.key}</code>` },
  { id: 'value', label: 'Value', wrap: true, cell: (it) => html`<code>${it.value}</code>` },
  { id: 'origin', label: 'From', width: '240px', sort: (it) => it.origin || '', cell: (it) => html`<span class=${it.origin && it.origin !== 'default' ? '' : 'muted'}>${it.origin || ''}</span>` },
];

function Configuration() {
  const { data, error } = usePoll('jobmanager/config', 0);
  if (!data) return html`<${Pending} error=${error} what="the configuration" />`;
  const wanted = filterText();
  const found = data.filter((it) => `${it.key} ${it.value} ${it.origin}`.toLowerCase().includes(wanted));
  return html`<${Card} title="Configuration" aside=${html`<div class="row"><span class="muted">${counted(found.length, 'key')}</span><${Filter} label="Filter by key, value, origin" /></div>`}>
    <${Table} columns=${COLUMNS} rows=${found} keyOf=${(it) => it.key} sort="key" height="70vh" empty=${html`<${Empty} title="No such key" />`} /></${Card}>`;
}

const TABS = [['configuration', 'Configuration'], ['metrics', 'Metrics'], ['log', 'Log'], ['stdout', 'Standard output']];
const BY_HAND = 'This JobManager was started by hand: what it writes went to its terminal.';

export function JobManager({ tab }) {
  return html`<h1 class="visually-hidden">JobManager</h1>
    <${Tabs} of=${TABS.map(([name, text]) => [name, text, href(['jobmanager', name])])} current=${tab} label="Views of the JobManager" />
    ${tab === 'configuration' ? html`<${Configuration} />` : ''}
    ${tab === 'metrics' ? html`<${MetricsTable} base="jobmanager/metrics" />` : ''}
    ${tab === 'log' ? html`<${LogView} key="log" path="jobmanager/log" name="jobmanager.log" empty=${BY_HAND} />` : ''}
    ${tab === 'stdout' ? html`<${LogView} key="stdout" path="jobmanager/stdout" name="jobmanager.out" empty=${BY_HAND} />` : ''}`;
}
