// The wallet's service worker. The server puts RELEASE before it: the files to cache, and the offline page.
// Pages are never cached; at signing out the server clears the files, too.

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(RELEASE.name);
    await cache.addAll([...RELEASE.files, new Request(RELEASE.offline, { credentials: "omit" })]);
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("carteira-") && name !== RELEASE.name) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || event.request.mode !== "navigate") return;
  event.respondWith((async () => {
    try {
      return await fetch(event.request);
    } catch {
      return (await caches.match(RELEASE.offline)) ?? Response.error();
    }
  })());
});
