// A job's checkpoints: how many, how long, how large, and where the time of one went.
import { html } from '../lib/html.js';
import { usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Card, Empty, Facts, Legend, Meter, Pairs, Pending, State, Table } from '../lib/bits.js';
import { Gantt } from '../lib/gantt.js';
import { bytes, duration, exact, time } from '../lib/format.js';

const NEVER = 9e18;
const PHASES = [['phase-delay', 'start delay'], ['phase-align', 'alignment'], ['phase-sync', 'synchronous'], ['phase-async', 'asynchronous']];

const COLUMNS = (id) => [
  { id: 'id', label: 'Id', num: true, width: '60px', sort: (it) => it.id, cell: (it) => html`<a href=${href(['jobs', id, 'checkpoints', it.id])}>${it.id}</a>` },
  { id: 'status', label: 'State', sort: (it) => it.status, cell: (it) => html`<${State} of=${it.status} />` },
  { id: 'kind', label: 'Kind', cell: (it) => (it.is_savepoint ? 'savepoint' : 'checkpoint') },
  { id: 'trigger', label: 'Triggered', num: true, sort: (it) => it.trigger_timestamp, cell: (it) => time(it.trigger_timestamp) },
  { id: 'duration', label: 'End to end', num: true, sort: (it) => it.end_to_end_duration, cell: (it) => duration(it.end_to_end_duration) },
  { id: 'size', label: 'State', num: true, sort: (it) => it.state_size, cell: (it) => bytes(it.state_size) },
  { id: 'acks', label: 'Acknowledged', width: '130px', cell: (it) => html`<div class="row"><div class="grow"><${Meter} thin total=${it.num_subtasks} parts=${[{ value: it.num_acknowledged_subtasks, fill: 'tone-finished', label: `${it.num_acknowledged_subtasks} of ${it.num_subtasks}` }]} /></div><span class="num muted">${it.num_acknowledged_subtasks}/${it.num_subtasks}</span></div>` },
  { id: 'where', label: 'Path, cause', cell: (it) => html`<span class=${it.failure_message ? '' : 'muted mono'} title=${it.failure_message || it.external_path}>${it.failure_message || it.external_path || ''}</span>` },
];

/** Where a subtask's part of the checkpoint went, from the trigger on. */
function lane(subtask, trigger, name) {
  if (subtask.status !== 'completed') return { name, spans: [{ from: trigger, to: trigger, fill: 'tone-waiting', label: 'not acknowledged' }] };
  const lengths = [subtask.start_delay, subtask.alignment.duration, subtask.checkpoint.sync, subtask.checkpoint.async];
  let from = trigger;
  const spans = lengths.map((length, index) => {
    const span = { from, to: from + Math.max(0, length), fill: PHASES[index][0], label: PHASES[index][1] };
    from = span.to;
    return span;
  });
  return { name, spans };
}

function Subtasks({ id, checkpoint, vertex, name, trigger, until }) {
  const { data, error } = usePoll(`jobs/${id}/checkpoints/details/${checkpoint}/subtasks/${vertex}`, 3000);
  if (!data) return html`<${Pending} error=${error} what="subtasks" />`;
  const lanes = data.subtasks.map((it) => lane(it, trigger, html`#${it.index} <span class="muted">${it.status === 'completed' ? bytes(it.checkpointed_size) : 'not acknowledged'}</span>`));
  return html`<${Card} title=${name} aside=${html`<span class="muted num">${bytes(data.state_size)}, ${duration(data.end_to_end_duration)}</span>`}><${Gantt} lanes=${lanes} from=${trigger} to=${until} /></${Card}>`;
}

