// The elements of Block Kit a user can work. Each keeps its entry in desk.values as Slack writes it.

import { datepicker, datetimepicker, timepicker } from './moment.js';
import { h, textNodes } from './text.js';

export function element(part, block, desk) {
  const kind = part.type.replace(/^multi_/, '').replace(/^(users|conversations|channels)_select$/, 'people_select');
  const node = (DRAW[kind] ?? unknown)(part, block, desk);
  node.dataset.actionId = part.action_id ?? '';
  return node;
}

const unknown = (part) => h('span', { class: 'unknown' }, `[${part.type}]`);

const kept = (part, block, desk) => desk.values?.[block.block_id]?.[part.action_id] ?? {};

// Remembers what was put in; outside an input block (or where the app wants to know) it is also sent.
function put(part, block, desk, key, content, send = true) {
  const entry = { type: part.type, [key]: content };
  desk.values[block.block_id] = { ...desk.values[block.block_id], [part.action_id]: entry };
  if (send && (block.type !== 'input' || block.dispatch_action)) desk.press(part, block, { value: entry });
}

const DRAW = {
  button(part, block, desk) {
    const press = () => confirmed(part.confirm, desk, () => {
      if (part.url) window.open(part.url, '_blank', 'noopener');
      desk.press(part, block, {});
    });
    const look = part.style ? `button ${part.style}` : 'button';
    return h('button', { class: look, type: 'button', onclick: press, 'aria-label': part.accessibility_label }, textNodes(part.text));
  },

  image: (part) => h('img', { class: 'thumb', src: part.slack_file?.id ? `/_local/files/${part.slack_file.id}` : part.image_url, alt: part.alt_text }),

  overflow(part, block, desk) {
    const choose = (option) => confirmed(part.confirm, desk, () => desk.press(part, block, { selectedOption: option }));
    const button = h('button', { class: 'button overflow', type: 'button', 'aria-label': desk.english ? 'More' : 'その他', onclick: () =>
      menu(button, part.options.map((option) => [textNodes(option.text), () => choose(option)])) }, '⋯');
    return h('span', {}, button);
  },

  plain_text_input(part, block, desk) {
    const box = h(part.multiline ? 'textarea' : 'input', {
      class: 'box', name: part.action_id, value: kept(part, block, desk).value ?? '', placeholder: part.placeholder?.text ?? '',
      autocomplete: 'off', spellcheck: false,
      oninput: () => {
        put(part, block, desk, 'value', box.value || null, triggers(part).includes('on_character_entered'));
        count();
      },
      onkeydown: (event) => {
        const entered = event.key === 'Enter' && !event.isComposing && !part.multiline;
        if (entered && block.dispatch_action && triggers(part).includes('on_enter_pressed')) {
          event.preventDefault();
          put(part, block, desk, 'value', box.value || null);
        }
      },
    });
    const left = h('span', { class: 'left' });
    function count() {
      const rest = part.max_length - [...box.value].length;
      left.textContent = rest <= 20 ? rest : ''; // as in Slack, told when it gets tight
    }
    function triggers(from) { return from.dispatch_action_config?.trigger_actions_on ?? ['on_enter_pressed']; }
    if (!part.max_length) return box;
    count();
    return h('div', { class: 'counted' }, box, left);
  },

  static_select: (part, block, desk) =>
    choice(part, block, desk, (typed) => {
      const fits = (option) => option.text.text.toLowerCase().includes(typed.toLowerCase());
      const groups = part.option_groups ?? [{ options: part.options }];
      return groups.map((group) => ({ label: group.label, options: group.options.filter(fits) }));
    }),

  external_select(part, block, desk) {
    const least = part.min_query_length ?? 3;
    return choice(part, block, desk, async (typed) => {
      if ([...typed].length < least) return { note: desk.english ? `Type ${least} or more characters` : `${least} 文字以上入力すると候補が表示されます` };
      const answer = await desk.suggest(part, block, typed);
      if (answer.error || !answer.body) return { note: desk.english ? 'Couldn’t load options' : '候補を読み込めませんでした' };
      return answer.body.option_groups ?? [{ options: answer.body.options ?? [] }];
    });
  },

  people_select(part, block, desk) {
    const key = { users_select: 'selected_user', conversations_select: 'selected_conversation', channels_select: 'selected_channel' }[part.type] ?? 'selected_users';
    const offered = part.type.includes('users')
      ? [...desk.people.values()].filter((person) => !person.bot).map((person) => [person.id, person.realName])
      : desk.channels.map((channel) => [channel.id, '# ' + channel.name]);
    const select = h('select', { class: 'box', onchange: () => put(part, block, desk, key, key.endsWith('s') ? [select.value] : select.value || null) },
      h('option', { value: '' }, part.placeholder?.text ?? ''), offered.map(([id, name]) => h('option', { value: id }, name)));
    select.value = [kept(part, block, desk)[key] ?? ''].flat()[0] ?? '';
    return select;
  },

  radio_buttons: (part, block, desk) => ticks(part, block, desk, 'radio'),
  checkboxes: (part, block, desk) => ticks(part, block, desk, 'checkbox'),
  datepicker: (part, block, desk) =>
    datepicker(kept(part, block, desk).selected_date, desk.english, (date) => put(part, block, desk, 'selected_date', date)),
  timepicker: (part, block, desk) =>
    timepicker(kept(part, block, desk).selected_time, desk.english, (time) => put(part, block, desk, 'selected_time', time)),
  datetimepicker: (part, block, desk) =>
    datetimepicker(kept(part, block, desk).selected_date_time, desk.english, (second) => put(part, block, desk, 'selected_date_time', second)),
  number_input: (part, block, desk) => DRAW.plain_text_input(part, block, desk),
  email_text_input: (part, block, desk) => DRAW.plain_text_input(part, block, desk),
  url_text_input: (part, block, desk) => DRAW.plain_text_input(part, block, desk),
};

