// What the scheduler does not do at this moment, and why: by queue, application and request; of one node, why it does not serve them.
import { html } from '../lib/html.js';
import { usePoll } from '../lib/net.js';
import { href, refine, route } from '../lib/route.js';
import { Card, Empty, Pending, Table } from '../lib/bits.js';
import { counted } from '../lib/format.js';

const list = (of) => [of || []].flat();

/** An application's requests as lines, or itself where the answer names none. */
function lines(queue) {
  return list(queue.children).flatMap((app) => {
    const asks = list(app.children);
    const line = (ask, index) => ({
      key: `${app.name}/${index}`, queue: queue.name, application: app.name, priority: app.appPriority, request: ask?.requestPriority, why: ask?.diagnostic || app.diagnostic,
    });
    return asks.length ? asks.map(line) : [line(null, 0)];
  });
}

const columns = (names) => [
  { id: 'application', label: 'Application', width: '225px', sort: (it) => it.application, cell: (it) => html`<a href=${href(['applications', it.application, 'waiting'])} title=${it.application}>${names.get(it.application) || it.application}</a>` },
  { id: 'queue', label: 'Queue', width: '150px', sort: (it) => it.queue, cell: (it) => html`<a href=${href(['queues'])}>${it.queue}</a>` },
  { id: 'priority', label: 'Priority', title: 'Of the application', num: true, width: '80px', sort: (it) => Number(it.priority), cell: (it) => it.priority },
  { id: 'request', label: 'Request', title: 'The priority by which the application tells its requests apart', num: true, width: '80px', sort: (it) => Number(it.request), cell: (it) => it.request ?? '–' },
  { id: 'why', label: 'Why not', wrap: true, cell: (it) => it.why || '' },
];

/** Of one node only what stands in its own way is told, for an application as a whole. */
const reasons = (queues, node) => (node
  ? queues.flatMap((queue) => list(queue.children).map((app) => ({ key: app.name, queue: queue.name, application: app.name, priority: app.appPriority, why: app.diagnostic })))
  : queues.flatMap(lines));

export function Activities({ view }) {
  const node = route.value.query.get('node') || '';
  const { data, error } = usePoll(`ws/v1/cluster/scheduler/activities${node ? `?nodeId=${encodeURIComponent(node)}` : ''}`, 2000);
  const choice = html`<select aria-label="Node" value=${node} onChange=${(event) => refine({ node: event.target.value })}>
    <option value="">All nodes</option>${view.nodes.map((it) => html`<option key=${it.id} value=${it.id} selected=${it.id === node}>${it.id}</option>`)}</select>`;
  if (error) return html`<${Card} title="What waits" aside=${choice} pad><${Pending} error=${error} /></${Card}>`;
  if (!data) return html`<${Pending} what="the scheduler's reasons" />`;
  const rows = reasons(list(data.activities.allocations).flatMap((it) => list(it.root?.children)), node);
  const shown = columns(new Map(view.applications.map((it) => [it.id, it.name]))).filter((it) => it.id !== 'request' || !node);
  const waiting = new Set(rows.map((it) => it.application)).size;
  return html`<${Card} title=${node ? `What ${node} does not serve` : 'What waits'} aside=${html`<div class="row"><span class="muted">${counted(waiting, 'application')}</span>${choice}</div>`}>
      <${Table} fixed columns=${shown} rows=${rows} keyOf=${(it) => it.key} height="75vh"
        empty=${html`<${Empty} title=${node && view.applications.some((it) => it.waiting) ? 'Nothing waits for this node' : 'Nothing waits'}>Each application has what it asked for. When one does not, the scheduler's reason stands here.</${Empty}>`} />
    </${Card}>`;
}
