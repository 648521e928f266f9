// Webhooks: addresses that are told of what happens. The list, and below an id the log of one with replay and test.
import { html } from '../app/html.js';
import Webhook from './webhook.js';
import WebhookList from './webhook_list.js';

export default function Webhooks({ parts, query }) {
  return parts.length ? html`<${Webhook} key=${parts[0]} id=${parts[0]} query=${query} />` : html`<${WebhookList} />`;
}
