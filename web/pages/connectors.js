// The installation's connectors, for its operator: which are alive, which devices live where, and taking one out of use.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { number, t } from '../app/i18n.js';
import { Badge, Button, Card, Confirm, Empty, ErrorNote, Loading, Note, PageHead, toast } from '../app/kit.js';
import { useAction, usePolled } from '../app/live.js';
import { to } from '../app/router.js';
import { useUser } from '../app/session.js';

const EVERY_MS = 2_000; // a connector beats every second or every five

export default function Connectors() {
  const { data, error, refresh } = usePolled(() => api.get('/api/connectors'), EVERY_MS);
  const shown = data?.connectors ?? [];
  const alive = shown.filter((one) => stateOf(one) === 'alive' || stateOf(one) === 'draining');
  return html`
    <${PageHead} title=${t('nav.connectors')} lead=${t('connectors.lead')} />
    <${ErrorNote} error=${error} retry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && shown.length === 0 && html`<${Card}><${Empty} icon="server" title=${t('connectors.empty')}>${t('connectors.empty.text')}<//><//>`}
    ${shown.length > 0 && alive.length < 2 && html`<${Note} tone=${alive.length ? 'warn' : 'bad'}>${t(alive.length ? 'connectors.one' : 'connectors.none')}<//>`}
    <div class="grid">${shown.map((one) => html`<${Connector} key=${one.connector} one=${one} last=${alive.length < 2} refresh=${refresh} />`)}</div>`;
}

function stateOf({ silent, stopped, draining }) {
  if (stopped) return 'stopped';
  if (silent) return 'silent';
  return draining ? 'draining' : 'alive';
}

const TONES = { alive: ['good', 'check'], draining: ['info', 'forward'], silent: ['bad', 'warning'], stopped: ['idle', 'pause'] };

function Connector({ one, last, refresh }) {
  const user = useUser();
  const [asking, setAsking] = useState(false);
  const state = stateOf(one);
  const [tone, icon] = TONES[state];
  const path = `/api/connectors/${encodeURIComponent(one.connector)}`;
  const undrain = useAction(async () => {
    await api.post(`${path}/undrain`);
    toast(t('connectors.undrained', { name: one.connector }));
    await refresh();
  });
  const act = one.draining
    ? html`<${Button} small busy=${undrain.busy} onClick=${undrain.run}>${t('connectors.undrain')}<//>`
    : html`<${Button} small disabled=${state !== 'alive'} onClick=${() => setAsking(true)}>${t('connectors.drain')}<//>`;
  return html`<${Card} title=${html`<span class="break">${one.connector}</span>`} actions=${html`<${Badge} tone=${tone} icon=${icon}>${t(`connectors.state.${state}`)}<//>`}>
    <div class="stack">
      <dl class="facts">
        <dt>${t('connectors.region')}</dt><dd>${one.region}</dd>
        <dt>${t('connectors.beat')}</dt><dd class="numbers">${t('connectors.beat.ago', { seconds: number(one.heartbeat_age_s, 1) })}</dd>
        <dt>${t('connectors.devices')}</dt><dd class="numbers">${t('limits.used_of', { used: one.devices.length, limit: one.capacity })}</dd>
        <dt>${t('connectors.queued')}</dt><dd class="numbers">${number(one.queued)}</dd>
      </dl>
      ${state === 'silent' && html`<${Note} tone="bad" slim>${t('connectors.silent.text')}<//>`}
      ${one.devices.length === 0 ? html`<p class="quiet">${t('connectors.no_devices')}</p>` : html`<ul class="device-list" aria-label=${t('connectors.devices')}>${one.devices.map((device) => html`<li key="${device.user_id}_${device.session_id}_${device.slot}"><${Held} device=${device} own=${device.user_id === user.id} /></li>`)}</ul>`}
      <${ErrorNote} error=${undrain.error} />
      <div class="row">${act}</div>
    </div>
    ${asking && html`<${Confirm} title=${t('connectors.drain.title', { name: one.connector })} action=${t('connectors.drain')} onClose=${() => setAsking(false)}
      act=${async () => { await api.post(`${path}/drain`); toast(t('connectors.drained', { name: one.connector })); await refresh(); }}>${t(last ? 'connectors.drain.last' : 'connectors.drain.text')}<//>`}
  <//>`;
}

const POOR_BELOW = 60; // domain/link_quality.py

function Held({ device, own }) {
  const name = own ? device.session_id : `${device.user_id} / ${device.session_id}`;
  const good = device.quality === null || device.quality >= POOR_BELOW;
  return html`<${Badge} tone=${good ? 'good' : 'warn'} icon="phone">${device.slot}<//>
    ${own ? html`<a href=${to('chats', device.session_id)}>${name}</a>` : html`<span class="break">${name}</span>`}
    <span class="small quiet numbers">${device.quality === null ? '' : t('connectors.quality', { quality: device.quality })}</span>`;
}
