// The frame around every page: navigation, where one is, search, theme, and whether the daemon answers.
import { html, render, signal, useEffect, useRef, useState } from './html.js';
import { connection } from './net.js';
import { route } from './route.js';
import { Toasts } from './dialog.js';
import { dark, toggle } from './theme.js';

const searching = signal(false);

/** Keys that work wherever no text is being typed. */
function keys(event) {
  const typing = event.target.closest?.('input, textarea, select, [contenteditable]');
  if ((event.key === '/' && !typing) || (event.key === 'k' && (event.ctrlKey || event.metaKey))) {
    event.preventDefault();
    searching.value = true;
  } else if (event.key === 't' && !typing && !event.ctrlKey && !event.metaKey) {
    toggle();
  }
}

/** Finds things by name: `entries()` gives `{ text, kind, to }`. */
function Search({ entries }) {
  const dialog = useRef(null);
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const [all, setAll] = useState([]);
  useEffect(() => {
    dialog.current.showModal();
    Promise.resolve(entries()).then(setAll, () => {});
  }, []);
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((it) => wanted.every((word) => `${it.text} ${it.kind}`.toLowerCase().includes(word))).slice(0, 40);
  const close = () => { searching.value = false; };
  const open = (entry) => { close(); if (entry) location.hash = entry.to.slice(1); };
  const onKey = (event) => {
    if (event.key === 'ArrowDown') setAt(Math.min(at + 1, found.length - 1));
    else if (event.key === 'ArrowUp') setAt(Math.max(at - 1, 0));
    else if (event.key === 'Enter') open(found[at]);
    else return;
    event.preventDefault();
  };
  return html`<dialog class="search" ref=${dialog} onClose=${close} onCancel=${close} onClick=${(event) => event.target === dialog.current && close()} aria-label="Search">
    <input autofocus aria-label="Search for jobs, vertices, machines, pages" placeholder="Jobs, machines, pages …" value=${text}
      onInput=${(event) => { setText(event.target.value); setAt(0); }} onKeyDown=${onKey} />
    <ul role="listbox">${found.map((it, index) => html`<li role="option" aria-selected=${index === at} key=${it.to + it.text}>
      <a href=${it.to} onClick=${close}><span class="clip">${it.text}</span><span class="muted">${it.kind}</span></a></li>`)}
      ${found.length === 0 ? html`<li class="empty">nothing of that name</li>` : ''}
    </ul>
  </dialog>`;
}

/**
 * An app: its `title`, `nav` as `[group, [[label, href, isCurrent, count]]]`, `page()` as `{ crumbs, body }` for the current address,
 * and `entries()` for the search.
 */
function Shell({ title, nav, page, entries, version }) {
  const shown = page(route.value);
  useEffect(() => {
    addEventListener('keydown', keys);
    return () => removeEventListener('keydown', keys);
  }, []);
  useEffect(() => { document.title = [...shown.crumbs.map(([text]) => text)].reverse().concat('flott').join(' · '); });
  return html`<div class="frame">
    <nav class="side" aria-label="Main">
      <a class="brand" href="#/"><img src="assets/icon.svg" alt="" /><span>flott<small>${title}</small></span></a>
      ${nav(route.value).map(([group, items]) => html`${group ? html`<div class="group">${group}</div>` : ''}
        ${items.map(([label, to, isCurrent, number]) => html`<a class="item" href=${to} aria-current=${isCurrent ? 'page' : undefined}>${label}<span class="muted num">${number ?? ''}</span></a>`)}`)}
      <div class="foot">${version()}</div>
    </nav>
    <div class="main">
      <header class="top">
        <div class="crumbs">${shown.crumbs.map(([text, to], index) => html`${index ? html`<span class="sep">/</span>` : ''}${to ? html`<a class="clip" href=${to}>${text}</a>` : html`<span class="clip">${text}</span>`}`)}</div>
        <span class="link-state ${connection.value}" role="status">${connection.value === 'ok' ? '' : 'no answer, trying again'}</span>
        <button class="plain muted" onClick=${() => { searching.value = true; }}>Search <kbd>/</kbd></button>
        <button class="plain muted" onClick=${toggle} aria-label="Switch between dark and light" title="Dark or light (t)">${dark.value ? 'Light' : 'Dark'}</button>
      </header>
      <main class="content">${shown.body}</main>
    </div>
    ${searching.value ? html`<${Search} entries=${entries} />` : ''}
    <${Toasts} />
  </div>`;
}

export const start = (app) => render(html`<${Shell} ...${app} />`, document.getElementById('app'));
