// The list of cases: only the rows in sight are in the page, so that its length does not matter.
const ROW = 46; // height of a row in pixels, as in the style sheet
const list = byId('list');
const inner = byId('list-inner');
let view = []; // the cases that pass the filters
let current = -1; // the case that is shown: its place in the data

function tally(index) {
  const base = index * data.statuses.length;
  const box = make('span', 'tally');
  const said = [];
  data.statuses.forEach((status, s) => {
    const n = caseCounts[base + s];
    if (!n || s === NOT_DOCUMENTED) return;
    box.append(make('span', `count s-${status}`, `${SIGNS[status]} ${n}`, { title: `${n} ${LABELS[s]}` }));
    said.push(`${n} ${LABELS[s]}`);
  });
  if (!said.length) box.append(make('span', 'quiet', 'nothing documented'));
  return { box, said: said.join(', ') || 'nothing documented' };
}

function listRow(place) {
  const index = view[place];
  const { box, said } = tally(index);
  const row = make('div', index === current ? 'item current' : 'item', make('span', 'item-id', data.ids[index]),
    { role: 'option', id: `case-${index}`, 'data-index': index, 'aria-selected': String(index === current),
      'aria-setsize': view.length, 'aria-posinset': place + 1, 'aria-label': `${data.ids[index]}: ${said}` });
  row.append(box);
  row.style.top = `${place * ROW}px`;
  return row;
}

function drawList() {
  inner.style.height = `${view.length * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 6);
  const last = Math.min(view.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 6);
  const rows = [];
  for (let place = first; place < last; place++) rows.push(listRow(place));
  if (!view.length) rows.push(make('p', 'empty quiet', 'No case has such a cell.'));
  inner.replaceChildren(...rows);
  const shown = inner.querySelector('.current');
  if (shown) list.setAttribute('aria-activedescendant', shown.id);
  else list.removeAttribute('aria-activedescendant');
}

function scrollToCurrent() {
  const place = view.indexOf(current);
  if (place < 0) return;
  const top = place * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
}
