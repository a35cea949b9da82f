// One application: why it waits, where it runs, how its containers ended.
import { html, useState } from '../lib/html.js';
import { usePoll, write } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Card, Empty, Facts, Pairs, Pending, State, Table, Tabs, hasEnded } from '../lib/bits.js';
import { Confirm, tell } from '../lib/dialog.js';
import { counted, duration, exact, mebibytes, time } from '../lib/format.js';

const BASE = 'ws/v1/cluster/apps';
const known = (number) => (number >= 0 ? number : null);

const EXIT = { 0: 'ended', '-100': 'lost with its node', '-1000': '' };
function exit(container) {
  if (container.containerState !== 'COMPLETE') return '';
  return container.diagnosticsInfo || EXIT[container.containerExitStatus] || `exit code ${container.containerExitStatus}`;
}

/** Ends that somebody wanted: preempted, or stopped by the master, the ResourceManager, a user, the application's end. */
const WANTED = new Set([-102, -105, -106, -107]);
function state({ containerState, containerExitStatus }) {
  if (containerState !== 'COMPLETE' || containerExitStatus === 0) return containerState;
  return WANTED.has(containerExitStatus) ? 'KILLED' : 'FAILED';
}

const CONTAINERS = [
  { id: 'id', label: 'Container', sort: (it) => it.containerId, cell: (it) => html`<a class="mono" href=${it.logUrl} target="_blank" rel="noopener" title="Its logs, at its node">${it.containerId}</a>` },
  { id: 'state', label: 'State', sort: state, cell: (it) => html`<${State} of=${state(it)} />` },
  { id: 'node', label: 'Node', sort: (it) => it.assignedNodeId, cell: (it) => html`<a href=${href(['nodes', it.assignedNodeId])}>${it.assignedNodeId}</a>` },
  { id: 'memory', label: 'Memory', num: true, sort: (it) => it.allocatedMB, cell: (it) => mebibytes(it.allocatedMB) },
  { id: 'cores', label: 'Cores', num: true, cell: (it) => exact(it.allocatedVCores) },
  { id: 'started', label: 'Granted', num: true, sort: (it) => it.startedTime, cell: (it) => time(it.startedTime) },
  { id: 'for', label: 'For', num: true, sort: (it) => it.elapsedTime, cell: (it) => duration(it.elapsedTime) },
  { id: 'exit', label: 'How it ended', wrap: true, cell: exit },
];

function Containers({ id, attempt }) {
  const { data, error } = usePoll(attempt ? `${BASE}/${id}/appattempts/${attempt}/containers` : null, 2000);
  if (!attempt) return html`<${Empty} title="No attempt has begun" />`;
  if (!data) return html`<${Pending} error=${error} what="containers" />`;
  return html`<${Card} title="Containers of attempt ${Number(attempt.split('_').pop())}"><${Table} columns=${CONTAINERS} rows=${[data.containers.container || []].flat()} keyOf=${(it) => it.containerId} sort="-id" empty=${html`<${Empty} title="None was granted" />`} /></${Card}>`;
}

function Attempts({ of }) {
  const columns = [
    { id: 'id', label: 'Attempt', num: true, width: '70px', cell: (it) => it.id },
    { id: 'state', label: 'State', cell: (it) => html`<${State} of=${it.appAttemptState} />` },
    { id: 'container', label: "Master's container", cell: (it) => (it.logsLink ? html`<a class="mono" href=${it.logsLink} target="_blank" rel="noopener">${it.containerId}</a>` : '–') },
    { id: 'node', label: 'Node', cell: (it) => it.nodeId || '–' },
    { id: 'started', label: 'Started', num: true, cell: (it) => time(it.startTime) },
    { id: 'for', label: 'For', num: true, cell: (it) => duration(it.finishedTime ? it.finishedTime - it.startTime : Date.now() - it.startTime) },
    { id: 'cause', label: 'How it ended', wrap: true, cell: (it) => it.diagnosticsInfo || '' },
  ];
  return html`<${Card} title="Attempts"><${Table} columns=${columns} rows=${of} keyOf=${(it) => it.appAttemptId} empty=${html`<${Empty} title="No attempt has begun" />`} /></${Card}>`;
}

const NODES = [
  { id: 'node', label: 'Node', width: '240px', sort: (it) => it.nodeId, cell: (it) => html`<a href=${href(['nodes', it.nodeId])}>${it.nodeId}</a>` },
  { id: 'why', label: 'Why it does not serve the first request', wrap: true, sort: (it) => it.diagnostic, cell: (it) => it.diagnostic },
];

