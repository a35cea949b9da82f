// Where in the app the page is: the part of the address behind `#`. Every view has one, so each can be bookmarked and sent.
import { signal } from './html.js';

const parse = () => {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  return {
    parts: path.split('/').filter(Boolean).map(decodeURIComponent),
    query: new URLSearchParams(query || ''),
  };
};

export const route = signal(parse());
addEventListener('hashchange', () => { route.value = parse(); });

/** `#/a/b?x=y` */
export function href(parts, query) {
  const path = parts.map(encodeURIComponent).join('/');
  const text = query ? new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString() : '';
  return `#/${path}${text ? `?${text}` : ''}`;
}

export const go = (parts, query) => { location.hash = href(parts, query); };

/** Changes the query alone, without a step in the history: what is typed into a filter. */
export function refine(query) {
  const merged = { ...Object.fromEntries(route.value.query), ...query };
  history.replaceState(null, '', href(route.value.parts, merged));
  route.value = parse();
}
