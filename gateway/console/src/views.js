// The views: what is known as elements. Names and texts are of users, and only ever become text.
import { line, meter, share } from './charts.js';
import { h, icon } from './dom.js';
import { bytes, duration, length, percent } from './format.js';
import { fill, texts } from './texts.js';

const t = texts.page;

/** @typedef {{now: number, history: import('./history.js').History}} Moment when is it, and what was before */

function badge(state) {
  return h(`span.badge.${Object.hasOwn(texts.states, state) ? state : 'other'}`, null, texts.states[state] ?? state);
}

function field(label, ...content) {
  return h('span.field', null, h('span.field-name', null, label), h('span.field-value', null, ...content));
}

const empty = (text) => h('p.empty', null, text);
const recordingLink = (recording, ...file) => `#/${['recording', recording.namespace, recording.object, ...file].map(encodeURIComponent).join('/')}`;
const roomLink = (room) => `#/room/${encodeURIComponent(room.namespace)}/${encodeURIComponent(room.name)}`;

/** The figures of an overview that have a history. */
export function figures({ totals }) {
  const all = totals.udp + totals.tcp;
  return { rooms: totals.rooms, people: totals.people, streams: totals.streams, tcp: all ? Math.round((100 * totals.tcp) / all) : 0 };
}

/** @param {Moment} moment */
export function summary({ totals }, { history }) {
  const all = totals.udp + totals.tcp;
  const tile = (name, value, note, chart) => h('li.tile', null,
    h('span.tile-name', null, name), h('span.tile-value', null, value), h('span.tile-note', null, note), chart);
  return [
    tile(t.rooms, String(totals.rooms), totals.waiting ? fill(t.waitingCount, { n: totals.waiting }) : t.allReady, line(t.rooms, history.of('rooms'))),
    tile(t.people, String(totals.people), totals.pending ? fill(t.invitedCount, { n: totals.pending }) : t.nobodyInvited, line(t.people, history.of('people'))),
    tile(t.streams, String(totals.streams), totals.recording ? fill(t.recordingCount, { n: totals.recording }) : t.nothingRecorded, line(t.streams, history.of('streams'))),
    tile(t.mediaTCP, percent(totals.tcp, all), all ? fill(t.ofConnections, { tcp: totals.tcp, all }) : t.noConnections,
      line(t.mediaTCP, history.of('tcp'), { most: 100, unit: ' %' })),
  ];
}

function people(room) {
  return room.pending ? fill(t.plusInvited, { n: room.people, pending: room.pending }) : String(room.people);
}

/** The rooms, of one namespace or of many. */
export function rooms({ rooms: all, roomsLeft, viewer }, search, { now }) {
  if (!all.length) {
    return [empty(search ? t.noneFound : t.noRooms)];
  }
  const many = viewer.namespaces === null || viewer.namespaces.length > 1;
  const heading = [t.room, t.state, t.people, t.streams, t.tcp, t.pod, t.age];
  return [
    h('div.row.heading', { 'aria-hidden': 'true' }, heading.map((name) => h('span', null, name))),
    h('ul.rows', null, all.map((room) => h('li', { 'data-key': `${room.namespace}/${room.name}` },
      h('a.row', { href: roomLink(room) },
        h('span.cell.title', null, h('span.name', null, room.id), many && h('span.namespace', null, room.namespace),
          room.recording && h('span.recording', null, t.recording)),
        h('span.cell.status', null, badge(room.state), room.reason && h('span.reason', null, room.reason)),
        h('span.cell', null, field(t.people, people(room))),
        h('span.cell', null, field(t.streams, String(room.streams))),
        h('span.cell', null, field(t.tcp, percent(room.tcp, room.tcp + room.udp))),
        h('span.cell.pod', null, field(t.pod, room.pod || t.notPlaced, room.standby && h('span.standby', null, fill(t.standbyPod, { pod: room.standby })))),
        h('span.cell', null, field(t.age, duration(now - room.created))))))),
    roomsLeft > 0 && h('p.more', null, fill(t.roomsLeft, { n: roomsLeft })),
  ];
}

