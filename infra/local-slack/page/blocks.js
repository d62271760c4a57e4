// Block Kit, drawn. `desk` says who looks and what happens: values, errors, press(..), people, english.

import { SIGNS } from './icons.js';
import { h, link, mrkdwn, textNodes } from './text.js';
import { element } from './elements.js';

export function blocks(all, desk) {
  return (all ?? []).map((block) => {
    const draw = DRAW[block.type];
    const node = draw ? draw(block, desk) : h('div', { class: 'unknown' }, `[${block.type}]`);
    node.classList.add('block');
    node.dataset.blockId = block.block_id ?? '';
    return node;
  });
}

const DRAW = {
  divider: () => h('hr'),
  header: (block) => h('h3', { class: 'head' }, textNodes(block.text)),
  section(block, desk) {
    const body = h('div', { class: 'section-body' });
    if (block.text) body.append(h('div', { class: 'text' }, textNodes(block.text, desk.people)));
    if (block.fields) {
      body.append(h('div', { class: 'fields' }, block.fields.map((field) => h('div', { class: 'field' }, textNodes(field, desk.people)))));
    }
    const side = block.accessory && h('div', { class: 'accessory' }, element(block.accessory, block, desk));
    return h('div', { class: 'section' }, body, side);
  },
  context: (block, desk) =>
    h('div', { class: 'context' }, block.elements.map((part) =>
      part.type === 'image' ? h('img', { src: source(part), alt: part.alt_text }) : h('span', {}, textNodes(part, desk.people)))),
  actions: (block, desk) => h('div', { class: 'actions' }, block.elements.map((part) => element(part, block, desk))),
  input(block, desk) {
    const error = desk.errors?.[block.block_id];
    return h('div', { class: error ? 'input wrong' : 'input' },
      h('label', { class: 'label' }, textNodes(block.label), block.optional && h('span', { class: 'optional' }, desk.english ? '(optional)' : '(任意)')),
      element(block.element, block, desk),
      error && h('div', { class: 'error', role: 'alert' }, SIGNS.warning(), error),
      block.hint && h('div', { class: 'hint' }, textNodes(block.hint)));
  },
  image: (block) =>
    h('figure', { class: 'picture' }, block.title && h('figcaption', {}, textNodes(block.title)),
      h('img', { src: source(block), alt: block.alt_text })),
  markdown: (block, desk) => h('div', { class: 'text' }, mrkdwn(fromMarkdown(block.text), desk.people)),
  table: (block, desk) =>
    h('div', { class: 'table' }, h('table', {}, block.rows.map((row, i) =>
      h('tr', {}, row.map((cell) => h(i ? 'td' : 'th', {}, cell.type === 'raw_text' ? cell.text : rich(cell, desk))))))),
  rich_text: (block, desk) => h('div', { class: 'text' }, rich(block, desk)),
};

// A file of the workspace is shown from it; anything else is left to the browser.
function source(image) {
  return image.slack_file?.id ? `/_local/files/${encodeURIComponent(image.slack_file.id)}` : image.image_url ?? image.slack_file?.url;
}

function fromMarkdown(text) {
  return text.replace(/^#{1,6}\s+(.*)$/gm, '*$1*').replace(/\*\*(.+?)\*\*/g, '*$1*').replace(/\[([^\]]+)\]\(([^)]+)\)/g, '<$2|$1>').replace(/^[-*] /gm, '• ');
}

function rich(node, desk) {
  const inside = () => (node.elements ?? []).map((child) => rich(child, desk));
  switch (node.type) {
    case 'rich_text_list':
      return h(node.style === 'ordered' ? 'ol' : 'ul', {}, node.elements.map((item) => h('li', {}, rich(item, desk))));
    case 'rich_text_quote': return h('blockquote', {}, inside());
    case 'rich_text_preformatted': return h('pre', {}, inside());
    case 'rich_text_section': return h('div', {}, inside());
    case 'link': return link(node.url, node.text ?? node.url);
    case 'user': return h('span', { class: 'mention' }, '@' + (desk.people.get(node.user_id)?.realName ?? node.user_id));
    case 'emoji': return mrkdwn(`:${node.name}:`, desk.people);
    case 'text': {
      const style = node.style ?? {};
      const tags = [style.code && 'code', style.bold && 'strong', style.italic && 'em', style.strike && 's'].filter(Boolean);
      return tags.reduce((inner, tag) => h(tag, {}, inner), document.createTextNode(node.text));
    }
    default: return inside();
  }
}
