// What of the page cannot be read or named: text with too little contrast (WCAG AA), controls that a screen reader has no words for,
// and a tab order that is not that of the page. Run by the browser tests; returns sentences.
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const faults = new Set();

/** Red, green, blue from 0 to 1, and opacity, of whatever CSS calls a colour. */
function channels(colour) {
  canvas.canvas.width = canvas.canvas.height = 1;
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, opacity] = canvas.getImageData(0, 0, 1, 1).data;
  return [red / 255, green / 255, blue / 255, opacity / 255];
}

const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);

/** What lies behind an element, down to the first that nothing shines through. */
function background(element) {
  if (!element) return channels(matchMedia('(prefers-color-scheme: dark)').matches ? '#000' : '#fff');
  const own = channels(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own : over(own, background(element.parentElement));
}

function luminance([red, green, blue]) {
  const [r, g, b] = [red, green, blue].map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a, b) {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

const visible = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.getClientRects().length > 0;

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const text = texts.currentNode.textContent.trim(), element = texts.currentNode.parentElement;
  if (!text || !visible(element) || element.closest('.visually-hidden, noscript, :disabled, option')) continue;
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
  const behind = background(element);
  const ratio = contrast(over(channels(style.color), behind), behind);
  if (ratio < needed) faults.add(`"${text.slice(0, 30)}" (${element.tagName.toLowerCase()}.${element.className}) has a contrast of ${ratio.toFixed(2)}, and ${needed} is needed`);
}

for (const control of document.querySelectorAll('a[href], button, input, select, textarea, [tabindex]')) {
  if (control.tabIndex > 0) faults.add(`${control.outerHTML.slice(0, 60)} jumps the tab order`);
  if (!visible(control)) continue;
  const labels = [...(control.labels || [])].map((label) => label.textContent).join('');
  const name = control.getAttribute('aria-label') || control.textContent || labels || control.title || control.getAttribute('alt');
  if (!name?.trim()) faults.add(`${control.outerHTML.slice(0, 80)} has no name`);
}
return [...faults];