function ticks(part, block, desk, type) {
  const single = type === 'radio';
  const now = kept(part, block, desk);
  const chosen = new Set((single ? [now.selected_option] : now.selected_options ?? []).filter(Boolean).map((option) => option.value));
  const name = `${block.block_id}-${part.action_id}-${Math.random()}`;
  return h('div', { class: 'ticks' }, part.options.map((option) => {
    const tick = h('input', { type, name, value: option.value, checked: chosen.has(option.value), onchange: () => {
      if (single) return put(part, block, desk, 'selected_option', option);
      if (tick.checked) chosen.add(option.value);
      else chosen.delete(option.value);
      put(part, block, desk, 'selected_options', part.options.filter((one) => chosen.has(one.value)));
    } });
    return h('label', { class: 'tick' }, tick, h('span', {}, textNodes(option.text, desk.people),
      option.description && h('small', {}, textNodes(option.description, desk.people))));
  }));
}

// A field with a list under it: typed text narrows the list, or asks the app for one.
function choice(part, block, desk, find) {
  const several = part.type.startsWith('multi_');
  const key = several ? 'selected_options' : 'selected_option';
  let chosen = [kept(part, block, desk)[key] ?? []].flat();
  const shown = () => (several ? '' : chosen[0]?.text.text ?? '');
  const pills = h('div', { class: 'pills' });
  const list = h('div', { class: 'list', role: 'listbox', hidden: true });
  const box = h('input', { class: 'box select', role: 'combobox', autocomplete: 'off', name: part.action_id, value: shown(), placeholder: part.placeholder?.text ?? (desk.english ? 'Select an item' : '選択してください') });
  let asked = 0;
  let wait;

  const choose = (option) => confirmed(part.confirm, desk, () => {
    chosen = several ? (chosen.some((one) => one.value === option.value) ? chosen : [...chosen, option]) : [option];
    done();
  });
  const done = () => {
    box.value = shown();
    list.hidden = true;
    drawPills();
    put(part, block, desk, key, several ? chosen : chosen[0] ?? null);
  };
  const drawPills = () => pills.replaceChildren(...(several ? chosen : []).map((option) => h('span', { class: 'pill' }, textNodes(option.text),
    h('button', { type: 'button', onclick: () => { chosen = chosen.filter((one) => one !== option); done(); } }, '×'))));
  const open = async (typed) => {
    const turn = ++asked;
    list.hidden = false;
    list.replaceChildren(h('div', { class: 'note' }, desk.english ? 'Loading…' : '読み込み中…'));
    const found = await find(typed);
    if (turn !== asked) return;
    const groups = found.note ? [] : found;
    const rows = groups.flatMap((group) => [
      group.label && group.options.length > 0 && h('div', { class: 'group' }, textNodes(group.label)),
      ...group.options.map((option) => h('div', { class: 'option', role: 'option', data: { value: option.value }, onmousedown: (event) => { event.preventDefault(); choose(option); } },
        h('span', {}, textNodes(option.text)), option.description && h('small', {}, textNodes(option.description)))),
    ]).filter(Boolean);
    list.replaceChildren(...(rows.length ? rows : [h('div', { class: 'note' }, found.note ?? (desk.english ? 'No results' : '該当する項目がありません'))]));
    list.querySelector('.option')?.classList.add('on');
  };
  box.addEventListener('focus', () => { box.select(); open(''); });
  box.addEventListener('input', () => { clearTimeout(wait); wait = setTimeout(() => open(box.value), 200); });
  box.addEventListener('blur', () => { asked++; list.hidden = true; box.value = shown(); });
  box.addEventListener('keydown', (event) => {
    if (event.isComposing) return;
    const options = [...list.querySelectorAll('.option')];
    const now = options.findIndex((option) => option.classList.contains('on'));
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      options[now]?.classList.remove('on');
      const next = options[(now + (event.key === 'ArrowDown' ? 1 : options.length - 1)) % options.length];
      next?.classList.add('on');
      next?.scrollIntoView({ block: 'nearest' });
    } else if (event.key === 'Enter' && !list.hidden) {
      event.preventDefault();
      options[now]?.dispatchEvent(new MouseEvent('mousedown', { cancelable: true }));
    } else if (event.key === 'Escape' && !list.hidden) {
      event.stopPropagation();
      list.hidden = true;
    }
  });
  drawPills();
  return h('div', { class: 'choice' }, pills, box, list);
}

