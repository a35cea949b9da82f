// Why a job failed or restarted: the cause first, newest first.
import { html } from '../lib/html.js';
import { usePoll } from '../lib/net.js';
import { href } from '../lib/route.js';
import { Empty, Pending } from '../lib/bits.js';
import { time } from '../lib/format.js';

const KINDS = {
  UserFailure: 'in the program', PermanentFailure: 'permanent: another attempt meets it again', TransientFailure: 'transient: a restart may help', FencedFailure: 'from an execution that was replaced',
};
const kind = (name) => KINDS[name.replace(/^flott\./, '')] || name;

/** The cause, what to do (behind the first semicolon that is in no parentheses), and the rest. */
function parts(text) {
  const [head, ...rest] = text.split('\n');
  let depth = 0;
  const at = [...head].findIndex((c) => {
    depth += c === '(' ? 1 : c === ')' ? -1 : 0;
    return c === ';' && depth <= 0;
  });
  const cause = at < 0 ? head : [...head].slice(0, at).join('');
  return { cause, remedy: at < 0 ? '' : [...head].slice(at + 1).join('').trim(), trace: rest.join('\n').trim() };
}

function Entry({ of }) {
  const { cause, remedy, trace } = parts(of.stacktrace || '');
  const task = of.taskName;
  return html`<div class="verdict error">
    <div class="grow">
      <b>${cause}</b>
      ${remedy ? html`<p class="remedy">→ ${remedy}</p>` : ''}
      <p>${time(of.timestamp)} · ${kind(of.exceptionName)}${task ? html` · task ${task}` : ''}${of.taskManagerId ? html` · at <a href=${href(['taskmanagers', of.taskManagerId, 'stdout'])}>${of.endpoint || of.taskManagerId}</a>` : ''}</p>
      ${trace ? html`<pre class="trace">${trace}</pre>` : ''}
      ${of.concurrentExceptions?.length ? html`<p>Meanwhile:</p><div class="stack">${of.concurrentExceptions.map((it) => html`<${Entry} of=${it} />`)}</div>` : ''}
    </div>
  </div>`;
}

export function Exceptions({ id }) {
  const { data, error } = usePoll(`jobs/${id}/exceptions?maxExceptions=50`, 3000);
  if (!data) return html`<${Pending} error=${error} what="failures" />`;
  const { entries, truncated } = data.exceptionHistory;
  if (!entries.length) return html`<${Empty} title="No failure so far">Failures of tasks, workers and TaskManagers are kept here, with the task and the place.</${Empty}>`;
  return html`<div class="stack" style=${{ gap: '8px' }}>${entries.map((it) => html`<${Entry} key=${it.timestamp + it.stacktrace} of=${it} />`)}</div>
    ${truncated ? html`<p class="muted">Older ones are not shown.</p>` : ''}`;
}
