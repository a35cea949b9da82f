// Numbers, sizes and times as people read them. All take what the API gives and say "–" for what is unknown.

const NONE = '–';
const NBSP = '\u00a0';
const NARROW = '\u202f';

const known = (value) => value !== null && value !== undefined && Number.isFinite(Number(value)) && Number(value) >= 0;

/** 1234567 → "1.23 M" */
export function count(value) {
  if (!known(value)) return NONE;
  const number = Number(value);
  for (const [size, unit] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (number >= size * 0.9995) return short(number / size) + NARROW + unit;
  }
  return Number.isInteger(number) ? String(number) : short(number);
}

/** 1234567 → "1 234 567", for where the exact number matters. */
export function exact(value) {
  return known(value) ? String(Math.round(Number(value))).replace(/\B(?=(\d{3})+$)/g, NARROW) : NONE;
}

/** Bytes in powers of 1024. */
export function bytes(value) {
  if (!known(value)) return NONE;
  let number = Number(value);
  for (const unit of ['B', 'KiB', 'MiB', 'GiB', 'TiB']) {
    if (number < 1023.5 || unit === 'TiB') return (unit === 'B' ? String(Math.round(number)) : short(number)) + NARROW + unit;
    number /= 1024;
  }
  return NONE;
}

/** MiB as the ResourceManager gives them. */
export const mebibytes = (value) => (known(value) ? bytes(Number(value) * 1048576) : NONE);

function short(number) {
  if (number >= 99.95) return String(Math.round(number));
  return number >= 9.995 ? number.toFixed(1) : number.toFixed(2);
}

/** Milliseconds → "3 ms", "4.2 s", "3 m 07 s", "2 h 05 m", "4 d 3 h" */
export function duration(ms) {
  if (!known(ms)) return NONE;
  const value = Number(ms);
  if (value < 1000) return Math.round(value) + NARROW + 'ms';
  if (value < 60_000) return (value / 1000).toFixed(value < 10_000 ? 1 : 0) + NARROW + 's';
  const seconds = Math.floor(value / 1000), pad = (n) => String(n).padStart(2, '0');
  if (seconds < 3600) return Math.floor(seconds / 60) + NARROW + 'm' + NBSP + pad(seconds % 60) + NARROW + 's';
  if (seconds < 86_400) return Math.floor(seconds / 3600) + NARROW + 'h' + NBSP + pad(Math.floor(seconds / 60) % 60) + NARROW + 'm';
  return Math.floor(seconds / 86_400) + NARROW + 'd' + NBSP + (Math.floor(seconds / 3600) % 24) + NARROW + 'h';
}

/** Epoch milliseconds → "14:03:59", with the date when it is not today's. */
export function time(ms) {
  if (!known(ms) || Number(ms) === 0) return NONE;
  const date = new Date(Number(ms)), pad = (n) => String(n).padStart(2, '0');
  const clock = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return date.toDateString() === new Date().toDateString() ? clock : `${day} ${clock}`;
}

/** Thousandths → "43 %" */
export const permille = (value) => (known(value) ? percent(Number(value) / 10) : NONE);

/** 43.21 → "43 %" */
export function percent(value) {
  if (!known(value)) return NONE;
  const number = Number(value);
  return (number > 0 && number < 1 ? '<1' : String(Math.round(number))) + NARROW + '%';
}

/** "1 container", "2 containers" */
export const counted = (number, noun) => `${exact(number)}${NBSP}${noun}${Number(number) === 1 ? '' : 's'}`;

/** What the end of the input tells: no moment that a clock shows. */
export const isEnd = (ms) => ms > 8.64e15;
export const eventTime = (ms) => (isEnd(ms) ? 'end of time' : time(ms));
