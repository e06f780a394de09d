// Shows each message of the relay. Texts may come from a database or from a SIP message, so they are
// only ever put in as text.

const byId = id => document.getElementById(id);

function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function drawn(name, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// What does not change is not touched, so that nothing is laid out or read out again.
function say(element, text) {
  text = String(text);
  if (element.textContent !== text) element.textContent = text;
}

function tell(element, name, value) {
  if (value == null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

// The children of an element, by key: those that are new are made, those that are gone removed.
class Keyed {
  constructor(parent, build) {
    this.parent = parent;
    this.build = build;
    this.parts = new Map();
  }

  show(items, keyOf, update) {
    const parts = new Map();
    let place = this.parent.firstChild;
    for (const item of items) {
      const key = keyOf(item);
      const part = this.parts.get(key) ?? this.build(item);
      this.parts.delete(key);
      parts.set(key, part);
      // Moving an element takes the focus from what is in it.
      if (part.element === place) place = place.nextSibling;
      else this.parent.insertBefore(part.element, place);
      update?.(part, item);
    }
    for (const part of this.parts.values()) part.element.remove();
    this.parts = parts;
  }
}

// A list of terms and values.
function facts(list, pairs) {
  list.keyed ??= new Keyed(list, ([name]) => {
    const value = make('dd');
    return { element: make('div', '', make('dt', '', name), value), value };
  });
  list.keyed.show(pairs, ([name]) => name, (part, [, value, className]) => {
    say(part.value, value);
    part.value.className = className ?? '';
  });
}

// A line of rates, all from 0 to the greatest of them.
function spark(element, points, words) {
  const width = SPARK_POINTS;
  const height = 24;
  const top = Math.max(1, ...points);
  let path = '';
  let gap = true;
  points.forEach((point, i) => {
    const x = width - points.length + i;
    if (point !== null) path += `${gap ? 'M' : 'L'}${x} ${(height - 1 - point / top * (height - 3)).toFixed(1)}`;
    gap = point === null;
  });
  if (!element.firstChild) {
    const line = drawn('path', { class: 'line' });
    const base = drawn('path', { class: 'base', d: `M0 ${height - .5}H${width}` });
    element.append(drawn('svg', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img' }, base, line));
    element.line = line;
  }
  tell(element.line, 'd', path || 'M0 0');
  tell(element.firstChild, 'aria-label', `${words}: at most ${rate(Math.max(0, ...points))} a second in the last 3 minutes`);
}

const STATES = ['active', 'trying', 'full', 'inactive', 'disabled', 'unresolved'];
const kind = state => STATES.includes(state) ? state : 'other';

function mark(state) {
  const use = drawn('use', { href: `#shape-${kind(state)}` });
  return drawn('svg', { class: 'mark', 'aria-hidden': 'true' }, use);
}

// The state as shape, colour and word.
function stateOf(state, count) {
  const words = count === undefined ? state : `${whole(count)} ${state}`;
  return make('span', `state ${kind(state)}`, mark(state), ' ', words);
}

// Each column: what it is called, how it is shown, by what it is sorted.
const COLUMNS = [
  ['State', row => null, row => row.state],
  ['Destination', row => null, row => row.uri],
  ['Calls/s', row => rate(row.calls), row => row.calls],
  ['Share', row => percent(row.share), row => row.share],
  ['Sent', row => whole(row.requests), row => row.requests],
  ['Answered', row => whole(row.answered), row => row.answered],
  ['Failed', row => whole(row.failed), row => row.failed],
  ['First response', row => row.first, row => row.firstMs],
  ['Heard', row => row.heard_ms_ago == null ? 'never' : `${duration(row.heard_ms_ago)} ago`, row => row.heard_ms_ago],
  ['Silent', row => row.silent_ms == null ? '' : duration(row.silent_ms), row => row.silent_ms],
  ['Why, and since when', row => null, row => row.since],
];
const HINTS = {
  'Calls/s': 'INVITEs of new calls a second',
  Share: 'of the new requests of the set in the last 30 s',
  Sent: 'new requests, without copies and requests in a dialog',
  Answered: 'requests that got a response',
  Failed: 'requests that got 503, no response, or could not be sent',
  'First response': 'from a call to it: half of them took at most as long, and 99 % of them',
  Heard: 'when it sent a response last',
  Silent: 'for how long requests wait while nothing is heard from it',
};
const TEXT = new Set(['State', 'Destination', 'Why, and since when']);
const label = name => name.replace(' response', '');

class SetView {
  constructor(id) {
    this.sort = null;
    this.title = make('h2', '', `Set ${id}`);
    this.algorithm = make('span', 'quiet');
    this.states = make('span', 'states');
    this.calls = make('b');
    this.spark = make('span', 'spark');
    this.figures = make('span', 'figures');
    const summary = make('summary', '',
      this.title, this.algorithm, this.states,
      make('span', 'now', this.calls, ' calls/s'), this.spark, this.figures);
    this.more = make('p', 'quiet more');
    this.body = make('tbody');
    this.buttons = COLUMNS.map(([name]) => this.button(name));
    const head = make('tr', '', ...this.buttons.map(button => button.parentElement));
    const table = make('table', 'destinations', make('thead', '', head), this.body);
    // As cards on a narrow screen it would be no table any more for those who cannot see it.
    tell(table, 'role', 'table');
    tell(table, 'aria-label', `Destinations of set ${id}`);
    tell(head, 'role', 'row');
    this.element = make('details', 'set', summary, table, this.more);
    this.element.open = true;
    this.rows = new Keyed(this.body, row => this.build(row));
    this.element.addEventListener('toggle', () => this.element.open && this.list());
  }

  button(name) {
    const button = make('button', '', name);
    button.type = 'button';
    if (HINTS[name]) button.title = HINTS[name];
    const cell = make('th', TEXT.has(name) ? '' : 'n', button);
    cell.scope = 'col';
    tell(cell, 'role', 'columnheader');
    tell(cell, 'aria-sort', 'none');
    button.addEventListener('click', () => this.sortBy(name));
    return button;
  }

  // The other way at the second click, and as the relay says at the third.
  sortBy(name) {
    const first = TEXT.has(name) ? 1 : -1;
    if (this.sort?.name !== name) this.sort = { name, way: first };
    else this.sort = this.sort.way === first ? { name, way: -first } : null;
    for (const button of this.buttons) {
      const way = button.textContent === this.sort?.name && this.sort.way;
      tell(button.parentElement, 'aria-sort', way ? (way > 0 ? 'ascending' : 'descending') : 'none');
    }
    this.list();
  }

  build(row) {
    const element = make('tr');
    tell(element, 'role', 'row');
    const part = { element };
    part.cells = COLUMNS.map(([name]) => {
      const cell = make('td', TEXT.has(name) ? '' : 'n');
      tell(cell, 'role', 'cell');
      tell(cell, 'data-label', label(name));
      element.append(cell);
      return cell;
    });
    const [state, destination, calls, share, , , , , , , why] = part.cells;
    part.uri = make('span', 'uri');
    part.about = make('span', 'about');
    destination.append(part.uri, part.about);
    part.spark = make('span', 'spark');
    part.calls = make('span');
    calls.append(part.spark, part.calls);
    part.bar = make('span', 'fill');
    part.share = make('span');
    share.append(make('span', 'bar', part.bar), part.share);
    part.reason = make('span', 'reason');
    part.since = make('time', 'quiet');
    why.append(part.reason, ' ', part.since);
    part.state = state;
    return part;
  }

  update(part, row) {
    if (part.shown !== row.state) {
      part.shown = row.state;
      part.state.replaceChildren(stateOf(row.state));
      part.element.className = kind(row.state);
    }
    COLUMNS.forEach(([name, text], i) => {
      const shown = text(row);
      if (shown === null) return;
      const cell = { 'Calls/s': part.calls, Share: part.share }[name] ?? part.cells[i];
      say(cell, shown);
    });
    say(part.uri, row.uri);
    say(part.about, row.about);
    spark(part.spark, row.track.points, 'calls');
    part.cells[3].classList.toggle('unknown', row.share == null);
    part.bar.style.width = `${(row.share ?? 0) * 100}%`;
    say(part.reason, row.why);
    say(part.since, row.since ? `for ${duration(row.inStateMs)}, since ${clock(row.since, row.now)}` : '');
    tell(part.since, 'datetime', row.since ?? null);
    tell(part.since, 'title', row.since ?? null);
    part.cells[6].classList.toggle('some', row.failed > 0);
  }

  show(set, rows, now) {
    this.latest = rows;
    say(this.algorithm, set.algorithm);
    const states = Object.entries(set.states);
    const words = JSON.stringify(states);
    if (this.words !== words) {
      this.words = words;
      states.sort(([a], [b]) => (b === 'active') - (a === 'active'));
      this.states.replaceChildren(...states.map(([state, count]) => stateOf(state, count)));
    }
    say(this.calls, rate(now.calls));
    spark(this.spark, now.track.points, 'calls of the set');
    say(this.figures, [
      `first response ${now.both}`,
      ...now.classes.map((per, i) => per > 0 ? `${i + 1}xx ${rate(per)}/s` : '').filter(Boolean),
    ].join(' · '));
    const hidden = set.count - rows.length;
    say(this.more, hidden > 0 ? `${whole(hidden)} more not shown` : '');
    if (this.element.open) this.list();
  }

  // The rows, in their order.
  list() {
    const rows = [...this.latest];
    if (this.sort) {
      const { name, way } = this.sort;
      const value = COLUMNS.find(([other]) => other === name)[2];
      // What is not known comes last.
      rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x == null || y == null) return (x == null) - (y == null);
        return way * (typeof x === 'string' ? x.localeCompare(y, 'en', { numeric: true }) : x - y);
      });
    }
    this.rows.show(rows, row => row.key, (part, row) => this.update(part, row));
  }
}

// What is known besides where it is.
function about(row) {
  const host = row.uri.replace(/^sips?:/, '');
  return [
    row.address && row.address !== host ? row.address : '',
    row.duid ? `duid ${row.duid}` : '',
    row.weight != null ? `weight\u00a0${row.weight}` : '',
    row.priority ? `priority\u00a0${row.priority}` : '',
    row.calls_in_progress != null ? `${whole(row.calls_in_progress)}\u00a0in\u00a0progress` : '',
    row.probed ? (row.probe_ms != null ? `probe\u00a0${row.probe_ms}\u00a0ms` : 'probed') : '',
  ].filter(Boolean).join(' · ');
}

function why(row) {
  const unused = { unresolved: 'no address is known for its name', 'not reached': 'no listener reaches it' };
  return [
    row.reason ?? unused[row.state] ?? '',
    row.slow_start ? `slow start: ${row.slow_start.share_percent} % for ${duration(row.slow_start.left_ms)} more` : '',
    row.overload ? `asks for ${row.overload.percent} % fewer calls` : '',
  ].filter(Boolean).join('; ');
}

let tracks = new Tracks();
let last = null;
const states = new Map();
const sets = new Keyed(byId('sets'), set => {
  const view = new SetView(set.set);
  return { element: view.element, view };
});

function firstOf(track, bounds) {
  const counts = track.gained(LATELY_MS)?.counts.slice(-bounds.length - 1) ?? [];
  const [p50, p99] = [quantile(counts, bounds, .5), quantile(counts, bounds, .99)];
  return { both: atMost([p50, p99], bounds), p99Ms: p99 };
}

function showSet(part, set, status) {
  const at = status.uptime_ms;
  const bounds = status.bounds_ms;
  const track = tracks.add(`set ${set.set}`, at, [set.calls, set.requests, ...set.responses, ...set.first.counts]);
  const lately = track.gained(LATELY_MS);
  const seen = new Map();
  const rows = set.destinations.map(destination => {
    const { uri, address, duid } = destination;
    let key = JSON.stringify([set.set, uri, address, duid]);
    // The same destination may be reached from two listeners.
    seen.set(key, (seen.get(key) ?? 0) + 1);
    key += seen.get(key);
    const row = { ...destination, set: set.set, key, now: status.time };
    if (destination.calls === undefined) {
      row.track = tracks.add(key, at, [0, 0]);
      Object.assign(row, { calls: null, share: null, first: '–' });
    } else {
      row.track = tracks.add(key, at, [destination.calls, destination.requests, ...destination.first.counts]);
      row.calls = row.track.rates()?.[0] ?? null;
      const own = row.track.gained(LATELY_MS)?.counts[1];
      row.share = lately?.counts[1] > 0 && own != null ? Math.min(1, own / lately.counts[1]) : null;
      const first = firstOf(row.track, bounds);
      row.firstMs = first.p99Ms;
      row.first = first.both;
    }
    row.about = about(row);
    row.why = why(row);
    if (row.since) row.inStateMs = Math.max(0, Date.parse(status.time) - Date.parse(row.since));
    return row;
  });
  const rates = track.rates();
  part.view.show(set, rows, {
    track,
    calls: rates?.[0] ?? null,
    classes: rates?.slice(2, 8) ?? [],
    ...firstOf(track, bounds),
  });
  return rows;
}

// The line of all sets is the sum of theirs, so that a set that goes takes nothing from it.
const wholeLine = new Track();

function showNow(status) {
  const bounds = status.bounds_ms;
  const of = status.sets.map(set => tracks.next.get(`set ${set.set}`));
  const known = of.map(track => track.rates()).filter(Boolean);
  const rates = known.length ? sumOf(known) : null;
  say(byId('calls'), rate(rates?.[0]));
  const points = of.map(track => track.points.at(-1)).filter(point => point !== null);
  wholeLine.points.push(points.length ? points.reduce((a, b) => a + b) : null);
  if (wholeLine.points.length > SPARK_POINTS) wholeLine.points.shift();
  spark(byId('calls-spark'), wholeLine.points, 'calls');

  const messages = tracks.add('received', status.uptime_ms, [status.counters.received ?? 0]);
  say(byId('messages'), rate(messages.rates()?.[0]));
  spark(byId('messages-spark'), messages.points, 'messages');

  const lately = of.map(track => track.gained(LATELY_MS)?.counts).filter(Boolean);
  const counts = lately.length ? sumOf(lately).slice(-bounds.length - 1) : [];
  facts(byId('latency'), [
    ['p50', atMost([quantile(counts, bounds, .5)], bounds)],
    ['p99', atMost([quantile(counts, bounds, .99)], bounds)],
  ]);
  facts(byId('classes'), [0, 1, 2, 3, 4, 5].map(i =>
    [`${i + 1}xx`, rate(rates?.[2 + i]), `class-${i + 1}`]));
}

// The counters of what did not go on, by group, and of what was lost.
const GROUPS = ['dropped.', 'answered.', 'send_failed.'];
const LOST = ['socket_drops', 'receive_failed', 'log_lost', 'events_lost', 'sightings_lost', 'worker_restarts'];
const counters = new Keyed(byId('counters').tBodies[0], ({ name }) => {
  const [per, total] = [make('td', 'n'), make('td', 'n')];
  const head = make('th', '', name);
  head.scope = 'row';
  return { element: make('tr', '', head, per, total), per, total };
});

function showCounters(status) {
  const isShown = name => LOST.includes(name) || GROUPS.some(group => name.startsWith(group));
  const rows = Object.entries(status.counters).filter(([name]) => isShown(name)).map(([name, total]) => {
    const track = tracks.add(name, status.uptime_ms, [total], [0]);
    return { name, total, per: track.rates()?.[0] ?? null };
  });
  counters.show(rows, row => row.name, (part, { total, per }) => {
    say(part.per, rate(per));
    say(part.total, whole(total));
    part.element.className = per > 0 ? 'some' : '';
  });
  byId('counters').hidden = rows.length === 0;
  byId('counters-none').hidden = rows.length > 0;
  const sum = group => rows.filter(({ name }) => name.startsWith(group));
  const per = rows => rows.some(row => row.per === null) ? null : rows.reduce((all, row) => all + row.per, 0);
  const lost = rows.filter(({ name }) => LOST.includes(name) || name.startsWith('send_failed.'));
  facts(byId('own'), [
    ['answered', `${rate(last ? per(sum('answered.')) : null)} /s`],
    ['dropped', `${rate(last ? per(sum('dropped.')) : null)} /s`],
    ['lost', whole(lost.reduce((all, row) => all + row.total, 0)), lost.length ? 'bad' : ''],
  ]);
}

const reloads = new Keyed(byId('reloads'), reload => {
  const refused = reload.changed === null;
  const summary = make('summary', '',
    make('time', '', `${reload.time.slice(0, 10)} ${reload.time.slice(11, 19)}`), ' ',
    make('b', refused ? 'bad' : '', refused ? 'refused' : reload.changed), ' ',
    make('span', 'quiet', `by ${reload.by}, ${whole(reload.took_ms)} ms`));
  const details = make('details', '', summary);
  const signs = { added: '+', removed: '−', changed: '~' };
  const lines = reload.changes.map(({ list, set, uri, what }) => make('li', list,
    make('span', 'sign', signs[list] ?? list), ` ${list} `, make('span', 'quiet', `set ${set} `),
    make('span', 'uri', uri), what ? ` ${what}` : ''));
  const said = reload.says.map(text => make('li', refused ? 'bad' : '', text));
  const all = [...said, ...lines];
  details.append(make('ul', 'plan', ...(all.length ? all : [make('li', 'quiet', 'No record changed.')])));
  return { element: details };
});

function showReloads(status) {
  const seen = new Map();
  const all = status.reloads.map(reload => {
    seen.set(reload.time, (seen.get(reload.time) ?? 0) + 1);
    return { ...reload, key: `${reload.time} ${seen.get(reload.time)}` };
  });
  reloads.show(all.reverse(), reload => reload.key);
  byId('reloads-none').hidden = all.length > 0;
}

const CHANGES_MAX = 50;
const CHANGES_AT_ONCE_MAX = 5;

function note(time, ...children) {
  const line = make('li', '', make('time', '', time.slice(11, 19)), ' ', ...children);
  byId('changes').prepend(line);
  while (byId('changes').children.length > CHANGES_MAX) byId('changes').lastChild.remove();
  byId('changes-none').hidden = true;
}

function noteChanges(status, rows) {
  const changed = rows.filter(row => states.has(row.key) && states.get(row.key) !== row.state);
  for (const { set, uri, state, why, key } of changed.slice(0, CHANGES_AT_ONCE_MAX)) {
    note(status.time, stateOf(states.get(key)), ' → ', stateOf(state), ' ',
      make('span', 'quiet', `set ${set} `), make('span', 'uri', uri), why ? ` ${why}` : '');
  }
  const more = changed.length - CHANGES_AT_ONCE_MAX;
  if (more > 0) note(status.time, `and ${whole(more)} more destinations`);
  states.clear();
  for (const row of rows) states.set(row.key, row.state);
}

function banner(id, text) {
  const parts = byId('banners');
  let element = parts.querySelector(`[data-id="${id}"]`);
  if (!text) return element?.remove();
  if (!element) {
    element = make('p', 'banner');
    element.dataset.id = id;
    parts.append(element);
  }
  say(element, text);
}

function show(status) {
  if (last && last.version !== status.version) return location.reload();
  if (last && (last.pid !== status.pid || last.uptime_ms > status.uptime_ms)) {
    tracks = new Tracks();
    states.clear();
    last = null;
    note(status.time, 'the relay was restarted');
  }
  say(byId('version'), status.version);
  facts(byId('facts'), [
    ['Up', duration(status.uptime_ms)],
    ['Listens on', status.listeners.join(', ')],
    ['Workers', whole(status.workers)],
    ['Source', status.source],
    ['Process', status.pid],
    ['UTC', `${status.time.slice(0, 10)} ${status.time.slice(11, 19)}`],
  ]);
  banner('draining', status.draining && 'The relay is drained: new requests get 503 until strowger drain --off.');
  banner('source', !status.source_read &&
    'The source could not be read since the start: these are the last good destinations, or none.');
  const rows = [];
  sets.show(status.sets, set => set.set, (part, set) => rows.push(...showSet(part, set, status)));
  showNow(status);
  showCounters(status);
  showReloads(status);
  noteChanges(status, rows);
  const counts = status.sets.flatMap(set => Object.entries(set.states));
  const out = counts.reduce((all, [state, count]) => all + (state === 'active' ? 0 : count), 0);
  const title = out > 0 ? `${out} not active – Strowger` : 'Strowger';
  if (document.title !== title) document.title = title;
  tracks.end(status.uptime_ms);
  last = status;
}

// The browser opens the stream again by itself after an error, but neither after a refusal nor when
// nothing at all comes any more.
const LOST_MS = 3000;
const AGAIN_MS = 10000;
let stream = null;
let heard = performance.now();
let opened = heard;

function connect() {
  stream?.close();
  opened = performance.now();
  stream = new EventSource('/status/events');
  stream.onmessage = ({ data }) => {
    heard = performance.now();
    show(JSON.parse(data));
    watch();
  };
}

function watch() {
  const now = performance.now();
  const isLost = now - heard > LOST_MS;
  document.body.classList.toggle('lost', isLost);
  say(byId('link-says'), isLost ? 'connection lost' : last ? 'live' : 'connecting');
  banner('lost', isLost && (last
    ? `Connection lost, since ${duration(now - heard)}: what is shown is old. Trying again.`
    : 'No answer: the relay is gone, or too many pages are open. Trying again.'));
  const isRefused = stream.readyState === EventSource.CLOSED && now - opened > LOST_MS;
  if (isRefused || (now - heard > AGAIN_MS && now - opened > AGAIN_MS)) connect();
}

connect();
setInterval(watch, 1000);
