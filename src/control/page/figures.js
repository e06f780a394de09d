'use strict';
// What is computed from the messages of the relay. Knows nothing of the document.

// Counters only grow, so that a rate is the difference of two messages divided by the time between
// them. Times are the relay's uptime, which no change of a clock moves.
const RATE_MS = 5000;
const LATELY_MS = 30000;
const SPARK_POINTS = 180;

// Some counters of one thing over the last half minute.
class Track {
  constructor() {
    this.samples = [];
    // What the first counter did in each second, for the line; null if that is not known.
    this.points = [];
  }

  add(at, counts) {
    const last = this.samples.at(-1);
    const began = last && counts.some((count, i) => count < last.counts[i]);
    if (began) this.samples = [];
    const before = this.samples.at(-1);
    this.points.push(before ? (counts[0] - before.counts[0]) * 1000 / (at - before.at) : null);
    if (this.points.length > SPARK_POINTS) this.points.shift();
    this.samples.push({ at, counts });
    // One sample is kept that is as old as is asked for.
    while (this.samples.length > 2 && this.samples[1].at <= at - LATELY_MS) this.samples.shift();
  }

  // By how much each counter grew in the last `ms`, or as much of that as is known; null after only
  // one message.
  gained(ms) {
    if (this.samples.length < 2) return null;
    const last = this.samples.at(-1);
    const first = this.samples.find(sample => sample.at >= last.at - ms - RATE_MS / 10);
    const from = first === last ? this.samples.at(-2) : first;
    return {
      seconds: (last.at - from.at) / 1000,
      counts: last.counts.map((count, i) => count - from.counts[i]),
    };
  }

  // Each counter per second.
  rates(ms = RATE_MS) {
    const gained = this.gained(ms);
    return gained && gained.counts.map(count => count / gained.seconds);
  }
}

// The tracks of all things that the last message named.
class Tracks {
  constructor() {
    this.tracks = new Map();
    this.next = new Map();
    this.at = null;
  }

  // `before`: what the counters were in the last message if it did not name them.
  add(key, at, counts, before) {
    const track = this.tracks.get(key) ?? new Track();
    if (track.samples.length === 0 && before && this.at !== null) track.add(this.at, before);
    track.add(at, counts);
    this.next.set(key, track);
    return track;
  }

  // Forgets what this message did not name.
  end(at) {
    this.tracks = this.next;
    this.next = new Map();
    this.at = at;
  }
}

// The bound that this share of all times does not exceed; Infinity above all bounds.
function quantile(counts, bounds, share) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let seen = 0;
  const at = counts.findIndex(count => (seen += count) >= share * all);
  return bounds[at] ?? Infinity;
}

function sumOf(lists) {
  return lists.reduce((sum, list) => sum.map((count, i) => count + list[i]));
}

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const SHORT = new Intl.NumberFormat('en', { notation: 'compact', minimumFractionDigits: 2 });

const whole = number => number == null ? '–' : (number < 1e7 ? WHOLE : SHORT).format(number);

function rate(number) {
  if (number == null) return '–';
  if (number > 0 && number < 0.05) return '<0.1';
  return number === 0 ? '0' : (number < 100 ? TENTHS : WHOLE).format(number);
}

const percent = share => share == null ? '–' : `${WHOLE.format(share * 100)} %`;

// Milliseconds in words: `< 1 s`, `12 s`, `4 min`, `3 h 12 min`, `2 d 4 h`.
function duration(ms) {
  if (ms == null) return '–';
  const s = Math.floor(ms / 1000);
  if (s < 1) return '< 1 s';
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  return h < 48 ? `${h} h ${min % 60} min` : `${Math.floor(h / 24)} d ${h % 24} h`;
}

// Bounds of a histogram: `≤ 5 ms`, `≤ 5 / 20 ms`, `≤ 0.5 / 2 s`, `> 60 s`.
function atMost(all, bounds) {
  if (all[0] === null) return '–';
  const last = all.at(-1);
  if (last === Infinity) return `${all.length > 1 && all[0] < Infinity ? `≤ ${inUnit(all[0], 1000)} / ` : ''}> ${inUnit(bounds.at(-1), 1000)} s`;
  const unit = last < 1000 ? 1 : 1000;
  return `≤ ${all.map(ms => inUnit(ms, unit)).join(' / ')} ${unit === 1 ? 'ms' : 's'}`;
}

const inUnit = (ms, unit) => String(ms / unit);

// `2026-11-30T06:41:12.123Z`: `06:41:12`, after the day if that is not the day of `now`.
function clock(time, now) {
  const [day, hours] = time.split('T');
  return `${now.startsWith(day) ? '' : `${day} `}${hours.slice(0, 8)}`;
}
