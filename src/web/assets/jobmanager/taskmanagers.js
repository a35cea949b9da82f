// TaskManagers: what they offer, what they run, what they and their workers write.
import { html } from '../lib/html.js';
import { usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Card, Empty, Facts, Filter, Meter, Pairs, Pending, Table, Tabs, filterText } from '../lib/bits.js';
import { bytes, count, counted, time } from '../lib/format.js';
import { LogView } from '../lib/log.js';

const used = (it) => it.slotsNumber - it.freeSlots;

const COLUMNS = [
  { id: 'id', label: 'TaskManager', sort: (it) => it.id, cell: (it) => html`<a href=${href(['taskmanagers', it.id])}>${it.id}</a>` },
  { id: 'path', label: 'Address', sort: (it) => it.path, cell: (it) => html`<span class="muted mono">${it.path.replace(/^http:\/\//, '')}</span>` },
  { id: 'slots', label: 'Slots in use', width: '170px', sort: used, cell: (it) => html`<div class="row"><div class="grow"><${Meter} total=${it.slotsNumber} parts=${[{ value: used(it), fill: 'tone-running', label: `${used(it)} of ${it.slotsNumber} in use` }]} /></div><span class="num">${used(it)}/${it.slotsNumber}</span></div>` },
  { id: 'cores', label: 'Cores', num: true, sort: (it) => it.hardware.cpuCores, cell: (it) => it.hardware.cpuCores },
  { id: 'memory', label: 'Memory', num: true, sort: (it) => it.hardware.physicalMemory, cell: (it) => bytes(it.memoryConfiguration.totalProcessMemory ?? it.hardware.physicalMemory) },
  { id: 'heartbeat', label: 'Last heard', num: true, sort: (it) => it.timeSinceLastHeartbeat, cell: (it) => time(it.timeSinceLastHeartbeat) },
];

export function TaskManagers() {
  const { data, error } = usePoll('taskmanagers', 2000);
  if (!data) return html`<${Pending} error=${error} what="TaskManagers" />`;
  const all = data.taskmanagers, wanted = filterText();
  const found = wanted ? all.filter((it) => `${it.id} ${it.path}`.toLowerCase().includes(wanted)) : all;
  const sum = (read) => all.reduce((total, it) => total + read(it), 0);
  return html`<h1 class="visually-hidden">TaskManagers</h1>
    <div class="spread row wrap"><${Facts} of=${[['TaskManagers', all.length], ['slots in use', sum(used), `of ${sum((it) => it.slotsNumber)}`], ['memory', bytes(sum((it) => it.memoryConfiguration.totalProcessMemory || 0))]]} />
      <${Filter} label="Filter by id or address" /></div>
    <${Card} title="TaskManagers" aside=${html`<span class="muted">${counted(found.length, 'TaskManager')}</span>`}>
      <${Table} columns=${COLUMNS} rows=${found} keyOf=${(it) => it.id} sort="id" empty=${html`<${Empty} title=${wanted ? 'None matches' : 'No TaskManager is registered'}>${wanted ? '' : html`Start one with <code>flott taskmanager</code>. On a cluster they come when a job needs them.`}</${Empty}>`} />
    </${Card}>`;
}

function Resources({ of }) {
  const memory = of.memoryConfiguration;
  const columns = [
    { id: 'job', label: 'Job', cell: (it) => html`<a href=${href(['jobs', it.jobId])}>${it.jobId}</a>` },
    { id: 'slots', label: 'Slots', num: true, cell: (it) => it.slots },
    { id: 'memory', label: 'Memory', num: true, cell: (it) => bytes(it.memory * 1048576) },
  ];
  const byJob = new Map();
  for (const slot of of.allocatedSlots || []) {
    const entry = byJob.get(slot.jobId) || { jobId: slot.jobId, slots: 0, memory: 0 };
    byJob.set(slot.jobId, { ...entry, slots: entry.slots + 1, memory: entry.memory + slot.resource.taskHeapMemory });
  }
  return html`<${Card} title="Resources" pad><${Pairs} of=${[
      ['Address', html`<code>${of.path}</code>`],
      ['Data port', of.dataPort > 0 ? of.dataPort : 'none yet: workers open one each'],
      ['Slots', `${used(of)} of ${of.slotsNumber} in use`],
      ['Cores of the machine', of.hardware.cpuCores],
      ['Memory of the process', bytes(memory.totalProcessMemory)],
      of.metrics?.heapUsed ? ['Memory in use', bytes(of.metrics.heapUsed)] : null,
      ['Last heard', time(of.timeSinceLastHeartbeat)],
    ]} /></${Card}>
    <${Card} title="Slots given to jobs"><${Table} columns=${columns} rows=${[...byJob.values()]} keyOf=${(it) => it.jobId} empty=${html`<${Empty} title="All slots are free" />`} /></${Card}>`;
}

