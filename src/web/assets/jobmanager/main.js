// The JobManager's app: which address shows which page.
import { html, signal, useEffect } from '../lib/html.js';
import { get, usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { start } from '../lib/shell.js';
import { Empty } from '../lib/bits.js';
import { Overview } from './overview.js';
import { Job } from './job.js';
import { Submit } from './submit.js';
import { TaskManager, TaskManagers } from './taskmanagers.js';
import { JobManager } from './jobmanager.js';

/** Whether these are the archived jobs of an application that has ended: nothing runs, and nothing can be submitted. */
const past = signal(false);
/** Whether programs can be uploaded: not to the JobManager of a single job. */
const takesPrograms = signal(true);

function Version() {
  const { data } = usePoll('config', 0);
  const features = data?.features || {};
  const isPast = Boolean(features['web-history']), takes = features['web-submit'] !== false;
  useEffect(() => {
    past.value = isPast;
    takesPrograms.value = takes;
  }, [isPast, takes]);
  return data ? html`${data['flink-revision'].replace(/^flott /, 'version ')}` : '';
}

const HOME = ['Jobs', '#/'];

function page({ parts }) {
  const [place, ...rest] = parts;
  switch (place) {
    case undefined:
    case 'jobs':
      if (!rest[0]) return { crumbs: [['Jobs']], body: html`<${Overview} />` };
      return { crumbs: [HOME, [rest[0]]], body: html`<${Job} key=${rest[0]} id=${rest[0]} tab=${rest[1] || 'graph'} item=${rest[2]} part=${rest[3]} />` };
    case 'submit':
      return { crumbs: [['Submit']], body: html`<${Submit} program=${rest[0]} />` };
    case 'taskmanagers':
      if (!rest[0]) return { crumbs: [['TaskManagers']], body: html`<${TaskManagers} />` };
      return { crumbs: [['TaskManagers', href(['taskmanagers'])], [rest[0]]], body: html`<${TaskManager} key=${rest[0]} id=${rest[0]} tab=${rest[1] || 'resources'} file=${rest[2]} />` };
    case 'jobmanager':
      return { crumbs: [['JobManager']], body: html`<${JobManager} tab=${rest[0] || 'configuration'} />` };
    default:
      return { crumbs: [HOME, ['Nothing here']], body: html`<${Empty} title="There is no such page">The address may be of another version. <a href="#/">All jobs</a></${Empty}>` };
  }
}

function nav({ parts }) {
  const place = parts[0] || 'jobs';
  if (past.value) return [['', [['Archived jobs', '#/', place === 'jobs']]]];
  return [['', [
    ['Jobs', '#/', place === 'jobs'],
    ...(takesPrograms.value ? [['Submit', href(['submit']), place === 'submit']] : []),
    ['TaskManagers', href(['taskmanagers']), place === 'taskmanagers'],
    ['JobManager', href(['jobmanager']), place === 'jobmanager'],
  ]]];
}

async function entries() {
  const [jobs, managers] = await Promise.all([get('jobs/overview'), get('taskmanagers')]);
  const pages = past.value ? [['Jobs', '#/']] : [['Jobs', '#/'], ...(takesPrograms.value ? [['Submit a program', href(['submit'])]] : []), ['TaskManagers', href(['taskmanagers'])],
    ...['configuration', 'log', 'stdout', 'metrics'].map((tab) => [`JobManager ${tab}`, href(['jobmanager', tab])])];
  return [
    ...jobs.jobs.map((job) => ({ text: `${job.name}`, kind: `job ${job.jid.slice(0, 8)} · ${job.state.toLowerCase()}`, to: href(['jobs', job.jid]) })),
    ...managers.taskmanagers.map((it) => ({ text: it.id, kind: 'TaskManager', to: href(['taskmanagers', it.id]) })),
    ...pages.map(([text, to]) => ({ text, kind: 'page', to })),
  ];
}

start({ title: 'JobManager', nav, page, entries, version: () => html`<${Version} />` });
