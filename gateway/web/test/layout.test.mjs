import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bestGrid, spotlight } from '../src/layout.js';

test('the usual numbers of people get the usual grids', () => {
  const shape = (count, width, height) => {
    const { columns, rows } = bestGrid(count, width, height, 12);
    return `${columns}x${rows}`;
  };
  assert.equal(shape(1, 1280, 700), '1x1');
  assert.equal(shape(2, 1280, 700), '2x1');
  assert.equal(shape(4, 1280, 700), '2x2');
  assert.equal(shape(9, 1280, 700), '3x3');
  assert.equal(shape(2, 390, 700), '1x2');
  assert.equal(shape(2, 844, 300), '2x1');
});

test('tiles never overlap or leave the area, whatever its size', () => {
  for (const [width, height] of [[1280, 700], [390, 700], [844, 300], [320, 480], [3840, 2000], [100, 100]]) {
    for (let count = 1; count <= 60; count++) {
      const grid = bestGrid(count, width, height, 8);
      const at = `${count} in ${width}x${height}`;
      assert.ok(grid.columns * grid.rows >= count, `places for ${at}`);
      if (grid.width > 0) {
        assert.ok(grid.columns * grid.width + 8 * (grid.columns - 1) <= width, `width of ${at}`);
        assert.ok(grid.rows * grid.height + 8 * (grid.rows - 1) <= height, `height of ${at}`);
        assert.ok(grid.width / grid.height <= 16 / 9 + 0.05 * 16, `wideness of ${at}`);
      }
    }
  }
});

test('no people and no room are no error', () => {
  assert.deepEqual(bestGrid(0, 1280, 700, 8), { columns: 1, rows: 1, width: 0, height: 0 });
  assert.equal(bestGrid(4, 0, 0, 8).width, 0);
});

test('one large tile leaves room for the others', () => {
  for (const [width, height] of [[1248, 660], [374, 700], [740, 340], [1900, 900]]) {
    for (let count = 1; count <= 25; count++) {
      const places = spotlight(count, width, height, 6);
      const [large, ...others] = places;
      assert.ok(places.length <= count && (count < 2 || others.length > 0));
      for (const [i, a] of places.entries()) {
        const where = `${count} in ${width} x ${height}: tile ${i}`;
        assert.ok(a.left >= 0 && a.top >= 0 && a.left + a.width <= width && a.top + a.height <= height, `${where} is inside`);
        assert.ok(a === large || a.width * a.height < large.width * large.height, `${where} is smaller`);
        assert.ok(a.width >= 60 && a.height >= 45, `${where} can be seen and touched: ${a.width} x ${a.height}`);
        for (const b of places.slice(i + 1)) {
          assert.ok(a.left >= b.left + b.width || b.left >= a.left + a.width || a.top >= b.top + b.height || b.top >= a.top + a.height, `${where} is alone`);
        }
      }
    }
  }
});
