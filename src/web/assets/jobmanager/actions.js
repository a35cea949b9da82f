// What can be done to a job. Each asks first, and says what will happen.
import { html, useState } from '../lib/html.js';
import { get, write } from '../lib/net.js';
import { Confirm, attempt, tell } from '../lib/dialog.js';
import { hasEnded } from '../lib/bits.js';

const POLL_MS = 300;
const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Follows a savepoint, with or without a stop, to its end. */
async function followTrigger(id, trigger) {
  for (;;) {
    const { status, operation } = await get(`jobs/${id}/savepoints/${trigger}`);
    if (status.id === 'COMPLETED') {
      const cause = operation?.['failure-cause'];
      if (cause) throw new Error(cause['stack-trace'] || cause.class);
      return operation?.location;
    }
    await wait(POLL_MS);
  }
}

async function begin(id, path, body, words) {
  const { 'request-id': trigger } = await write('POST', path, body);
  tell(`${words} has begun`);
  // The dialog closes once it has begun; how it ends is told when it does.
  attempt(async () => {
    const location = await followTrigger(id, trigger);
    tell(location ? `${words} is complete: ${location}` : `${words} is complete`);
  });
}

const Directory = () => html`<label class="field"><span>Directory (empty: the configured <code>state.savepoints.dir</code>)</span><input name="directory" class="mono" /></label>`;

const QUESTIONS = {
  savepoint: ({ id, onClose }) => html`<${Confirm} title="Take a savepoint" action="Take it" onClose=${onClose}
      onSure=${({ directory }) => begin(id, `jobs/${id}/savepoints`, { 'target-directory': directory || undefined, 'cancel-job': false }, 'The savepoint')}>
    <p>The job goes on. A savepoint is yours: nothing removes it, and any later run can start from it.</p><${Directory} /></${Confirm}>`,
  stop: ({ id, onClose }) => html`<${Confirm} title="Stop with a savepoint" action="Stop" danger onClose=${onClose}
      onSure=${({ directory, drain }) => begin(id, `jobs/${id}/stop`, { targetDirectory: directory || undefined, drain: drain === 'on' }, 'The stop')}>
    <p>The sources end, everything read so far is processed and committed, and the job ends as finished.</p><${Directory} />
    <label><input type="checkbox" name="drain" />Drain: fire all timers and windows as at the end of the input. Only if the job will not be resumed.</label></${Confirm}>`,
  rescale: ({ id, view, onClose }) => html`<${Confirm} title="Run with another parallelism" action="Rescale" onClose=${onClose}
      onSure=${async (values) => {
        const wanted = view.vertices.map((it) => [it.id, { parallelism: { lowerBound: 1, upperBound: Number(values[it.id]) } }]);
        await write('PUT', `jobs/${id}/resource-requirements`, Object.fromEntries(wanted));
        tell('The job takes a checkpoint and goes on with the new parallelism');
      }}>
    <p>The job takes a checkpoint, its tasks stop, and it goes on from there with the new numbers of subtasks. Nothing is lost or done twice.</p>
    ${view.vertices.map((it) => html`<label class="field"><span class="clip">${it.name}</span><input name=${it.id} type="number" min="1" max="32768" required value=${it.parallelism} /></label>`)}</${Confirm}>`,
  cancel: ({ id, view, onClose }) => html`<${Confirm} title="Cancel ${view.name}?" action="Cancel the job" danger onClose=${onClose}
      onSure=${async () => { await write('PATCH', `jobs/${id}?mode=cancel`, {}); tell('The job is being cancelled'); }}>
    <p>It ends at once. What it has read since its last checkpoint is not committed, and no savepoint is taken; to resume later, stop it with a savepoint instead.</p></${Confirm}>`,
};

export function Actions({ id, view }) {
  const [question, setQuestion] = useState(null);
  if (hasEnded(view.state)) return '';
  const Question = QUESTIONS[question];
  const running = view.state === 'RUNNING', streams = view.type !== 'BATCH';
  return html`<div class="row">
    ${streams ? html`<button disabled=${!running} onClick=${() => setQuestion('savepoint')}>Savepoint</button>
    <button disabled=${!running} onClick=${() => setQuestion('rescale')}>Rescale</button>
    <button disabled=${!running} onClick=${() => setQuestion('stop')}>Stop</button>` : ''}
    <button class="danger" onClick=${() => setQuestion('cancel')}>Cancel</button>
    ${Question ? html`<${Question} id=${id} view=${view} onClose=${() => setQuestion(null)} />` : ''}
  </div>`;
}
