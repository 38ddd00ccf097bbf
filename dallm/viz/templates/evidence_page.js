// What the user does: filters, keys, links, theme; and the first drawing.
const filter = { search: '', feature: -1, value: -1, statuses: new Set() };

function showCase(index) {
  const changed = index !== current;
  current = index;
  hideTip();
  const none = index < 0;
  byId('detail').classList.toggle('none', none);
  if (!none) {
    const shown = readCase(index);
    byId('case-id').textContent = data.ids[index];
    const place = view.indexOf(index);
    byId('position').textContent = place < 0 ? '' : `${number(place + 1)} of ${number(view.length)}`;
    byId('previous').disabled = place <= 0;
    byId('next').disabled = place < 0 || place + 1 >= view.length;
    showReport(shown);
    showLegend(shown);
    showCells(shown);
    showAbsent(shown);
    showMeasured(shown);
    if (changed) {
      document.querySelectorAll('.report, .values').forEach((pane) => { pane.scrollTop = 0; });
      setHash(`#case=${encodeURIComponent(data.ids[index].toWellFormed ? data.ids[index].toWellFormed() : data.ids[index])}`);
    }
  }
  scrollToCurrent();
  drawList();
}

function setHash(hash) {
  if (location.hash === hash) return;
  try { history.replaceState(null, '', hash); } catch (error) { location.hash = hash; } // some viewers forbid the first
}

function step(by) {
  const place = view.indexOf(current);
  const next = Math.max(0, Math.min(view.length - 1, place < 0 ? 0 : place + by));
  if (view.length && view[next] !== current) showCase(view[next]);
}

// Show the case that the address names; false if there is none of that id.
function showLinked() {
  const match = /^#case=(.*)$/s.exec(location.hash);
  if (!match) return false;
  let id;
  try { id = decodeURIComponent(match[1]); } catch (error) { id = match[1]; }
  const index = data.ids.indexOf(id);
  byId('link-problem')?.remove();
  if (index < 0) {
    const note = banner(`This page has no case with the id "${id.slice(0, 80)}".`);
    note.id = 'link-problem';
    return false;
  }
  if (!view.includes(index)) clearFilters();
  showCase(index);
  return true;
}

function option(value, label) { return make('option', '', label, { value }); }

function drawFeatureFilter() {
  const counts = new Array(nFeatures).fill(0);
  data.cells.feature.forEach((f, row) => { if (data.cells.status[row] !== NOT_DOCUMENTED) counts[f]++; });
  byId('feature').replaceChildren(option(-1, 'any feature'),
    ...data.features.map((feature, i) => option(i, `${feature.name} (${number(counts[i])})`)));
}

function drawValueFilter() {
  const values = valueCounts(filter.feature);
  if (!values.some(([value]) => value === filter.value)) filter.value = -1;
  byId('value').replaceChildren(option(-1, 'any'), ...values.map(([value, n]) => option(value, `${text(value)} (${number(n)})`)));
  byId('value').value = String(filter.value);
}

function drawStatusFilter() {
  const counts = statusCounts(filter.feature);
  byId('statuses').replaceChildren(...data.statuses.map((status, s) => {
    const chip = make('button', `chip s-${status}`, null,
      { type: 'button', 'aria-pressed': String(filter.statuses.has(s)), 'data-status': s });
    chip.append(make('span', 'sign', SIGNS[status], { 'aria-hidden': 'true' }), LABELS[s], make('span', 'n', number(counts[s])));
    chip.disabled = !counts[s] && !filter.statuses.has(s);
    return chip;
  }));
}

function applyFilters() {
  view = casesThatPass(filter);
  const active = filter.search || filter.feature >= 0 || filter.value >= 0 || filter.statuses.size;
  byId('reset').hidden = !active;
  byId('result').textContent = active ? `${number(view.length)} of ${number(nCases)} cases` : `${number(nCases)} cases`;
  list.scrollTop = 0;
  showCase(view.includes(current) ? current : view.length ? view[0] : -1);
}

function clearFilters() {
  Object.assign(filter, { search: '', feature: -1, value: -1, statuses: new Set() });
  byId('search').value = '';
  byId('feature').value = '-1';
  drawValueFilter();
  drawStatusFilter();
  applyFilters();
}

function banner(message, strong) {
  const box = make('p', strong ? 'banner strong' : 'banner', message);
  byId('banners').append(box);
  return box;
}

function drawHead() {
  const facts = [`${number(nCases)} cases`, `${number(nFeatures)} features`, `${number(data.evidence.feature.length)} quotes`];
  if (data.engines.length) facts.push(`engine ${data.engines.join(', ')}`);
  byId('facts').textContent = facts.join(' · ');
  if (data.synthetic) banner('synthetic: these cases and reports are made up', true);
  if (data.credentialed) banner('credentialed: this page holds report text; keep it where the reports may be kept', true);
  data.notices.forEach((notice) => banner(`knowledge: ${notice}`));
  if (nCases < data.total) banner(`The first ${number(nCases)} of ${number(data.total)} cases are on this page.`);
  if (data.stray.length) banner(`${number(data.stray.length)} quotes do not stand where they say; they are listed with their case.`, true);
}

