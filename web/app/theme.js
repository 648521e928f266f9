// Light, dark, or as the system has it.
import { observable, useObservable } from './observable.js';

const STORED = 'keepline.theme';
const theme = observable(localStorage.getItem(STORED) ?? 'auto');

export function useTheme() {
  return useObservable(theme);
}

export function setTheme(next) {
  theme.value = next;
  if (next === 'auto') {
    localStorage.removeItem(STORED);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(STORED, next);
    document.documentElement.dataset.theme = next;
  }
}

/** The colours of now, for what cannot be styled by CSS (charts on a canvas): `colour('--accent')`. */
export function colour(name) {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
