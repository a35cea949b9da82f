// All jobs of the JobManager.
import { html } from '../lib/html.js';
import { now, useLive } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Card, Empty, Facts, Filter, Pending, State, StateBar, Table, filterText, hasEnded } from '../lib/bits.js';
import { counted, duration, time } from '../lib/format.js';

const took = (job) => (job.end > 0 ? job.end : now.value) - job.start;
const total = (counts) => Object.values(counts).reduce((sum, number) => sum + number, 0);

const columns = (endOrWhy) => [
  { id: 'name', label: 'Job', sort: (job) => job.name, cell: (job) => html`<a href=${href(['jobs', job.jid])} title=${job.jid}>${job.name}</a>` },
  { id: 'state', label: 'State', width: '120px', sort: (job) => job.state, cell: (job) => html`<${State} of=${job.state} />` },
  { id: 'tasks', label: 'Tasks', width: '170px', cell: (job) => html`<div class="row"><div class="grow"><${StateBar} counts=${job.tasks} /></div><span class="num muted" style=${{ minWidth: '24px' }}>${total(job.tasks)}</span></div>` },
  { id: 'start', label: 'Started', num: true, width: '160px', sort: (job) => job.start, cell: (job) => time(job.start) },
  { id: 'duration', label: 'Duration', num: true, width: '100px', sort: took, cell: (job) => duration(took(job)) },
  endOrWhy,
];
const ENDED = columns({ id: 'why', label: 'Ended, cause', cell: (job) => html`${time(job.end)}${job.why ? html` <span class="muted" title=${job.why}>${job.why}</span>` : ''}` });
const LIVE = columns({ id: 'why', label: 'Waits for', cell: (job) => html`<span class="muted" title=${job.why}>${job.why || ''}</span>` });

export function Overview() {
  const { view, error } = useLive('live/cluster');
  if (!view) return html`<${Pending} error=${error} what="jobs" />`;
  const { overview, jobs } = view;
  const wanted = filterText();
  const found = wanted ? jobs.filter((job) => `${job.name} ${job.jid} ${job.state}`.toLowerCase().includes(wanted)) : jobs;
  const live = found.filter((job) => !hasEnded(job.state)), ended = found.filter((job) => hasEnded(job.state));
  const used = overview['slots-total'] - overview['slots-available'];
  return html`
    <h1 class="visually-hidden">Jobs</h1>
    <div class="spread row wrap">
      <${Facts} of=${[
        ['slots in use', used, `of ${overview['slots-total']}`],
        ['TaskManagers', overview.taskmanagers],
        ['running', overview['jobs-running']],
        ['finished', overview['jobs-finished']],
        ['cancelled', overview['jobs-cancelled']],
        ['failed', overview['jobs-failed']],
      ]} />
      <${Filter} label="Filter by name, id, state" />
    </div>
    <${Card} title="Running jobs" aside=${html`<span class="muted">${counted(live.length, 'job')}</span>`}>
      <${Table} fixed columns=${LIVE} rows=${live} keyOf=${(job) => job.jid} sort="-start" height="46vh" empty=${html`<${Empty} title=${wanted ? 'No running job matches' : 'No job is running'}>
        ${wanted ? '' : html`<a href=${href(['submit'])}>Submit a program</a> here, or run one with <code>flott run -t remote target/release/my-job</code>.`}</${Empty}>`} />
    </${Card}>
    <${Card} title="Ended jobs" aside=${html`<span class="muted">${counted(ended.length, 'job')}</span>`}>
      <${Table} fixed columns=${ENDED} rows=${ended} keyOf=${(job) => job.jid} sort="-start" height="46vh" empty=${html`<${Empty} title=${wanted ? 'No ended job matches' : 'No job has ended yet'} />`} />
    </${Card}>`;
}