// Slack's dialog before something that matters.
export function confirmed(dialog, desk, then) {
  if (!dialog) return then();
  const close = () => shade.remove();
  const yes = h('button', { class: `button big ${dialog.style ?? 'primary'}`, type: 'button', data: { confirm: 'yes' }, onclick: () => { close(); then(); } }, textNodes(dialog.confirm));
  const no = h('button', { class: 'button big', type: 'button', data: { confirm: 'no' }, onclick: close }, textNodes(dialog.deny));
  const shade = h('div', { class: 'shade top' }, h('div', { class: 'modal small', role: 'alertdialog' },
    h('div', { class: 'modal-head' }, h('h2', {}, textNodes(dialog.title)), h('button', { class: 'x', type: 'button', onclick: close }, '×')),
    h('div', { class: 'modal-body' }, textNodes(dialog.text, desk.people)), h('div', { class: 'modal-foot' }, no, yes)));
  document.body.append(shade);
  yes.focus();
}

// A little menu under a button.
export function menu(anchor, rows) {
  document.querySelector('.menu')?.remove();
  const box = anchor.getBoundingClientRect();
  const list = h('div', { class: 'menu' }, rows.map(([label, run]) => h('button', { type: 'button', onclick: () => { list.remove(); run(); } }, label)));
  document.body.append(list);
  list.style.left = `${Math.max(8, Math.min(box.left, innerWidth - list.offsetWidth - 8))}px`;
  list.style.top = `${box.bottom + list.offsetHeight + 8 > innerHeight ? box.top - list.offsetHeight - 4 : box.bottom + 4}px`;
  setTimeout(() => document.addEventListener('click', () => list.remove(), { once: true }));
}
