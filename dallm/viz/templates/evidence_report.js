// One case: the report with its quotes marked, the table of its values, and the note on a mark.
// Text of reports enters the page as text nodes only.
const byId = (id) => document.getElementById(id);
const CONTROL = /\r(?!\n)|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;

function make(tag, className, content, attributes) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (content !== undefined && content !== null) element.append(content);
  Object.entries(attributes || {}).forEach(([name, value]) => element.setAttribute(name, value));
  return element;
}

// Append text unchanged; control characters get a visible picture by style, a lone CR a line break. After the first
// thousand of them in one piece the rest stays bare: a report may hold nothing else, and each costs an element.
function appendText(parent, value) {
  let last = 0;
  let left = 1000;
  for (const match of value.matchAll(CONTROL)) {
    if (!left--) break;
    if (match.index > last) parent.append(value.slice(last, match.index));
    const code = match[0].charCodeAt(0);
    const picture = code === 127 ? '␡' : String.fromCharCode(0x2400 + code);
    parent.append(make('span', code === 13 ? 'lone-cr' : 'control', match[0], { 'data-picture': picture }));
    last = match.index + match[0].length;
  }
  if (last < value.length) parent.append(value.slice(last));
}

// Cut a field at every edge of a quote: [{from, to, quotes}], in order and without gaps.
function segmentsOf(length, quotes) {
  const edges = [...new Set([0, length, ...quotes.flatMap((q) => [q.from, q.to])])].sort((a, b) => a - b);
  const segments = [];
  let open = [];
  let next = 0;
  const sorted = [...quotes].sort((a, b) => a.from - b.from);
  for (let i = 0; i + 1 < edges.length; i++) {
    open = open.filter((q) => q.to > edges[i]);
    while (next < sorted.length && sorted[next].from === edges[i]) open.push(sorted[next++]);
    segments.push({ from: edges[i], to: edges[i + 1], quotes: [...open] });
  }
  return segments;
}

function statusClass(cell) {
  return `s-${data.statuses[cell.status]}${signOf(cell) === SIGN_FALSE ? ' is-false' : ''}`;
}

// An empty element that shows signs by style: the text of a mark stays the text of its quote.
function signs(value) { return make('span', 'signs', null, { 'data-signs': value, 'aria-hidden': 'true' }); }

function markOf(segment, value) {
  const lead = [...segment.quotes].sort((a, b) => URGENCY.indexOf(a.cell.status) - URGENCY.indexOf(b.cell.status))[0];
  const mark = make('mark', statusClass(lead.cell), null,
    { tabindex: '0', 'aria-describedby': 'tip', 'data-quotes': segment.quotes.map((q) => q.id).join(' ') });
  appendText(mark, value.slice(segment.from, segment.to));
  const ending = [...new Set(segment.quotes.filter((q) => q.to === segment.to).map((q) => signOf(q.cell)))];
  if (ending.length) mark.append(signs(ending.join('')));
  mark.dallmQuotes = segment.quotes;
  return mark;
}

function showReport(shown) {
  const out = [];
  data.fields.forEach((field, f) => {
    const value = data.texts[f][shown.index];
    if (value === null) return;
    const block = make('div', 'field', make('h3', '', field));
    const body = make('div', 'field-text', null, { dir: 'auto', 'data-field': field });
    for (const segment of segmentsOf(value.length, shown.quotes.filter((q) => q.field === f))) {
      if (segment.quotes.length) body.append(markOf(segment, value));
      else appendText(body, value.slice(segment.from, segment.to));
    }
    block.append(body);
    out.push(block);
  });
  if (!out.length) out.push(make('p', 'quiet', 'This case has no report text.'));
  if (shown.stray.length) out.push(strayList(shown.stray));
  byId('report').replaceChildren(...out);
}

function strayList(stray) {
  const box = make('div', 'banner', make('p', '', 'These quotes do not stand in the report where they say:'));
  const list = make('ul');
  stray.forEach((s) => {
    const item = make('li', '', `${data.features[s.feature].name} (${s.field}): `);
    item.append(make('q', '', make('bdi', '', s.quote)));
    list.append(item);
  });
  box.append(list);
  return box;
}

function badge(cell) {
  const element = make('span', `badge ${statusClass(cell)}`);
  element.append(make('span', 'sign', signOf(cell), { 'aria-hidden': 'true' }), LABELS[cell.status]);
  return element;
}

function valueOf(cell) {
  const unit = data.features[cell.feature].unit;
  return cell.value ? make('span', 'value', unit ? `${cell.value} ${unit}` : cell.value)
    : make('span', 'value quiet', 'NA', { title: 'missing: <NA>' });
}

// Measured columns that a cell from the row names in its reason; without one, all of them.
function columnsBehind(cell) {
  const said = `${cell.reason} ${cell.rationale}`.toLowerCase();
  const words = new Set(said.split(/[^\p{L}\p{N}_.-]+/u).map((word) => word.replace(/^[.-]+|[.-]+$/g, '')));
  const named = data.measured.map((_, i) => i).filter((i) => {
    const name = data.measured[i].name.toLowerCase();
    return words.has(name) || (name.includes(' ') && said.includes(name));
  });
  return named.length ? named : data.measured.map((_, i) => i);
}

