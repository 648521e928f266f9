// API keys: make one for some scopes and sessions (shown once), see when it was used last, revoke it.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { t } from '../app/i18n.js';
import { Button, Card, Checkbox, Confirm, Copyable, Dialog, Empty, ErrorNote, Loading, Note, PageHead, SelectField, Table, TextField, Time, toast } from '../app/kit.js';
import { useAction, usePolled } from '../app/live.js';
import { useUser } from '../app/session.js';

const EVERY_MS = 30_000;
const SCOPES = ['read', 'send', 'admin'];

export default function Keys() {
  const { data, error, refresh } = usePolled(() => api.get('/api/keys'), EVERY_MS);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(null);
  const [leaving, setLeaving] = useState(null);
  const add = html`<${Button} kind="main" icon="plus" onClick=${() => setMaking(true)}>${t('keys.add')}<//>`;
  const done = async (key) => {
    setMaking(false);
    setMade(key);
    await refresh();
  };
  return html`
    <${PageHead} title=${t('nav.keys')} lead=${t('keys.lead')} actions=${data?.keys.length > 0 && add} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data?.keys.length === 0 && html`<${Card}><${Empty} icon="key" title=${t('keys.empty')} actions=${add}>${t('keys.empty.text')}<//><//>`}
    ${data?.keys.length > 0 && html`<${Card} flush><${Table} label=${t('nav.keys')} rows=${data.keys} rowKey=${(key) => key.key_id} columns=${[
      { label: t('keys.name'), cell: (key) => html`<span class="strong break">${key.name}</span><br /><code class="small quiet">${key.key_id}</code>` },
      { label: t('keys.scopes'), cell: (key) => key.scopes.map((scope) => t(`scope.${scope}`)).join(', ') },
      { label: t('keys.sessions'), cell: (key) => (key.sessions ? key.sessions.join(', ') : t('keys.all_sessions')) },
      { label: t('keys.used'), cell: (key) => html`<${Time} at=${key.last_used_at} />` },
      { label: t('keys.made'), cell: (key) => html`<${Time} at=${key.created_at} />` },
      { label: '', end: true, cell: (key) => html`<${Button} small kind="danger" onClick=${() => setLeaving(key)}>${t('keys.revoke')}<//>` },
    ]} /><//>`}
    ${making && html`<${Make} onMade=${done} onClose=${() => setMaking(false)} />`}
    ${made && html`<${Dialog} title=${t('keys.made.title', { name: made.name })} onClose=${() => setMade(null)}>
      <${Note} tone="warn">${t('keys.once')}<//>
      <${Copyable} text=${made.key} label=${t('keys.copy')} />
      <div class="actions"><${Button} kind="main" onClick=${() => setMade(null)}>${t('action.kept')}<//></div>
    <//>`}
    ${leaving && html`<${Confirm} title=${t('keys.revoke.title', { name: leaving.name })} action=${t('keys.revoke')} onClose=${() => setLeaving(null)}
      act=${async () => { await api.delete(`/api/keys/${leaving.key_id}`); toast(t('keys.revoked')); await refresh(); }}>${t('keys.revoke.text')}<//>`}`;
}

function Make({ onMade, onClose }) {
  const user = useUser();
  const sessions = usePolled(() => api.get('/api/sessions'), null);
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState(['read', 'send']);
  const [kind, setKind] = useState('all');
  const [chosen, setChosen] = useState([]);
  const offered = user.operator ? [...SCOPES, 'operator'] : SCOPES;
  const make = useAction(async () => {
    const body = { name: name.trim(), scopes, ...(kind === 'some' ? { sessions: chosen } : {}) };
    await onMade(await api.post('/api/keys', body));
  });
  const submit = (event) => {
    event.preventDefault();
    make.run();
  };
  const flip = (list, one, on) => (on ? [...list, one] : list.filter((other) => other !== one));
  const complete = name.trim() && scopes.length > 0 && (kind === 'all' || chosen.length > 0);
  return html`<${Dialog} title=${t('keys.add')} onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <${TextField} label=${t('keys.name')} hint=${t('keys.name.hint')} value=${name} onValue=${setName} maxlength="100" required />
      <fieldset><legend>${t('keys.scopes')}</legend><div class="stack tight">
        ${offered.map((scope) => html`<${Checkbox} label=${html`<span class="strong">${t(`scope.${scope}`)}</span> <span class="quiet">${t(`scope.${scope}.text`)}</span>`} checked=${scopes.includes(scope)} onValue=${(on) => setScopes(flip(scopes, scope, on))} />`)}
      </div></fieldset>
      <${SelectField} label=${t('keys.sessions')} value=${kind} onValue=${setKind} options=${[['all', t('keys.all_sessions')], ['some', t('keys.some_sessions')]]} />
      ${kind === 'some' && html`<fieldset><legend>${t('keys.which')}</legend><div class="stack tight">
        ${sessions.data?.sessions.length === 0 && html`<p class="quiet">${t('keys.no_sessions')}</p>`}
        ${sessions.data?.sessions.map(({ session_id: id }) => html`<${Checkbox} label=${id} checked=${chosen.includes(id)} onValue=${(on) => setChosen(flip(chosen, id, on))} />`)}
        <${ErrorNote} error=${sessions.error} retry=${sessions.refresh} />
      </div></fieldset>`}
      <${ErrorNote} error=${make.error} />
      <div class="actions"><${Button} onClick=${onClose}>${t('action.cancel')}<//><${Button} kind="main" type="submit" busy=${make.busy} disabled=${!complete}>${t('keys.make')}<//></div>
    </form>
  <//>`;
}
