// Messages of a channel, and the thread beside it.

import { blocks } from './blocks.js';
import { menu } from './elements.js';
import { SIGNS } from './icons.js';
import { clock, day, h, mrkdwn } from './text.js';

export function messageList(all, room) {
  const nodes = [];
  let lastDay = '';
  let before = null;
  for (const message of all) {
    const today = day(message.ts, room.english);
    if (today !== lastDay) {
      nodes.push(h('div', { class: 'day' }, h('span', {}, today)));
      before = null;
    }
    lastDay = today;
    const follows = before && before.user === message.user && !message.is_ephemeral && !before.is_ephemeral && Number(message.ts) - Number(before.ts) < 300;
    nodes.push(one(message, room, follows));
    before = message;
  }
  return nodes;
}

export function avatar(person, app) {
  const face = app ? '◆' : [...(person?.realName ?? '?')][0];
  return h('span', { class: app ? 'avatar app' : 'avatar', style: `background:#${person?.color ?? '888'}` }, face);
}

function one(message, room, follows) {
  const author = room.people.get(message.user);
  const app = Boolean(message.bot_id);
  const en = room.english;
  const desk = room.deskOf(message);
  const tools = h('div', { class: 'tools' },
    !message.is_ephemeral && !room.inThread && h('button', { type: 'button', title: en ? 'Reply in thread' : 'スレッドで返信する', onclick: () => room.openThread(message.thread_ts ?? message.ts) }, SIGNS.speech_balloon()),
    !message.is_ephemeral && room.messageShortcuts.length > 0 && h('button', { type: 'button', class: 'more', title: en ? 'More actions' : 'その他', onclick: (event) =>
      menu(event.currentTarget, room.messageShortcuts.map((shortcut) => [shortcut.name, () => room.shortcut(shortcut, message)])) }, SIGNS.dots()));
  const body = h('div', { class: 'message-body' },
    !follows && h('div', { class: 'byline' }, h('b', {}, author?.realName ?? message.user), app && h('span', { class: 'tag' }, en ? 'APP' : 'アプリ'), h('time', {}, clock(message.ts))),
    message.blocks?.length ? h('div', { class: 'blocks' }, blocks(message.blocks, desk)) : message.text && h('div', { class: 'text' }, mrkdwn(message.text, room.people)),
    (message.attachments ?? []).map((part) => h('div', { class: 'attachment', style: `border-color:${part.color ?? '#ddd'}` },
      part.blocks ? h('div', { class: 'blocks' }, blocks(part.blocks, desk)) : h('div', { class: 'text' }, mrkdwn(part.text ?? part.fallback ?? '', room.people)))),
    (message.files ?? []).map((file) => file.mimetype?.startsWith('image/')
      ? h('figure', { class: 'picture' }, h('figcaption', {}, file.title), h('img', { src: `/_local/files/${file.id}`, alt: file.title }))
      : h('a', { class: 'file', href: `/_local/files/${file.id}`, target: '_blank' }, h('b', {}, file.title), h('small', {}, `${file.pretty_type} · ${file.size} B`))),
    message.edited && h('span', { class: 'edited' }, en ? '(edited)' : '(編集済み)'),
    message.trouble && h('div', { class: 'trouble', role: 'alert' }, SIGNS.warning(), message.trouble),
    message.reply_count > 0 && !room.inThread && h('button', { class: 'replies', type: 'button', onclick: () => room.openThread(message.ts) },
      en ? `${message.reply_count} ${message.reply_count === 1 ? 'reply' : 'replies'}` : `${message.reply_count} 件の返信`, h('small', {}, clock(message.latest_reply))));
  const left = follows ? h('time', { class: 'gutter' }, clock(message.ts)) : avatar(author, app);
  const row = h('div', { class: 'row' }, left, body, tools);
  const note = message.is_ephemeral && h('div', { class: 'only-you' }, SIGNS.eyes(), en ? 'Only visible to you' : 'あなただけに表示されています');
  return h('article', { class: message.is_ephemeral ? 'message ephemeral' : 'message', data: { ts: message.ts } }, note, row);
}
