// A value that components follow: the few things that belong to no single component (who is signed in, the language, notices).
import { useEffect, useState } from './html.js';

export function observable(first) {
  let value = first;
  const followers = new Set();
  return {
    get value() { return value; },
    set value(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const follower of [...followers]) follower(value);
    },
    follow(follower) {
      followers.add(follower);
      return () => followers.delete(follower);
    },
  };
}

/** The present value of an observable; the component is drawn anew when it changes. */
export function useObservable(source) {
  const [value, setValue] = useState(source.value);
  useEffect(() => {
    setValue(source.value); // it may have changed between the drawing and now
    return source.follow(setValue);
  }, [source]);
  return value;
}
