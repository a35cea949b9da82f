// The cluster at a glance: what it has, what is given away, what is really used, and who waits.
import { html } from '../lib/html.js';
import { now } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Card, Empty, Facts, Legend, State, Table, Verdicts, hasEnded } from '../lib/bits.js';
import { counted, duration, exact, mebibytes } from '../lib/format.js';
import { Capacity, LEGEND } from './capacity.js';
import { Topology } from './topology.js';

/** Where the evidence of a finding is. */
const evidence = (it) => ({ node: href(['nodes', it.subject]), application: href(['applications', it.subject]) })[it.page];

const COLUMNS = [
  { id: 'name', label: 'Application', sort: (it) => it.name, cell: (it) => html`<a href=${href(['applications', it.id])} title=${it.id}>${it.name}</a>` },
  { id: 'state', label: 'State', width: '110px', sort: (it) => it.state, cell: (it) => html`<${State} of=${it.state} />` },
  { id: 'user', label: 'User', sort: (it) => it.user, cell: (it) => it.user },
  { id: 'queue', label: 'Queue', sort: (it) => it.queue, cell: (it) => it.queue },
  { id: 'containers', label: 'Containers', num: true, sort: (it) => it.containers, cell: (it) => exact(it.containers) },
  { id: 'memory', label: 'Memory', num: true, sort: (it) => it.allocated[0], cell: (it) => mebibytes(it.allocated[0]) },
  { id: 'cores', label: 'Cores', num: true, sort: (it) => it.allocated[1], cell: (it) => exact(it.allocated[1]) },
  { id: 'for', label: 'For', num: true, sort: (it) => -it.started, cell: (it) => duration(now.value - it.started) },
  { id: 'waits', label: 'Waits for', cell: (it) => html`<span class="muted" title=${it.waiting}>${it.waiting || ''}</span>` },
];

export function Cluster({ view }) {
  const { metrics, nodes, applications } = view;
  const live = applications.filter((it) => !hasEnded(it.state));
  const used = nodes.reduce((sum, it) => sum + it.used, 0);
  return html`<h1 class="visually-hidden">Cluster</h1>
    <${Verdicts} of=${view.verdicts} link=${evidence} />
    <${Facts} of=${[
      ['nodes', exact(metrics.activeNodes), metrics.lostNodes + metrics.unhealthyNodes ? `${metrics.lostNodes + metrics.unhealthyNodes} unfit` : ''],
      ['applications', exact(metrics.appsRunning), 'running'],
      ['waiting', exact(metrics.appsPending)],
      ['containers', exact(metrics.containersAllocated), metrics.containersPending ? `${exact(metrics.containersPending)} asked for` : ''],
      ['ended well', exact(metrics.appsCompleted)],
      ['failed', exact(metrics.appsFailed)],
      ['killed', exact(metrics.appsKilled)],
    ]} />
    <${Card} title="Resources" aside=${html`<${Legend} entries=${LEGEND} />`} pad>
      <${Capacity} rows=${[
        { label: 'Memory', total: metrics.totalMB, allocated: metrics.allocatedMB, reserved: metrics.reservedMB, pending: metrics.pendingMB, used, format: mebibytes },
        { label: 'Cores', total: metrics.totalVirtualCores, allocated: metrics.allocatedVirtualCores, reserved: metrics.reservedVirtualCores, pending: metrics.pendingVirtualCores, format: exact },
      ]} />
    </${Card}>
    <${Card} title="Live applications" aside=${html`<span class="muted">${counted(live.length, 'application')}</span>`}>
      <${Table} columns=${COLUMNS} rows=${live} keyOf=${(it) => it.id} sort="-for" height="40vh" empty=${html`<${Empty} title="No application is running">Submit one with <code>flott run -t yarn-per-job target/release/my-job</code>.</${Empty}>`} />
    </${Card}>
    <h2>Where the containers are</h2>
    <${Topology} view=${view} />`;
}
