// Lists that the API gives in pages, newest first: the first page stays fresh, older ones are fetched when somebody asks for them.
import { useEffect, useState } from './html.js';
import { useAction } from './live.js';

/**
 * `first` is the newest page as it is now, `fetchPage(before)` gives an older one, both `{ rows, next }`; `id(row)` tells rows apart.
 * Gives `{ rows, more, older }`: `older` as of useAction. `needs`: when one of them changes, older pages are forgotten.
 */
export function usePages(first, fetchPage, id, needs = []) {
  const [past, setPast] = useState({ rows: [], next: undefined });
  useEffect(() => setPast({ rows: [], next: undefined }), needs);
  const next = past.next === undefined ? first?.next : past.next;
  const older = useAction(async () => {
    const page = await fetchPage(next);
    setPast((before) => ({ rows: [...before.rows, ...page.rows], next: page.next }));
  });
  const fresh = first?.rows ?? [];
  const known = new Set(fresh.map(id));
  return { rows: [...fresh, ...past.rows.filter((row) => !known.has(id(row)))], more: Boolean(next), older };
}
