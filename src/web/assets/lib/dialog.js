// Questions before something is changed, and words about what came of it.
import { html, signal, useEffect, useRef, useState } from './html.js';

const toasts = signal([]);
let next = 0;

export function tell(text, isError = false) {
  const id = ++next;
  toasts.value = [...toasts.value.slice(-3), { id, text, isError }];
  setTimeout(() => { toasts.value = toasts.value.filter((it) => it.id !== id); }, isError ? 9000 : 4500);
}

/** Does something, and says so if it fails. */
export async function attempt(work, done) {
  try {
    const result = await work();
    if (done) tell(done);
    return result;
  } catch (error) {
    tell(error.message, true);
    return undefined;
  }
}

export const Toasts = () => html`<div class="toasts" role="status" aria-live="polite">
  ${toasts.value.map((it) => html`<div key=${it.id} class="toast ${it.isError ? 'error' : ''}">${it.text}</div>`)}
</div>`;

/** A modal question. `onSure` gets the form's values; it stays open, with the cause, when that throws. */
export function Confirm({ title, children, action, danger, onSure, onClose }) {
  const dialog = useRef(null);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState('');
  useEffect(() => { dialog.current.showModal(); }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await onSure(Object.fromEntries(new FormData(event.target)));
      onClose();
    } catch (error) {
      setRefused(error.message);
      setBusy(false);
    }
  };
  return html`<dialog ref=${dialog} onClose=${onClose} onCancel=${onClose} aria-label=${title}>
    <form onSubmit=${submit}>
      <h2>${title}</h2>
      ${children}
      ${refused ? html`<div class="verdict error" role="alert"><b>${refused}</b></div>` : ''}
      <div class="actions">
        <button type="button" onClick=${onClose}>Keep as it is</button>
        <button type="submit" class=${danger ? 'danger' : 'primary'} disabled=${busy}>${action}</button>
      </div>
    </form>
  </dialog>`;
}
