// The data of the page, and which cases pass the filters. All offsets are UTF-16 units.
const data = JSON.parse(document.getElementById('data').textContent);
document.getElementById('data').remove(); // frees the text: the page may hold many megabytes of reports
const nCases = data.ids.length;
const nFeatures = data.features.length;
const STATUS = Object.fromEntries(data.statuses.map((name, i) => [name, i]));
const NOT_DOCUMENTED = STATUS.not_documented;
const LABELS = data.statuses.map((name) => name.replace('_', ' '));
// A sign per status, so that nothing rests on colour alone; a documented "false" has its own.
const SIGNS = { documented: '✓', inferred: '∴', uncertain: '?', not_documented: '○',
  conflicting: '±', not_applicable: '/', failed: '!' };
const SIGN_FALSE = '−';
// The status whose colour a mark takes where several quotes overlap: what needs the eye first.
const URGENCY = ['conflicting', 'failed', 'uncertain', 'inferred', 'documented', 'not_applicable', 'not_documented']
  .map((name) => STATUS[name]);
const text = (index) => (index < 0 ? '' : data.strings[index]);
const number = (n) => n.toLocaleString('en-US');

function cellAt(row) {
  const c = data.cells;
  return { feature: c.feature[row], status: c.status[row], source: c.source[row], value: text(c.value[row]),
    reason: text(c.reason[row]), rationale: text(c.rationale[row]),
    confidence: c.confidence.length ? c.confidence[row] : null };
}

// What is known of one case: its stored cells, its quotes, and by feature the place of its cell.
function readCase(index) {
  const cells = [];
  const byFeature = new Map();
  for (let row = data.cells.start[index]; row < data.cells.start[index + 1]; row++) {
    const cell = cellAt(row);
    cell.quotes = [];
    byFeature.set(cell.feature, cell);
    cells.push(cell);
  }
  const e = data.evidence;
  const quotes = [];
  for (let row = e.start[index]; row < e.start[index + 1]; row++) {
    const feature = e.feature[row];
    const cell = byFeature.get(feature) || { feature, status: NOT_DOCUMENTED, source: -1, value: '',
      reason: text(data.cells.usual_reason), rationale: '', confidence: null, quotes: [] };
    if (!byFeature.has(feature)) { byFeature.set(feature, cell); cells.push(cell); }
    const quote = { id: quotes.length, cell, field: e.field[row], from: e.from[row], to: e.to[row],
      assertion: text(e.assertion[row]), rule: text(e.rule[row]) };
    cell.quotes.push(quote);
    quotes.push(quote);
  }
  const stray = data.stray.filter((s) => s.case === index);
  return { index, cells, quotes, stray, absent: data.features.map((_, i) => i).filter((i) => !byFeature.has(i)) };
}

function signOf(cell) {
  return cell.status === STATUS.documented && cell.value === 'false' ? SIGN_FALSE : SIGNS[data.statuses[cell.status]];
}

// Cells per case and status, not_documented implied: row-major, one row per case.
const caseCounts = new Int32Array(nCases * data.statuses.length);
for (let i = 0; i < nCases; i++) {
  const base = i * data.statuses.length;
  const [from, to] = [data.cells.start[i], data.cells.start[i + 1]];
  for (let row = from; row < to; row++) caseCounts[base + data.cells.status[row]]++;
  caseCounts[base + NOT_DOCUMENTED] += nFeatures - (to - from);
}

// Cells per status, over all cases, of one feature or (-1) of all.
function statusCounts(feature) {
  const counts = new Array(data.statuses.length).fill(0);
  let stored = 0;
  data.cells.status.forEach((status, row) => {
    if (feature < 0 || data.cells.feature[row] === feature) { counts[status]++; stored++; }
  });
  counts[NOT_DOCUMENTED] += nCases * (feature < 0 ? nFeatures : 1) - stored;
  return counts;
}

// The distinct values of one feature (-1: of all), most frequent first; long lists of numbers are of no use.
function valueCounts(feature) {
  const counts = new Map();
  data.cells.value.forEach((value, row) => {
    if (value >= 0 && (feature < 0 || data.cells.feature[row] === feature)) counts.set(value, (counts.get(value) || 0) + 1);
  });
  return [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 40);
}

// filter: { search, feature (-1: any), value (-1: any), statuses: Set }. Without a status, a feature or value
// filter asks for any cell that is not "not documented".
function casesThatPass(filter) {
  const wanted = filter.search.trim().toLowerCase();
  const anyCell = filter.feature < 0 && filter.value < 0 && !filter.statuses.size;
  const implied = filter.value < 0 && filter.statuses.has(NOT_DOCUMENTED);
  const out = [];
  for (let i = 0; i < nCases; i++) {
    if (wanted && !data.ids[i].toLowerCase().includes(wanted)) continue;
    if (anyCell || hasCell(i, filter, implied)) out.push(i);
  }
  return out;
}

function hasCell(index, filter, implied) {
  const c = data.cells;
  let stored = 0;
  for (let row = c.start[index]; row < c.start[index + 1]; row++) {
    if (filter.feature >= 0 && c.feature[row] !== filter.feature) continue;
    stored++;
    if (filter.value >= 0 && c.value[row] !== filter.value) continue;
    if (filter.statuses.size ? filter.statuses.has(c.status[row]) : c.status[row] !== NOT_DOCUMENTED) return true;
  }
  return implied && stored < (filter.feature < 0 ? nFeatures : 1);
}
