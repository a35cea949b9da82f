// The ResourceManager's app: which address shows which page. One live view feeds most of them.
import { html } from '../lib/html.js';
import { get, useLive, usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { start } from '../lib/shell.js';
import { Empty, Pending } from '../lib/bits.js';
import { Cluster } from './cluster.js';
import { Node, Nodes } from './nodes.js';
import { Queues } from './queues.js';
import { Activities } from './activities.js';
import { Applications } from './applications.js';
import { Application } from './application.js';

function Version() {
  const { data } = usePoll('ws/v1/cluster/info', 0);
  return data ? html`version ${data.clusterInfo.resourceManagerVersion}<br />cluster ${data.clusterInfo.id}` : '';
}

/** Gives a page the cluster as it is now. */
function WithCluster({ of: Page, ...rest }) {
  const { view, error } = useLive('live/cluster');
  return view ? html`<${Page} view=${view} ...${rest} />` : html`<${Pending} error=${error} what="the cluster" />`;
}

function page({ parts: [place, id, tab] }) {
  switch (place) {
    case undefined:
      return { crumbs: [['Cluster']], body: html`<${WithCluster} of=${Cluster} />` };
    case 'nodes':
      return id
        ? { crumbs: [['Nodes', href(['nodes'])], [id]], body: html`<${WithCluster} key=${id} of=${Node} id=${id} />` }
        : { crumbs: [['Nodes']], body: html`<${WithCluster} of=${Nodes} />` };
    case 'queues':
      return { crumbs: [['Queues']], body: html`<${Queues} />` };
    case 'activities':
      return { crumbs: [['Scheduler activities']], body: html`<${WithCluster} of=${Activities} />` };
    case 'applications':
      return id
        ? { crumbs: [['Applications', href(['applications'])], [id]], body: html`<${Application} key=${id} id=${id} tab=${tab || 'containers'} />` }
        : { crumbs: [['Applications']], body: html`<${WithCluster} of=${Applications} />` };
    default:
      return { crumbs: [['Cluster', '#/'], ['Nothing here']], body: html`<${Empty} title="There is no such page">The address may be of another version. <a href="#/">The cluster</a></${Empty}>` };
  }
}

const nav = ({ parts: [place] }) => [['', [
  ['Cluster', '#/', !place],
  ['Applications', href(['applications']), place === 'applications'],
  ['Nodes', href(['nodes']), place === 'nodes'],
  ['Queues', href(['queues']), place === 'queues'],
  ['Activities', href(['activities']), place === 'activities'],
]]];

async function entries() {
  const { view } = await get('live/cluster');
  return [
    ...view.applications.map((it) => ({ text: it.name, kind: `${it.id} · ${it.state.toLowerCase()}`, to: href(['applications', it.id]) })),
    ...view.nodes.map((it) => ({ text: it.id, kind: `node · ${it.state.toLowerCase()}`, to: href(['nodes', it.id]) })),
    ...[['Cluster', '#/'], ['Applications', href(['applications'])], ['Nodes', href(['nodes'])], ['Queues', href(['queues'])], ['Scheduler activities', href(['activities'])]]
      .map(([text, to]) => ({ text, kind: 'page', to })),
  ];
}

start({ title: 'ResourceManager', nav, page, entries, version: () => html`<${Version} />` });
