// Serves the static files of Flink's dashboard, passes everything else on to a JobManager, and opens each page in a headless
// Chromium. Anything that the page complains about is a failure.
//
//   node --experimental-websocket flink_dashboard.mjs WEB_DIR HOST:PORT RUNNING_JOB FINISHED_JOB FAILED_JOB

import { spawn } from 'node:child_process';
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';

const [web, jobManager, running, finished, failed] = process.argv.slice(2);
const [host, port] = jobManager.split(':');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' };
// How long a page may take to show what it must, and how long it is watched after that.
const SHOWN_MS = 20_000;
const WATCHED_MS = 700;

const server = http.createServer((request, response) => {
  const name = new URL(request.url, 'http://x').pathname;
  const file = path.join(web, path.normalize(name === '/' ? '/index.html' : name));
  if (file.startsWith(path.resolve(web)) && existsSync(file) && statSync(file).isFile()) {
    response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' });
    createReadStream(file).pipe(response);
    return;
  }
  const headers = { ...request.headers, 'x-forwarded-host': request.headers.host, host: jobManager };
  const onward = http.request({ host, port, path: request.url, method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.writeHead(502).end());
  request.pipe(onward);
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const base = `http://127.0.0.1:${server.address().port}`;
const json = async (url) => (await fetch(base + url)).json();

const { vertices } = await json(`/jobs/${running}`);
const { taskmanagers } = await json('/taskmanagers');
const vertex = vertices.at(-1).id;
const taskManager = encodeURIComponent(taskmanagers[0].id);
// Pages, each with a text that it must show.
const pages = [
  ['/overview', 'Running Job List'],
  ['/submit', 'Uploaded Jars'],
  ['/job/running', 'wordcount'],
  ['/job/completed', 'FAILED'],
  ['/task-manager', 'Task Managers'],
  ...['metrics', 'logs', 'stdout', 'log-list', 'thread-dump'].map((tab) => [`/task-manager/${taskManager}/${tab}`, 'Physical Memory']),
  ...['metrics', 'config', 'logs', 'stdout', 'log', 'thread-dump'].map((tab) => [`/job-manager/${tab}`, 'Job Manager']),
  ...['overview', 'exceptions', 'timeline', 'checkpoints', 'configuration', 'data-skew'].map((tab) => [`/job/running/${running}/${tab}`, 'wordcount']),
  ...['detail', 'subtasks', 'taskmanagers', 'watermarks', 'accumulators', 'backpressure', 'metrics', 'flamegraph'].map((tab) => [
    `/job/running/${running}/overview/${vertex}/${tab}`,
    'wordcount',
  ]),
  ...['overview', 'exceptions', 'timeline', 'checkpoints', 'configuration'].map((tab) => [`/job/completed/${finished}/${tab}`, 'FINISHED']),
  ...['overview', 'exceptions', 'timeline', 'configuration'].map((tab) => [`/job/completed/${failed}/${tab}`, 'FAILED']),
];

const profile = mkdtempSync(path.join(tmpdir(), 'flott-chromium-'));
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
const browser = spawn('chromium', [
  ...flags, '--disable-component-update', '--disable-sync', '--window-size=1600,1000', '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank',
]);
let code = 1;
try {
  const endpoint = await new Promise((found, lost) => {
    let text = '';
    browser.stderr.on('data', (chunk) => {
      text += chunk;
      const at = /DevTools listening on (ws:\S+)/.exec(text);
      if (at) found(at[1]);
    });
    browser.on('exit', () => lost(new Error(`chromium ended: ${text}`)));
  });
  code = await visit(endpoint);
} finally {
  browser.removeAllListeners('exit');
  browser.kill('SIGKILL');
  server.close();
  await new Promise((gone) => setTimeout(gone, 300));
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}
process.exit(code);

async function visit(endpoint) {
  const { port: debugging } = new URL(endpoint);
  const targets = await (await fetch(`http://127.0.0.1:${debugging}/json`)).json();
  const socket = new WebSocket(targets.find((target) => target.type === 'page').webSocketDebuggerUrl);
  await new Promise((open) => socket.addEventListener('open', open));
  let next = 0;
  let complaints = [];
  const waiting = new Map();
  const requests = new Map();
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(data);
    if (message.id) return waiting.get(message.id)?.(message.result);
    const { method, params } = message;
    if (method === 'Runtime.exceptionThrown') complaints.push(`exception: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`);
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error') complaints.push(`console: ${params.args.map((arg) => arg.description ?? arg.value).join(' ')}`);
    if (method === 'Network.requestWillBeSent') requests.set(params.requestId, `${params.request.method} ${params.request.url.replace(base, '')}`);
    // Without checkpoints there are no statistics of them: Flink answers so too, and its page shows that there are none.
    const expected = (request) => /\/checkpoints(\/config)?$/.test(request ?? '');
    if (method === 'Network.responseReceived' && params.response.status >= 400 && !expected(requests.get(params.requestId))) {
      complaints.push(`${params.response.status} for ${requests.get(params.requestId)}`);
    }
  });
  const send = (method, params = {}) =>
    new Promise((answered) => {
      const id = ++next;
      waiting.set(id, answered);
      socket.send(JSON.stringify({ id, method, params }));
    });
  for (const domain of ['Runtime', 'Page', 'Network']) await send(`${domain}.enable`);
  const evaluate = async (expression) => (await send('Runtime.evaluate', { expression, returnByValue: true })).result.value;

  let bad = 0;
  for (const [page, heading] of pages) {
    complaints = [];
    await send('Page.navigate', { url: 'about:blank' }); // Else only the hash changes, and nothing is loaded anew.
    await send('Page.navigate', { url: `${base}/#${page}` });
    const deadline = Date.now() + SHOWN_MS;
    let text = '';
    do {
      await new Promise((settled) => setTimeout(settled, 100));
      text = (await evaluate('document.body?.innerText')) ?? '';
    } while (!text.toLowerCase().includes(heading.toLowerCase()) && Date.now() < deadline);
    await new Promise((settled) => setTimeout(settled, WATCHED_MS));
    const notices = await evaluate(`[...document.querySelectorAll('.ant-notification-notice')].map((notice) => notice.innerText).join(' | ')`);
    if (notices) complaints.push(`notification: ${notices}`);
    if (!text.toLowerCase().includes(heading.toLowerCase())) complaints.push(`it does not show "${heading}": ${text.slice(0, 200).replaceAll('\n', ' ')}`);
    console.log(`${complaints.length ? 'BAD ' : 'good'} ${page}`);
    for (const complaint of new Set(complaints)) console.log(`       ${complaint.slice(0, 400)}`);
    if (complaints.length) bad += 1;
  }
  socket.close();
  console.log(`${pages.length} pages, ${bad} with complaints`);
  return bad ? 1 : 0;
}