function Details({ id, view, checkpoint, vertex }) {
  const { data, error } = usePoll(`jobs/${id}/checkpoints/details/${checkpoint}`, 3000);
  if (!data) return html`<${Pending} error=${error} what="the checkpoint" />`;
  const names = new Map(view.vertices.map((it) => [it.id, it.name]));
  // In the order of the graph.
  const tasks = view.vertices.map((it) => data.tasks[it.id]).filter(Boolean);
  const shown = vertex ? tasks.filter((it) => it.id === vertex) : tasks.slice(0, 12);
  return html`<${Card} title="${data.is_savepoint ? 'Savepoint' : 'Checkpoint'} ${data.id}" aside=${html`<a href=${href(['jobs', id, 'checkpoints'])}>all checkpoints</a>`} pad>
      <${Pairs} of=${[
        ['State', html`<${State} of=${data.status} />`],
        ['Triggered', time(data.trigger_timestamp)],
        ['End to end', duration(data.end_to_end_duration)],
        ['Size', bytes(data.state_size)],
        ['Acknowledged', `${data.num_acknowledged_subtasks} of ${data.num_subtasks} subtasks`],
        data.external_path ? ['Path', html`<code>${data.external_path}</code>`] : null,
        data.failure_message ? ['Cause', data.failure_message] : null,
      ]} />
    </${Card}>
    <${Legend} entries=${PHASES} />
    ${shown.map((task) => html`<${Subtasks} key=${task.id} id=${id} checkpoint=${checkpoint} vertex=${task.id} name=${names.get(task.id) || task.id} trigger=${data.trigger_timestamp} until=${data.trigger_timestamp + data.end_to_end_duration} />`)}
    ${!vertex && tasks.length > shown.length ? html`<${Card} title="More vertices" pad><div class="row wrap">${tasks.slice(12).map((task) => html`<a href=${href(['jobs', id, 'checkpoints', String(checkpoint), task.id])}>${names.get(task.id) || task.id}</a>`)}</div></${Card}>` : ''}`;
}

function Summary({ of }) {
  const rows = [['End to end', of.end_to_end_duration, duration], ['State size', of.state_size, bytes]];
  return html`<${Table} rows=${rows} keyOf=${([name]) => name} columns=${[
    { id: 'name', label: '', cell: ([name]) => name },
    ...[['min', 'least'], ['avg', 'mean'], ['p50', 'median'], ['p95', '95 %'], ['p99', '99 %'], ['max', 'most']].map(([key, label]) => ({ id: key, label, num: true, cell: ([, figures, format]) => format(figures[key]) })),
  ]} />`;
}

function Settings({ id }) {
  const { data } = usePoll(`jobs/${id}/checkpoints/config`, 0);
  if (!data) return '';
  return html`<${Card} title="Settings" pad><${Pairs} of=${[
    ['Interval', data.interval > NEVER ? 'only on request' : duration(data.interval)],
    ['Mode', data.mode.replace('_', ' ')],
    ['Given up after', duration(data.timeout)],
    ['Pause between', duration(data.min_pause)],
    ['Tolerated failures', data.tolerable_failed_checkpoints >= 2 ** 31 - 1 ? 'any number' : data.tolerable_failed_checkpoints],
    ['Kept on cancellation', data.externalization.delete_on_cancellation ? 'no' : 'yes'],
  ]} /></${Card}>`;
}

export function Checkpoints({ id, view, checkpoint, vertex }) {
  const { data, error } = usePoll(checkpoint ? null : `jobs/${id}/checkpoints`, 2000);
  if (checkpoint) return html`<${Details} key=${checkpoint} id=${id} view=${view} checkpoint=${checkpoint} vertex=${vertex} />`;
  if (error?.status === 404) {
    return html`<${Empty} title="This job takes no checkpoints">Run it with <code>-D execution.checkpointing.interval=10s</code>, and a failure loses no more than that.</${Empty}>`;
  }
  if (!data) return html`<${Pending} error=${error} what="checkpoints" />`;
  const { counts, latest } = data;
  return html`
    <${Facts} of=${[['completed', exact(counts.completed)], ['in progress', exact(counts.in_progress)], ['failed', exact(counts.failed)], ['restored from', exact(counts.restored)],
      latest.completed ? ['latest', duration(latest.completed.end_to_end_duration), bytes(latest.completed.state_size)] : null]} />
    <${Card} title="Latest checkpoints"><${Table} columns=${COLUMNS(id)} rows=${data.history} keyOf=${(it) => it.id} sort="-id" empty=${html`<${Empty} title="None yet">The first is due ${view.checkpoints?.interval ? `within ${duration(view.checkpoints.interval)}` : 'when somebody asks for it'}.</${Empty}>`} /></${Card}>
    ${latest.restored ? html`<p class="muted">Restored from ${latest.restored.is_savepoint ? 'savepoint' : 'checkpoint'} ${latest.restored.id} at ${time(latest.restored.restore_timestamp)}: <code>${latest.restored.external_path}</code></p>` : ''}
    ${counts.completed ? html`<${Card} title="Over the completed ones"><${Summary} of=${data.summary} /></${Card}>` : ''}
    <${Settings} id=${id} />`;
}
