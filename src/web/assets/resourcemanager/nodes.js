// Nodes: the list, and one with what runs on it.
import { html } from '../lib/html.js';
import { usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Card, Empty, Filter, Pairs, State, Table, filterText } from '../lib/bits.js';
import { counted, exact, mebibytes, time } from '../lib/format.js';
import { Capacity, Given, Used } from './capacity.js';

const COLUMNS = [
  { id: 'id', label: 'Node', sort: (it) => it.id, cell: (it) => html`<a href=${href(['nodes', it.id])}>${it.id}</a>` },
  { id: 'rack', label: 'Rack', sort: (it) => it.rack, cell: (it) => html`<span class="muted">${it.rack}</span>` },
  { id: 'state', label: 'State', sort: (it) => it.state, cell: (it) => html`<${State} of=${it.state} />` },
  { id: 'containers', label: 'Containers', num: true, sort: (it) => it.containers, cell: (it) => exact(it.containers) },
  { id: 'memory', label: 'Memory allocated', width: '190px', sort: (it) => it.allocated[0] / it.total[0], cell: (it) => html`<div class="row"><div class="grow"><${Given} allocated=${it.allocated[0]} reserved=${it.reserved[0]} total=${it.total[0]} format=${mebibytes} /></div></div>` },
  { id: 'allocated', label: '', num: true, cell: (it) => html`${mebibytes(it.allocated[0])} of ${mebibytes(it.total[0])}` },
  { id: 'used', label: 'Really used', width: '110px', sort: (it) => it.used / it.total[0], cell: (it) => html`<${Used} used=${it.used} total=${it.total[0]} format=${mebibytes} />` },
  { id: 'cores', label: 'Cores', num: true, sort: (it) => it.allocated[1], cell: (it) => `${exact(it.allocated[1])} of ${exact(it.total[1])}` },
  { id: 'health', label: 'Health', cell: (it) => html`<span class=${it.health ? '' : 'muted'} title=${it.health}>${it.health || (it.connected ? '' : 'its link is down')}</span>` },
];

export function Nodes({ view }) {
  const wanted = filterText();
  const found = view.nodes.filter((it) => `${it.id} ${it.rack} ${it.state}`.toLowerCase().includes(wanted));
  return html`<${Card} title="Nodes" aside=${html`<div class="row"><span class="muted">${counted(found.length, 'node')}</span><${Filter} label="Filter by host, rack, state" /></div>`}>
    <${Table} columns=${COLUMNS} rows=${found} keyOf=${(it) => it.id} sort="id" height="75vh" empty=${html`<${Empty} title=${wanted ? 'No node matches' : 'No node is registered'}>${wanted ? '' : html`Start one with <code>flott nodemanager</code>.`}</${Empty}>`} /></${Card}>`;
}

export function Node({ view, id }) {
  const { data } = usePoll(`ws/v1/cluster/nodes/${id}`, 5000);
  const node = view.nodes.find((it) => it.id === id);
  if (!node) return html`<${Empty} title="There is no node ${id}">It may have been decommissioned. <a href=${href(['nodes'])}>All nodes</a></${Empty}>`;
  const containers = view.containers.filter((it) => it.node === id);
  const columns = [
    { id: 'id', label: 'Container', sort: (it) => it.id, cell: (it) => html`<span class="mono">${it.id}</span>` },
    { id: 'application', label: 'Application', sort: (it) => it.application, cell: (it) => html`<a href=${href(['applications', it.application])}>${it.application}</a>` },
    { id: 'state', label: 'State', cell: (it) => html`<${State} of=${it.state} />` },
    { id: 'memory', label: 'Memory', num: true, sort: (it) => it.resource[0], cell: (it) => mebibytes(it.resource[0]) },
    { id: 'cores', label: 'Cores', num: true, cell: (it) => exact(it.resource[1]) },
  ];
  return html`<div class="title"><h1>${id}</h1><${State} of=${node.state} /><span class="grow"></span><a class="button" href=${`${location.protocol}//${node.http}/`} target="_blank" rel="noopener">Its containers' logs</a></div>
    ${node.health ? html`<div class="verdict error"><b>${node.health}</b></div>` : ''}
    <${Card} title="Resources" pad><${Capacity} rows=${[
      { label: 'Memory', total: node.total[0], allocated: node.allocated[0], reserved: node.reserved[0], used: node.used, format: mebibytes },
      { label: 'Cores', total: node.total[1], allocated: node.allocated[1], reserved: node.reserved[1], format: exact }]} /></${Card}>
    <${Card} title="About" pad><${Pairs} of=${[['Rack', node.rack], ['Address', html`<code>${node.http}</code>`], ['Link', node.connected ? 'up' : 'down'], ['Used by containers', mebibytes(node.containersUsed)], ['Last heard', time(data?.node.lastHealthUpdate)], ['Version', node.version]]} /></${Card}>
    <${Card} title="Containers"><${Table} columns=${columns} rows=${containers} keyOf=${(it) => it.id} sort="id" empty=${html`<${Empty} title="No container runs here" />`} /></${Card}>`;
}
