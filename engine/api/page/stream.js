// The stream of changes: one connection for all tabs of a browser, and the knowledge whether it is fresh.
//
// One tab, which holds a lock, reads /api/stream and passes each message on through a BroadcastChannel. Without
// locks (a page over plain HTTP from another host) each tab reads for itself. The engine sends something at
// least twice a second. After SILENT_MS without anything, or if this tab was asleep, the page is stale. It is
// fresh again when messages arrive and everything has been read again.

import { journalId, meet, query } from "./api.js";

export const SILENCE = "nothing received";
const SILENT_MS = 1600;
const SLEPT_MS = 2000;
const TICK_MS = 200;
const RETRY_MS = 500;
const STEAL_MS = 4000;
const WAITING_MAX = 50_000;

export class Stream {
  // `load()` reads all snapshots and returns the seq that the oldest of them stands at; `apply(kind, data, seq)` takes a message; `turned(fresh, why)` hears of changes.
  constructor({ load, apply, turned }) {
    this.load = load;
    this.apply = apply;
    this.turned = turned;
    this.fresh = false;
    this.why = "connecting";
    this.heard = 0;
    this.seq = null;
    this.loadedSeq = 0;
    this.waiting = [];
    this.generation = 0;
    this.reading = null;
    this.leads = false;
    this.asked = Date.now();
  }

  start() {
    this.channel = new BroadcastChannel(`retape-${journalId()}`);
    this.channel.onmessage = (event) => {
      if (!this.leads) this.take(event.data);
    };
    this.lead();
    setInterval(() => this.tick(), TICK_MS);
    document.addEventListener("resume", () => this.wake());
    addEventListener("pageshow", (event) => event.persisted && this.wake());
    addEventListener("online", () => this.reading?.abort());
  }

  // Whether something has arrived so recently that what is shown can be acted upon.
  isFresh() {
    const silent = Date.now() - this.heard;
    return this.fresh && silent >= -SILENT_MS && silent <= SILENT_MS;
  }

  get silentMs() {
    return this.heard ? Date.now() - this.heard : 0;
  }

  // Timers of a hidden tab are slowed down by the browser; messages are not. So only silence counts.
  tick() {
    const now = Date.now();
    if (this.fresh && !this.isFresh()) this.setStale(SILENCE);
    else if (!this.fresh) this.turned(false, this.why);
    const alone = !this.leads && !document.hidden && now - Math.max(this.heard, this.asked) > STEAL_MS;
    if (alone) {
      this.asked = now;
      this.lead(true);
    }
  }

  // What was buffered while the page slept is dropped, and the stream resumed.
  wake() {
    this.setStale("this page was asleep");
    this.heard = 0;
    this.reading?.abort();
  }

  setStale(why) {
    this.fresh = false;
    this.generation += 1;
    this.loading = false;
    this.why = why;
    this.turned(false, why);
  }

  // Waits for the lock, or takes it from a tab that is frozen; then reads until another tab takes it.
  lead(steal = false) {
    if (!navigator.locks) {
      this.leads = true;
      this.readForever(new AbortController());
      return;
    }
    this.queued?.abort();
    const queued = new AbortController();
    const reading = new AbortController();
    if (!steal) this.queued = queued;
    navigator.locks
      .request(`retape-${journalId()}`, steal ? { steal } : { signal: queued.signal }, () => {
        this.leads = true;
        return this.readForever(reading);
      })
      .catch(() => {
        if (queued.signal.aborted) return;
        reading.abort();
        this.leads = false;
        setTimeout(() => this.lead(), RETRY_MS);
      });
  }

  async readForever(owner) {
    while (!owner.signal.aborted) {
      this.reading = new AbortController();
      const stop = () => this.reading.abort();
      owner.signal.addEventListener("abort", stop, { once: true });
      try {
        await this.read(this.reading.signal);
        this.why = "the stream ended";
      } catch (error) {
        if (error.name !== "AbortError") this.why = error.message;
      }
      owner.signal.removeEventListener("abort", stop);
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }

  async read(signal) {
    const watch = setInterval(() => this.heard && Date.now() - this.heard > 4 * SILENT_MS && this.reading.abort(), 1000);
    try {
      const headers = this.seq === null ? {} : { "Last-Event-ID": String(this.seq) };
      let response;
      try {
        response = await fetch(`/api/stream?${query({ journal: journalId() })}`, {
          headers, signal, cache: "no-store", credentials: "same-origin", redirect: "error",
        });
      } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Error("the engine cannot be reached");
      }
      if (!response.ok) {
        const problem = await response.json().catch(() => ({}));
        if (problem.code === "other_journal") meet(problem.journal || "another");
        if (response.status === 401) this.share({ kind: "logged-out" });
        throw new Error(problem.message ?? `the engine cannot be reached (HTTP ${response.status})`);
      }
      await this.frames(response.body.pipeThrough(new TextDecoderStream()).getReader());
    } finally {
      clearInterval(watch);
    }
  }

  async frames(reader) {
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) this.share(frameOf(block));
    }
  }

  share(message) {
    if (this.leads) this.channel.postMessage(message);
    this.take(message);
  }

  take(message) {
    const now = Date.now();
    const asleep = this.heard && Math.abs(now - this.heard) > SLEPT_MS;
    if (asleep) {
      this.wake();
      if (this.leads) return;
    }
    this.heard = now;
    if (message.kind === "logged-out") {
      location.reload();
      return;
    }
    if (message.seq !== null && message.seq !== undefined) this.seq = message.seq;
    if (message.kind === "hello") meet(message.data.journal);
    if (message.kind === "resync") this.setStale("the page was too slow and reads everything again");
    if (!this.fresh && !this.loading) this.reload();
    if (message.kind) {
      if (this.waiting.length >= WAITING_MAX) this.setStale("too much arrived while everything was read again");
      if (this.loading) this.waiting.push(message);
      else this.pass(message);
    }
  }

  // A row that is older than what was read would replace a newer one.
  pass(message) {
    if (message.seq === null || message.seq >= this.loadedSeq) this.apply(message.kind, message.data, message.seq);
  }

  async reload() {
    this.loading = true;
    this.waiting = [];
    const generation = this.generation;
    try {
      this.loadedSeq = await this.load();
    } catch (error) {
      if (generation === this.generation) {
        this.why = error.message;
        setTimeout(() => { if (generation === this.generation) this.loading = false; }, RETRY_MS);
      }
      return;
    }
    if (generation !== this.generation) return;
    this.loading = false;
    for (const message of this.waiting) this.pass(message);
    this.waiting = [];
    if (Date.now() - this.heard > SILENT_MS) return;
    this.fresh = true;
    this.turned(true, "");
  }
}

function frameOf(block) {
  const frame = { kind: "", data: null, seq: null };
  const data = [];
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    const name = line.slice(0, at);
    const value = line.slice(at + 1).replace(/^ /, "");
    if (name === "event") frame.kind = value;
    else if (name === "id") frame.seq = Number(value);
    else if (name === "data") data.push(value);
  }
  if (data.length) frame.data = JSON.parse(data.join("\n"));
  return frame;
}
