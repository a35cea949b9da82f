// Bring a program, see what it would run as, and run it.
import { html, useRef, useState } from '../lib/html.js';
import { upload, usePoll, write } from '../lib/net.js';
import { go, href } from '../lib/route.js';
import { Card, Empty, Pending, Table } from '../lib/bits.js';
import { attempt, tell } from '../lib/dialog.js';
import { percent, time } from '../lib/format.js';
import { Graph } from './graph.js';

function Upload({ onDone }) {
  const [share, setShare] = useState(null);
  const [over, setOver] = useState(false);
  const input = useRef(null);
  const take = async (file) => {
    if (!file) return;
    setShare(0);
    await attempt(async () => {
      const { filename } = await upload('jars/upload', file, setShare);
      tell(`${file.name} is uploaded`);
      onDone(filename.split('/').pop());
    });
    setShare(null);
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  };
  return html`<div class="drop ${over ? 'over' : ''}" onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <input type="file" ref=${input} class="visually-hidden" aria-label="Program to upload" tabindex="-1" onChange=${(event) => take(event.target.files[0])} />
    ${share === null
      ? html`Drop an executable here, or <button onClick=${() => input.current.click()}>choose a file</button>`
      : html`<div class="row"><progress class="grow" max="1" value=${share}></progress><span class="num">${share < 1 ? percent(share * 100) : 'being stored'}</span></div>`}
  </div>`;
}

const FIELD = 'arg:';

/** One argument, as the program describes it. */
function Argument({ of }) {
  const name = FIELD + of.name, label = of.long ? `--${of.long}` : of.name;
  const help = html`<span><code>${label}</code>${of.required ? ' (needed)' : ''} ${of.help || ''}</span>`;
  if (!of.takes_value) return html`<label><input type="checkbox" name=${name} />${help}</label>`;
  const field = of.possible_values.length
    ? html`<select name=${name} required=${of.required}><option value="">${of.default ? `default: ${of.default}` : ''}</option>${of.possible_values.map((it) => html`<option value=${it}>${it}</option>`)}</select>`
    : html`<input name=${name} class="mono" required=${of.required} placeholder=${of.default || ''} spellcheck="false" autocomplete="off" />`;
  return html`<label class="field">${help}${field}</label>`;
}

/** The words that the filled form stands for: what is left empty keeps its default. */
function told(described, values) {
  return described.flatMap((it) => {
    const value = values[FIELD + it.name];
    if (!value) return [];
    if (!it.takes_value) return [`--${it.long}`];
    return it.long ? [`--${it.long}`, value] : [value];
  });
}

/** A form built from the program's own description; a line for those that do not describe themselves. */
function Arguments({ described }) {
  if (!described.length) {
    return html`<label class="field"><span>Arguments</span><input name="arguments" class="mono" placeholder="--input data.txt --output counts" spellcheck="false" autocomplete="off" /></label>`;
  }
  return html`<div class="arguments">${described.map((it) => html`<${Argument} key=${it.name} of=${it} />`)}</div>`;
}

function Run({ file, onGone }) {
  const [plan, setPlan] = useState(null);
  const [refused, setRefused] = useState('');
  const [busy, setBusy] = useState('');
  const form = useRef(null);
  const [about] = file.entry || [];
  const described = about?.arguments || [];
  const values = () => {
    const it = Object.fromEntries(new FormData(form.current));
    return {
      ...(described.length ? { programArgsList: told(described, it) } : { programArgs: it.arguments || undefined }),
      parallelism: it.parallelism ? Number(it.parallelism) : undefined,
      savepointPath: it.savepoint || undefined,
      allowNonRestoredState: it.allow === 'on' || undefined,
    };
  };
  const during = async (name, work) => {
    setBusy(name);
    setRefused('');
    try { await work(); } catch (error) { setRefused(error.message); }
    setBusy('');
  };
  const preview = () => during('preview', async () => {
    if (!form.current.reportValidity()) return;
    const { savepointPath, allowNonRestoredState, ...rest } = values();
    setPlan((await write('POST', `jars/${encodeURIComponent(file.id)}/plan`, rest)).plan);
  });
  const run = (event) => {
    event.preventDefault();
    during('run', async () => {
      const { jobid } = await write('POST', `jars/${encodeURIComponent(file.id)}/run`, values());
      go(['jobs', jobid]);
    });
  };
  const remove = () => attempt(async () => {
    await write('DELETE', `jars/${encodeURIComponent(file.id)}`);
    onGone();
  }, `${file.name} is removed; jobs that run it are not touched`);
  return html`<${Card} title=${file.name} aside=${html`<button class="danger" onClick=${remove}>Remove</button>`} pad>
    <form ref=${form} class="stack" onSubmit=${run}>
      ${about?.description ? html`<p class="muted" style=${{ whiteSpace: 'pre-wrap' }}>${about.description}</p>` : ''}
      <${Arguments} described=${described} />
      <div class="row wrap" style=${{ alignItems: 'end' }}>
        <label class="field"><span>Parallelism</span><input name="parallelism" type="number" min="1" max="32768" style=${{ width: '110px' }} placeholder="default" /></label>
        <label class="field grow"><span>Start from the savepoint</span><input name="savepoint" class="mono" placeholder="path of a savepoint or checkpoint" spellcheck="false" /></label>
      </div>
      <label><input type="checkbox" name="allow" />Go on although the savepoint has state that the program no longer has</label>
      ${refused ? html`<div class="verdict error" role="alert"><b style=${{ whiteSpace: 'pre-wrap' }}>${refused}</b></div>` : ''}
      <div class="row"><button type="submit" class="primary" disabled=${busy !== ''}>${busy === 'run' ? 'Being planned …' : 'Run'}</button>
        <button type="button" onClick=${preview} disabled=${busy !== ''}>${busy === 'preview' ? 'Being planned …' : 'Preview the plan'}</button></div>
    </form>
    ${plan ? html`<div style=${{ marginTop: '12px' }}><${Graph} plan=${plan} vertices=${[]} onPick=${() => {}} /></div>` : ''}
  </${Card}>`;
}

export function Submit({ program }) {
  const { data, error, reload } = usePoll('jars', 5000);
  if (error?.status === 404) {
    return html`<${Empty} title="Programs are not uploaded here">This JobManager belongs to one application, or uploads are switched off. Use <code>flott run</code>.</${Empty}>`;
  }
  if (!data) return html`<${Pending} error=${error} what="programs" />`;
  const file = data.files.find((it) => it.id === program);
  const columns = [
    { id: 'name', label: 'Program', sort: (it) => it.name, cell: (it) => html`<a href=${href(['submit', it.id])}>${it.name}</a>` },
    { id: 'entry', label: 'About', cell: (it) => html`<span class="muted">${it.entry?.[0]?.description?.split('\n')[0] || ''}</span>` },
    { id: 'uploaded', label: 'Uploaded', num: true, width: '170px', sort: (it) => it.uploaded, cell: (it) => time(it.uploaded) },
  ];
  return html`<h1 class="visually-hidden">Submit</h1>
    <${Upload} onDone=${(id) => { reload(); go(['submit', id]); }} />
    ${file ? html`<${Run} key=${file.id} file=${file} onGone=${() => { reload(); go(['submit']); }} />` : ''}
    <${Card} title="Uploaded programs"><${Table} columns=${columns} rows=${data.files} keyOf=${(it) => it.id} selected=${program} sort="-uploaded"
      empty=${html`<${Empty} title="No program has been uploaded">A job is an ordinary executable: <code>cargo build --release</code>, then bring the file from <code>target/release</code>.</${Empty}>`} /></${Card}>`;
}