// --- theme: what the system prefers, until chosen otherwise; paper is light ---
const THEMES = ['auto', 'light', 'dark'];
const prefersDark = matchMedia('(prefers-color-scheme: dark)');
let theme = storedTheme();

function storedTheme() {
  try {
    const stored = localStorage.getItem('dallm-theme');
    return THEMES.includes(stored) ? stored : 'auto';
  } catch (error) { return 'auto'; } // a page opened from a file may not store anything
}

function drawTheme(printing) {
  const dark = theme === 'dark' || (theme === 'auto' && prefersDark.matches);
  document.documentElement.dataset.theme = dark && !printing ? 'dark' : 'light';
  byId('theme').textContent = `Theme: ${theme}`;
}

byId('theme').addEventListener('click', () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  drawTheme(false);
  try { localStorage.setItem('dallm-theme', theme); } catch (error) { /* then it lasts as long as the page */ }
});
prefersDark.addEventListener('change', () => drawTheme(false));
window.addEventListener('beforeprint', () => {
  drawTheme(true);
  document.querySelectorAll('details').forEach((box) => { box.open = true; });
});
window.addEventListener('afterprint', () => drawTheme(false));

// --- filters ---
byId('search').addEventListener('input', (event) => { filter.search = event.target.value; applyFilters(); });
byId('feature').addEventListener('change', (event) => {
  filter.feature = Number(event.target.value);
  drawValueFilter();
  drawStatusFilter();
  applyFilters();
});
byId('value').addEventListener('change', (event) => { filter.value = Number(event.target.value); applyFilters(); });
byId('statuses').addEventListener('click', (event) => {
  const chip = event.target.closest('button');
  if (!chip) return;
  const status = Number(chip.dataset.status);
  if (!filter.statuses.delete(status)) filter.statuses.add(status);
  chip.setAttribute('aria-pressed', String(filter.statuses.has(status)));
  applyFilters();
});
byId('reset').addEventListener('click', () => { clearFilters(); byId('search').focus(); });

// --- list and navigation ---
list.addEventListener('scroll', drawList, { passive: true });
list.addEventListener('click', (event) => {
  const row = event.target.closest('.item');
  if (row) showCase(Number(row.dataset.index));
});
byId('previous').addEventListener('click', () => step(-1));
byId('next').addEventListener('click', () => step(1));
window.addEventListener('hashchange', showLinked);
window.addEventListener('resize', () => { hideTip(); drawList(); });
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') hideTip();
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea')) return;
  // Up and down scroll a report that has the focus; everywhere else they walk through the cases.
  const scrolling = event.target.closest('.detail') && event.target !== byId('detail');
  const moves = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 };
  if (!scrolling) Object.assign(moves, { ArrowDown: 1, ArrowUp: -1 });
  if (event.key in moves) { event.preventDefault(); step(moves[event.key]); }
  else if (event.key === '/') { event.preventDefault(); byId('search').focus(); }
  else if (event.target === list && (event.key === 'Home' || event.key === 'End') && view.length) {
    event.preventDefault();
    showCase(event.key === 'Home' ? view[0] : view[view.length - 1]);
  }
});

// --- notes on marks: by pointer, by focus; the pointer may enter the note ---
const report = byId('report');
let leaving = 0;
const stay = () => clearTimeout(leaving);
const leave = () => { stay(); leaving = setTimeout(hideTip, 120); };
report.addEventListener('mouseover', (event) => {
  const mark = event.target.closest('mark');
  if (mark) { stay(); if (mark !== tipMark) showTip(mark); }
});
report.addEventListener('mouseout', (event) => { if (event.target.closest('mark')) leave(); });
tip.addEventListener('mouseenter', stay);
tip.addEventListener('mouseleave', leave);
report.addEventListener('focusin', (event) => { const mark = event.target.closest('mark'); if (mark) { stay(); showTip(mark); } });
report.addEventListener('focusout', leave);
document.querySelectorAll('.report, .columns').forEach((pane) => pane.addEventListener('scroll', () => { if (tipMark) placeTip(); }, { passive: true }));

// --- the table points to the report and to the measured columns ---
const values = byId('cells');
values.addEventListener('mouseover', (event) => {
  const row = event.target.closest('tr[data-feature]');
  if (row) emphasise(row.dallmCell.quotes.length ? row.dallmCell.quotes : [{ id: -1, cell: row.dallmCell }]);
});
values.addEventListener('mouseleave', () => emphasise([]));
values.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.goto) {
    const mark = [...document.querySelectorAll('#report mark')].find((m) => m.dataset.quotes.split(' ').includes(button.dataset.goto));
    mark.scrollIntoView({ block: 'center' });
    mark.focus({ preventScroll: true });
  } else if (button.dataset.columns) {
    const wanted = new Set(button.dataset.columns.split(' '));
    const rows = [...document.querySelectorAll('tr[data-column]')];
    rows.forEach((row) => row.classList.toggle('on', wanted.has(row.dataset.column)));
    rows.find((row) => row.classList.contains('on'))?.scrollIntoView({ block: 'center' });
  }
});

drawTheme(false);
drawHead();
drawFeatureFilter();
drawValueFilter();
drawStatusFilter();
view = casesThatPass(filter);
byId('result').textContent = `${number(nCases)} cases`;
if (!showLinked()) showCase(view.length ? view[0] : -1);
performance.mark('ready');
