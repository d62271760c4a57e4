// The frame: who looks, where, and what is drawn again when the workspace says something changed.

import { blocks } from './blocks.js';
import { composer } from './composer.js';
import { menu } from './elements.js';
import { SIGNS } from './icons.js';
import { avatar, messageList } from './messages.js';
import { Modals } from './modals.js';
import { h } from './text.js';

const $ = (id) => document.getElementById(id);
const DEFAULT_USER = 'U01OPERATOR';
const address = new URLSearchParams(location.search);
let userId = address.get('user') ?? DEFAULT_USER;
let place = address.get('at') ?? location.pathname.match(/^\/archives\/([^/]+)/)?.[1] ?? null;
let thread = null;
let frame;
let people;
let screen = { views: [], home: null };
const unread = new Set();

const office = {
  get user() { return people.get(userId); },
  get english() { return this.user?.locale?.startsWith('en') ?? false; },
  desk() { return { people, channels: frame.channels, english: this.english, values: {} }; },
  async act(what) {
    const channelId = place === 'home' || place === 'messages' ? frame.direct : place;
    const answer = await fetch('/_local/act', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ userId, channelId, ...what }) });
    const done = await answer.json();
    if (!answer.ok) toast(done.error);
    return done;
  },
  async look() {
    const user = userId;
    const seen = await get(`users/${user}/views`);
    if (user !== userId) return;
    const home = JSON.stringify(screen.home);
    screen = seen;
    modals.show(seen.views);
    if (place === 'home' && home !== JSON.stringify(seen.home)) drawHome();
  },
};
const modals = new Modals($('layer'), office);
const say = (en, ja) => (office.english ? en : ja);
const get = async (path) => (await fetch(`/_local/${path}`)).json();

function toast(text) {
  const node = h('div', { class: 'toast' }, text);
  $('toasts').append(node);
  setTimeout(() => node.remove(), 6000);
}

async function enter() {
  frame = await get(`users/${userId}/frame`);
  if (frame.error) {
    userId = DEFAULT_USER;
    return enter();
  }
  people = new Map(frame.people.map((person) => [person.id, person]));
  // A text may name a channel as well as a person; their ids never meet.
  for (const channel of frame.channels) people.set(channel.id, channel);
  const known = frame.channels.some((channel) => channel.id === place) || place === 'home' || place === 'messages';
  if (!known) place = frame.channels[0].id;
  document.documentElement.lang = office.english ? 'en' : 'ja';
  screen = { views: [], home: null };
  drawWho();
  await go(place);
}

async function go(to) {
  place = to;
  thread = null;
  unread.delete(to);
  history.replaceState(null, '', `/?user=${userId}&at=${place}`);
  drawSide();
  drawMain();
  drawThread();
  if (place === 'home') await office.act({ type: 'home' });
  await office.look();
}

function drawWho() {
  $('who').replaceChildren(avatar(office.user), h('span', {}, office.user.realName), '▾');
  $('note').textContent = say('Local Slack: everything here stays on this machine', 'ローカル Slack: ここでの操作はこのマシンの中だけで完結します');
  $('who').title = say('Switch user', 'ユーザーを切り替える');
  $('who').onclick = (event) => menu(event.currentTarget, frame.people.filter((person) => !person.bot).map((person) =>
    [h('span', { class: 'who-row' }, avatar(person), h('span', {}, person.realName, h('small', {}, person.title))), () => { userId = person.id; enter(); }]));
}

function drawSide() {
  const row = (to, mark, name) => h('button', { type: 'button', class: `side-row${place === to ? ' here' : ''}${unread.has(to) ? ' unread' : ''}`, data: { to }, onclick: () => go(to) }, h('span', { class: 'mark' }, mark), name);
  $('side').replaceChildren(h('div', { class: 'team' }, frame.team.name),
    h('div', { class: 'side-title' }, say('Channels', 'チャンネル')), ...frame.channels.map((channel) => row(channel.id, '#', channel.name)),
    h('div', { class: 'side-title' }, 'App'), row('home', '◆', frame.app.name), row('messages', SIGNS.envelope(), say('Messages', 'メッセージ')));
}

function drawMain() {
  const channel = frame.channels.find((one) => one.id === place);
  if (!channel) {
    const tab = (to, name) => h('button', { type: 'button', class: place === to ? 'tab here' : 'tab', onclick: () => go(to) }, name);
    $('main').replaceChildren(h('div', { class: 'title' }, h('h1', {}, avatar({ color: '4a154b' }, true), frame.app.name)),
      h('div', { class: 'tabs' }, tab('home', say('Home', 'ホーム')), tab('messages', say('Messages', 'メッセージ'))),
      h('div', { class: 'scroll', id: 'scroll' }), ...(place === 'messages' ? [box(frame.app.name)] : []));
    return place === 'home' ? drawHome() : drawMessages();
  }
  $('main').replaceChildren(h('div', { class: 'title' }, h('h1', {}, h('span', { class: 'hash' }, '#'), channel.name), h('p', {}, channel.archived ? say('archived', 'アーカイブ済み') : channel.topic)),
    h('div', { class: 'scroll', id: 'scroll' }), box('#' + channel.name));
  return drawMessages();
}

