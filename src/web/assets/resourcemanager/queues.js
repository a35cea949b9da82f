// The queues as a tree: what each is due, has, may have, and waits for.
import { html, useState } from '../lib/html.js';
import { usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Card, Legend, Meter, Pairs, Pending, State } from '../lib/bits.js';
import { exact, mebibytes, percent } from '../lib/format.js';

const children = (queue) => [queue.queues?.queue || []].flat();

/** The tree as lines, parents first. */
function lines(queue, depth, path, closed) {
  const name = queue.queuePath || [path, queue.queueName].filter(Boolean).join('.');
  const below = closed.has(name) ? [] : children(queue).flatMap((child) => lines(child, depth + 1, name, closed));
  return [{ queue, depth, name }, ...below];
}

const partition = (queue) => queue.resources?.resourceUsagesByPartition?.[0] || {};

/** Used of the whole cluster, with marks at what is guaranteed and at the limit. */
function Share({ queue }) {
  const used = queue.absoluteUsedCapacity ?? queue.usedCapacity ?? 0;
  const due = queue.absoluteCapacity ?? queue.capacity ?? 100, most = queue.absoluteMaxCapacity ?? queue.maxCapacity ?? 100;
  const parts = [
    { value: Math.min(used, due), fill: 'tone-running', label: `${percent(used)} of the cluster in use` },
    { value: Math.max(0, used - due), fill: 'tone-waiting', label: used > due ? 'beyond what it is due' : '' },
    { value: Math.max(0, due - used), fill: 'fill-idle', label: `due ${percent(due)}` },
    { value: Math.max(0, most - Math.max(due, used)), fill: 'fill-idle', hatched: true, label: `at most ${percent(most)}` },
  ];
  return html`<${Meter} parts=${parts} total=${100} />`;
}

function Details({ queue, name }) {
  const usage = partition(queue);
  const memory = (resource) => (resource ? `${mebibytes(resource.memory)}, ${exact(resource.vCores)} cores` : '–');
  const users = [queue.users?.user || []].flat();
  return html`<${Card} title=${name} pad><${Pairs} of=${[
    ['State', html`<${State} of=${queue.state || 'RUNNING'} />`],
    ['Capacity', `${percent(queue.capacity)} of its parent, ${percent(queue.absoluteCapacity)} of the cluster`],
    ['At most', `${percent(queue.maxCapacity)} of its parent, ${percent(queue.absoluteMaxCapacity)} of the cluster`],
    ['In use', memory(usage.used || queue.resourcesUsed)],
    ['Reserved', memory(usage.reserved)],
    ['Asked for', memory(usage.pending)],
    ['Masters', usage.amLimit ? `${memory(usage.amUsed)} of ${memory(usage.amLimit)}` : '–'],
    queue.numActiveApplications !== undefined ? ['Applications', html`<a href=${href(['applications'], { queue: queue.queueName })}>${exact(queue.numActiveApplications)} active, ${exact(queue.numPendingApplications)} waiting</a>`] : ['Applications', exact(queue.numApplications)],
    queue.userLimitFactor !== undefined ? ['One user', `at least ${percent(queue.userLimit)}, at most ${queue.userLimitFactor} times the queue's capacity`] : null,
    ['Order', queue.orderingPolicyInfo || '–'],
    queue.preemptionDisabled !== undefined ? ['Preemption', queue.preemptionDisabled ? 'off' : 'on'] : null,
    users.length ? ['Users', users.map((it) => html`<div>${it.username}: ${memory(it.resourcesUsed)}, ${exact(it.numActiveApplications)} active, ${exact(it.numPendingApplications)} waiting</div>`)] : null,
  ]} /></${Card}>`;
}

export function Queues() {
  const { data, error } = usePoll('ws/v1/cluster/scheduler', 2000);
  const [closed, setClosed] = useState(new Set());
  const [picked, setPicked] = useState(null);
  if (!data) return html`<${Pending} error=${error} what="queues" />`;
  const all = lines(data.scheduler.schedulerInfo, 0, '', closed);
  const shown = all.find((it) => it.name === picked) || all.find((it) => !children(it.queue).length) || all[0];
  const fold = (name) => setClosed((old) => { const next = new Set(old); if (!next.delete(name)) next.add(name); return next; });
  const row = ({ queue, depth, name }) => html`<tr key=${name} class=${name === shown.name ? 'selected' : ''} onClick=${() => setPicked(name)}>
    <td><span class="indent" style=${{ width: `${depth * 18}px` }}></span>${children(queue).length
      ? html`<button class="plain" aria-expanded=${!closed.has(name)} aria-label="Queues of ${name}" onClick=${(event) => { event.stopPropagation(); fold(name); }}>${closed.has(name) ? '▸' : '▾'}</button>`
      : html`<span class="indent" style=${{ width: '22px' }}></span>`}<button class="plain" onClick=${() => setPicked(name)}>${queue.queueName}</button></td>
    <td style=${{ width: '34%' }}><${Share} queue=${queue} /></td>
    <td class="num">${percent(queue.absoluteUsedCapacity ?? queue.usedCapacity)}</td>
    <td class="num">${percent(queue.absoluteCapacity ?? queue.capacity)}</td>
    <td class="num">${percent(queue.absoluteMaxCapacity ?? queue.maxCapacity)}</td>
    <td class="num">${mebibytes(partition(queue).pending?.memory)}</td>
    <td class="num">${exact(queue.numApplications)}</td>
    <td class="num">${exact(queue.allocatedContainers ?? queue.numContainers)}</td></tr>`;
  return html`<${Card} title="Queues" aside=${html`<${Legend} entries=${[['tone-running', 'in use'], ['tone-waiting', 'beyond its due'], ['fill-idle', 'due'], ['fill-idle', 'limit', true]]} />`}>
      <div class="table tree"><table><thead><tr><th>Queue</th><th>Of the cluster</th><th class="num">In use</th><th class="num">Due</th><th class="num">Limit</th><th class="num">Asked for</th><th class="num">Applications</th><th class="num">Containers</th></tr></thead>
      <tbody>${all.map(row)}</tbody></table></div>
    </${Card}>
    <${Details} queue=${shown.queue} name=${shown.name} />`;
}
