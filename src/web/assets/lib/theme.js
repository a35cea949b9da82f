// Dark or light: the system's choice until somebody chooses otherwise.
import { signal } from './html.js';

const KEY = 'flott-theme';
const stored = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
const system = matchMedia('(prefers-color-scheme: dark)');

export const dark = signal((stored() || (system.matches ? 'dark' : 'light')) === 'dark');

const show = () => { document.documentElement.style.colorScheme = stored() || ''; };
show();
system.addEventListener('change', () => { if (!stored()) dark.value = system.matches; });

export function toggle() {
  dark.value = !dark.value;
  try { localStorage.setItem(KEY, dark.value ? 'dark' : 'light'); } catch { /* Lasts as long as the page then. */ }
  document.documentElement.style.colorScheme = dark.value ? 'dark' : 'light';
}

/** A colour token as a canvas wants it. */
export function colour(token) {
  const probe = document.createElement('i');
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
