// What the API computes, asked again as soon as the documents behind it change: one place that says how things are, and no waiting.
import { useEffect } from './html.js';
import { useLive, usePolled } from './live.js';

const EVERY_MS = 30_000; // also without a change: ages and shares move by themselves

/** As usePolled, and asked anew when what `mark(row)` gives of a listener's rows changes. `query` is useLive's. */
export function useFollowed(ask, query, mark, needs = []) {
  const polled = usePolled(ask, EVERY_MS, needs);
  const { rows, loading } = useLive(query);
  const marks = loading ? null : JSON.stringify(rows.map(mark));
  useEffect(() => {
    if (marks !== null) polled.refresh();
  }, [marks]);
  return polled;
}