const box = (name) => composer({ placeholder: say(`Message ${name}`, `${name} へのメッセージ`), commands: frame.commands, english: office.english,
  shortcuts: frame.shortcuts.filter((shortcut) => shortcut.kind !== 'message' && shortcut.type !== 'message'),
  send: async (what) => { await office.act(what); await office.look(); },
  runShortcut: (shortcut) => office.act({ type: 'shortcut', callbackId: shortcut.callback_id }) });

function drawHome() {
  const home = screen.home;
  const desk = home && { ...office.desk(), values: structuredClone(home.state.values) };
  if (desk) {
    desk.press = (part, block, given) => office.act({ type: 'action', viewId: home.id, blockId: block.block_id, actionId: part.action_id, ...given, values: desk.values });
    desk.suggest = (part, block, typed) => office.act({ type: 'suggest', viewId: home.id, blockId: block.block_id, actionId: part.action_id, value: typed });
  }
  $('scroll')?.replaceChildren(home
    ? h('div', { class: 'home' }, home.trouble && h('div', { class: 'trouble', role: 'alert' }, SIGNS.warning(), home.trouble), blocks(home.blocks, desk))
    : h('div', { class: 'empty' }, say('This app has put nothing on its Home yet.', 'このアプリのホームにはまだ何もありません。')));
}

function roomId() {
  return place === 'messages' ? frame.direct : place;
}

function room(channelId, inThread) {
  return { people, english: office.english, inThread, messageShortcuts: frame.shortcuts.filter((shortcut) => shortcut.type === 'message'),
    openThread: (ts) => { thread = ts; drawThread(); },
    shortcut: (shortcut, message) => office.act({ type: 'shortcut', channelId, callbackId: shortcut.callback_id, messageTs: message.ts }),
    deskOf: (message) => {
      const values = {};
      const where = { channelId, messageTs: message.ts };
      return { ...office.desk(), values,
        press: (part, block, given) => office.act({ type: 'action', ...where, blockId: block.block_id, actionId: part.action_id, ...given, values }),
        suggest: (part, block, typed) => office.act({ type: 'suggest', ...where, blockId: block.block_id, actionId: part.action_id, value: typed }) };
    } };
}

async function drawMessages() {
  const [here, user] = [roomId(), userId];
  if (!here || place === 'home') return;
  const { messages } = await get(`channels/${here}/messages?user=${user}`);
  const scroll = $('scroll');
  if (!scroll || here !== roomId() || user !== userId) return;
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80 || !scroll.childElementCount;
  const top = messages.filter((message) => !message.thread_ts || message.thread_ts === message.ts);
  scroll.replaceChildren(h('div', { class: 'push' }), ...(top.length ? messageList(top, room(here, false)) : [h('div', { class: 'empty' }, say('No messages yet.', 'まだメッセージはありません。'))]));
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
  if (thread) drawThread(messages);
}

async function drawThread(messages) {
  const pane = $('thread');
  pane.hidden = !thread;
  if (!thread) return pane.replaceChildren();
  const here = roomId();
  const all = messages ?? (await get(`channels/${here}/messages?user=${userId}`)).messages;
  const ts = thread;
  if (!ts) return;
  const told = all.filter((message) => message.ts === ts || message.thread_ts === ts);
  const list = h('div', { class: 'scroll' }, messageList(told, room(here, true)));
  const typed = pane.querySelector('.say')?.value ?? '';
  const reply = composer({ placeholder: say('Reply…', '返信する…'), english: office.english, send: (what) => office.act({ ...what, threadTs: ts }) });
  pane.replaceChildren(h('div', { class: 'title' }, h('h1', {}, say('Thread', 'スレッド')), h('button', { class: 'x', type: 'button', onclick: () => { thread = null; drawThread(); } }, '×')), list, reply);
  reply.querySelector('.say').value = typed;
  list.scrollTop = list.scrollHeight;
}

function listen() {
  const stream = new EventSource('/_local/stream');
  stream.onmessage = ({ data }) => {
    const change = JSON.parse(data);
    if (change.what === 'messages' && change.channel === roomId()) drawMessages();
    else if (change.what === 'messages') {
      unread.add(change.channel === frame.direct ? 'messages' : change.channel);
      drawSide();
    } else if (change.what === 'views' && change.user === userId) office.look();
    else if (change.what === 'everything') { drawMessages(); office.look(); }
  };
  // After a gap nobody knows what was missed.
  stream.onopen = () => { drawMessages(); office.look(); };
}

await enter();
listen();
