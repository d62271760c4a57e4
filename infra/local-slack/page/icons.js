// Signs that must look right on a machine without an emoji font: drawn, not written.

const SVG = 'http://www.w3.org/2000/svg';

function draw(label, box, ...parts) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${box} ${box}`);
  svg.setAttribute('class', 'sign');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);
  for (const [tag, attributes] of parts) {
    const part = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value);
    svg.append(part);
  }
  return svg;
}

const dot = (label, fill, stroke = fill) => () => draw(label, 20, ['circle', { cx: 10, cy: 10, r: 7.5, fill, stroke, 'stroke-width': 1.5 }]);
const line = (d, stroke, width = 2.4) => ['path', { d, fill: 'none', stroke, 'stroke-width': width, 'stroke-linecap': 'round', 'stroke-linejoin': 'round' }];
const plate = (fill) => ['rect', { x: 2, y: 2, width: 16, height: 16, rx: 3.5, fill }];

const hourglass = () => draw('hourglass', 20, line('M5 3h10M5 17h10', '#8a6d3b', 2), line('M6.5 3.5c0 4 3.5 4.5 3.5 6.5s-3.5 2.5-3.5 6.5M13.5 3.5c0 4-3.5 4.5-3.5 6.5s3.5 2.5 3.5 6.5', '#8a6d3b', 1.6), ['path', { d: 'M7.5 16.5c0-2 1.5-2.5 2.5-3.5 1 1 2.5 1.5 2.5 3.5z', fill: '#e8a33d' }], ['path', { d: 'M8 7.5h4L10 9.8z', fill: '#e8a33d' }]);
const warning = () => draw('warning', 20, ['path', { d: 'M10 2.5 18.5 17h-17z', fill: '#ffc83d', stroke: '#e0a100', 'stroke-linejoin': 'round' }], line('M10 8v4', '#3a2e00', 2), ['circle', { cx: 10, cy: 14.6, r: 1.1, fill: '#3a2e00' }]);
const turn = (fill) => () => draw('arrows', 20, plate(fill), line('M6 9a4.2 4.2 0 0 1 7.5-1.5L15 9M14 11a4.2 4.2 0 0 1-7.5 1.5L5 11', '#fff', 1.8), line('M15 5.8V9h-3.2M5 14.2V11h3.2', '#fff', 1.8));
const back = () => draw('back', 20, plate('#5b7fa6'), line('M8.5 5 5.5 8l3 3M6 8h5.5a3.2 3.2 0 0 1 0 6.4H8', '#fff', 1.9));
const clockface = () => draw('clock', 20, ['circle', { cx: 10, cy: 10, r: 7.5, fill: '#fff', stroke: '#616061', 'stroke-width': 1.8 }], line('M10 5.8V10l2.8 2', '#616061', 1.8));

export const SIGNS = {
  large_green_circle: dot('green', '#2fb344'), large_yellow_circle: dot('yellow', '#f2c037'), red_circle: dot('red', '#e0342b'),
  white_circle: dot('white', '#fff', '#a8a8a8'), large_blue_circle: dot('blue', '#3b82d9'), large_orange_circle: dot('orange', '#f08c2e'),
  black_circle: dot('black', '#333'),
  white_check_mark: () => draw('done', 20, plate('#2fa84f'), line('M5.8 10.3 8.8 13.2 14.3 7', '#fff')),
  heavy_check_mark: () => draw('done', 20, line('M4 10.5 8.3 15 16 5.5', '#2fa84f', 3)),
  x: () => draw('failed', 20, line('M4.5 4.5l11 11M15.5 4.5l-11 11', '#dd2e44', 3.2)),
  no_entry: () => draw('no entry', 20, ['circle', { cx: 10, cy: 10, r: 8, fill: '#dd2e44' }], line('M5.5 10h9', '#fff', 3)),
  no_entry_sign: () => draw('forbidden', 20, ['circle', { cx: 10, cy: 10, r: 7, fill: 'none', stroke: '#dd2e44', 'stroke-width': 2.4 }], line('M5.2 5.2l9.6 9.6', '#dd2e44')),
  information_source: () => draw('info', 20, plate('#3b82d9'), line('M10 9.5V14', '#fff'), ['circle', { cx: 10, cy: 6.2, r: 1.4, fill: '#fff' }]),
  warning, hourglass, hourglass_flowing_sand: hourglass,
  rotating_light: () => draw('alarm', 20, ['path', { d: 'M5 14V10.5a5 5 0 0 1 10 0V14z', fill: '#e0342b' }], ['rect', { x: 3, y: 14.5, width: 14, height: 3, rx: 1, fill: '#5d5d5d' }], line('M10 1.5v1.5M2.5 5l1.3.9M17.5 5l-1.3.9', '#e0342b', 1.6)),
  arrows_counterclockwise: turn('#3b82d9'), leftwards_arrow_with_hook: back, rewind: back,
  clock3: clockface, alarm_clock: clockface,
  eyes: () => draw('eye', 20, line('M2 10c2-3.5 4.8-5.2 8-5.2s6 1.7 8 5.2c-2 3.5-4.8 5.2-8 5.2S4 13.5 2 10z', '#616061', 1.6), ['circle', { cx: 10, cy: 10, r: 2.5, fill: '#616061' }]),
  speech_balloon: () => draw('reply', 20, line('M3 4.5h14v9H9l-3.5 3v-3H3z', '#616061', 1.6)),
  zap: () => draw('shortcuts', 20, line('M11 2.5 4.5 11.5h4.8l-.8 6 7-9.5h-5z', '#616061', 1.6)),
  envelope: () => draw('messages', 20, line('M2.5 5h15v10.5h-15zM3 5.5l7 5.5 7-5.5', 'currentColor', 1.5)),
  send: () => draw('send', 20, ['path', { d: 'M3 3.5 17.5 10 3 16.5l1.5-5.3 6-1.2-6-1.2z', fill: 'currentColor' }]),
  dots: () => draw('more', 20, ...[4.5, 10, 15.5].map((cy) => ['circle', { cx: 10, cy, r: 1.6, fill: '#616061' }])),
};
