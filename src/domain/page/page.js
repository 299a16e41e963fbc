// Brings the page up to date every few seconds, and says when nothing answers any more.
'use strict';
(() => {
  const page = document.getElementById('page');
  if (!page) return;
  const age = document.getElementById('age');
  const lost = document.getElementById('lost');
  const EVERY = 5000, DEADLINE = 8000;
  let heard = Date.now();   // when the server answered last
  let looked = 0;           // when the monitor looked last, by the clock of this browser

  const ago = (ms) => {
    const s = Math.max(0, Math.round(ms / 1000));
    return s < 120 ? s + ' s' : s < 7200 ? Math.round(s / 60) + ' min' : Math.round(s / 3600) + ' h';
  };

  const tell = () => {
    const now = Date.now();
    const silent = now - heard > 2.5 * EVERY;
    const stale = now - looked > Number(page.dataset.stale) * 1000;
    age.textContent = 'Checked ' + ago(now - looked) + ' ago';
    const text = silent ? 'pmp-ha has not answered for ' + ago(now - heard) + '. What you see is old.' : '';
    if (silent && lost.hidden) lost.textContent = text;   // said once to a screen reader
    lost.hidden = !silent;
    document.body.classList.toggle('lost', silent || stale);
  };

  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, 'text/html');
    const next = fresh.getElementById('page');
    if (!next) return;
    document.title = fresh.title;
    page.dataset.age = next.dataset.age;
    page.dataset.stale = next.dataset.stale;
    const parts = [...next.children], old = [...page.children];
    const same = parts.length === old.length && parts.every((part, i) => part.dataset.part === old[i].dataset.part);
    if (!same) {
      page.replaceChildren(...parts);
      return;
    }
    // Only what has changed is exchanged, so that a reader keeps the place, and hears of a change once.
    parts.forEach((part, i) => {
      if (part.innerHTML !== old[i].innerHTML) old[i].replaceChildren(...part.childNodes);
    });
  };

  const ask = async () => {
    try {
      const answer = await fetch('/', { cache: 'no-store', signal: AbortSignal.timeout(DEADLINE) });
      if (!answer.ok) throw new Error(answer.status);
      take(await answer.text());
      heard = Date.now();
      looked = heard - 1000 * Number(page.dataset.age);
    } catch {
      // The next tick says so, if it lasts.
    }
    setTimeout(ask, EVERY);
  };

  looked = heard - 1000 * Number(page.dataset.age);
  tell();
  setInterval(tell, 1000);
  setTimeout(ask, EVERY);
})();
