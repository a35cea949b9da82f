// The job's graph: laid out once, then only numbers and colours change.
import { Graph as Layout, layout } from '../vendor/dagre.js';
import { Component, html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../lib/html.js';
import { Clock, Legend } from '../lib/bits.js';
import { bytes, count, duration, eventTime, permille } from '../lib/format.js';
import { LEGEND, Load, loadOf } from './load.js';

const WIDTH = 236, HEIGHT = 104;
/** Below this scale nobody can read: vertices are blocks of colour, and edges have no words. */
const FAR = 0.35;
const SCALE_MIN = 0.08, SCALE_MAX = 1.6;

/** Places of the plan's vertices and the points of its edges. */
function arrange(plan) {
  const graph = new Layout({ multigraph: true });
  graph.setGraph({ rankdir: 'LR', nodesep: 28, ranksep: 118, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of plan.nodes) graph.setNode(node.id, { width: WIDTH, height: HEIGHT });
  for (const node of plan.nodes) {
    for (const input of node.inputs || []) graph.setEdge(input.id, node.id, { input }, `${input.id}-${node.id}-${input.num}`);
  }
  layout(graph);
  const nodes = new Map(graph.nodes().map((id) => [id, graph.node(id)]));
  const edges = graph.edges().map((edge) => ({ source: edge.v, target: edge.w, key: edge.name, ...graph.edge(edge) }));
  return { nodes, edges, width: graph.graph().width || 0, height: graph.graph().height || 0 };
}

/** A smooth line through the points. */
function line(points) {
  const [first, ...rest] = points;
  let path = `M${first.x},${first.y}`;
  let from = first;
  for (const to of rest) {
    const middle = (from.x + to.x) / 2;
    path += `C${middle},${from.y} ${middle},${to.y} ${to.x},${to.y}`;
    from = to;
  }
  return path;
}

class Node extends Component {
  shouldComponentUpdate(next) {
    const old = this.props;
    if (next.selected !== old.selected || next.place !== old.place || next.far !== old.far) return true;
    return next.far ? loadOf(next.vertex) !== loadOf(old.vertex) : next.vertex !== old.vertex;
  }

  render({ vertex, place, selected, far, onPick }) {
    const style = { left: `${place.x - WIDTH / 2}px`, top: `${place.y - HEIGHT / 2}px` };
    if (far) {
      return html`<button class="node far load-${loadOf(vertex)} ${selected ? 'selected' : ''}" style=${style} onClick=${() => onPick(vertex.id)} aria-pressed=${selected} aria-label=${vertex.name} title=${vertex.name}></button>`;
    }
    return html`<button class="node load-${loadOf(vertex)} ${selected ? 'selected' : ''}" style=${style} onClick=${() => onPick(vertex.id)} aria-pressed=${selected}
        title="${vertex.name}\n${vertex.status.toLowerCase()}, parallelism ${vertex.parallelism}">
      <span class="name">${vertex.name}</span>
      <span class="line"><span>${vertex.rated ? `busy ${permille(vertex.busy[1])}` : vertex.status.toLowerCase()}</span>${watermark(vertex)}</span>
      <${Load} of=${vertex} thin />
      <span class="line"><span>${vertex.rated ? `${count(vertex.rate[0])}/s in` : `${count(vertex.records[0])} in`}</span><span>×${vertex.parallelism}</span><span>${vertex.rated ? `${count(vertex.rate[1])}/s out` : `${count(vertex.records[1])} out`}</span></span>
    </button>`;
  }
}

const watermark = (vertex) => (vertex.watermark === null || vertex.watermark === undefined ? '' : html`<span class=${holds(vertex['held-back']) ? 'late' : ''} title=${heldBack(vertex)}><${Clock} /> ${eventTime(vertex.watermark)}</span>`);

/** Whether it is worth a word: less is a matter of intervals and batches. The threshold is that of the diagnosis. */
const holds = (held) => held && (held.behind === null || held.behind >= 60000);

/** Which input event time waits for. */
export function heldBack(vertex) {
  const held = vertex['held-back'];
  if (!held) return 'how far event time has come in the slowest subtask';
  const by = held.behind === null ? 'has told no watermark yet' : `is ${duration(held.behind)} behind the furthest`;
  return `subtask ${held.subtask} waits for subtask ${held['by-subtask']} of ${held.name}, which ${by}`;
}

/** What flows over an edge: known where it is its source's only output, or its target's only input. */
function flow(edge, vertices, edges) {
  const source = vertices.get(edge.source), target = vertices.get(edge.target);
  if (!source || !target) return null;
  if (edges.filter((it) => it.target === edge.target).length === 1) {
    return { records: target.records[0], rate: target.rated ? target.rate[0] : null, bytes: target.bytes[0] };
  }
  if (edges.filter((it) => it.source === edge.source).length === 1) {
    return { records: source.records[1], rate: source.rated ? source.rate[1] : null, bytes: source.bytes[1] };
  }
  return null;
}

/** Pan and zoom of a box. */
function useView(box, size) {
  const [view, setView] = useState({ x: 0, y: 0, scale: 1 });
  const fit = () => {
    if (!box.current) return;
    const { clientWidth, clientHeight } = box.current;
    const scale = Math.max(SCALE_MIN, Math.min(1, (clientWidth - 16) / size.width, (clientHeight - 16) / size.height));
    setView({ scale, x: Math.max(8, (clientWidth - size.width * scale) / 2), y: Math.max(8, (clientHeight - size.height * scale) / 2) });
  };
  const zoom = (factor, x = box.current.clientWidth / 2, y = box.current.clientHeight / 2) => setView((old) => {
    const scale = Math.max(SCALE_MIN, Math.min(SCALE_MAX, old.scale * factor));
    return { scale, x: x - ((x - old.x) * scale) / old.scale, y: y - ((y - old.y) * scale) / old.scale };
  });
  useLayoutEffect(fit, [size]);
  useEffect(() => {
    const observer = new ResizeObserver(fit);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [size]);
  return { view, setView, fit, zoom };
}

export function Graph({ plan, vertices, selected, onPick }) {
  const box = useRef(null);
  const drag = useRef(null);
  const shape = JSON.stringify(plan.nodes.map((node) => [node.id, node.inputs?.map((input) => input.id)]));
  const size = useMemo(() => arrange(plan), [shape]);
  const { view, setView, fit, zoom } = useView(box, size);
  const width = box.current?.clientWidth || 1100;
  const byId = new Map(vertices.map((vertex) => [vertex.id, vertex]));
  const onWheel = (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const place = box.current.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - place.left, event.clientY - place.top);
  };
  useEffect(() => {
    const element = box.current;
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, []);
  const onDown = (event) => {
    if (event.button !== 0 || event.target.closest('button')) return;
    box.current.setPointerCapture(event.pointerId);
    drag.current = { x: event.clientX - view.x, y: event.clientY - view.y };
    box.current.classList.add('moving');
  };
  const onMove = (event) => {
    if (drag.current) setView((old) => ({ ...old, x: event.clientX - drag.current.x, y: event.clientY - drag.current.y }));
  };
  const onUp = () => { drag.current = null; box.current.classList.remove('moving'); };
  const wanted = Math.min(560, Math.max(190, size.height * Math.min(1, (width - 16) / size.width) + 76));
  return html`<div class="graph" ref=${box} style=${{ height: `${wanted}px` }} onPointerDown=${onDown} onPointerMove=${onMove} onPointerUp=${onUp} onPointerCancel=${onUp} aria-label="Graph of the job">
    <div class="plane" style=${{ transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})` }}>
      <svg width=${size.width} height=${size.height} aria-hidden="true">${size.edges.map((edge) => {
        const source = byId.get(edge.source);
        const held = source?.rated && loadOf(source) === 'held';
        return html`<path key=${edge.key} d=${line(edge.points)} class=${held ? 'held' : source?.rated ? 'flows' : ''} />`;
      })}</svg>
      ${view.scale > FAR ? size.edges.map((edge) => html`<${EdgeLabel} key=${edge.key} edge=${edge} flow=${flow(edge, byId, size.edges)} target=${byId.get(edge.target)} />`) : ''}
      ${plan.nodes.map((node) => {
        const vertex = byId.get(node.id) || PREVIEW(node);
        return html`<${Node} key=${node.id} vertex=${vertex} place=${size.nodes.get(node.id)} selected=${node.id === selected} far=${view.scale <= FAR} onPick=${onPick} />`;
      })}
    </div>
    <div class="tools">
      <button onClick=${() => zoom(1.25)} aria-label="Closer">+</button><button onClick=${() => zoom(0.8)} aria-label="Farther">−</button><button onClick=${fit} aria-label="Show all" title="Show all">⤢</button>
    </div>
    ${vertices.length ? html`<${Legend} entries=${LEGEND} />` : ''}
  </div>`;
}

function EdgeLabel({ edge, flow: it, target }) {
  const held = target?.['held-back'];
  const slow = holds(held) && held.by === edge.source;
  const middle = edge.points[Math.floor(edge.points.length / 2)];
  return html`<span class="edge-label" style=${{ left: `${middle.x}px`, top: `${middle.y}px` }}>${edge.input.ship_strategy || ''}${it ? html`<br />${it.rate === null ? count(it.records) : `${count(it.rate)}/s`}${it.bytes ? html`<br />${bytes(it.bytes)}` : ''}` : ''}${slow ? html`<br /><b class="late" title=${heldBack(target)}><${Clock} /> ${held.behind === null ? 'no watermark' : `−${duration(held.behind)}`}</b>` : ''}</span>`;
}

/** A vertex of a plan that does not run. */
const PREVIEW = (node) => ({
  id: node.id, name: plain(node.description), parallelism: node.parallelism, status: 'planned', rated: false, records: [null, null], bytes: [null, null], rate: [0, 0],
});

/** The description is HTML in Flink's API; shown as text, its operators joined. */
function plain(description) {
  const text = new DOMParser().parseFromString(description.replace(/<br\s*\/?>/g, ' '), 'text/html').body.textContent;
  return text.replace(/\s*\+-\s*/g, ' → ').trim();
}
