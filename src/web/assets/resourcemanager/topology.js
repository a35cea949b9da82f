// Machines with their containers, each application in a colour of its own.
import { html } from '../lib/html.js';
import { href } from '../lib/route.js';
import { Empty, State } from '../lib/bits.js';
import { exact, mebibytes } from '../lib/format.js';
import { Given, Used } from './capacity.js';

const DRAWN_MAX = 300;

/** A steady colour for an application. */
function hue(id) {
  let hash = 7;
  for (const c of id) hash = (hash * 31 + c.charCodeAt(0)) >>> 0;
  return hash % 360;
}
const tint = (id) => `light-dark(oklch(52% .11 ${hue(id)}), oklch(74% .1 ${hue(id)}))`;

export function Machine({ node, containers }) {
  const away = !node.connected || node.state !== 'RUNNING';
  return html`<div class="machine ${away ? 'away' : ''}">
    <div class="spread"><a class="clip" href=${href(['nodes', node.id])}>${node.id}</a>${away ? html`<${State} of=${node.connected ? node.state : 'LOST'} />` : html`<span class="muted num">${node.containers}</span>`}</div>
    <${Given} allocated=${node.allocated[0]} reserved=${node.reserved[0]} total=${node.total[0]} format=${mebibytes} />
    <${Used} used=${node.used} total=${node.total[0]} format=${mebibytes} />
    <div class="spread muted num" style=${{ fontSize: '11px' }}><span>${mebibytes(node.allocated[0])} of ${mebibytes(node.total[0])}</span><span>${exact(node.allocated[1])} of ${exact(node.total[1])} cores</span></div>
    <div class="leases">${containers.map((it) => html`<a class="lease" key=${it.id} href=${href(['applications', it.application])} title="${it.id}, ${mebibytes(it.resource[0])}, ${it.resource[1]} cores, ${it.state.toLowerCase()}"
      style=${{ background: tint(it.application), width: `${Math.max(it.priority === 0 ? 22 : 14, Math.min(120, (it.resource[0] / node.total[0]) * 226))}px` }}>${it.priority === 0 ? 'AM' : ''}</a>`)}</div>
  </div>`;
}

export function Topology({ view }) {
  const byNode = new Map();
  for (const container of view.containers) byNode.set(container.node, [...(byNode.get(container.node) || []), container]);
  const nodes = [...view.nodes].sort((a, b) => a.id.localeCompare(b.id, undefined, { numeric: true })).slice(0, DRAWN_MAX);
  if (!nodes.length) return html`<${Empty} title="No node is registered" />`;
  return html`<div class="topology">${nodes.map((node) => html`<${Machine} key=${node.id} node=${node} containers=${byNode.get(node.id) || []} />`)}</div>
    ${view.nodes.length > DRAWN_MAX ? html`<p class="muted">${exact(view.nodes.length - DRAWN_MAX)} more nodes are in <a href=${href(['nodes'])}>the list</a>.</p>` : ''}`;
}
