// Talking to the daemon. Every address is relative to the page, so that it works behind any proxy.
import { signal, useEffect, useState, useRef } from './html.js';
import { authorization, askForToken } from './token.js';

/** A request that was not met, in the daemon's words. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** What a refusal says, in Flink's form, in YARN's, or as plain text. */
function refusal(text, status) {
  try {
    const body = JSON.parse(text);
    if (Array.isArray(body.errors)) return body.errors[0];
    if (body.RemoteException) return body.RemoteException.message;
  } catch { /* Not JSON: as it is. */ }
  return text.trim().slice(0, 400) || `the daemon answered ${status}`;
}

/** Whether the daemon answers: what the page shows beside its title. */
export const connection = signal('ok');
/** The daemon's clock less ours, in milliseconds. */
let ahead = 0;
/** The daemon's time, a second a tick: what running durations are reckoned from. */
export const now = signal(Date.now());
setInterval(() => { if (!document.hidden) now.value = Date.now() + ahead; }, 1000);
const tellTime = (ms) => { ahead = ms - Date.now(); };

/** An answer's head; who must show a token is asked for one. */
async function request(path, options) {
  for (;;) {
    const shown = authorization();
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: { ...options.headers, ...shown } });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      connection.value = 'lost';
      throw new Refused('the daemon does not answer', 0);
    }
    connection.value = 'ok';
    if (answer.status !== 401) return answer;
    await askForToken(shown);
  }
}

async function send(path, options) {
  const answer = await request(path, options);
  const text = await answer.text();
  if (!answer.ok) throw new Refused(refusal(text, answer.status), answer.status);
  return text;
}

export const get = async (path) => JSON.parse(await send(path, { cache: 'no-store' }));
export const getText = (path) => send(path, { cache: 'no-store' });

/** Changes something; `body` goes as JSON. */
export async function write(method, path, body) {
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const text = await send(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return text ? JSON.parse(text) : {};
}

/** Uploads a file; `progress` gets the share that is sent, from 0 to 1. */
export function upload(path, file, progress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append('jarfile', file, file.name);
    const request = new XMLHttpRequest();
    request.open('POST', path);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(new Refused('the upload broke off', 0));
    request.onload = () => request.status < 300
      ? resolve(JSON.parse(request.responseText))
      : reject(new Refused(refusal(request.responseText, request.status), request.status));
    request.send(form);
  });
}

const POLL_MS = 2000;
const LISTEN_AGAIN_MS = 15_000;

/**
 * Follows a live view: by events, and while those do not come by asking. Pauses while nobody looks at the page.
 * Returns the function that ends it.
 */
export function follow(path, onView, onRefused) {
  let source = null, timer = null, ended = false;
  const take = (text) => {
    const { now: at, view } = JSON.parse(text);
    tellTime(at);
    onView(view);
  };
  const poll = async (until) => {
    if (ended || document.hidden) return;
    try {
      take(await getText(path));
    } catch (error) {
      onRefused(error);
      if (error.status === 404) return;
    }
    if (ended) return;
    timer = setTimeout(() => (Date.now() >= until ? listen() : poll(until)), POLL_MS);
  };
  // Not by EventSource, which can show no token.
  const listen = async () => {
    if (ended || document.hidden) return;
    const mine = source = new AbortController();
    try {
      const answer = await request(path, { cache: 'no-store', headers: { accept: 'text/event-stream' }, signal: mine.signal });
      if (!answer.ok) throw new Refused(refusal(await answer.text(), answer.status), answer.status);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (rest + part.value).split('\n\n');
        rest = events.pop();
        for (const event of events) {
          if (source === mine && event.startsWith('data:')) take(event.slice(5));
        }
      }
    } catch { /* Polled below, which tells what is the matter. */ }
    if (source !== mine) return;
    source = null;
    clearTimeout(timer);
    poll(Date.now() + LISTEN_AGAIN_MS);
  };
  const stop = () => {
    clearTimeout(timer);
    source?.abort();
    source = null;
  };
  const look = () => { stop(); if (!document.hidden) listen(); };
  document.addEventListener('visibilitychange', look);
  listen();
  return () => {
    ended = true;
    stop();
    document.removeEventListener('visibilitychange', look);
  };
}

/** A live view in a component: `{ view, error }`. */
export function useLive(path) {
  const [state, setState] = useState({ path, view: null, error: null });
  useEffect(() => {
    if (!path) return undefined;
    return follow(path, (view) => setState({ path, view, error: null }), (error) => setState((old) => ({ ...old, path, error })));
  }, [path]);
  return state.path === path ? state : { view: null, error: null };
}

/** What an address says, asked again every `period` milliseconds: `{ data, error, reload }`. Without a path nothing is asked. */
export function usePoll(path, period = 3000, read = get) {
  const [state, setState] = useState({ path, data: null, error: null });
  const again = useRef(() => {});
  useEffect(() => {
    if (!path) return undefined;
    let timer = null, ended = false, asked = 0;
    const ask = async () => {
      clearTimeout(timer);
      const mine = ++asked;
      try {
        const data = await read(path);
        if (!ended && mine === asked) setState({ path, data, error: null });
      } catch (error) {
        if (!ended && mine === asked) setState((old) => ({ path, data: old.path === path ? old.data : null, error }));
      }
      if (!ended && mine === asked && period) timer = setTimeout(() => (document.hidden ? wait() : ask()), period);
    };
    const wait = () => { timer = setTimeout(() => (document.hidden ? wait() : ask()), 500); };
    again.current = ask;
    ask();
    return () => { ended = true; clearTimeout(timer); };
  }, [path, period]);
  const current = state.path === path ? state : { data: null, error: null };
  return { ...current, reload: () => again.current() };
}