/** Events, or why there are none. */
export function events({ events: all, unseen }, { now }, most = Infinity) {
  if (!all) {
    return [empty(unseen?.includes('events') ? t.unseenEvents : t.hiddenEvents)];
  }
  if (!all.length) {
    return [empty(t.noEvents)];
  }
  return [h('ul.events', null, all.slice(0, most).map((event) => h(`li.event${event.warning ? '.warning' : ''}`, null,
    h('p.event-head', null, event.warning && h('span.warn', null, icon('warning'), h('span.visually-hidden', null, t.warning)),
      h('strong', null, event.reason), ' ', h('span.event-time', null, fill(t.ago, { age: duration(now - event.last) })),
      event.count > 1 && h('span.event-count', null, fill(t.times, { n: event.count }))),
    h('p.event-object', null, `${event.kind} ${event.namespace ? `${event.namespace}/` : ''}${event.name}`),
    h('p.event-text', null, event.message))))];
}

/** Recordings, or why there are none. */
export function recordings({ recordings: all, unseen }, { now }) {
  if (!all) {
    return [empty(unseen?.includes('recordings') ? t.unseenRecordings : t.hiddenRecordings)];
  }
  if (!all.length) {
    return [empty(t.noRecordings)];
  }
  return [h('ul.cards', null, all.map((r) => h('li.item', { 'data-key': `${r.namespace}/${r.name}/${r.started}` },
    h('p.item-head', null, h('a.name', { href: recordingLink(r) }, r.name), badge(r.state)),
    h('p.item-note', null, `${r.namespace}/${r.room}`, r.reason && ` · ${texts.stops[r.reason] ?? r.reason}`),
    h('p.item-facts', null,
      r.started && h('span', null, fill(t.ago, { age: duration(now - r.started) })),
      r.seconds && h('span', null, length(r.seconds)),
      r.bytes && h('span', null, bytes(r.bytes)),
      r.files && h('span', null, fill(t.files, { n: r.files }))))))];
}

const playable = (file) => file.audio || file.video;
const mediaOf = (file) => [file.video && t.video, file.audio && t.audio].filter(Boolean).join(', ');
const titleOf = (file) => (file.who ? fill(t.streamOf, { who: file.who }) : file.name);

function player(file, broken) {
  return h('figure.player', { 'data-key': file.name },
    h('video', { 'data-key': 'media', 'data-testid': 'player', src: file.url, controls: true, playsinline: true, preload: 'metadata', 'aria-label': titleOf(file) }),
    h('figcaption', { 'data-key': 'caption' }, titleOf(file)),
    broken && h('p.item-problem', { 'data-key': 'problem', role: 'alert' }, t.notPlayed));
}

function fileItem(recording, file, chosen) {
  return h('li.item', { 'data-key': file.name },
    h('p.item-head', null, h('span.name', null, titleOf(file))),
    file.who && h('p.item-note', null, file.name),
    h('p.item-facts', null,
      mediaOf(file) && h('span', null, mediaOf(file)),
      file.duration && h('span', null, length(file.duration / 1000)),
      file.offset && h('span', null, fill(t.startsAt, { at: length(file.offset / 1000) })),
      h('span', null, bytes(file.bytes))),
    h('p.actions', null,
      playable(file) && h('a', { href: recordingLink(recording, file.name), 'aria-current': file === chosen && 'true', 'aria-label': `${t.play}: ${titleOf(file)}` }, icon('play'), t.play),
      h('a', { href: file.url, download: file.name, 'aria-label': `${t.download}: ${file.name}` }, icon('download'), t.download)));
}

/**
 * One recording. The file that is played is the one with a name, else the first that can be.
 *
 * @param {{file: string, broken: string}} shown the file that was chosen, and the one that can't be played; '' for none
 */
export function recording({ recording: r, files }, { now }, { file: name, broken }) {
  const all = files ?? [];
  const chosen = all.find((file) => file.name === name && playable(file)) ?? all.find(playable);
  const fact = (label, value) => h('div', null, h('dt', null, label), h('dd', null, value));
  return [
    h('header.room-head', { 'data-key': 'head' }, h('h1', { tabindex: -1 }, r.name), badge(r.state)),
    h('dl.facts', { 'data-key': 'facts', 'aria-label': t.facts },
      fact(t.namespace, r.namespace), fact(t.room, r.room), fact(t.length, r.seconds ? length(r.seconds) : '–'), fact(t.size, r.bytes ? bytes(r.bytes) : '–'),
      fact(t.begun, r.started ? fill(t.ago, { age: duration(now - r.started) }) : '–'), fact(t.ended, texts.stops[r.reason] ?? (r.reason || '–'))),
    chosen && player(chosen, broken === chosen.name),
    !files && h('p.empty', { 'data-key': 'hidden' }, fill(t.hiddenFiles, { namespace: r.namespace })),
    files && !files.length && h('p.empty', { 'data-key': 'none' }, t.noFiles),
    all.length > 0 && h('h2', { 'data-key': 'files' }, t.filesTitle),
    all.length > 0 && h('ul.cards', { 'data-key': 'list' }, all.map((file) => fileItem(r, file, chosen))),
  ];
}

