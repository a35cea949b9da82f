// When each vertex, or each subtask of one, was in which state.
import { html } from '../lib/html.js';
import { now, usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Card, Empty, Legend, Pending, tone } from '../lib/bits.js';
import { Gantt } from '../lib/gantt.js';
import { time } from '../lib/format.js';

const ORDER = ['CREATED', 'SCHEDULED', 'DEPLOYING', 'INITIALIZING', 'RUNNING', 'FINISHED', 'CANCELING', 'CANCELED', 'FAILED'];
const ENDS = ['FINISHED', 'CANCELED', 'FAILED'];

/** Spans from the moments at which states were entered. */
function spans(timestamps, until) {
  const entered = ORDER.map((state) => [state, timestamps[state]]).filter(([, at]) => at > 0).sort((a, b) => a[1] - b[1]);
  return entered.filter(([state]) => !ENDS.includes(state)).map(([state, at]) => {
    const next = entered.find(([, other]) => other > at);
    return { from: at, to: next ? next[1] : ENDS.some((end) => timestamps[end] === at) ? at : until, fill: tone(state), label: state.toLowerCase() };
  });
}

function Subtasks({ id, vertex }) {
  const { data, error } = usePoll(`jobs/${id}/vertices/${vertex}/subtasktimes`, 2000);
  if (!data) return html`<${Pending} error=${error} what="times" />`;
  const lanes = data.subtasks.map((it) => ({ name: html`#${it.subtask} <span class="muted">${it.endpoint}</span>`, spans: spans(it.timestamps, data.now) }));
  return html`<${Card} title="Subtasks of ${data.name}" aside=${html`<a href=${href(['jobs', id, 'timeline'])}>all vertices</a>`}><${Gantt} lanes=${lanes} /></${Card}>`;
}

export function Timeline({ id, view, vertex }) {
  if (!view.vertices.length) return html`<${Empty} title="Nothing has run yet" />`;
  if (vertex) return html`<${Subtasks} id=${id} vertex=${vertex} />`;
  const started = view.vertices.filter((it) => it.start > 0);
  const lanes = started.map((it) => ({
    name: html`<a class="clip" href=${href(['jobs', id, 'timeline', it.id])} title=${it.name}>${it.name}</a>`,
    spans: [{ from: it.start, to: it.end > 0 ? it.end : now.value, fill: tone(it.status), label: it.status.toLowerCase() }],
  }));
  const phases = (view.since || []).map(([state, at], index, all) => ({ from: at, to: all[index + 1]?.[1] || (view.end > 0 ? view.end : now.value), fill: tone(state), label: state.toLowerCase() }));
  return html`<${Card} title="Timeline" aside=${html`<${Legend} entries=${[['tone-waiting', 'on its way'], ['tone-running', 'running'], ['tone-finished', 'finished'], ['tone-canceled', 'cancelled'], ['tone-failed', 'failed']]} />`}>
    <${Gantt} lanes=${[{ name: html`<b>the job</b>`, spans: phases.sort((a, b) => a.from - b.from) }, ...lanes]} />
  </${Card}>
  <p class="muted">Submitted ${time(view.start)}. Each line leads to the subtasks of its vertex.</p>`;
}
