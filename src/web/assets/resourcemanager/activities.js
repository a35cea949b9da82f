// What the scheduler decided in its last round, and why not otherwise.
import { html } from '../lib/html.js';
import { usePoll } from '../lib/net.js';
import { Card, Empty, Pending } from '../lib/bits.js';
import { time } from '../lib/format.js';

const list = (value) => [value || []].flat();

function Decision({ of, depth }) {
  const state = of.allocationState || of.finalAllocationState;
  const tone = /ALLOCATED|ACCEPTED/.test(state) ? 'tone-running' : /RESERVED/.test(state) ? 'tone-waiting' : 'tone-muted';
  const name = of.name || of.applicationId || of.queueName || (of.requestPriority !== undefined ? `request of priority ${of.requestPriority}` : of.nodeId) || '';
  return html`<div style=${{ paddingLeft: `${depth * 18}px` }}>
      <div class="row" style=${{ minHeight: '26px' }}><span class="state ${tone}">${String(state || '').toLowerCase().replaceAll('_', ' ')}</span><b>${name}</b><span class="muted">${of.diagnostic || ''}</span></div>
      ${list(of.children).map((child) => html`<${Decision} of=${child} depth=${depth + 1} />`)}
    </div>`;
}

export function Activities() {
  const { data, error } = usePoll('ws/v1/cluster/scheduler/activities', 2000);
  if (error?.status === 404) return html`<${Empty} title="The scheduler keeps no activities">Why an application waits is on its own page.</${Empty}>`;
  if (!data) return html`<${Pending} error=${error} what="the scheduler's activities" />`;
  const all = list(data.activities);
  const allocations = all.flatMap((it) => list(it.allocations).map((allocation) => ({ ...allocation, nodeId: it.nodeId, timestamp: it.timestamp })));
  if (!allocations.length) return html`<${Empty} title="Nothing to decide">${all[0]?.diagnostic || 'Nobody waits for a container.'}</${Empty}>`;
  return html`${allocations.map((it, index) => html`<${Card} key=${index} title=${it.nodeId || it.partition || 'cluster'} aside=${html`<span class="muted">${time(it.timestamp)}</span>`} pad><${Decision} of=${it.root || it} depth=${0} /></${Card}>`)}`;
}
