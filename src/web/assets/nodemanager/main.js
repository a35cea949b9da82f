// The NodeManager's app: its containers, and what each has written.
import { html } from '../lib/html.js';
import { get, usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { start } from '../lib/shell.js';
import { Card, Empty, Pairs, Pending, State, Table, Tabs } from '../lib/bits.js';
import { bytes, mebibytes } from '../lib/format.js';
import { LogView } from '../lib/log.js';

/** The page is also served where YARN's log links lead: `/node/containerlogs/{container}/{user}`. */
const linked = location.pathname.match(/^(.*)\/node\/containerlogs\/([^/]+)\//);
const API = `${linked ? linked[1] : ''}/ws/v1/node`;
const list = (envelope, name) => envelope?.[name] || [];

function Containers() {
  const { data, error } = usePoll(`${API}/containers`, 2000);
  const { data: info } = usePoll(`${API}/info`, 5000);
  if (!data) return html`<${Pending} error=${error} what="containers" />`;
  const node = info?.nodeInfo;
  const columns = [
    { id: 'id', label: 'Container', sort: (it) => it.id, cell: (it) => html`<a href=${href(['containers', it.id])}>${it.id}</a>` },
    { id: 'state', label: 'State', cell: (it) => html`<${State} of=${it.state} />` },
    { id: 'user', label: 'User', cell: (it) => it.user },
    { id: 'memory', label: 'Memory', num: true, sort: (it) => it.totalMemoryNeededMB, cell: (it) => mebibytes(it.totalMemoryNeededMB) },
    { id: 'vcores', label: 'Cores', num: true, cell: (it) => it.totalVCoresNeeded },
    { id: 'diagnostics', label: 'Diagnostics', cell: (it) => html`<span class="muted" title=${it.diagnostics}>${it.diagnostics || ''}</span>` },
  ];
  return html`
    ${node ? html`<${Card} title="This node" pad><${Pairs} of=${[
      ['Id', html`<code>${node.id}</code>`],
      ['Healthy', node.nodeHealthy ? 'yes' : html`<b>no: ${node.healthReport}</b>`],
      ['Memory for containers', mebibytes(node.totalPmemAllocatedContainersMB)],
      ['Cores for containers', node.totalVCoresAllocatedContainers],
      ['Version', node.nodeManagerVersion],
    ]} /></${Card}>` : ''}
    <${Card} title="Containers"><${Table} columns=${columns} rows=${list(data.containers, 'container')} keyOf=${(it) => it.id} sort="-id" empty=${html`<${Empty} title="No container runs here" />`} /></${Card}>`;
}

function Container({ id, file }) {
  const { data, error } = usePoll(`${API}/containers/${id}/logs`, 5000);
  if (!data) return html`<${Pending} error=${error} what="logs" />`;
  const infos = data.containerLogsInfos || data.containerLogsInfo || data;
  const logs = [infos].flat().flatMap((it) => list(it, 'containerLogInfo'));
  const shown = file || logs.find((it) => it.fileSize > 0)?.fileName || logs[0]?.fileName;
  if (!shown) return html`<${Empty} title="This container has written nothing" />`;
  return html`<div class="title"><h1>${id}</h1></div>
    <${Tabs} of=${logs.map((it) => [it.fileName, `${it.fileName} · ${bytes(it.fileSize)}`, href(['containers', id, it.fileName])])} current=${shown} label="Files" />
    <${LogView} key=${shown} path=${`${API}/containers/${id}/logs/${encodeURIComponent(shown)}`} name=${shown} />`;
}

function page({ parts: [place, id, file] }) {
  if (place === 'containers' && id) return { crumbs: [['Containers', '#/containers'], [id]], body: html`<${Container} key=${id} id=${id} file=${file} />` };
  if (!place && linked) return { crumbs: [['Containers', '#/containers'], [linked[2]]], body: html`<${Container} key=${linked[2]} id=${linked[2]} />` };
  return { crumbs: [['Containers']], body: html`<${Containers} />` };
}

async function entries() {
  const { containers } = await get(`${API}/containers`);
  return list(containers, 'container').map((it) => ({ text: it.id, kind: `container of ${it.user}`, to: href(['containers', it.id]) }));
}

start({ title: 'NodeManager', nav: () => [['', [['Containers', '#/containers', true]]]], page, entries, version: () => '' });
