// The token that a guarded cluster wants: asked for once, kept as long as this tab, shown to the page's own origin only.
const KEY = 'flott-token';
let token = sessionStorage.getItem(KEY) ?? '';
let asking = null;

/** Headers of a request. */
export const authorization = () => (token ? { authorization: `Bearer ${token}` } : {});

const element = (name, properties, ...children) => {
  const it = Object.assign(document.createElement(name), properties);
  it.append(...children);
  return it;
};

function ask(why) {
  return new Promise((resolve) => {
    const input = element('input', { type: 'password', name: 'token', required: true, autocomplete: 'off', ariaLabel: 'Token' });
    const form = element('form', {},
      element('h2', { textContent: 'This cluster wants a token' }),
      element('p', { className: 'muted', textContent: why }),
      input,
      element('div', { className: 'actions' }, element('button', { type: 'submit', className: 'primary', textContent: 'Show it' })));
    const dialog = element('dialog', { ariaLabel: 'Token' }, form);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      token = input.value.trim();
      sessionStorage.setItem(KEY, token);
      dialog.remove();
      resolve();
    });
    dialog.addEventListener('cancel', (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Returns once there is another token than the one that was `shown`. Requests that fail meanwhile wait for the same answer. */
export async function askForToken(shown) {
  if ((shown.authorization ?? '') !== (authorization().authorization ?? '')) return;
  const first = 'Paste an admin\'s or a reader\'s token; it stays in this tab.';
  asking ??= ask(shown.authorization ? `That was none this cluster knows. ${first}` : first).finally(() => { asking = null; });
  await asking;
}