function poolCard(pool) {
  const most = pool.rooms + pool.freeRooms;
  return h('li.item', { 'data-key': pool.name },
    h('p.item-head', null, h('span.name', null, pool.name), badge(pool.ready ? 'ready' : 'waiting')),
    pool.reason && h('p.item-problem', null, h('strong', null, pool.reason), ' ', pool.message),
    meter(pool.rooms, most, most ? fill(t.roomsOf, { n: pool.rooms, max: most }) : `${t.rooms}: ${pool.rooms}`),
    h('p.item-facts', null,
      h('span', null, fill(t.podsReady, { ready: pool.readyPods, pods: pool.pods, max: pool.maxPods })),
      h('span', null, fill(t.peopleOn, { n: pool.people })), h('span', null, pool.exposure)));
}

function podCard(pod, now) {
  return h('li.item', { 'data-key': pod.name },
    h('p.item-head', null, h('span.name', null, pod.name), badge(pod.state)),
    h('p.item-note', null, [pod.recorder ? t.recorder : pod.pool, pod.node, duration(now - pod.created)].filter(Boolean).join(' · ')),
    !pod.recorder && [
      meter(pod.rooms, pod.maxRooms, pod.maxRooms ? fill(t.roomsOf, { n: pod.rooms, max: pod.maxRooms }) : `${t.rooms}: ${pod.rooms}`),
      meter(pod.people + pod.pending, pod.maxPeople, pod.maxPeople ? fill(t.peopleOf, { n: people(pod), max: pod.maxPeople }) : `${t.people}: ${people(pod)}`),
      h('p.item-facts', null, h('span', null, `${t.streams}: ${pod.streams}`), pod.followed > 0 && h('span', null, `${t.standby}: ${fill(t.followed, { n: pod.followed })}`)),
    ]);
}

/** Pools and pods with what is on them. */
export function fleet({ pools, pods }, { now }) {
  return [
    pools && [h('h2', { 'data-key': 'pools' }, t.pools), pools.length ? h('ul.cards', { 'data-key': 'pool-cards' }, pools.map(poolCard)) : empty(t.noPools)],
    pods && [h('h2', { 'data-key': 'pods' }, t.pods), pods.length ? h('ul.cards', { 'data-key': 'pod-cards' }, pods.map((pod) => podCard(pod, now))) : empty(t.noPods)],
  ];
}

function standby(room) {
  if (room.standby) {
    return `${room.standby}${room.protected && room.protected !== 'StandbyReady' ? ` (${room.protected})` : ''}`;
  }
  return room.protected === 'NotWanted' ? t.notWanted : t.noStandby;
}

const size = (stream) => (stream.width ? ` ${stream.width}×${stream.height}` : '');

function sends(person) {
  if (person.state !== 'active') {
    return null;
  }
  if (!person.sends?.length) {
    return h('span.soft', null, t.sendsNothing);
  }
  const mark = (kind, on, name) => h(`span.mark${on ? '' : '.off'}`, null, icon(on ? kind : `${kind}-off`), h('span', null, on ? name : fill(t.muted, { kind: name })));
  return person.sends.map((s) => [
    s.audio && mark('microphone', s.audioOn, t.audio),
    s.video && (s.kind === 'screen' ? mark('screen', s.videoOn, t.screen + size(s)) : mark('camera', s.videoOn, t.video + size(s))),
  ]);
}

function personItem(person, now) {
  return h(`li.person.${person.state}`, { 'data-key': person.name },
    h('p.item-head', null, h('span.name', null, person.label || person.name), badge(person.state)),
    h('p.item-facts', null,
      h('span', null, texts.roles[person.role] ?? person.role),
      h('span', null, fill(person.state === 'disconnected' ? t.ago : t.since, { age: duration(now - person.since) })),
      person.left && h('span', null, texts.ends[person.left] ?? person.left),
      person.ip && h('span', null, person.ip),
      person.state === 'active' && h('span', null, fill(t.receives, { n: person.receives }))),
    h('p.marks', null, sends(person)),
    person.platform && h('p.item-note.platform', null, person.platform));
}

