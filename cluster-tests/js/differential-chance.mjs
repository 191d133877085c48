// Chance that repeats: everything that the differential test makes follows from a seed.

/** mulberry32: numbers in [0, 1). */
function numbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export class Chance {
  #next;

  constructor(seed) {
    this.#next = numbers(seed);
  }

  below = (n) => Math.floor(this.#next() * n);
  between = (least, most) => least + this.below(most - least + 1);
  is = (probability) => this.#next() < probability;
  of = (list) => list[this.below(list.length)];
  some = (list, probability) => list.filter(() => this.is(probability));
}

/** FNV-1a of texts and numbers: what a resolver's value follows from. */
export function hash(...parts) {
  let h = 0x811c9dc5;
  for (const c of parts.join('|')) h = Math.imul(h ^ c.codePointAt(0), 0x01000193);
  h ^= h >>> 15;
  return Math.imul(h, 0x2c1b3c6d) >>> 0;
}

/** Texts that a careless writer of JSON or GraphQL breaks. */
export const texts = [
  'plain',
  '',
  'with "quotes" and \\',
  'line\nbreak\ttab',
  '\u0000\u0007\u001f\u007f',
  '\u2028\u2029',
  'é 漢字',
  '😀 \u{e0001}\u{10fffd}',
  '\ud83d\ude00',
  '</script>&',
  '$v {a} #no comment',
  '"""',
  '\ufeffbom',
  "it's",
  'null',
  '\u00ad\u200b',
];
