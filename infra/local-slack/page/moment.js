// Days and times in Japan, as lists in the reader's language: a browser's own fields speak the browser's.

import { h } from './text.js';

const JAPAN = 9 * 3600;
const DAY = 24 * 3600;
const DAYS_AHEAD = 90;
const QUARTER = 15 * 60;

const two = (number) => String(number).padStart(2, '0');
const today = () => Math.floor((Date.now() / 1000 + JAPAN) / DAY);
const written = (day) => new Date(day * DAY * 1000).toISOString().slice(0, 10);

// A list of which nothing is chosen at first; what stands in the field is offered whatever it is.
function list(kind, words, offered, value, changed) {
  const all = value == null || offered.includes(value) ? offered : [...offered, value].sort((a, b) => a - b);
  const box = h('select', { class: `box select ${kind}`, 'aria-label': words.none, onchange: () => changed(box.value === '' ? null : Number(box.value)) },
    h('option', { value: '' }, words.none), all.map((one) => h('option', { value: one }, words.of(one))));
  box.value = value ?? '';
  return box;
}

function days(english, value, changed) {
  const of = (day) => new Date(day * DAY * 1000).toLocaleDateString(english ? 'en-US' : 'ja-JP',
    { timeZone: 'UTC', year: 'numeric', month: english ? 'short' : 'long', day: 'numeric', weekday: 'short' });
  const first = today();
  const ahead = Array.from({ length: DAYS_AHEAD }, (_, at) => first + at);
  return list('day-list', { none: english ? 'Date' : '日付', of }, ahead, value, changed);
}

function times(english, value, changed) {
  const of = (second) => `${two(Math.floor(second / 3600))}:${two(Math.floor(second / 60) % 60)}`;
  const quarters = Array.from({ length: DAY / QUARTER }, (_, at) => at * QUARTER);
  return list('time-list', { none: english ? 'Time' : '時刻', of }, quarters, value, changed);
}

// `2026-11-26`
export const datepicker = (value, english, changed) =>
  days(english, value ? Date.parse(value) / 1000 / DAY : null, (day) => changed(day && written(day)));

// `14:30`
export function timepicker(value, english, changed) {
  const [hour, minute] = (value ?? '').split(':').map(Number);
  const second = value ? hour * 3600 + minute * 60 : null;
  return times(english, second, (chosen) => changed(chosen == null ? null : `${two(Math.floor(chosen / 3600))}:${two(Math.floor(chosen / 60) % 60)}`));
}

// Seconds since 1970; nothing before both are chosen.
export function datetimepicker(second, english, changed) {
  const local = second ? second + JAPAN : null;
  const now = { day: local && Math.floor(local / DAY), time: local && local % DAY };
  const tell = (what) => {
    Object.assign(now, what);
    changed(now.day == null || now.time == null ? null : now.day * DAY + now.time - JAPAN);
  };
  return h('div', { class: 'moment' }, days(english, now.day, (day) => tell({ day })), times(english, now.time, (time) => tell({ time })));
}