function peopleOf(detail, now) {
  if (!detail.people) {
    return empty(fill(detail.unseen?.includes('connections') ? t.unseenPeople : t.hiddenPeople, { namespace: detail.room.namespace }));
  }
  if (!detail.people.length) {
    return empty(t.nobody);
  }
  return [
    h('ul.people', null, detail.people.map((person) => personItem(person, now))),
    detail.peopleLeft > 0 && h('p.more', null, fill(t.peopleLeft, { n: detail.peopleLeft })),
  ];
}

const endKinds = { disconnect: 'good', networkDisconnect: 'bad', nodeCrashed: 'bad' };

function ends(detail) {
  if (!detail.ends) {
    return null;
  }
  const counted = Object.entries(detail.ends).sort(([, a], [, b]) => b - a);
  return h('div.panel', { 'data-key': 'ends' }, h('h3', null, t.ends), counted.length
    ? share(counted.map(([why, count]) => ({ count, kind: endKinds[why] ?? 'neutral', text: `${texts.ends[why] ?? why}: ${count}` })))
    : empty(t.noEnds));
}

/** The figures of a room that have a history. */
export function roomFigures({ room }) {
  const all = room.udp + room.tcp;
  return { people: room.people, streams: room.streams, loss: room.served.lossPercent, tcp: all ? Math.round((100 * room.tcp) / all) : 0 };
}

/** The worst loss of the last minute, of which a step is known. */
const lossOf = ({ lossPercent }) => (lossPercent ? fill(t.atMost, { n: lossPercent }) : t.hardlyAny);

function joins({ joins: n, failed, milliseconds }) {
  return h('div.panel', { 'data-key': 'joins' }, h('h3', null, t.joins), h('p.panel-value', null, String(n)),
    milliseconds > 0 && h('p.panel-note', null, fill(t.joinTime, { n: milliseconds })),
    failed > 0 && h('p.panel-note', null, fill(t.failedJoins, { n: failed })),
    h('p.panel-note', null, t.lastMinute));
}

/** One room. */
export function room(detail, { now, history }) {
  const r = detail.room;
  const fact = (name, value) => h('div', null, h('dt', null, name), h('dd', null, value));
  return [
    h('header.room-head', { 'data-key': 'head' },
      h('h1', { tabindex: -1 }, r.id), badge(r.state), r.recording && h('span.recording', null, t.recording)),
    r.reason && h('p.item-problem', { 'data-key': 'problem' }, h('strong', null, r.reason), ' ', r.message),
    h('dl.facts', { 'data-key': 'facts', 'aria-label': t.facts },
      fact(t.namespace, r.namespace), fact(t.room, r.name), fact(t.people, r.max ? fill(t.ofMax, { n: people(r), max: r.max }) : people(r)),
      fact(t.age, duration(now - r.created)), fact(t.pool, r.pool || '–'), fact(t.pod, r.pod || t.notPlaced), fact(t.node, r.node || '–'), fact(t.standby, standby(r))),
    h('div.panels', { 'data-key': 'panels' },
      chart(t.people, String(r.people), line(t.people, history.of('people'))),
      chart(t.streams, String(r.streams), line(t.streams, history.of('streams'))),
      chart(t.loss, lossOf(r.served), line(t.loss, history.of('loss'), { unit: ' %' })),
      joins(r.served),
      h('div.panel', { 'data-key': 'media' }, h('h3', null, t.connections), r.udp + r.tcp
        ? share([{ count: r.udp, kind: 'good', text: fill(t.overUDP, { n: r.udp }) }, { count: r.tcp, kind: 'warn', text: fill(t.overTCP, { n: r.tcp }) }])
        : empty(t.noConnections)),
      ends(detail)),
    h('div.columns', { 'data-key': 'columns' },
      h('section', null, h('h2', null, t.people), peopleOf(detail, now)),
      h('section', null, h('h2', null, t.recordings), recordings(detail, { now }), h('h2', null, t.events), events(detail, { now }))),
  ];
}

function chart(name, value, drawn) {
  return h('div.panel', { 'data-key': name }, h('h3', null, name), h('p.panel-value', null, value), drawn, h('p.panel-note', null, t.sinceOpened));
}
