// A growing text: its end is fetched, followed, and filtered.
import { html, useEffect, useRef, useState } from './html.js';
import { getText } from './net.js';
import { Pending } from './bits.js';
import { bytes, counted } from './format.js';

const SHOWN_BYTES_MAX = 2_000_000;
const PERIOD_MS = 1000;

const level = (line) => (/\bERROR\b|panicked at/.test(line) ? 'error' : /\bWARN\b/.test(line) ? 'warn' : '');

function Line({ text, wanted }) {
  const plain = text.replace(/\u001b\[[0-9;]*m/g, '');
  if (!wanted) return html`<span class=${level(plain)}>${plain}${'\n'}</span>`;
  const parts = [];
  const lower = plain.toLowerCase();
  for (let at = 0; at <= plain.length;) {
    const found = lower.indexOf(wanted, at);
    if (found < 0) { parts.push(plain.slice(at)); break; }
    parts.push(plain.slice(at, found), html`<mark>${plain.slice(found, found + wanted.length)}</mark>`);
    at = found + wanted.length;
  }
  return html`<span class=${level(plain)}>${parts}${'\n'}</span>`;
}

/** The text at `path`. `name` is what a download is called. */
export function LogView({ path, name, empty }) {
  const [text, setText] = useState(null);
  const [error, setError] = useState(null);
  const [following, setFollowing] = useState(true);
  const [filter, setFilter] = useState('');
  const pane = useRef(null);
  useEffect(() => {
    let ended = false, timer = null;
    setText(null);
    setError(null);
    const ask = async () => {
      try {
        if (!document.hidden) {
          const all = await getText(path);
          if (ended) return;
          setError(null);
          setText(all.length > SHOWN_BYTES_MAX ? all.slice(all.indexOf('\n', all.length - SHOWN_BYTES_MAX) + 1) : all);
        }
      } catch (refused) {
        if (!ended) setError(refused);
      }
      if (!ended && following) timer = setTimeout(ask, PERIOD_MS);
    };
    ask();
    return () => { ended = true; clearTimeout(timer); };
  }, [path, following]);
  useEffect(() => { if (following && pane.current) pane.current.scrollTop = pane.current.scrollHeight; }, [text, following, filter]);
  if (error && text === null && error.status !== 404) return html`<${Pending} error=${error} />`;
  const wanted = filter.toLowerCase();
  const lines = (text || '').replace(/\n$/, '').split('\n');
  const shown = wanted ? lines.filter((line) => line.toLowerCase().includes(wanted)) : lines;
  const nothing = text === '' || (error?.status === 404 && text === null);
  const onScroll = (event) => {
    const { scrollTop, scrollHeight, clientHeight } = event.target;
    if (following && scrollHeight - scrollTop - clientHeight > 60) setFollowing(false);
  };
  return html`<div class="card log">
    <header>
      <div class="row grow"><input type="search" aria-label="Show only lines with" placeholder="Only lines with …" value=${filter} onInput=${(event) => setFilter(event.target.value)} />
      <label><input type="checkbox" checked=${following} onChange=${(event) => setFollowing(event.target.checked)} />follow</label></div>
      <a class="button" href=${path} download=${name}>Download</a>
    </header>
    ${nothing ? html`<div class="empty">${empty || 'Nothing has been written here.'}</div>`
      : text === null ? html`<${Pending} what="the text" />`
      : html`<pre ref=${pane} tabindex="0" aria-label=${name} onWheel=${onScroll}>${shown.slice(-5000).map((line) => html`<${Line} text=${line} wanted=${wanted} />`)}</pre>`}
    <div class="foot muted">${nothing ? '' : wanted ? `${shown.length} of ${counted(lines.length, 'line')}` : counted(lines.length, 'line')}${shown.length > 5000 ? ', the last 5000 shown' : ''}${text ? ` · ${bytes(text.length)}` : ''}</div>
  </div>`;
}
