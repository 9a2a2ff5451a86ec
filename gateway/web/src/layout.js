// How people are laid out: the sizes of equal tiles in a grid.

/** Width by height of a tile: no wider than a camera's picture. */
const WIDEST = 16 / 9;
/** A screen on its side keeps to the shape of cameras; upright it is a phone's, and so are most pictures. */
const NARROWEST = { landscape: 4 / 3, portrait: 9 / 16 };

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
