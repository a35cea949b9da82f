// One job: what it is doing, what is the matter with it, and what can be done to it.
import { html, useRef } from '../lib/html.js';
import { now, useLive, usePoll } from '../lib/net.js';
import { go, href } from '../lib/route.js';
import { Card, Empty, Pairs, Pending, State, StateBar, Table, Tabs, Verdicts, hasEnded } from '../lib/bits.js';
import { bytes, count, duration, permille, time } from '../lib/format.js';
import { History } from '../lib/plot.js';
import { Graph } from './graph.js';
import { Load } from './load.js';
import { Vertex } from './vertex.js';
import { Timeline } from './timeline.js';
import { Exceptions } from './exceptions.js';
import { Checkpoints } from './checkpoints.js';
import { Actions } from './actions.js';

const TABS = [['graph', 'Graph'], ['timeline', 'Timeline'], ['exceptions', 'Exceptions'], ['checkpoints', 'Checkpoints'], ['configuration', 'Configuration']];

/** Rates and counters of every vertex, for the plots; kept while the page is open. */
function useHistory(view) {
  const kept = useRef(null);
  if (!kept.current) kept.current = { history: new History(), last: null, version: 0 };
  const it = kept.current;
  if (view && view !== it.last) {
    it.last = view;
    const values = {};
    for (const vertex of view.vertices) {
      if (!vertex.rated) continue;
      values[`${vertex.id}.in`] = vertex.rate[0];
      values[`${vertex.id}.out`] = vertex.rate[1];
      for (const name of ['busy', 'backpressured', 'idle']) values[`${vertex.id}.${name}`] = vertex[name][0] / 10;
    }
    it.history.note(Math.round(now.value / 1000), values);
    it.version += 1;
  }
  return it;
}

const COLUMNS = [
  { id: 'name', label: 'Vertex', sort: (it) => it.name, cell: (it) => html`<div class="clip" style=${{ maxWidth: '300px' }} title=${it.name}>${it.name}</div>` },
  { id: 'status', label: 'State', width: '110px', sort: (it) => it.status, cell: (it) => html`<${State} of=${it.status} />` },
  { id: 'parallelism', label: 'Par.', title: 'Parallelism', num: true, sort: (it) => it.parallelism, cell: (it) => it.parallelism },
  { id: 'tasks', label: 'Tasks', width: '64px', cell: (it) => html`<${StateBar} counts=${it.tasks} />` },
  { id: 'load', label: 'Load', width: '120px', sort: (it) => it.busy[1], cell: (it) => html`<${Load} of=${it} />` },
  { id: 'busy', label: 'Busy', title: 'Of the busiest subtask', num: true, sort: (it) => it.busy[1], cell: (it) => (it.rated ? permille(it.busy[1]) : '–') },
  { id: 'held', label: 'Held back', title: 'Of the most backpressured subtask', num: true, sort: (it) => it.backpressured[1], cell: (it) => (it.rated ? permille(it.backpressured[1]) : '–') },
  { id: 'in', label: 'In /s', num: true, sort: (it) => it.rate[0], cell: (it) => (it.rated ? count(it.rate[0]) : '–') },
  { id: 'out', label: 'Out /s', num: true, sort: (it) => it.rate[1], cell: (it) => (it.rated ? count(it.rate[1]) : '–') },
  { id: 'read', label: 'Records in', num: true, sort: (it) => it.records[0], cell: (it) => count(it.records[0]) },
  { id: 'written', label: 'Records out', num: true, sort: (it) => it.records[1], cell: (it) => count(it.records[1]) },
  { id: 'bytes', label: 'Bytes out', num: true, sort: (it) => it.bytes[1], cell: (it) => bytes(it.bytes[1]) },
];