function showCells(shown) {
  const rank = new Map(URGENCY.map((status, i) => [status, i]));
  const order = [...shown.cells].sort((a, b) => rank.get(a.status) - rank.get(b.status)
    || (a.value === 'false') - (b.value === 'false') || a.feature - b.feature);
  if (!order.length) {
    byId('cells').replaceChildren(make('p', 'quiet', 'Nothing is documented for this case.'));
    return;
  }
  const table = make('table', 'cells');
  const head = make('tr');
  ['Feature', 'Value', 'Status', 'Source (quotes)', 'Reason'].forEach((name) => head.append(make('th', '', name, { scope: 'col' })));
  table.append(make('thead', '', head));
  const body = make('tbody');
  order.forEach((cell) => body.append(cellRow(cell)));
  table.append(body);
  byId('cells').replaceChildren(table);
}

// The source, leading to the measured column where it is the row; and the number of quotes, leading to the first.
function sourceOf(cell) {
  const box = make('td', 'source');
  const source = cell.source < 0 ? '' : data.sources[cell.source];
  if (source === 'row' && data.measured.length) {
    box.append(make('button', 'link', source, { type: 'button', 'data-columns': columnsBehind(cell).join(' '),
      title: 'Show the measured column' }));
  } else box.append(source);
  const n = cell.quotes.length;
  if (n) {
    box.append(' ', make('button', 'link', `(${n})`, { type: 'button', 'data-goto': cell.quotes[0].id,
      'aria-label': `${n} quote${n === 1 ? '' : 's'}: go to the first`, title: 'Go to the first quote' }));
  }
  return box;
}

function cellRow(cell) {
  const row = make('tr', '', null, { 'data-feature': cell.feature });
  const why = make('td', 'why', make('bdi', '', cell.reason));
  if (cell.rationale) why.append(make('div', 'quiet', make('bdi', '', cell.rationale)));
  row.append(make('th', '', data.features[cell.feature].name, { scope: 'row' }), make('td', '', valueOf(cell)),
    make('td', '', badge(cell)), sourceOf(cell), why);
  row.dallmCell = cell;
  return row;
}

function showAbsent(shown) {
  if (!shown.absent.length) { byId('absent').replaceChildren(); return; }
  const n = shown.absent.length;
  const box = make('details', 'absent', make('summary', '', `${n} feature${n === 1 ? '' : 's'} not documented`));
  const usual = text(data.cells.usual_reason);
  if (usual) box.append(make('p', 'quiet', `Reason: ${usual}`));
  box.append(make('p', 'names', shown.absent.map((i) => data.features[i].name).join(', ')));
  const old = document.querySelector('details.absent');
  box.open = Boolean(old && old.open);
  byId('absent').replaceChildren(box);
}

function showMeasured(shown) {
  if (!data.measured.length) return;
  const table = make('table', 'measured');
  const body = make('tbody');
  data.measured.forEach((column, i) => {
    const value = column.values[shown.index];
    const row = make('tr', '', null, { 'data-column': i });
    const cell = make('td', '', value === null ? make('span', 'quiet', 'missing') : `${value} ${column.unit}`.trim());
    if (column.refused.includes(shown.index)) cell.append(make('span', 'refused', ' not plausible, not used'));
    row.append(make('th', '', column.name, { scope: 'row' }), cell);
    body.append(row);
  });
  table.append(body);
  byId('measured').replaceChildren(make('h3', '', 'Measured'), table);
}

function showLegend(shown) {
  const seen = new Map();
  shown.quotes.forEach((q) => seen.set(statusClass(q.cell), q.cell));
  byId('legend').replaceChildren(...[...seen.values()].map((cell) => {
    const item = make('li');
    const label = data.statuses[cell.status] === 'documented' ? `documented${signOf(cell) === SIGN_FALSE ? ', false' : ''}` : LABELS[cell.status];
    const mark = make('mark', statusClass(cell), label);
    mark.append(signs(signOf(cell)));
    item.append(mark);
    return item;
  }));
}

// --- the note on a mark ---
const tip = byId('tip');
let tipMark = null;

function noteOn(quote) {
  const { cell } = quote;
  const feature = data.features[cell.feature];
  const box = make('div', 'note');
  const head = make('p', 'note-head', make('strong', '', feature.name));
  head.append(' ', valueOf(cell), ' ', badge(cell));
  const facts = make('dl');
  const add = (name, value) => { if (value) facts.append(make('dt', '', name), make('dd', '', make('bdi', '', value))); };
  add('assertion', quote.assertion.replace('_', ' '));
  add('rule', quote.rule);
  add('reason', cell.reason);
  add('rationale', cell.rationale);
  add('confidence', cell.confidence === null ? '' : String(cell.confidence));
  add('relevant to', feature.conditions.join(', '));
  box.append(head, facts);
  return box;
}

function showTip(mark) {
  tipMark = mark;
  tip.replaceChildren(...mark.dallmQuotes.map(noteOn));
  tip.hidden = false;
  emphasise(mark.dallmQuotes);
  placeTip();
}

function placeTip() {
  const mark = tipMark;
  const at = mark.getClientRects()[0] || mark.getBoundingClientRect();
  const box = tip.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left, window.innerWidth - box.width - 8));
  const below = at.bottom + 6;
  const top = below + box.height < window.innerHeight - 8 ? below : Math.max(8, at.top - box.height - 6);
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

function hideTip() {
  tipMark = null;
  tip.hidden = true;
  emphasise([]);
}

// Set off the marks and the table rows that belong to these quotes.
function emphasise(quotes) {
  const ids = new Set(quotes.map((q) => q.id));
  const features = new Set(quotes.map((q) => q.cell.feature));
  document.querySelectorAll('#report mark').forEach((mark) => {
    mark.classList.toggle('on', mark.dallmQuotes.some((q) => ids.has(q.id)));
  });
  document.querySelectorAll('tr[data-feature]').forEach((row) => {
    row.classList.toggle('on', features.has(Number(row.dataset.feature)));
  });
}
