// The box at the bottom: plain messages, slash commands with their hints, and the app's shortcuts.

import { menu } from './elements.js';
import { SIGNS } from './icons.js';
import { h } from './text.js';

export function composer({ placeholder, commands, shortcuts, english, send, runShortcut }) {
  const hints = h('div', { class: 'hints', hidden: true });
  const box = h('textarea', { class: 'say', rows: 1, placeholder, 'aria-label': placeholder });
  const button = h('button', { class: 'send', type: 'button', title: english ? 'Send' : '送信', onclick: () => go() }, SIGNS.send());
  const zap = shortcuts?.length > 0 && h('button', { class: 'zap', type: 'button', title: english ? 'Shortcuts' : 'ショートカット', onclick: (event) =>
    menu(event.currentTarget, shortcuts.map((shortcut) => [h('span', {}, shortcut.name, h('small', {}, shortcut.description)), () => runShortcut(shortcut)])) }, SIGNS.zap());

  const fitting = () => {
    const [first] = box.value.split(' ');
    if (!commands || !first.startsWith('/') || box.value.includes('\n')) return [];
    return commands.filter((command) => (box.value.includes(' ') ? command.command === first : command.command.startsWith(first)));
  };
  const hint = () => {
    const fit = fitting();
    hints.hidden = fit.length === 0;
    hints.replaceChildren(h('div', { class: 'hints-title' }, english ? 'Commands' : 'コマンド'), ...fit.map((command) =>
      h('div', { class: 'hint-row', onmousedown: (event) => { event.preventDefault(); take(command); } },
        h('b', {}, command.command), ' ', h('span', { class: 'usage' }, command.usage_hint), h('div', { class: 'about' }, command.description))));
  };
  const take = (command) => {
    box.value = command.command + ' ';
    box.focus();
    changed();
  };
  const changed = () => {
    button.classList.toggle('ready', box.value.trim() !== '');
    box.style.height = 'auto';
    box.style.height = `${Math.min(box.scrollHeight, 200)}px`;
    hint();
  };
  const go = () => {
    const text = box.value.trim();
    if (!text) return;
    box.value = '';
    changed();
    hints.hidden = true;
    const command = text.match(/^(\/\S+)\s*([\s\S]*)$/);
    if (command && commands) send({ type: 'command', command: command[1], text: command[2] });
    else send({ type: 'message', text });
  };
  box.addEventListener('input', changed);
  box.addEventListener('blur', () => (hints.hidden = true));
  box.addEventListener('focus', hint);
  box.addEventListener('keydown', (event) => {
    if (event.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      go();
    } else if (event.key === 'Tab' && !hints.hidden && fitting()[0] && !box.value.includes(' ')) {
      event.preventDefault();
      take(fitting()[0]);
    }
  });
  return h('div', { class: 'composer' }, hints, h('div', { class: 'composer-box' }, box, h('div', { class: 'composer-foot' }, zap, h('span', { class: 'fill' }), button)));
}