function Files({ id, file }) {
  const { data, error } = usePoll(`taskmanagers/${id}/logs`, 5000);
  if (file) return html`<p><a href=${href(['taskmanagers', id, 'logs'])}>all files</a> / <code>${file}</code></p><${LogView} path=${`taskmanagers/${id}/logs/${encodeURIComponent(file)}`} name=${file} />`;
  if (!data) return html`<${Pending} error=${error} what="files" />`;
  const columns = [
    { id: 'name', label: 'File', sort: (it) => it.name, cell: (it) => html`<a class="mono" href=${href(['taskmanagers', id, 'logs', it.name])}>${it.name}</a>` },
    { id: 'size', label: 'Size', num: true, sort: (it) => it.size, cell: (it) => bytes(it.size) },
    { id: 'mtime', label: 'Last written', num: true, sort: (it) => it.mtime, cell: (it) => time(it.mtime) },
  ];
  return html`<${Card} title="Files"><${Table} columns=${columns} rows=${data.logs} keyOf=${(it) => it.name} sort="name" empty=${html`<${Empty} title="Nothing has been written yet" />`} /></${Card}>`;
}

export function MetricsTable({ base }) {
  const { data: names, error } = usePoll(base, 10_000);
  const wanted = filterText('metric');
  const found = (names || []).map((it) => it.id).filter((id) => id.toLowerCase().includes(wanted)).slice(0, 200);
  const { data: values } = usePoll(found.length ? `${base}?get=${found.map(encodeURIComponent).join()}` : null, 2000);
  if (!names) return html`<${Pending} error=${error} what="metrics" />`;
  const columns = [
    { id: 'id', label: 'Metric', sort: (it) => it.id, cell: (it) => html`<code>${it.id}</code>` },
    { id: 'value', label: 'Value', num: true, sort: (it) => Number(it.value), cell: (it) => html`<span title=${it.value}>${/bytes|Memory|memory|Heap/.test(it.id) ? bytes(it.value) : count(it.value)}</span>` },
  ];
  return html`<${Card} title="Metrics" aside=${html`<${Filter} name="metric" label="Filter metrics" />`}><${Table} columns=${columns} rows=${values || []} keyOf=${(it) => it.id} sort="id" empty=${html`<${Empty} title="No metric of that name" />`} /></${Card}>`;
}

const TABS = [['resources', 'Resources'], ['metrics', 'Metrics'], ['log', 'Log'], ['stdout', 'Standard output'], ['logs', 'Files']];

export function TaskManager({ id, tab, file }) {
  const { data, error } = usePoll(`taskmanagers/${encodeURIComponent(id)}`, 3000);
  if (!data) return html`<${Pending} error=${error} what="the TaskManager" />`;
  const base = `taskmanagers/${encodeURIComponent(id)}`;
  return html`<div class="title"><h1>${id}</h1><span class="muted">${used(data)} of ${counted(data.slotsNumber, 'slot')} in use</span></div>
    <${Tabs} of=${TABS.map(([name, text]) => [name, text, href(['taskmanagers', id, name])])} current=${tab} label="Views of this TaskManager" />
    ${tab === 'resources' ? html`<${Resources} of=${data} />` : ''}
    ${tab === 'metrics' ? html`<${MetricsTable} base=${`${base}/metrics`} />` : ''}
    ${tab === 'log' ? html`<${LogView} key="log" path=${`${base}/log`} name="taskmanager.log" empty="This TaskManager's own log is not kept where it can be read: it was started by hand." />` : ''}
    ${tab === 'stdout' ? html`<${LogView} key="stdout" path=${`${base}/stdout`} name="stdout" empty="Its workers have printed nothing yet." />` : ''}
    ${tab === 'logs' ? html`<${Files} id=${id} file=${file} />` : ''}`;
}
