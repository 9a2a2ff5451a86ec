// How people are laid out: the sizes of equal tiles in a grid.

/** Width by height of a tile: no wider than a camera's picture. */
const WIDEST = 16 / 9;
/** A screen on its side keeps to the shape of cameras; upright it is a phone's, and so are most pictures. */
const NARROWEST = { landscape: 4 / 3, portrait: 9 / 16 };

/** How much of the area's length the tiles beside a large one take: less where they are few. */
const STRIP = { few: 0.22, many: 0.34 };
const FEW = 5;
/** Sizes in CSS pixels that a tile beside a large one has at least. */
const STRIP_TILE = { width: 84, height: 63 };

/**
 * Lays out one large tile and the others beside it: on the right, or below where the area is upright.
 *
 * @param {number} count of tiles, the large one too
 * @param {number} width of the area, in CSS pixels
 * @param {number} height of the area, in CSS pixels
 * @param {number} gap between tiles, in CSS pixels
 * @returns {{left: number, top: number, width: number, height: number}[]} the places, the large one first; fewer than count when
 *   the others would be too small
 */
export function spotlight(count, width, height, gap) {
  if (count < 2) {
    return [{ left: 0, top: 0, width: Math.floor(width), height: Math.floor(height) }];
  }
  const beside = width >= height;
  const share = count - 1 <= FEW ? STRIP.few : STRIP.many;
  const length = Math.max(beside ? STRIP_TILE.width : STRIP_TILE.height, Math.floor((beside ? width : height) * share));
  const strip = beside
    ? { left: width - length, top: 0, width: length, height }
    : { left: 0, top: height - length, width, height: length };
  const large = { left: 0, top: 0, width: Math.floor(width), height: Math.floor(height) };
  large[beside ? 'width' : 'height'] -= length + gap;
  let shown = count - 1;
  let grid = bestGrid(shown, strip.width, strip.height, gap);
  while (shown > 1 && (grid.width < STRIP_TILE.width || grid.height < STRIP_TILE.height)) {
    shown--;
    grid = bestGrid(shown, strip.width, strip.height, gap);
  }
  const places = [large];
  for (let i = 0; i < shown; i++) {
    const row = Math.floor(i / grid.columns);
    const inRow = Math.min(grid.columns, shown - row * grid.columns);
    const rowWidth = inRow * (grid.width + gap) - gap;
    const columnHeight = grid.rows * (grid.height + gap) - gap;
    places.push({
      left: Math.floor(strip.left + (strip.width - rowWidth) / 2 + (i % grid.columns) * (grid.width + gap)),
      top: Math.floor(strip.top + (strip.height - columnHeight) / 2 + row * (grid.height + gap)),
      width: grid.width,
      height: grid.height,
    });
  }
  return places;
}

/**
 * Finds the grid with the largest tiles.
 *
 * @param {number} count of tiles
 * @param {number} width of the area, in CSS pixels
 * @param {number} height of the area, in CSS pixels
 * @param {number} gap between tiles, in CSS pixels
 * @returns {{columns: number, rows: number, width: number, height: number}} sizes of the grid and of one tile, whole pixels
 */
export function bestGrid(count, width, height, gap) {
  const narrowest = width >= height ? NARROWEST.landscape : NARROWEST.portrait;
  let best = { columns: 1, rows: Math.max(count, 1), width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    let w = (width - gap * (columns - 1)) / columns;
    let h = (height - gap * (rows - 1)) / rows;
    if (w <= 0 || h <= 0) {
      continue;
    }
    w = Math.min(w, h * WIDEST);
    h = Math.min(h, w / narrowest);
    const candidate = { columns, rows, width: Math.floor(w), height: Math.floor(h) };
    if (candidate.width * candidate.height > best.width * best.height) {
      best = candidate;
    }
  }
  return best;
}
