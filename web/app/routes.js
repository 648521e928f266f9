// Every page: its address, its name in the menu, and the module that is loaded when somebody goes there. A page's module exports by
// default a component that gets `{ parts, query }`: what follows its name in the address.
import { config } from './config.js';

/** `when` says for whom a page is there; without it for everybody. */
export const ROUTES = [
  { name: 'overview', icon: 'home', group: 'work', load: () => import('../pages/overview.js') },
  { name: 'chats', icon: 'chat', group: 'work', load: () => import('../pages/chats.js') },
  { name: 'queue', icon: 'queue', group: 'work', load: () => import('../pages/queue.js') },
  { name: 'alerts', icon: 'bell', group: 'watch', load: () => import('../pages/alerts.js') },
  { name: 'events', icon: 'list', group: 'watch', load: () => import('../pages/events.js') },
  { name: 'reports', icon: 'report', group: 'watch', load: () => import('../pages/reports.js') },
  { name: 'webhooks', icon: 'webhook', group: 'setup', load: () => import('../pages/webhooks.js') },
  { name: 'keys', icon: 'key', group: 'setup', load: () => import('../pages/keys.js') },
  { name: 'limits', icon: 'gauge', group: 'setup', load: () => import('../pages/limits.js') },
  { name: 'connectors', icon: 'server', group: 'installation', when: (user) => user.operator, load: () => import('../pages/connectors.js') },
  { name: 'uptime', icon: 'pulse', group: 'installation', when: (user) => user.operator, load: () => import('../pages/uptime.js') },
  { name: 'chaos', icon: 'bolt', group: 'installation', when: (_, { simulator }) => simulator, load: () => import('../pages/chaos.js') },
  { name: 'link', icon: 'link', group: null, load: () => import('../pages/link.js') },
];

export const GROUPS = ['work', 'watch', 'setup', 'installation'];

export function routesFor(user) {
  return ROUTES.filter(({ when }) => !when || when(user, config));
}
