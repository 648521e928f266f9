// Icons, drawn for this console on a grid of 24 by 24, in the colour of the text around them.
import { html } from './html.js';

const PATHS = {
  home: 'M4 11l8-7 8 7M6 9.5V20h12V9.5M10 20v-5h4v5',
  chat: 'M4 5h16v11H9l-5 4z',
  queue: 'M4 6h16M4 12h16M4 18h10',
  link: 'M9.5 14.5l5-5M8 11l-2.5 2.5a3.5 3.5 0 005 5L13 16M16 13l2.5-2.5a3.5 3.5 0 00-5-5L11 8',
  webhook: 'M7 8l-4 4 4 4M17 8l4 4-4 4M14 5l-4 14',
  key: 'M14.5 9.5a4 4 0 10-4 4M11 12l9 0M17 12v3.5M20 12v2.5',
  gauge: 'M4 17a8 8 0 1116 0M12 17l4-5',
  pulse: 'M3 13h4l3-8 4 14 3-6h4',
  bell: 'M6 16V11a6 6 0 1112 0v5l2 2H4zM10 21h4',
  report: 'M6 3h9l4 4v14H6zM9 12h7M9 16h7M9 8h3',
  server: 'M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01',
  list: 'M9 6h11M9 12h11M9 18h11M4.5 6h.01M4.5 12h.01M4.5 18h.01',
  bolt: 'M13 3L5 14h6l-1 7 8-11h-6z',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  checks: 'M2.5 12.5L7 17l8-9M11 16l1.5 1.5L21 8',
  clock: 'M12 3.5a8.5 8.5 0 100 17 8.5 8.5 0 000-17M12 7.5V12l3 2',
  warning: 'M12 4l9 16H3zM12 10v4M12 17h.01',
  cross: 'M6 6l12 12M18 6L6 18',
  ban: 'M12 3.5a8.5 8.5 0 100 17 8.5 8.5 0 000-17M6 6l12 12',
  info: 'M12 3.5a8.5 8.5 0 100 17 8.5 8.5 0 000-17M12 11v5M12 8h.01',
  question: 'M12 3.5a8.5 8.5 0 100 17 8.5 8.5 0 000-17M9.5 9.5a2.5 2.5 0 113.6 2.2c-.8.5-1.1 1-1.1 1.8M12 16.5h.01',
  plus: 'M12 5v14M5 12h14',
  send: 'M4 12l16-7-6 15-3-6z',
  clip: 'M19 11l-7.5 7.5a4.5 4.5 0 01-6.4-6.4L13 4.2a3 3 0 014.3 4.3l-7.6 7.5a1.4 1.4 0 01-2-2L14.5 7',
  menu: 'M4 6h16M4 12h16M4 18h16',
  back: 'M14 6l-6 6 6 6',
  forward: 'M10 6l6 6-6 6',
  refresh: 'M19 8a8 8 0 10.9 6M19.5 4v4.5H15',
  out: 'M10 4H5v16h5M15 8l4 4-4 4M19 12h-9',
  copy: 'M9 9h11v11H9zM15 9V4H4v11h5',
  trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13M10 11v5M14 11v5',
  edit: 'M5 19l1-4L16 5l3 3L9 18zM14 7l3 3',
  phone: 'M7 3h10v18H7zM11 18h2',
  shield: 'M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6z',
  group: 'M9 11a3 3 0 100-6 3 3 0 000 6M3 20c0-3.5 2.5-6 6-6s6 2.5 6 6M16 11a2.5 2.5 0 100-5M17 14c2.5.5 4 2.8 4 6',
  user: 'M12 12a4 4 0 100-8 4 4 0 000 8M5 20.5c0-4 3-6.5 7-6.5s7 2.5 7 6.5',
  pause: 'M9 5v14M15 5v14',
  play: 'M7 4l12 8-12 8z',
  search: 'M11 4a7 7 0 100 14 7 7 0 000-14M16 16l4.5 4.5',
  down: 'M12 4v12M6 11l6 6 6-6M5 20h14',
  globe: 'M12 3.5a8.5 8.5 0 100 17 8.5 8.5 0 000-17M3.5 12h17M12 3.5c3 2.5 3 14.5 0 17M12 3.5c-3 2.5-3 14.5 0 17',
};

/** Decoration unless it has a `label`. */
export function Icon({ name, label }) {
  const said = label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' };
  return html`<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" ...${said}><path d=${PATHS[name]} /></svg>`;
}
