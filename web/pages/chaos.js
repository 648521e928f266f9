// The chaos corner, in the demo only: break something in the simulator's WhatsApp, and watch what Keepline says of it.
import { html, useState } from '../app/html.js';
import { api } from '../app/api.js';
import { duration, number, t } from '../app/i18n.js';
import { Badge, Button, Card, Empty, ErrorNote, Loading, Note, PageHead, SelectField, SessionState, toast } from '../app/kit.js';
import { useAction, useNow, usePolled } from '../app/live.js';
import { to } from '../app/router.js';
import { FAULTS, simulator } from '../app/simulator.js';

const EVERY_MS = 1_000;
const CHANGES_MAX = 12;

export default function Chaos() {
  const sessions = usePolled(() => api.get('/api/sessions'), EVERY_MS);
  const faults = usePolled(() => simulator.faults(), EVERY_MS);
  const [chosen, setChosen] = useState('');
  const linked = (sessions.data?.sessions ?? []).filter((one) => one.phone);
  const session = linked.find((one) => one.session_id === chosen) ?? linked[0];
  const standing = (faults.data ?? []).filter((one) => one.state !== 'over' && one.state !== 'spent');
  const mend = useAction(async () => {
    await simulator.mend();
    toast(t('chaos.mended'));
    await faults.refresh();
  });
  return html`
    <${PageHead} title=${t('nav.chaos')} lead=${t('chaos.lead')} actions=${html`<${Button} icon="check" busy=${mend.busy} onClick=${mend.run}>${t('chaos.mend')}<//>`} />
    <${ErrorNote} error=${sessions.error ?? faults.error ?? mend.error} />
    ${!sessions.data && !sessions.error && html`<${Loading} />`}
    ${sessions.data && linked.length === 0 && html`<${Card}><${Empty} icon="link" title=${t('chaos.empty')} actions=${html`<${Button} kind="main" href=${to('link')}>${t('nav.link')}<//>`}>${t('chaos.empty.text')}<//><//>`}
    ${session && html`
      <div class="filters"><${SelectField} label=${t('chaos.session')} value=${session.session_id} onValue=${setChosen} options=${linked.map((one) => [one.session_id, `${one.session_id} (+${one.phone})`])} /></div>
      <div class="chaos">
        <div class="stack">
          <${Card} title=${t('chaos.break')}><div class="faults">${FAULTS.map((fault) => html`<${Fault} key=${fault.name} fault=${fault} number=${session.phone} refresh=${faults.refresh} />`)}</div><//>
          <${Card} title=${t('chaos.standing')}>
            ${standing.length === 0 ? html`<p class="quiet">${t('chaos.standing.none')}</p>` : html`<ul class="stack tight">${standing.map((one) => html`<li class="row tight"><${Badge} tone="bad" icon="bolt">${one.kind}<//><span class="small quiet">${one.target?.number ? `+${one.target.number}` : t('chaos.everybody')} · ${t('chaos.hits', { n: one.hits })}</span></li>`)}</ul>`}
          <//>
        </div>
        <${Watch} key=${session.session_id} session=${session} at=${sessions.at} />
      </div>`}`;
}

function Fault({ fault, number: phone, refresh }) {
  const act = useAction(async () => {
    await fault.strike(phone);
    toast(t('chaos.done', { what: t(`chaos.fault.${fault.name}`) }), 'info');
    await refresh();
  });
  return html`<div class="fault">
    <h3>${t(`chaos.fault.${fault.name}`)}</h3>
    <p>${t(`chaos.fault.${fault.name}.text`)}</p>
    <${ErrorNote} error=${act.error} />
    <${Button} small kind="danger" icon=${fault.icon} busy=${act.busy} onClick=${act.run}>${t('chaos.strike')}<//>
  </div>`;
}

/** What the API says of the session now, each of its devices, and the changes since the page was opened. */
function Watch({ session, at }) {
  const now = useNow();
  const changes = useChanges(session, at);
  const age = session.evidence ? Math.max(0, (now - new Date(session.evidence.at)) / 1000) : null;
  return html`<${Card} title=${t('chaos.watch')} actions=${html`<${SessionState} state=${session.state} />`}><div class="stack">
    <div aria-live="polite"><p class="strong">${session.reason.sentence}</p><p class="quiet">${session.reason.next_step}</p></div>
    <dl class="facts">
      <dt>${t('chaos.evidence')}</dt><dd class="numbers">${age === null ? '–' : t('chaos.evidence.age', { time: duration(age) })}</dd>
      <dt>${t('connectors.queued')}</dt><dd class="numbers">${number(session.queue.queued)}</dd>
      ${session.devices.map((device) => html`<dt>${t('chaos.device', { slot: device.slot })}</dt><dd class="row tight"><${SessionState} state=${device.state} /><span class="small quiet">${device.connector ?? ''}</span></dd>`)}
    </dl>
    ${session.devices.length < 2 && html`<${Note} tone="info" slim>${t('chaos.no_standby')} <a href=${to('link', session.session_id)}>${t('chaos.add_standby')}</a><//>`}
    <h3>${t('chaos.changes')}</h3>
    <ol class="course small">${changes.map((one) => html`<li key=${one.at.getTime()} class="row tight"><span class="numbers quiet">${one.at.toTimeString().slice(0, 8)}</span><${SessionState} state=${one.state} /><span>${one.sentence}</span></li>`)}</ol>
  </div><//>`;
}

/** Newest first; the first one is how it was when the page was opened. */
function useChanges(session, at) {
  const [changes, setChanges] = useState([]);
  const last = changes[0];
  if (at !== null && (last === undefined || last.state !== session.state || last.code !== session.reason.code)) {
    const change = { at: new Date(at), state: session.state, code: session.reason.code, sentence: session.reason.sentence };
    setChanges([change, ...changes].slice(0, CHANGES_MAX));
  }
  return changes;
}
