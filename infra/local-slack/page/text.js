// Small helpers: elements, times in Japan, and Slack's own markup turned into nodes (never into HTML text).

import { SIGNS } from './icons.js';

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'class') node.className = value;
    else if (key === 'data') Object.assign(node.dataset, value);
    else if (key in node && key !== 'list') node[key] = value;
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const zone = 'Asia/Tokyo';
export const at = (ts) => new Date(Number(String(ts).split('.')[0]) * 1000);
export const clock = (ts) => at(ts).toLocaleTimeString('ja-JP', { timeZone: zone, hour: '2-digit', minute: '2-digit' });
export function day(ts, english) {
  const locale = english ? 'en-US' : 'ja-JP';
  const written = (date) => date.toLocaleDateString(locale, { timeZone: zone, month: 'long', day: 'numeric', weekday: 'long' });
  return written(at(ts)) === written(new Date()) ? (english ? 'Today' : '今日') : written(at(ts));
}

const EMOJI = {
  white_check_mark: '✅', heavy_check_mark: '✔️', x: '❌', warning: '⚠️', rotating_light: '🚨', hourglass: '⌛',
  hourglass_flowing_sand: '⏳', arrows_counterclockwise: '🔄', leftwards_arrow_with_hook: '↩️', rewind: '⏪',
  large_green_circle: '🟢', large_yellow_circle: '🟡', red_circle: '🔴', white_circle: '⚪', large_blue_circle: '🔵',
  large_orange_circle: '🟠', black_circle: '⚫', no_entry: '⛔', no_entry_sign: '🚫', information_source: 'ℹ️',
  gear: '⚙️', wrench: '🔧', hammer_and_wrench: '🛠️', mag: '🔍', clock3: '🕒', alarm_clock: '⏰', calendar: '📅', date: '📅',
  pill: '💊', hospital: '🏥', lock: '🔒', key: '🔑', bell: '🔔', eyes: '👀', tada: '🎉', pencil2: '✏️', memo: '📝',
  globe_with_meridians: '🌐', satellite: '📡', satellite_antenna: '📡', file_folder: '📁', package: '📦', electric_plug: '🔌',
  arrow_right: '➡️', arrow_up: '⬆️', arrow_down: '⬇️', question: '❓', exclamation: '❗', heavy_exclamation_mark: '❗',
  raised_hand: '✋', thumbsup: '👍', '+1': '👍', thumbsdown: '👎', '-1': '👎', bulb: '💡', pushpin: '📌', speech_balloon: '💬',
  bust_in_silhouette: '👤', busts_in_silhouette: '👥', house: '🏠', inbox_tray: '📥', outbox_tray: '📤', zap: '⚡', scroll: '📜',
};
// Written out they depend on the machine's fonts, so the ones that carry a meaning are drawn.
const WRITTEN = new Map(Object.entries(EMOJI).filter(([name]) => SIGNS[name]).map(([name, sign]) => [sign.replace('\ufe0f', ''), name]));
const KNOWN = new RegExp(`:([a-z0-9_+-]+):|(${[...WRITTEN.keys()].join('|')})\\ufe0f?`, 'g');

function emoji(text) {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(KNOWN)) {
    const name = found[1] ?? WRITTEN.get(found[2]);
    const sign = SIGNS[name]?.() ?? EMOJI[name];
    if (!sign) continue;
    nodes.push(text.slice(from, found.index), sign);
    from = found.index + found[0].length;
  }
  return nodes.concat(text.slice(from)).filter((node) => node !== '');
}
const entities = (text) => text.replace(/&(lt|gt|amp);/g, (_, name) => ({ lt: '<', gt: '>', amp: '&' })[name]);
const plainText = (text) => emoji(entities(text));

// A text object of Block Kit.
export function textNodes(object, people) {
  if (!object) return [];
  if (object.type === 'plain_text') return lines(object.text, object.emoji !== false);
  return mrkdwn(object.text, people);
}

function lines(text, signs) {
  return text.split('\n').flatMap((line, i) => [i ? h('br') : '', ...(signs ? emoji(line) : [line])]);
}

export function mrkdwn(text, people) {
  return text.split('```').flatMap((part, i) => (i % 2 ? h('pre', {}, entities(part.replace(/^\n|\n$/g, ''))) : quoted(part, people)));
}

function quoted(text, people) {
  const nodes = [];
  let quote = null;
  const all = text.split('\n');
  all.forEach((line, i) => {
    const mark = line.match(/^(?:&gt;|>)\s?(.*)$/);
    if (mark) {
      if (!quote) nodes.push((quote = h('blockquote')));
      else quote.append(h('br'));
      quote.append(...inline(mark[1], people));
      return;
    }
    if (i && !quote) nodes.push(h('br'));
    quote = null;
    nodes.push(...inline(line, people));
  });
  return nodes;
}

// As in Slack a mark counts only where no letter touches its outside, Japanese ones included.
const MARK = /`([^`\n]+)`|<([^<>\n]+)>|(?<![\p{L}\p{N}])([*_~])(?=\S)([^\n]*?\S)\3(?![\p{L}\p{N}])/u;
const TAGS = { '*': 'strong', _: 'em', '~': 's' };

function inline(text, people) {
  const nodes = [];
  for (let rest = text; rest; ) {
    const found = rest.match(MARK);
    if (!found) return nodes.concat(plainText(rest));
    if (found.index) nodes.push(...plainText(rest.slice(0, found.index)));
    const [whole, code, angle, mark, inner] = found;
    if (code !== undefined) nodes.push(h('code', {}, entities(code)));
    else if (angle !== undefined) nodes.push(reference(angle, people));
    else nodes.push(h(TAGS[mark], {}, ...inline(inner, people)));
    rest = rest.slice(found.index + whole.length);
  }
  return nodes;
}

function reference(angle, people) {
  const [target, label] = angle.split('|');
  if (target.startsWith('@')) return h('span', { class: 'mention' }, '@' + (people.get(target.slice(1))?.realName ?? label ?? target.slice(1)));
  if (target.startsWith('#')) return h('span', { class: 'mention' }, '#' + (people.get(target.slice(1))?.name ?? label ?? target.slice(1)));
  if (target.startsWith('!date^')) {
    return new Date(Number(target.split('^')[1]) * 1000).toLocaleString('ja-JP', { timeZone: zone, dateStyle: 'medium', timeStyle: 'short' });
  }
  if (target.startsWith('!')) return h('span', { class: 'mention' }, '@' + (label ?? target.slice(1)));
  return link(entities(target), label ? plainText(label) : [entities(target)]);
}

export function link(address, label) {
  const nodes = [label].flat();
  if (!/^(https?|mailto):/.test(address)) return h('span', {}, nodes);
  return h('a', { href: address, target: '_blank', rel: 'noopener noreferrer' }, nodes);
}