function Waiting({ app }) {
  const { data } = usePoll(app.waitingReason ? `ws/v1/cluster/scheduler/app-activities/${app.id}` : null, 3000);
  const nodes = [data?.appActivities.allocations || []].flat().flatMap((it) => [it.nodes || []].flat());
  const requests = [app.resourceRequests || []].flat().filter((it) => it.numContainers > 0);
  const columns = [
    { id: 'priority', label: 'Priority', num: true, width: '80px', cell: (it) => it.priority },
    { id: 'count', label: 'Containers', num: true, width: '100px', cell: (it) => exact(it.numContainers) },
    { id: 'each', label: 'Each', width: '180px', cell: (it) => `${mebibytes(it.capability.memory)}, ${counted(it.capability.vCores, 'core')}` },
    { id: 'where', label: 'Where', width: '140px', cell: (it) => (it.resourceName === '*' ? 'anywhere' : it.resourceName) },
    { id: 'reason', label: 'Why not yet', wrap: true, cell: (it) => it.reason || '' },
  ];
  return html`${app.waitingReason ? html`<div class="verdict warning"><b>${app.waitingReason}</b></div>` : ''}
    <${Card} title="Asked for and not granted"><${Table} columns=${columns} rows=${requests} keyOf=${(it) => `${it.priority}/${it.allocationRequestId}/${it.resourceName}`} empty=${html`<${Empty} title="Nothing: it has all it asked for" />`} /></${Card}>
    ${nodes.length ? html`<${Card} title="What the nodes say"><${Table} fixed columns=${NODES} rows=${nodes} keyOf=${(it) => it.nodeId} sort="node" height="50vh" /></${Card}>` : ''}`;
}

function Kill({ app, onClose }) {
  return html`<${Confirm} title="Kill ${app.name}?" action="Kill the application" danger onClose=${onClose}
    onSure=${async ({ user }) => { await write('PUT', `${BASE}/${app.id}/state?user.name=${encodeURIComponent(user)}`, { state: 'KILLED' }); tell('The application is being killed'); }}>
    <p>All its containers end at once. A job in it is not stopped with a savepoint; to keep its progress, stop the job in its own interface instead.</p>
    <label class="field"><span>As the user</span><input name="user" required value=${app.user} /></label></${Confirm}>`;
}

const TABS = [['containers', 'Containers'], ['attempts', 'Attempts'], ['waiting', 'Why it waits']];

export function Application({ id, tab }) {
  const { data, error } = usePoll(`${BASE}/${id}`, 1500);
  const { data: attempts } = usePoll(`${BASE}/${id}/appattempts`, 3000);
  const ended = data ? hasEnded(data.app.state) : false;
  const { data: archived } = usePoll(ended && data.app.applicationType === 'FLOTT' ? `${BASE.replace('apps', 'history')}?application=${id}` : null, 0);
  const [killing, setKilling] = useState(false);
  if (!data) return html`<${Pending} error=${error} what="the application" />`;
  const { app } = data;
  const kept = archived?.jobs.length;
  const all = [attempts?.appAttempts?.appAttempt || []].flat();
  const state = app.state === 'FINISHED' && app.finalStatus === 'FAILED' ? 'FAILED' : app.state;
  return html`<div class="title"><h1>${app.name}</h1><${State} of=${state} /><span class="muted">${app.applicationType.toLowerCase()} of ${app.user} in ${app.queue}</span>
      <span class="grow"></span>
      ${ended && kept ? html`<a class="button" href="proxy/${id}/">${counted(kept, 'archived job')}</a>` : ''}
      ${!ended && app.originalTrackingUrl ? html`<a class="button" href="proxy/${id}/">Open its own interface</a>` : ''}
      ${ended ? '' : html`<button class="danger" onClick=${() => setKilling(true)}>Kill</button>`}</div>
    ${app.diagnostics ? html`<div class="verdict ${state === 'FAILED' || state === 'KILLED' ? 'error' : 'info'}"><b style=${{ whiteSpace: 'pre-wrap' }}>${app.diagnostics}</b></div>` : ''}
    ${!ended && app.waitingReason && tab !== 'waiting' ? html`<div class="verdict warning"><div><b>${app.waitingReason}</b></div><a class="more" href=${href(['applications', id, 'waiting'])}>evidence</a></div>` : ''}
    <${Facts} of=${[
      ['containers', exact(known(app.runningContainers) ?? 0)],
      ['memory', mebibytes(known(app.allocatedMB) ?? 0)],
      ['cores', exact(known(app.allocatedVCores) ?? 0)],
      ['for', duration(app.elapsedTime)],
      ['memory used so far', `${mebibytes(app.memorySeconds / 3600)}`, 'hours'],
    ]} />
    <${Tabs} of=${TABS.map(([name, text]) => [name, text, href(['applications', id, name])])} current=${tab} label="Views of this application" />
    ${tab === 'containers' ? html`<${Containers} id=${id} attempt=${all.at(-1)?.appAttemptId} />` : ''}
    ${tab === 'attempts' ? html`<${Attempts} of=${all} />` : ''}
    ${tab === 'waiting' ? html`<${Waiting} app=${app} />` : ''}
    <${Card} title="About" pad><${Pairs} of=${[
      ['Id', html`<code>${app.id}</code>`], ['Submitted', time(app.startedTime)], ['Master launched', time(app.launchTime)], ['Ended', time(app.finishedTime)],
      ['Final status', app.finalStatus === 'UNDEFINED' ? 'not told yet' : app.finalStatus.toLowerCase()], ['Priority', app.priority], app.applicationTags ? ['Tags', app.applicationTags] : null,
    ]} /></${Card}>
    ${killing ? html`<${Kill} app=${app} onClose=${() => setKilling(false)} />` : ''}`;
}
