// The modal on top of the user's stack: drawn again when it changes, keeping what was typed.

import { blocks } from './blocks.js';
import { SIGNS } from './icons.js';
import { h, textNodes } from './text.js';

export class Modals {
  constructor(layer, office) {
    this.layer = layer;
    this.office = office;
    this.drawn = '';
    this.values = new Map(); // view id -> what stands in its fields
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.top && !document.querySelector('.shade.top')) this.close();
    });
  }

  // `stack` as the workspace has it, bottom first.
  show(stack) {
    const open = new Set(stack.map((view) => view.id));
    for (const id of this.values.keys()) if (!open.has(id)) this.values.delete(id);
    const top = stack.at(-1);
    const state = top ? JSON.stringify([top.id, top.hash, top.errors, top.trouble, stack.length, this.office.user.id]) : '';
    if (state === this.drawn) return;
    const fresh = top?.id !== this.top?.id;
    this.drawn = state;
    this.top = top;
    if (!top) return this.layer.replaceChildren();
    this.draw(top, stack.length, fresh);
  }

  // What was typed stands, as long as its field does.
  valuesOf(view) {
    const typed = this.values.get(view.id) ?? {};
    const values = structuredClone(view.state.values);
    for (const [block, actions] of Object.entries(values)) {
      for (const [action, entry] of Object.entries(actions)) {
        const old = typed[block]?.[action];
        if (old?.type === entry.type) actions[action] = old;
      }
    }
    this.values.set(view.id, values);
    return values;
  }

  draw(view, depth, fresh) {
    const english = this.office.english;
    const focus = document.activeElement?.closest?.('.modal [data-action-id]')?.dataset.actionId;
    const caret = document.activeElement?.selectionStart;
    const scrolled = fresh ? 0 : this.layer.querySelector('.modal-body')?.scrollTop ?? 0;
    const values = this.valuesOf(view);
    const desk = { ...this.office.desk(), values, errors: view.errors,
      press: (part, block, given) => this.office.act({ type: 'action', viewId: view.id, blockId: block.block_id, actionId: part.action_id, ...given, values }),
      suggest: (part, block, typed) => this.office.act({ type: 'suggest', viewId: view.id, blockId: block.block_id, actionId: part.action_id, value: typed }) };
    this.submit = view.submit && h('button', { class: 'button big primary', type: 'submit' }, textNodes(view.submit));
    const form = h('form', { class: 'modal', role: 'dialog', 'aria-label': view.title.text, data: { viewId: view.id, callbackId: view.callback_id }, onsubmit: (event) => { event.preventDefault(); this.send(view, values); } },
      h('div', { class: 'modal-head' }, h('span', { class: 'avatar app' }, '◆'), h('h2', {}, textNodes(view.title)),
        h('button', { class: 'x', type: 'button', 'aria-label': english ? 'Close' : '閉じる', onclick: () => this.close(true) }, '×')),
      view.trouble && h('div', { class: 'trouble wide', role: 'alert' }, SIGNS.warning(), view.trouble),
      h('div', { class: 'modal-body' }, blocks(view.blocks, desk)),
      h('div', { class: 'modal-foot' }, h('button', { class: 'button big', type: 'button', data: { close: 'view' }, onclick: () => this.close() },
        view.close ? textNodes(view.close) : depth > 1 ? (english ? 'Back' : '戻る') : english ? 'Close' : '閉じる'), this.submit));
    this.layer.replaceChildren(h('div', { class: 'shade' }, form));
    form.querySelector('.modal-body').scrollTop = scrolled;
    const wrong = form.querySelector('.input.wrong');
    if (focus && !fresh) {
      const box = form.querySelector(`[data-action-id="${CSS.escape(focus)}"]`);
      const field = box?.matches('input,textarea,button') ? box : box?.querySelector('input,textarea');
      if (field && !field.matches('.select')) field.focus();
      if (field?.setSelectionRange && caret != null && field.type === 'text') field.setSelectionRange(caret, caret);
    } else if (fresh) {
      // As in Slack: the field that asks for it, else the first one to type in.
      const asks = view.blocks.map((block) => block.element).find((part) => part?.focus_on_load);
      const box = asks && form.querySelector(`[data-action-id="${CSS.escape(asks.action_id)}"]`);
      const typed = '.modal-body input:not(.select):not([type]), .modal-body textarea';
      (box ? (box.matches('input,textarea') ? box : box.querySelector('input,textarea')) : form.querySelector(typed))?.focus();
    }
    wrong?.scrollIntoView({ block: 'nearest' });
  }

  async send(view, values) {
    if (this.sending) return;
    this.sending = true;
    this.submit.classList.add('busy');
    await this.office.act({ type: 'submit', viewId: view.id, values });
    this.sending = false;
    this.submit.classList.remove('busy');
    await this.office.look();
  }

  async close(clear = false) {
    if (this.top) await this.office.act({ type: 'close', viewId: this.top.id, clear });
    await this.office.look();
  }
}
