// Whether what belongs to the installation answers: every target with its 90 days, and below an id all that is known of one.
import { html } from '../app/html.js';
import UptimeList from './uptime_list.js';
import UptimeTarget from './uptime_target.js';

export default function Uptime({ parts }) {
  return parts.length ? html`<${UptimeTarget} key=${parts[0]} id=${parts[0]} />` : html`<${UptimeList} />`;
}