function GraphTab({ id, view, selected, part, kept }) {
  const { data, error } = usePoll(view.vertices.length ? `jobs/${id}/plan` : null, 0);
  if (!view.vertices.length) {
    return html`<${Empty} title=${view.state === 'FAILED' ? 'The program could not be planned' : 'The program is being planned'}>${view.failure || 'Its graph appears here as soon as its main has run.'}</${Empty}>`;
  }
  if (!data) return html`<${Pending} error=${error} what="the graph" />`;
  const pick = (vertex) => go(vertex === selected ? ['jobs', id, 'graph'] : ['jobs', id, 'graph', vertex]);
  const vertex = view.vertices.find((it) => it.id === selected);
  const columns = vertex ? COLUMNS.filter((it) => ['name', 'status', 'parallelism', 'load', 'in'].includes(it.id)) : COLUMNS;
  const left = html`<div class="stack">
    <${Graph} plan=${data.plan} vertices=${view.vertices} selected=${selected} onPick=${pick} />
    <${Card} label="Vertices"><${Table} columns=${columns} rows=${view.vertices} keyOf=${(it) => it.id} selected=${selected} onPick=${(it) => pick(it.id)} /></${Card}>
  </div>`;
  if (!vertex) return left;
  return html`<div class="with-drawer">${left}<${Vertex} key=${vertex.id} job=${id} vertex=${vertex} part=${part || 'subtasks'} kept=${kept} plan=${data.plan} /></div>`;
}

function Configuration({ id }) {
  const { data, error } = usePoll(`jobs/${id}/config`, 0);
  if (!data) return html`<${Pending} error=${error} />`;
  const config = data['execution-config'] || {};
  const given = Object.entries(config['user-config'] || {}).sort();
  return html`<${Card} title="Execution" pad><${Pairs} of=${[
      ['Parallelism', config['job-parallelism'] > 0 ? config['job-parallelism'] : 'the default'],
      ['Restart strategy', config['restart-strategy']],
      ['Execution mode', config['execution-mode']],
    ]} /></${Card}>
    <${Card} title="Submitted with this job">
      <${Table} columns=${[{ id: 'key', label: 'Key', sort: ([key]) => key, cell: ([key]) => html`<code>${key}</code>` }, { id: 'value', label: 'Value', wrap: true, cell: ([, value]) => html`<code>${value}</code>` }]}
        rows=${given} keyOf=${([key]) => key} empty=${html`<${Empty} title="Nothing but the defaults">Whatever is given with <code>-D key=value</code> shows here.</${Empty}>`} />
    </${Card}>`;
}

/** Where the evidence of a finding is. */
const evidence = (id) => (it) => (it.page === 'graph' ? it.vertex && href(['jobs', id, 'graph', it.vertex]) : href(['jobs', id, it.page]));

export function Job({ id, tab, item, part }) {
  const { view, error } = useLive(`live/jobs/${id}`);
  const kept = useHistory(view);
  if (!view) return html`<${Pending} error=${error} what="the job" />`;
  const current = TABS.some(([name]) => name === tab) ? tab : 'graph';
  const tabs = TABS.map(([name, text]) => [name, name === 'exceptions' && view.failures ? `${text} ${view.failures}` : text, href(['jobs', id, name])]);
  return html`
    <div class="title">
      <h1>${view.name}</h1><${State} of=${view.state} />
      <span class="muted nowrap">${view.type === 'BATCH' ? 'batch' : 'streaming'}</span>
      <span class="muted nowrap" title="Started ${time(view.start)}${view.end > 0 ? `, ended ${time(view.end)}` : ''}">started ${time(view.start)}, ${hasEnded(view.state) ? 'took' : 'for'} ${duration((view.end > 0 ? view.end : now.value) - view.start)}</span>
      ${view.restarts ? html`<span class="muted nowrap">${view.restarts} restart${view.restarts === 1 ? '' : 's'}</span>` : ''}
      <span class="grow"></span>
      <${Actions} id=${id} view=${view} />
    </div>
    <${Verdicts} of=${view.verdicts.filter((it) => it.page === 'graph' || it.page !== current)} link=${evidence(id)} />
    <${Tabs} of=${tabs} current=${current} label="Views of this job" />
    ${current === 'graph' ? html`<${GraphTab} id=${id} view=${view} selected=${item} part=${part} kept=${kept} />` : ''}
    ${current === 'timeline' ? html`<${Timeline} id=${id} view=${view} vertex=${item} />` : ''}
    ${current === 'exceptions' ? html`<${Exceptions} id=${id} />` : ''}
    ${current === 'checkpoints' ? html`<${Checkpoints} id=${id} view=${view} checkpoint=${item} vertex=${part} />` : ''}
    ${current === 'configuration' ? html`<${Configuration} id=${id} />` : ''}`;
}
